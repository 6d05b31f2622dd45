"""The exact gradient, by backpropagation through the objective."""

from collections.abc import Callable

import jax

from distill_jax.constants import learnable, with_constants
from distill_jax.types import (
    Array,
    Distilled,
    Estimator,
    Objective,
    Parameterization,
    Samples,
)


def backprop(
    objective: Objective,
    parameterization: Parameterization,
    *,
    positive: Callable[[Array], Array] = jax.nn.softplus) -> Estimator:
  """Differentiates `objective` with respect to the stored set.

  Args:
    objective: what is matched.
    parameterization: decodes the codes; this is done once, here, for any
      objective.
    positive: maps raw step sizes to positive ones. Softplus (DD, arXiv
      1811.10959) is for unrolled methods; `initialisation.raw_step_sizes` is
      its inverse.

  Example:
    estimator = dd.backprop(objective, dd.pixels())
  """

  samples_of = decoder(parameterization, positive)

  def init(key, distilled):
    return objective.init(key, samples_of(distilled))

  def estimate(key, distilled, state, batch):

    def loss(floats):
      whole = with_constants(floats, distilled)
      return objective.loss(key, samples_of(whole), state, batch)

    gradient_of = jax.value_and_grad(loss, has_aux=True)
    (value, (state, metrics)), gradients = gradient_of(learnable(distilled))
    return value, gradients, state, metrics

  return Estimator(
      objective.sample, init, estimate, samples_of, parameterization,
      objective.reads)


def decoder(
    parameterization: Parameterization,
    positive: Callable[[Array], Array]) -> Callable[[Distilled], Samples]:
  """`(distilled) -> Samples`, the set as objectives and students see it.

  Args:
    parameterization: the parameterization of the codes.
    positive: maps raw step sizes to positive ones.
  """

  def samples_of(distilled: Distilled) -> Samples:
    owner = parameterization.owner(distilled.codes)
    return Samples(
        inputs=parameterization.decode(distilled.codes),
        labels=distilled.labels[owner],
        step_sizes=positive(distilled.raw_step_sizes),
        extra=distilled.extra)

  return samples_of
