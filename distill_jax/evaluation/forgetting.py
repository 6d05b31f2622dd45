"""Metrics of continual learning: final accuracy, forgetting, transfer.

With a[i, j] the accuracy on task j after training on task i, j <= i, and T
tasks:

  A_i         sum_{j <= i} w_j a[i, j] / sum_{j <= i} w_j
  final       A_T
  average     mean_i A_i
  forgetting  mean_{j < T} ( max_{j <= i < T} a[i, j] - a[T, j] )
  backward    mean_{j < T} ( a[T, j] - a[j, j] )

Backward transfer is that of Lopez-Paz & Ranzato, "Gradient Episodic Memory for
Continual Learning", 2017, arXiv 1706.08840. Forgetting is that of Chaudhry et
al., "Riemannian Walk for Incremental Learning", 2018, arXiv 1801.10112, here
with accuracies over all outputs. Forgetting is at least -backward.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Scores(NamedTuple):
  """Metrics of continual learning.

  Attributes:
    after: A_i [..., T], fractions.
    final: [...], A_T.
    average: [...], mean of A_i.
    forgetting: [...], fractions; 0 if nothing was forgotten.
    backward: [...], backward transfer; negative if something was forgotten.
  """

  after: np.ndarray
  final: np.ndarray
  average: np.ndarray
  forgetting: np.ndarray
  backward: np.ndarray


def scores(accuracies: ArrayLike, weights: ArrayLike | None = None) -> Scores:
  """Computes the metrics from the accuracies on each task after each task.

  Args:
    accuracies: a [..., T, T], fractions; entries above the diagonal are not
      read. T is at least 2.
    weights: w [T], the weight of each task; equal by default.

  Raises:
    ValueError: the shape is wrong.
  """
  a = np.asarray(accuracies, float)
  if a.ndim < 2 or a.shape[-1] != a.shape[-2] or a.shape[-1] < 2:
    raise ValueError(
        "`accuracies` must be [..., T, T] of two tasks or more; got "
        f"{a.shape}.")
  size = a.shape[-1]
  w = np.ones(size) if weights is None else np.asarray(weights, float)
  if w.shape != (size,) or not (w > 0).all():
    raise ValueError(
        f"`weights` must be {size} positive numbers; got {w.tolist()}.")
  seen = np.tril(np.ones((size, size), bool))
  known = np.where(seen, a, 0.0)
  after = (known * w).sum(-1) / np.cumsum(w)
  last, own = a[..., -1, :-1], np.diagonal(a, axis1=-2, axis2=-1)[..., :-1]
  best = np.where(seen, a, -np.inf)[..., :-1, :-1].max(-2)
  return Scores(
      after, after[..., -1], after.mean(-1), (best - last).mean(-1),
      (last - own).mean(-1))
