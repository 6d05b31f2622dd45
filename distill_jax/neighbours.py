"""Soft-label nearest neighbours: predictions by the k nearest prototypes.

Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text Dataset
Distillation", 2019, arXiv 1910.02551, section 3.1, and "'Less Than One'-Shot
Learning", 2020, arXiv 2009.08449. The label distributions of the k nearest
prototypes are weighted by their inverse distances d:

    p(x) = sum_i w_i y_i,    w_i = (1 / d_i) / sum_j (1 / d_j),  i, j of the k

With soft labels, M prototypes can separate more than M classes.
"""

import jax
import jax.numpy as jnp

from distill_jax.types import Array

_NEAREST = 1e-6  # smallest distance; smaller ones are set to it


def soft_predictions(x: Array, points: Array, labels: Array, k: int) -> Array:
  """Label distributions of inputs, mixed from their nearest prototypes.

  Args:
    x: [B, ...] inputs, flattened here.
    points: [M, ...], the prototypes.
    labels: [M, K], distributions over classes; or [M, 1], the probability of
      class 1 of two.
    k: number of neighbours, at most M; the first of equally near ones are
      taken.

  Returns:
    [B, K] or [B, 1]; differentiable in `points` and `labels`.

  Raises:
    ValueError: k is not in 1..M.
  """
  if not 1 <= k <= len(points):
    raise ValueError(
        f"`k` must be in 1..{len(points)}, the samples of the set; got {k}.")
  rows, prototypes = x.reshape(len(x), -1), points.reshape(len(points), -1)
  square = jnp.square(rows[:, None] - prototypes).sum(-1)
  nearness = 1 / jnp.sqrt(jnp.maximum(square, _NEAREST**2))
  chosen, rows = jax.lax.top_k(nearness, k)
  weights = chosen / chosen.sum(1, keepdims=True)
  return (weights[..., None] * labels[rows]).sum(1)
