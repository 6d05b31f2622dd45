"""Adapters: framework modules as the `Network` record of pure functions."""

from collections.abc import Callable

import flax.linen as nn
from flax import nnx

from distill_jax.types import Network


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
          variables, x, train=train, rngs=rngs, mutable=mutable, method=method
      )
      return out, {**variables, **updated}

    return call

  def init(key, example):
    return dict(module.init(key, example))

  return Network(init, run("__call__"), run("stages"))


def from_nnx(build: Callable[[nnx.Rngs], nnx.Module]) -> Network:
  """An NNX module, built by `build(rngs)` and called as `module(x)`.

  `stages` needs a method `stages(x)`. Its dropout keys are part of `variables`
  and are re-seeded by `key`.
  """

  def init(key, example):
    del example
    _, params, rest = nnx.split(build(nnx.Rngs(key)), nnx.Param, ...)
    return {"params": params, "rest": rest}

  def run(method):
    def call(variables, x, *, key=None, train=False):
      # The structure alone is taken from this build: nothing is computed.
      module = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
      nnx.update(module, variables["params"], variables["rest"])
      if key is not None:
        nnx.reseed(module, default=key, dropout=key)
      module.train() if train else module.eval()
      out = method(module)(x)
      _, params, rest = nnx.split(module, nnx.Param, ...)
      return out, {"params": params, "rest": rest} if train else variables

    return call

  return Network(
      init, run(lambda module: module), run(lambda module: module.stages)
  )
