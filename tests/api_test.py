"""The public names, pinned: adding or removing one is a decision."""

import types

import distill_jax as dd

NAMES = """
    Artifact ArtifactError Checkpoints ConfigError DataError Distilled Source
    TrainingSet __version__ backprop batch_map class_members convnet distill
    distiller distribution_matching evaluate_set export from_arrays from_linen
    from_noise from_real from_samples from_texts gradient_matching in_order
    kernel_regression kernel_ridge learn lenet load mixed mlp per_class pixels
    read run_baselines save step_order student to_artifact train_experts
    trajectory_matching unrolled weighted_sum
""".split()


def test_names_are_the_pinned_ones_in_order():
  assert dd.__all__ == NAMES
  assert len(NAMES) <= 45


def test_every_name_exists_and_hides_no_module():
  for name in NAMES:
    assert not isinstance(getattr(dd, name), types.ModuleType), name


def test_public_functions_say_what_they_are():
  for name in NAMES:
    assert name.startswith("__") or getattr(dd, name).__doc__, name
