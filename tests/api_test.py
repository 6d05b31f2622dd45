"""The public names, pinned: adding or removing one is a decision."""

import types

import distill_jax as dd

NAMES = """
    Artifact ArtifactError ConfigError DataError Distilled Run Source
    TrainingSet __version__ backprop batch_map class_members condense
    convnet distill distiller distribution_matching evaluate evaluate_set
    export from_arrays from_functions from_linen from_nnx from_noise
    from_real from_samples from_texts gradient_matching learn lenet load
    merge methods mixed mlp
    per_class pixels read save step_order student to_artifact unrolled
    weighted_sum
""".split()


def test_names_are_the_pinned_ones_in_order():
  assert dd.__all__ == NAMES
  assert len(NAMES) <= 45


def test_every_name_exists_and_methods_alone_is_a_module():
  modules = [
      name for name in NAMES if isinstance(getattr(dd, name), types.ModuleType)
  ]
  assert modules == ["methods"]


def test_public_functions_say_what_they_are():
  for name in NAMES:
    assert name.startswith("__") or getattr(dd, name).__doc__, name
