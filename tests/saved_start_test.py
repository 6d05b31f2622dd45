"""Runs that go on from a saved set."""

import build
import jax
import launching
import numpy as np
import pytest

from distill_jax import artifact
from distill_jax.errors import ConfigError

PIXELS = "quick,ipc=2,width=4"


def _run(method, text, **changes):
  config = launching.configuration(f"{method}_mnist.py", text)
  config.data = "digits"
  with config.unlocked():
    for field, value in changes.items():
      config[field] = value
  return config, build.run(config, build.source(config))


def _saved(path, method, text):
  """A set as it starts, saved."""
  config, run = _run(method, text)
  made = artifact.to_artifact(
      run.estimator, run.distiller.result(run.state), run.source,
      method=method, order=run.rows.order, recipe=run.recipe,
      label_space=run.label_space,
  )
  artifact.save(made, path)
  return run.state.distilled, path


@pytest.mark.parametrize("stored", [
    "pixels", "multi_formation", "linear_bases", "hallucinator",
])
def test_codes_and_labels_are_those_of_the_file(tmp_path, stored):
  text = f"{PIXELS},parameterization={stored}"
  begun, path = _saved(tmp_path / "set.safetensors", "rat_bptt", text)
  _, run = _run("rat_bptt", text, start=str(path))
  fresh = _run("rat_bptt", text, start="noise", seed=1)[1].state.distilled
  found = run.state.distilled
  jax.tree.map(np.testing.assert_array_equal, found, begun)
  same = jax.tree.map(np.array_equal, found.codes, fresh.codes)
  assert not all(jax.tree.leaves(same))


def test_a_start_keeps_its_norm(tmp_path):
  begun, path = _saved(tmp_path / "set.safetensors", "rat_bptt", PIXELS)
  _, run = _run("rat_bptt", PIXELS, start=str(path), unit_norm=True)
  np.testing.assert_array_equal(run.state.distilled.codes, begun.codes)


@pytest.mark.parametrize("method, text, changes, message", [
    ("rfad", PIXELS, {}, "a set of label_space 'centred'; .* has 'raw'"),
    ("rat_bptt", "quick,ipc=1,width=4", {}, r"own size, codes \(10, 8, 8, 1\)"),
    ("dm", f"{PIXELS},parameterization=multi_formation", {},
     "of parameterization 'multi_formation'"),
    ("dm", f"{PIXELS},preprocessing=zca", {}, "run's own preprocessing"),
    ("dm", PIXELS, dict(validation_fraction=0.5), "run's own preprocessing"),
    ("mtt", PIXELS, {}, "`start` must be a name with mtt"),
    ("edd", PIXELS, {}, "`start` must be a name with edd"),
])
def test_what_does_not_go_with_a_run(tmp_path, method, text, changes, message):
  _, path = _saved(tmp_path / "set.safetensors", "rat_bptt", PIXELS)
  with pytest.raises(ConfigError, match=message):
    _run(method, text, start=str(path), **changes)


@pytest.mark.parametrize("change, message", [
    (lambda a: dict(class_names=tuple("abcdefghij")), "of class_names"),
    (lambda a: dict(labels=a.labels[::-1]), "in the order of classes"),
    (lambda a: dict(preprocessing=a.preprocessing._replace(
        std=2 * a.preprocessing.std)), "run's own preprocessing"),
])
def test_another_set(tmp_path, change, message):
  path = tmp_path / "set.safetensors"
  _saved(path, "rat_bptt", PIXELS)
  made = artifact.load(path)
  artifact.save(made._replace(**change(made)), path)
  with pytest.raises(ConfigError, match=message):
    _run("rat_bptt", PIXELS, start=str(path))


def test_centred_labels_name_their_option(tmp_path):
  _, path = _saved(tmp_path / "set.safetensors", "rfad", PIXELS)
  with pytest.raises(ConfigError, match="has 'centred'. The option `regress"):
    _run("rat_bptt", PIXELS, start=str(path))


def test_no_set_at_all(tmp_path):
  for path in (tmp_path, tmp_path / "none.safetensors"):
    with pytest.raises(ConfigError, match="there is no file"):
      _run("dm", PIXELS, start=str(path))
  with pytest.raises(ConfigError, match="`start` must be one of class_mean"):
    _run("dm", PIXELS, start="nosie")
