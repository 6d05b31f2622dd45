"""Adapters: modules of frameworks as `Network` records of pure functions.

Equal modules and equal arguments give the same network, so that it is compiled
only once.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from distill_jax.errors import ConfigError
from distill_jax.nn import capture
from distill_jax.types import Array, Network, PyTree

_TRAINING = ("train", "training", "is_training")
_EVALUATING = ("deterministic", "use_running_average")


def as_network(given: Any) -> Any:
  """Makes a `Network` of a module or functions; returns anything else as it is.

  Args:
    given: a linen module, an NNX module or a function `(rngs) -> NNX module`,
      or a pair of functions as in `from_functions`.

  Raises:
    ConfigError: a class is given in place of a linen module.
  """
  nnx = sys.modules.get("flax.nnx")  # a user with such a module has imported it
  if isinstance(given, nn.Module):
    return from_linen(given)
  if isinstance(given, type) and issubclass(given, nn.Module):
    raise ConfigError(
        f"`network` must be a module; got the class {given.__name__}. Call it: "
        f"{given.__name__}(...).")
  if nnx and (isinstance(given, nnx.Module) or _builds(given)):
    return from_nnx(given)
  if _is_pair(given):
    return from_functions(*given)  # pyright: ignore[reportGeneralTypeIssues]
  return given


def from_linen(
    module: nn.Module, stages: Sequence[str] | None = None) -> Network:
  """Makes a network of a linen module, which is called as `module(x)`.

  If the module has an argument `train`, `training` or `is_training`, or
  `deterministic` or `use_running_average`, this argument tells it whether it is
  trained. Dropout draws from the collection `dropout`.

  Stages are the tuple of features that its method `stages` returns, which is
  called like the module. Without that method they are the inputs of its layers;
  see `nn.capture`.

  Args:
    module: the module.
    stages: names of the submodules whose inputs are the stages, such as
      `("Conv_1", "Dense_0")`, with slashes between levels and the classifier
      last.

  Example:
    network = dd.from_linen(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(3)]))
  """
  stages = None if stages is None else tuple(stages)
  try:
    return _from_linen(module, stages)
  except TypeError:  # a field cannot be hashed, such as a list
    return _from_itself(_Itself(module), stages)


class _Itself:
  """A module that is compared by identity: it equals only itself."""

  def __init__(self, module: nn.Module):
    self.module = module

  def __hash__(self) -> int:
    return id(self.module)

  def __eq__(self, other) -> bool:
    return self.module is other.module


@functools.cache
def _from_itself(one: _Itself, stages) -> Network:
  return _from_linen.__wrapped__(one.module, stages)


@functools.cache
def _from_linen(module, stages) -> Network:
  own = getattr(type(module), "stages", None) if stages is None else None

  def init(key, example):
    rngs = {"params": key, "dropout": key}
    variables = module.init(rngs, example, **_mode(module.__call__, False))
    return _at_least(example.dtype, dict(variables))

  def arguments(variables, key, train):
    return dict(
        rngs={} if key is None else {"dropout": key},
        mutable=sorted(set(variables) - {"params"}) if train else [])

  def run(method):
    function = getattr(module, method)

    def call(variables, x, *, key=None, train=False):
      out, updated = module.apply(
          variables,
          x,
          method=method,
          **arguments(variables, key, train),
          **_mode(function, train))
      return out, {**variables, **updated}

    return call

  def captured(variables, x, *, key=None, train=False):
    features, updated = capture.of_linen(
        module, stages, variables, x, **arguments(variables, key, train),
        **_mode(module.__call__, train))
    return features, {**variables, **updated}

  return Network(
      init, run("__call__"), _flat(run("stages") if own else captured))


def from_nnx(build: Any, stages: Sequence[str] | None = None) -> Network:
  """Makes a network of an NNX module, which is called as `module(x)`.

  `module.train()` and `module.eval()` tell the module whether it is trained,
  and so does an argument as in `from_linen`, if it has one. Its random streams
  are not part of `variables`: `key` seeds them at every call.

  Stages are the result of its method `stages(x)`; without that method they are
  the inputs of its layers, see `nn.capture`.

  Args:
    build: `(nnx.Rngs) -> nnx.Module`, or a module. A module does not store its
      initialisers; fresh networks then have the entries of each of its weight
      arrays in a random order.
    stages: as in `from_linen`.

  Example:
    network = dd.from_nnx(lambda rngs: nnx.Linear(8, 3, rngs=rngs))
  """
  stages = None if stages is None else tuple(stages)
  return _from_nnx(build, stages)


@functools.cache
def _from_nnx(build, stages) -> Network:
  from flax import nnx  # half a second that few need

  if isinstance(build, nnx.Module):
    build = _shuffled(build)
  elif "rngs" in _parameters(_constructor(build)):
    build = functools.partial(_by_keyword, build)

  def init(key, example):
    module = build(nnx.Rngs(key))
    if not isinstance(module, nnx.Module):
      raise ConfigError(
          "`network` must be a function of random streams that returns an NNX "
          f"module; got one that returns {type(module).__name__}.")
    _, params, _, rest = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return _at_least(
        example.dtype, {
            "params": _by_text(params),
            "rest": _by_text(rest)
        })

  def run(method):

    def call(variables, x, *, key=None, train=False):
      # Only the structure is taken from this build; nothing is computed.
      module = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
      _, params, _, rest = nnx.split(module, nnx.Param, nnx.RngState, ...)
      nnx.replace_by_pure_dict(params, variables["params"])
      nnx.replace_by_pure_dict(rest, variables["rest"])
      nnx.update(module, params, rest)
      if key is not None:
        nnx.reseed(module, default=key, dropout=key)
      module.train() if train else module.eval()
      out = method(module, x, train)
      rest = nnx.state(module, (nnx.Not(nnx.Any(nnx.Param, nnx.RngState))))
      rest = _by_text(rest)
      return out, {**variables, "rest": rest} if train else variables

    return call

  def logits(module, x, train):
    return module(x, **_mode(module.__call__, train))

  def features(module, x, train):
    if stages is None and hasattr(module, "stages"):
      return module.stages(x, **_mode(module.stages, train))
    return capture.of_nnx(module, stages, lambda: logits(module, x, train))

  return Network(init, run(logits), _flat(run(features)))


@functools.cache
def from_functions(
    init: Callable[[Array, Array], PyTree],
    apply: Callable[..., Array],
    stages: Callable[..., tuple[Array, ...]] | None = None) -> Network:
  """Makes a network of two or three functions.

  If `apply` and `stages` have arguments `key` and `train`, as dropout needs,
  they are given. For a network with running statistics, make a `types.Network`.

  Args:
    init: `(key, example [B, ...]) -> params`, any pytree of arrays.
    apply: `(params, x [B, ...]) -> logits [B, K]`.
    stages: `(params, x) -> tuple of features [B, ...]`; the classifier reads
      the last one. Methods that match features need it.
  """

  def run(function):

    def call(variables, x, *, key=None, train=False):
      more = _mode(function, train, key=key)
      return function(variables["params"], x, **more), variables

    return call

  def missing(variables, x, *, key=None, train=False):
    del variables, x, key, train
    raise ConfigError(
        "functions do not show them. Give `dd.from_functions(init, apply, "
        "stages)` a function `stages(params, x) -> (features, ..., embedding)`."
    )

  return Network(
      lambda key, example: {"params": init(key, example)}, run(apply),
      _flat(run(stages)) if stages else missing)


def _parameters(function) -> tuple[str, ...]:
  """Names of a function's parameters; none if they are unknown."""
  try:
    return tuple(inspect.signature(function).parameters)
  except (TypeError, ValueError):
    return ()


def _mode(function, train: bool, **more) -> dict[str, Any]:
  """Arguments that tell a function whether it trains, and others it accepts.

  Raises:
    ConfigError: the function needs further arguments.
  """
  known = {
      **dict.fromkeys(_TRAINING, train),
      **dict.fromkeys(_EVALUATING, not train),
      **more
  }
  there = _parameters(function)
  given = {name: value for name, value in known.items() if name in there}
  try:
    signature = inspect.signature(function)
  except (TypeError, ValueError):
    return given
  inputs = [
      name for name, one in signature.parameters.items()
      if one.default is one.empty and one.kind is not one.VAR_KEYWORD and
      one.kind is not one.VAR_POSITIONAL and name not in given
  ]
  if len(inputs) > (2 if more else 1):
    raise ConfigError(
        "`network` must be called with its inputs alone, and `train` or "
        f"`deterministic`; {function.__qualname__} also needs "
        f"`{inputs[-1]}`. Give it a default.")
  return given


def _builds(given) -> bool:
  """Whether this is `(rngs) -> NNX module`; a kernel takes two inputs."""
  if not callable(given) or hasattr(given, "spec"):
    return False
  if "rngs" in _parameters(_constructor(given)):
    return True
  return _takes(given, 1) and not _takes(given, 2)


def _constructor(build):
  """The function or class that is called by a partial call or a class."""
  while isinstance(build, functools.partial):
    build = build.func
  return build.__init__ if isinstance(build, type) else build


def _is_pair(given: Any) -> bool:
  """Whether these are `init` and `apply`, and not two networks or kernels."""
  return type(given) is tuple and len(given) == 2 and all(
      inspect.isroutine(one) and not hasattr(one, "spec") and _takes(one, 2)
      for one in given)


def _takes(function, number: int) -> bool:
  try:
    inspect.signature(function).bind(*range(number))
  except (TypeError, ValueError):
    return False
  return True


def _by_keyword(build, rngs):
  return build(rngs=rngs)


def _by_text(state) -> PyTree:
  """Arrays of an NNX state in dicts with text keys, as in files."""
  from flax import nnx

  def texts(tree):
    if not isinstance(tree, Mapping):
      return tree
    return {str(name): texts(part) for name, part in tree.items()}

  return texts(nnx.to_pure_dict(state))


def _shuffled(module) -> Callable:
  """Builds copies of an NNX module with every weight array shuffled."""
  from flax import nnx

  graph, params, rest = nnx.split(module, nnx.Param, ...)

  def build(rngs):
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(rngs.params(), len(leaves))
    leaves = [
        jax.random.permutation(key, leaf.ravel()).reshape(leaf.shape)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return nnx.merge(graph, jax.tree.unflatten(structure, leaves), rest)

  return build


def _flat(stages: Callable) -> Callable:
  """Flattens the last feature, the embedding, to [B, D]."""

  def call(variables, x, *, key=None, train=False):
    features, variables = stages(variables, x, key=key, train=train)
    *others, last = features
    if last.ndim != 2:
      last = last.reshape(len(x), -1)
    return (*others, last), variables

  return call


def _at_least(dtype, variables: PyTree) -> PyTree:
  """Widens floats to the inputs' dtype, as norms always make float32."""

  def widen(leaf):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      return leaf
    return leaf.astype(jnp.promote_types(leaf.dtype, dtype))

  return jax.tree.map(widen, variables)
