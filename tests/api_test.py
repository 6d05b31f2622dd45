"""The public names, pinned: adding or removing one is a decision."""

import inspect
import pkgutil
import textwrap
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import distill_jax as dd

NAMES = """
    Artifact ArtifactError Condenser ConfigError DataError Distilled Run
    Source TrainingSet __version__ backprop batch_map class_members condense
    convnet distill distiller distribution_matching evaluate evaluate_set
    examples export from_arrays from_functions from_linen from_nnx
    from_noise from_real from_samples from_texts gradient_matching learn
    lenet load merge methods mixed mlp per_class pixels quantise read save
    step_order student to_artifact unrolled weighted_sum
""".split()


def test_names_are_the_pinned_ones_in_order():
  assert dd.__all__ == NAMES
  assert len(NAMES) <= 48


def test_every_name_exists_and_two_are_modules():
  modules = [
      name for name in NAMES if isinstance(getattr(dd, name), types.ModuleType)
  ]
  assert modules == ["examples", "methods"]


def test_public_functions_say_what_they_are():
  for name in NAMES:
    assert name.startswith("__") or getattr(dd, name).__doc__, name


def _example(name):
  """The code of the `Example:` of a docstring."""
  text = inspect.getdoc(getattr(dd, name)) or ""
  _, found, code = text.partition("Example:\n")
  return textwrap.dedent(code.split("\n\n")[0]) if found else ""


@pytest.fixture(scope="module")
def names(tmp_path_factory):
  """What the examples are about."""
  y = np.arange(60) % 3
  x = np.random.default_rng(0).normal(size=(60, 8)) + 2 * np.eye(8)[y]
  source, key = dd.from_arrays(x, y), jax.random.key(0)
  members = dd.class_members(np.arange(6) // 2, 3)
  objective = dd.distribution_matching(
      dd.mlp(3), members, sample=dd.per_class(8))
  estimator = dd.backprop(objective, dd.pixels())
  start = dd.from_real(key, source, dd.pixels(), num_samples=6)
  outer = dd.distiller(estimator, dd.learn(codes=optax.adam(0.1)))
  made = dd.condense(source, dd.methods.dm(num_steps=2), "mlp", per_class=1)
  folder = tmp_path_factory.mktemp("api")
  made.save(folder / "set.safetensors")
  return dict(
      dd=dd,
      jnp=jnp,
      nn=nn,
      nnx=nnx,
      optax=optax,
      key=key,
      x=x,
      y=y,
      source=source,
      members=members,
      objective=objective,
      estimator=estimator,
      outer=outer,
      start=start,
      state=outer.init(key, start),
      made=made,
      folder=folder)


@pytest.mark.parametrize(
    "name",
    [n for n in NAMES if isinstance(getattr(dd, n), types.FunctionType)])
def test_public_functions_have_an_example_that_runs(name, names, monkeypatch):
  monkeypatch.chdir(names["folder"])
  code = _example(name)
  assert code, name
  if name == "evaluate":  # the same, of less
    code = code.replace(
        "source)", "source, num_networks=1, num_sets=1, networks_per_set=1)")
  if name == "condense":
    code = code.replace("dm()", "dm(num_steps=2)")
  exec(code, dict(names))


def test_settings_are_in_signatures():
  for name in NAMES:
    function = getattr(dd, name)
    if isinstance(function, types.FunctionType) and name != "learn":
      kinds = [p.kind for p in inspect.signature(function).parameters.values()]
      assert inspect.Parameter.VAR_KEYWORD not in kinds, name


@pytest.mark.parametrize(
    "function, arguments, given, said",
    [(
        dd.condense, [None
                     ], "ipc", "`condense` .* source, .* per_class, .*'ipc'"),
     (dd.condense, [None], "per_clas", "Did you mean 'per_class'"),
     (dd.evaluate, [None, None], "network_s", "`evaluate` .* 'network'"),
     (dd.Run, ["folder", None], "sede", "`Run` .* among folder, .* 'seed'")])
def test_unknown_arguments_are_refused_by_name(
    function, arguments, given, said):
  with pytest.raises(dd.ConfigError, match=said) as caught:
    function(*arguments, **{given: 1})
  assert len(str(caught.value)) <= 300
  assert "self" not in str(caught.value)
  with pytest.raises(TypeError):
    function()


def test_every_module_is_reachable():
  for module in pkgutil.iter_modules(dd.__path__):
    assert hasattr(dd, module.name), module.name


def test_help_opens_with_an_example():
  assert "dd.condense(source, per_class=10)" in dd.__doc__[:400]
