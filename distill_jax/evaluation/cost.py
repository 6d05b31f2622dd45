"""The cost of training: floating-point operations and seconds.

XLA's analysis counts the body of a scan once, however often it runs. So one
gradient step is analysed outside of any loop, and multiplied by the number of
steps.
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
  """The cost of training one network.

  Attributes:
    flops: floating-point operations, or None if unknown.
    seconds: duration without compilation. For a distilled set whose recipe has
      many epochs, it is estimated from a few; see `cost_of_set`.
  """

  flops: float | None
  seconds: float


_TIMED_EPOCHS = 20


def flops_of(f: Callable, *args) -> float:
  """Number of operations of a function without loops, as XLA counts them.

  Args:
    f: a jittable function; what runs in a `scan`, `map` or `while` counts once.
    *args: arrays, or their shapes as `jax.ShapeDtypeStruct`.
  """
  return float(jax.jit(f).lower(*args).compile().cost_analysis()["flops"])


def has_loops(f: Callable, *args) -> bool:
  """Whether a function runs something in a `scan` or `while`.

  Args:
    f: any function.
    *args: as in `flops_of`.
  """

  def looped(jaxpr):
    return any(
        equation.primitive.name in ("scan", "while") or
        any(map(looped, jaxprs_in_params(equation.params)))
        for equation in jaxpr.eqns)

  return looped(jax.make_jaxpr(f)(*args).jaxpr)


def step_flops(network: Network, inputs: Any, num_outputs: int) -> float | None:
  """Number of operations of one gradient of the loss on a batch.

  Args:
    network: the network that is trained.
    inputs: [B, ...] float, or its shape.
    num_outputs: K.

  Returns:
    The number, or None for a network with loops of its own, such as over the
    words of a sentence, because XLA does not count their operations.
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
    network: the network that is trained.
    training_set: the set.
    recipe: `in_order()` by default. The operations of other recipes are
      unknown, because their number of steps may depend on the data.

  Returns:
    The cost. Seconds are those of the compiled program, once it is warm. For a
    recipe that counts epochs, at most 20 epochs are timed and scaled to all. As
    some recipes run one epoch more than they count, the result may be 5 % too
    high.
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
  variables = jax.jit(network.init)(k_init, samples.inputs[:1])
  train = jax.jit(
      lambda variables: timed.train(k_train, network, variables, training_set)
  ).lower(variables).compile()
  _wait(train(variables))
  start = time.perf_counter()
  _wait(train(variables))
  return Cost(flops, (time.perf_counter() - start) / share)


def _shortened(recipe: Recipe) -> tuple[Recipe, float]:
  """The recipe with few of its epochs, and the share that these are of all."""
  num_epochs = recipe.spec.get("num_epochs", 0)
  known = recipe.name in RECIPES and from_spec(recipe.spec) is recipe
  if num_epochs <= _TIMED_EPOCHS or not known:
    return recipe, 1.0
  few = from_spec(recipe.spec | {"num_epochs": _TIMED_EPOCHS})
  return few, _TIMED_EPOCHS / num_epochs


class Budget(NamedTuple):
  """What training one network takes.

  Attributes:
    samples: number of samples that the network sees, counted with repetition.
    seconds: wall-clock duration of training, without compilation.
  """

  samples: int
  seconds: float


def budget_of_set(
    key: Array, network: Network, training_set: TrainingSet, *,
    recipe: Recipe) -> Budget:
  """Measures how many samples and seconds a recipe takes on a set.

  Samples are counted while training, since a recipe may stop when the loss is
  small. The network is trained three times: to count, to compile, and to
  measure the time.

  Args:
    key: as in `evaluate_set`; the network is the first one of that evaluation.
    network: the network that is trained.
    training_set: the set.
    recipe: how it is trained.
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
  """A network that adds the size of every batch that it sees to a list."""
  batches: list[int] = []

  def apply(variables, x, *, key=None, train=False):
    jax.debug.callback(partial(batches.append, len(x)))
    return network.apply(variables, x, key=key, train=train)

  return network._replace(apply=apply), batches


def cost_of_all(
    network: Network, source: Source, *, num_steps: int, batch_size: int,
    seconds: float) -> Cost:
  """Operations of training on batches of real data, with the given seconds.

  Args:
    network: the network that is trained.
    source: the real data.
    num_steps: number of gradient steps.
    batch_size: B.
    seconds: measured duration.
  """
  x = jax.ShapeDtypeStruct((batch_size, *source.example.shape[1:]), jnp.float32)
  variables = jax.eval_shape(network.init, jax.random.key(0), x)
  logits, _ = jax.eval_shape(network.apply, variables, x)
  each = step_flops(network, x, logits.shape[1])
  return Cost(each and num_steps * each, seconds)


def _wait(tree):
  jax.block_until_ready(tree)
