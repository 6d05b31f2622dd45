"""SRe2L: images recovered from the statistics of a trained network.

    CE(f(A(S)), y) + a sum_l w_l ( |mu_l - m_l| + |var_l - s_l| )

Yin, Xing & Shen, "Squeeze, Recover and Relabel: Dataset Condensation at
ImageNet Scale From A New Perspective", 2023, arXiv 2306.13092. mu_l and var_l
are the mean and biased variance, over batch and space, of the input of batch
norm l of the teacher; m_l and s_l are its running statistics. The norms are not
squared. w is 10 for the first batch norm and 1 for the others. The teacher is
in inference mode.

Differences from the published code: all samples of the set form one batch,
where the code takes one image of each class at a time; and augmentation is
drawn per image, where the code draws it per batch.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from distill_jax import distances
from distill_jax.augmentation import Augmentation, identity
from distill_jax.errors import ConfigError
from distill_jax.labels import cross_entropy
from distill_jax.types import Array, Network, Objective, PyTree, Samples


def recovery(
    network: Network,
    *,
    weight: float = 0.01,
    first: float = 10.0,
    augmentation: Augmentation | None = None) -> Objective:
  """Classification by a teacher, and distance to its batch-norm statistics.

  Args:
    network: the teacher, with batch norms of flax linen. The data of the outer
      loop are its variables, which `sample` returns unchanged.
    weight: a, weight of the statistics.
    first: w of the first batch norm.
    augmentation: A, augmentation of all samples, one draw per image.

  Returns:
    An `Objective`. Metrics: `classification` and `statistics`, before
    weighting.
  """
  augmentation = augmentation or identity()

  def loss(key, samples: Samples, state, batch: PyTree):
    draw = augmentation.draw(key, samples.inputs.shape, len(samples.inputs))
    inputs = augmentation.apply(draw, samples.inputs)
    logits, apart = with_statistics(
        lambda: network.apply(batch, inputs)[0], first)
    parts = dict(
        classification=cross_entropy(logits, samples.labels), statistics=apart)
    total = parts["classification"] + weight * apart
    return total, (state, parts)

  return Objective(
      lambda key, data: data, lambda key, samples: (), loss,
      ("codes", "labels"))


def with_statistics(call: Callable[[], Array],
                    first: float = 10.0) -> tuple[Array, Array]:
  """Calls a function; also measures how far its batch norms' inputs are off.

  Args:
    call: `() -> outputs`, which applies linen modules.
    first: weight of the first batch norm.

  Raises:
    ConfigError: no batch norm is called.
  """
  apart = []

  def record(method, args, kwargs, context):
    module = context.module
    if isinstance(module, nn.BatchNorm) and context.method_name == "__call__":
      axes = tuple(range(args[0].ndim - 1))
      mean, variance = args[0].mean(axes), args[0].var(axes)
      known = module.variables["batch_stats"]
      apart.append(
          distances.norm(mean - known["mean"]) +
          distances.norm(variance - known["var"]))
    return method(*args, **kwargs)

  with nn.intercept_methods(record):
    outputs = call()
  if not apart:
    raise ConfigError(
        "`teacher` must have batch norms, whose statistics are matched; got "
        "none. Give it a network with norm=batch.")
  weights = jnp.array([first] + [1.0] * (len(apart) - 1))
  return outputs, (weights * jnp.stack(apart)).sum()


def has_batch_norms(network: Network, example: Array) -> bool:
  """Whether a network uses batch norms of flax linen."""
  variables = jax.eval_shape(network.init, jax.random.key(0), example)
  try:
    jax.eval_shape(
        lambda v, x: with_statistics(lambda: network.apply(v, x)[0]), variables,
        example)
  except ConfigError:
    return False
  return True
