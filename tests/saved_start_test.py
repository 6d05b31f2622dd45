"""Methods that go on from a saved set."""

import jax
import numpy as np
import pytest
from cases import some

from distill_jax import artifact, data, methods
from distill_jax.errors import ConfigError
from distill_jax.methods.method import Keys, Outcome, Store, plan
from distill_jax.parameterization.quantised import quantised

NETWORK = dict(name="mlp", widths=[4])
STORED = {
    "field": dict(width=3, fit_steps=5),
    "frequency": dict(keep=9),
    "hallucinator": dict(num_styles=2),
    "linear_bases": dict(num_bases=4, reduction=2),
    "multi_formation": dict(factor=2),
    "pixels": {},
    "quantised": dict(bits=4, patch=4)
}


def _plan(method, per_class=2, seed=0, **reading):
  source = data.read("digits", **reading)
  return plan(
      source,
      method,
      NETWORK,
      per_class=per_class,
      keys=Keys.of(jax.random.key(seed)),
      store=Store("", ""))


def _rat_bptt(stored="pixels", **settings):
  return methods.rat_bptt(
      parameterization=dict(name=stored, **STORED[stored]), **settings)


def _saved(path, method):
  """A set as it starts, saved."""
  made = _plan(method)
  artifact.save(made.artifact(Outcome(made.start)), path)
  return made.start, str(path)


@pytest.mark.parametrize(
    "stored", some(STORED, ("hallucinator", "pixels", "quantised")))
def test_codes_and_labels_are_those_of_the_file(tmp_path, stored):
  begun, path = _saved(tmp_path / "set.safetensors", _rat_bptt(stored))
  if stored == "quantised":  # only what the integers say is left of the codes
    quantiser = quantised(**STORED[stored])
    begun = begun._replace(codes=quantiser.decode(begun.codes))
  found = _plan(_rat_bptt(stored, start=path), seed=1).start
  fresh = _plan(_rat_bptt(stored, start="noise"), seed=1).start
  jax.tree.map(np.testing.assert_array_equal, found, begun)
  same = jax.tree.map(np.array_equal, found.codes, fresh.codes)
  assert not all(jax.tree.leaves(same))


def test_a_start_keeps_its_norm(tmp_path):
  begun, path = _saved(tmp_path / "set.safetensors", _rat_bptt())
  found = _plan(_rat_bptt(start=path, unit_norm=True)).start
  np.testing.assert_array_equal(found.codes, begun.codes)
  method = methods.from_saved(methods.dm(), path)
  np.testing.assert_array_equal(_plan(method).start.codes, begun.codes)


@pytest.mark.parametrize(
    "name, settings, changes, message",
    [("rfad", {}, {}, "a set of label_space 'centred'; .* has 'raw'"),
     ("rat_bptt", {}, dict(per_class=1), r"own size, codes \(10, 8, 8, 1\)"),
     (
         "dm", dict(parameterization=dict(name="multi_formation", factor=2)),
         {}, "of parameterization 'multi_formation'"),
     ("dm", {}, dict(preprocessing="zca"), "run's own preprocessing"),
     ("dm", {}, dict(validation_fraction=0.5), "run's own preprocessing")])
def test_what_does_not_go_with_a_run(
    tmp_path, name, settings, changes, message):
  _, path = _saved(tmp_path / "set.safetensors", _rat_bptt())
  method = methods.ENTRIES[name].make(start=path, **settings)
  with pytest.raises(ConfigError, match=message):
    _plan(method, **changes)


@pytest.mark.parametrize(
    "change, message",
    [(lambda a: dict(class_names=tuple("abcdefghij")), "of class_names"),
     (lambda a: dict(labels=a.labels[::-1]), "in the order of classes"),
     (
         lambda a: dict(
             preprocessing=a.preprocessing._replace(
                 std=2 * a.preprocessing.std)), "run's own preprocessing")])
def test_another_set(tmp_path, change, message):
  path = tmp_path / "set.safetensors"
  _saved(path, _rat_bptt())
  made = artifact.load(path)
  artifact.save(made._replace(**change(made)), path)
  with pytest.raises(ConfigError, match=message):
    _plan(_rat_bptt(start=str(path)))


def test_centred_labels_name_their_setting(tmp_path):
  _, path = _saved(tmp_path / "set.safetensors", methods.rfad())
  with pytest.raises(ConfigError, match="has 'centred'. rat_bptt.regression"):
    _plan(_rat_bptt(start=path))


def test_no_set_at_all(tmp_path):
  for path in (tmp_path, tmp_path / "none.safetensors"):
    with pytest.raises(ConfigError, match="there is no file"):
      _plan(methods.dm(start=str(path)))
