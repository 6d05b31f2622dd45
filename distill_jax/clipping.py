"""Clips gradients by a running average of their norm, not by a fixed bound.

Feng, Vedantam & Kempe, "Embarrassingly Simple Dataset Distillation", 2023,
arXiv 2311.07025: the gradients of randomly placed windows differ in scale by
orders of magnitude and drift over a run, so that no fixed bound fits all.

    a <- d a + (1 - d) |g|          a = |g| at the first step
    g <- g min(1, c a / |g|)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from distill_jax.types import Array


class AverageNormState(NamedTuple):
  """State of `clip_by_average_norm`.

  Attributes:
    average: [] float, a; 0 until the first gradient that is not zero.
  """

  average: Array


def clip_by_average_norm(
    factor: float = 2.0, decay: float = 0.9) -> optax.GradientTransformation:
  """Scales a gradient down to a multiple of the average norm.

  The average is over norms before clipping, including that of this step.
  RaT-BPTT averages only the norms of the images' gradients:
  `learn(codes=optax.chain(clip_by_average_norm(), optax.adam(1e-3)))`.

  Args:
    factor: c, positive.
    decay: d in [0, 1); nothing is ever clipped if c (1 - d) is at least 1.

  Returns:
    A gradient transformation.
  """
  if not factor > 0 or not 0 <= decay < 1:
    raise ValueError(
        "`factor` must be positive and `decay` in [0, 1); got "
        f"{factor} and {decay}.")

  def init(params):
    dtype = jnp.result_type(*jax.tree.leaves(params))
    return AverageNormState(jnp.zeros((), dtype))

  def update(updates, state, params=None):
    del params
    norm = optax.tree.norm(updates)
    average = decay * state.average + (1 - decay) * norm
    average = jnp.where(state.average > 0, average, norm)
    bound = factor * average
    scale = jnp.where(norm > bound, bound / norm, 1)
    updates = jax.tree.map(lambda g: g * scale.astype(g.dtype), updates)
    return updates, AverageNormState(average.astype(state.average.dtype))

  return optax.GradientTransformation(init, update)
