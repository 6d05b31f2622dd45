"""What training costs: floating-point operations and seconds.

XLA's analysis counts the body of a scan once, however often it runs. So one
gradient step outside any loop is analysed, and multiplied by the steps taken.
"""

import functools
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from distill_jax.data.source import Source
from distill_jax.evaluation.recipes import (
    RECIPES,
    Recipe,
    from_spec,
    in_order,
)
from distill_jax.evaluation.trained import train_networks
from distill_jax.labels import cross_entropy
from distill_jax.types import Array, Network, TrainingSet


class Cost(NamedTuple):
  """Attributes:
    flops: floating-point operations of training, or None where unknown.
    seconds: of training, compilation left out; those of a distilled set are
      estimated from few epochs where its recipe has many, see `cost_of_set`.
  """

  flops: float | None
  seconds: float


_TIMED_EPOCHS = 20


def flops_of(f: Callable, *args) -> float:
  """Operations of a function without loops, by XLA's own count.

  Args:
    f: jittable; what runs in a `scan`, `map` or `while` counts once.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.
  """
  return float(jax.jit(f).lower(*args).compile().cost_analysis()["flops"])


def has_loops(f: Callable, *args) -> bool:
  """Whether a function runs something in a `scan` or `while`.

  Args:
    f: any function.
    *args: as of `flops_of`.
  """

  def looped(jaxpr):
    return any(
        equation.primitive.name in ("scan", "while") or
        any(map(looped, jaxprs_in_params(equation.params)))
        for equation in jaxpr.eqns)

  return looped(jax.make_jaxpr(f)(*args).jaxpr)


def step_flops(network: Network, inputs: Any, num_outputs: int) -> float | None:
  """Operations of one gradient of the loss on a batch.

  Args:
    network: what is trained.
    inputs: [B, ...] float, or its shape.
    num_outputs: K.

  Returns:
    None for a network with loops of its own, such as over the words of a
    sentence, whose operations XLA does not count.
  """
  key = jax.random.key(0)
  inputs = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
  labels = jax.ShapeDtypeStruct((inputs.shape[0], num_outputs), inputs.dtype)

  def gradient(variables, x, y):

    def loss(params):
      logits, _ = network.apply({
          **variables, "params": params
      },
                                x,
                                key=key,
                                train=True)
      return cross_entropy(logits, y)

    return jax.grad(loss)(variables["params"])

  variables = jax.eval_shape(network.init, key, inputs)
  if has_loops(gradient, variables, inputs, labels):
    return None
  return flops_of(gradient, variables, inputs, labels)


def cost_of_set(
    key: Array,
    network: Network,
    training_set: TrainingSet,
    *,
    recipe: Recipe | None = None) -> Cost:
  """Operations and seconds of training one network on a distilled set.

  Args:
    key: consumed.
    network: what is trained.
    training_set: the set.
    recipe: `in_order()` by default. The operations of another one are unknown:
      its number of steps may depend on the data.

  Returns:
    The cost; seconds are those of the compiled program, once it is warm. Of a
    recipe that counts epochs at most 20 are timed, and stand for all; as some
    recipes have one epoch more than they count, up to 5 % too many seconds.
  """
  recipe = recipe or in_order()
  timed, share = _shortened(recipe)
  samples, order = training_set.samples, training_set.order
  flops = None
  if recipe.name == "in_order":
    batch = jax.ShapeDtypeStruct((order.shape[1], *samples.inputs.shape[1:]),
                                 samples.inputs.dtype)
    each = step_flops(network, batch, samples.labels.shape[1])
    flops = each and samples.step_sizes.shape[0] * each
  k_init, k_train = jax.random.split(key)
  variables = network.init(k_init, samples.inputs[:1])
  train = jax.jit(
      lambda variables: timed.train(k_train, network, variables, training_set)
  ).lower(variables).compile()
  _wait(train(variables))
  start = time.perf_counter()
  _wait(train(variables))
  return Cost(flops, (time.perf_counter() - start) / share)


def _shortened(recipe: Recipe) -> tuple[Recipe, float]:
  """A recipe of the same epochs, but few of them, and their share of all."""
  num_epochs = recipe.spec.get("num_epochs", 0)
  known = recipe.name in RECIPES and from_spec(recipe.spec) is recipe
  if num_epochs <= _TIMED_EPOCHS or not known:
    return recipe, 1.0
  few = from_spec(recipe.spec | {"num_epochs": _TIMED_EPOCHS})
  return few, _TIMED_EPOCHS / num_epochs


class Budget(NamedTuple):
  """Attributes:
    samples: that one network is shown, each as often as it is shown.
    seconds: of training it, by the wall clock, compilation left out.
  """

  samples: int
  seconds: float


def budget_of_set(
    key: Array, network: Network, training_set: TrainingSet, *,
    recipe: Recipe) -> Budget:
  """Samples and seconds that a recipe takes to train one network on a set.

  Samples are counted, not computed, since a recipe may stop when it has learned
  enough. The network is trained three times: to count, to compile, and timed.

  Args:
    key: as in `evaluate_set`, whose first network it is.
    network: what is trained.
    training_set: the set.
    recipe: how.
  """
  counted, batches = _counted(network)
  batches.clear()
  _wait(train_networks(key, training_set, network=counted, recipe=recipe))
  jax.effects_barrier()
  samples = sum(batches)
  train = partial(train_networks, network=network, recipe=recipe)
  _wait(train(key, training_set))
  start = time.perf_counter()
  _wait(train(key, training_set))
  return Budget(samples, time.perf_counter() - start)


@functools.cache
def _counted(network: Network) -> tuple[Network, list[int]]:
  """A network that adds the size of each batch it is shown to a list."""
  batches: list[int] = []

  def apply(variables, x, *, key=None, train=False):
    jax.debug.callback(partial(batches.append, len(x)))
    return network.apply(variables, x, key=key, train=train)

  return network._replace(apply=apply), batches


def cost_of_all(
    network: Network, source: Source, *, num_steps: int, batch_size: int,
    seconds: float) -> Cost:
  """Operations of training on real batches, beside the seconds it took.

  Args:
    network: what is trained.
    source: the real data.
    num_steps: gradient steps in all.
    batch_size: B.
    seconds: measured.
  """
  x = jax.ShapeDtypeStruct((batch_size, *source.example.shape[1:]), jnp.float32)
  variables = jax.eval_shape(network.init, jax.random.key(0), x)
  logits, _ = jax.eval_shape(network.apply, variables, x)
  each = step_flops(network, x, logits.shape[1])
  return Cost(each and num_steps * each, seconds)


def _wait(tree):
  jax.block_until_ready(tree)
