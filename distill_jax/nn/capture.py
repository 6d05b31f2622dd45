"""Finds the stages of modules without a method `stages`: their layers' inputs.

A layer is a submodule that holds a matrix (or a larger array) of weights and
has no submodules of its own, such as a dense layer or a convolution. A stage is
the input of a layer. It therefore includes activation, norm and pooling after
the previous layer. The last stage is the embedding: the input of the
classifier, which is the layer that computes the logits. The first layer's input
is a stage only if it is [B, D], as in `nn.mlp`; images are not stages, as in
`nn.convnet`.
"""

import contextvars
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from distill_jax.choices import nearest
from distill_jax.errors import ConfigError
from distill_jax.types import Array, PyTree

_COLLECTION, _NAME = "captured_stages", "distill_jax_read"
_RECORDER: contextvars.ContextVar[Callable | None] = contextvars.ContextVar(
    "recorder", default=None)


class Call(NamedTuple):
  """One call of a submodule.

  Attributes:
    name: name of the submodule: its path with slashes.
    read: its first argument.
    made: its output, used only for comparison.
    is_layer: whether it is a layer, see the module's description.
  """

  name: str
  read: Array
  made: Any
  is_layer: bool


def of_linen(
    module: nn.Module, names: Sequence[str] | None, variables: PyTree, *args,
    **kwargs) -> tuple[tuple[Array, ...], PyTree]:
  """Returns the stages of a linen module, and the collections that changed.

  The inputs are sown, so that they can leave lifted transformations.

  Args:
    module: the module.
    names: names of the submodules whose inputs are the stages; None to find
      them.
    variables: variables of the module.
    *args: arguments of `module.apply`.
    **kwargs: arguments of `module.apply`.
  """
  seen = {}

  def record(call, args, kwargs, context):
    path = context.module.path
    if context.method_name != "__call__" or not path or not args:
      return call(*args, **kwargs)
    context.module.sow(_COLLECTION, _NAME, args[0])
    made = call(*args, **kwargs)
    seen.pop(path, None)  # if a layer is called twice, the last call counts
    seen[path] = made
    return made

  mutable = [*kwargs.pop("mutable"), _COLLECTION]
  with nn.intercept_methods(record):
    out: Any = module.apply(variables, *args, mutable=mutable, **kwargs)
  logits, updated = out
  read = updated.pop(_COLLECTION, {})
  params = variables["params"]
  calls = [
      Call("/".join(path), values[-1], made, _is_layer(_at(params, path)))
      for path, made in seen.items()
      if (values := (_at(read, path) or {}).get(_NAME))
  ]
  opaque = any(
      _holds_matrix(_at(params, path)) and not _is_layer(_at(params, path))
      for path in [(), *seen])
  return chosen(calls, logits, names, opaque=opaque), updated


def of_nnx(module, names: Sequence[str] | None, call: Callable):
  """Returns the stages of an NNX module, which this call may change.

  Args:
    module: the module.
    names: names of the submodules whose inputs are the stages; None to find
      them.
    call: `() -> logits`, a call of the module.
  """
  from flax import nnx

  calls = []
  inside = {
      id(part): ("/".join(map(str, path)), part, type(part))
      for path, part in nnx.iter_modules(module)
      if path and callable(part)
  }

  def has_matrix(part):
    return any(
        isinstance(value, nnx.Param) and value.ndim > 1
        for value in vars(part).values())

  def is_leaf(part):
    return len(list(nnx.iter_modules(part))) == 1

  def record(part, read, made):
    if id(part) in inside:  # a copy inside a transformation is not counted
      name = inside[id(part)][0]
      calls[:] = [one for one in calls if one.name != name]
      calls.append(Call(name, read, made, has_matrix(part) and is_leaf(part)))

  token = _RECORDER.set(record)
  try:
    for _, part, kind in inside.values():
      part.__class__ = _recorded(kind)
    logits = call()
  finally:
    _RECORDER.reset(token)
    for _, part, kind in inside.values():
      part.__class__ = kind
  parts = [module, *(part for _, part, _ in inside.values())]
  opaque = any(has_matrix(part) and not is_leaf(part) for part in parts)
  return chosen(calls, logits, names, opaque=opaque)


def chosen(
    calls: Sequence[Call],
    logits: Array,
    names: Sequence[str] | None,
    *,
    opaque: bool = False) -> tuple[Array, ...]:
  """Chooses the stages among the inputs of submodules.

  Args:
    calls: calls of submodules, in order.
    logits: [B, K], the result of the whole module.
    names: names of the submodules whose inputs are the stages; None to find
      them.
    opaque: whether weights are also used outside of layers. Then the classifier
      must be the layer that returns the logits themselves.

  Raises:
    ConfigError: an unknown name, or no layer computes the logits.
  """
  if names is not None:
    by_name = {call.name: call.read for call in calls}
    for name in names:
      if name not in by_name:
        raise ConfigError(
            "`stages` must name submodules that the network calls, "
            f"{', '.join(by_name) or 'of which there are none'}; got {name!r}."
            f"{nearest(by_name, name)}")
    return tuple(by_name[name] for name in names)
  layers = [call for call in calls if call.is_layer]
  heads = [i for i, call in enumerate(layers) if call.made is logits]
  if not heads and not opaque:
    heads = [
        i for i, call in enumerate(layers)
        if getattr(call.made, "shape", None) == logits.shape
    ]
  if not heads:
    raise ConfigError(
        "the classifier is not found: no layer of the network makes the "
        "logits. Name the layers whose inputs to match, the classifier last "
        "(`from_linen(module, stages=...)`, `from_nnx(build, stages=...)`), or "
        "give the module a method `stages`.")
  first, *rest = (call.read for call in layers[:heads[-1] + 1])
  reads = [first, *rest] if not rest or first.ndim == 2 else rest
  return tuple({id(read): read for read in reads}.values())


def _at(tree, path):
  """The subtree at a path; None if there is none."""
  for name in path:
    tree = tree.get(name) if hasattr(tree, "get") else None
  return tree


def _arrays(tree) -> list:
  values = tree.values() if hasattr(tree, "values") else ()
  return [value for value in values if not hasattr(value, "values")]


def _holds_matrix(tree) -> bool:
  return any(np.ndim(leaf) > 1 for leaf in jax.tree.leaves(_arrays(tree)))


def _is_layer(tree) -> bool:
  return _holds_matrix(tree) and len(_arrays(tree)) == len(tree)


@functools.cache
def _recorded(kind: type) -> type:
  """A subclass of an NNX module class that records its calls."""

  def call(self, *args, **kwargs):
    made = kind.__call__(self, *args, **kwargs)
    if args and (record := _RECORDER.get()) is not None:
      record(self, args[0], made)
    return made

  return type(kind.__name__, (kind,), {"__call__": call})
