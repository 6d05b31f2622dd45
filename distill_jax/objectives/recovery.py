"""Images from the statistics of a trained network: SRe2L.

    CE(f(A(S)), y) + a sum_l w_l ( |mu_l - m_l| + |var_l - s_l| )

Yin, Xing & Shen, "Squeeze, Recover and Relabel: Dataset Condensation at
ImageNet Scale From A New Perspective", 2023, arXiv 2306.13092. mu_l and var_l
are mean and biased variance, over batch and space, of what batch norm l of the
teacher reads; m_l and s_l its running statistics; the norms are not squared,
and w is 10 for the first batch norm, 1 for the others. The teacher is in
inference mode. What differs from the published code: all samples of the set are
one batch, where it takes one image of each class at a time; and augmentation is
drawn for each image, where it is drawn for a batch.
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
  """Classification by a teacher, and the statistics of its batch norms.

  Args:
    network: the teacher, with batch norms of flax linen. The data that `sample`
      returns as they are, are its variables.
    weight: a, of the statistics.
    first: w of the first batch norm.
    augmentation: A, of all samples, one draw an image.

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
  """What a call returns, and how far its batch norms are from their statistics.

  Args:
    call: `() -> outputs`, applies linen modules.
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
  """Whether a network calls batch norms of linen."""
  variables = jax.eval_shape(network.init, jax.random.key(0), example)
  try:
    jax.eval_shape(
        lambda v, x: with_statistics(lambda: network.apply(v, x)[0]), variables,
        example)
  except ConfigError:
    return False
  return True
