"""Adapters: framework modules as the `Network` record of pure functions."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from distill_jax.types import Network, PyTree


def from_linen(module: nn.Module) -> Network:
  """A linen module called as `module(x, train=...)`.

  `stages` needs a method `stages(x, train=...)` that returns a tuple of
  features. Dropout draws from the collection `dropout`.
  """

  def run(method):

    def call(variables, x, *, key=None, train=False):
      rngs = {} if key is None else {"dropout": key}
      mutable = sorted(set(variables) - {"params"}) if train else []
      out, updated = module.apply(
          variables, x, train=train, rngs=rngs, mutable=mutable, method=method)
      return out, {**variables, **updated}

    return call

  def init(key, example):
    variables = module.init(key, example, train=False)
    return _at_least(example.dtype, dict(variables))

  return Network(init, run("__call__"), run("stages"))


def from_nnx(build: Callable) -> Network:
  """An NNX module, built by `build(rngs)` and called as `module(x)`.

  `stages` needs a method `stages(x)`. Its random streams are no part of
  `variables`: `key` seeds them at every call.

  Args:
    build: `(nnx.Rngs) -> nnx.Module`.
  """
  from flax import nnx  # half a second that few need

  def init(key, example):
    module = build(nnx.Rngs(key))
    _, params, _, rest = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return _at_least(example.dtype, {"params": params, "rest": rest})

  def run(method):

    def call(variables, x, *, key=None, train=False):
      # The structure alone is taken from this build: nothing is computed.
      module = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
      nnx.update(module, variables["params"], variables["rest"])
      if key is not None:
        nnx.reseed(module, default=key, dropout=key)
      module.train() if train else module.eval()
      out = method(module)(x)
      rest = nnx.state(module, (nnx.Not(nnx.Any(nnx.Param, nnx.RngState))))
      return out, {**variables, "rest": rest} if train else variables

    return call

  return Network(
      init, run(lambda module: module), run(lambda module: module.stages))


def _at_least(dtype, variables: PyTree) -> PyTree:
  """Floats widened to the inputs' dtype: norms make float32 whatever it is."""

  def widen(leaf):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      return leaf
    return leaf.astype(jnp.promote_types(leaf.dtype, dtype))

  return jax.tree.map(widen, variables)
