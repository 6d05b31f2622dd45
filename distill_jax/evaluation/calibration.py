"""Calibration: whether a network's confidence equals its accuracy.

  ECE = sum_b n_b / N |accuracy_b - confidence_b|

over equally wide bins b of the largest probability (Naeini, Cooper &
Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
2015; Guo et al., "On Calibration of Modern Neural Networks", 2017, arXiv
1706.04599), and NLL = -mean log p of the true class, in nats. Both are computed
in float64 with NumPy. Both read outputs as logits, so they mean nothing for
networks that were trained by regression.
"""

import numpy as np
from numpy.typing import ArrayLike

NUM_BINS = 15


def log_probabilities(logits: ArrayLike) -> np.ndarray:
  """Log-probabilities [N, K] of logits [N, K], or [N, 2] of logits [N, 1]."""
  logits = np.asarray(logits, np.float64)
  if logits.shape[-1] == 1:
    logits = np.concatenate([np.zeros_like(logits), logits], -1)
  shifted = logits - logits.max(-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _checked(logits: ArrayLike, classes: ArrayLike):
  """Returns logits [N, K] and classes [N], checked before NumPy broadcasts.

  Raises:
    ValueError: the shapes are wrong, there are no samples, or a class is out of
      range.
  """
  logits, classes = np.asarray(logits), np.asarray(classes)
  if logits.ndim != 2 or classes.shape != logits.shape[:1] or not len(logits):
    raise ValueError(
        "`logits` must be [N, K] and `classes` [N], of one sample or more; got "
        f"shapes {logits.shape} and {classes.shape}.")
  most = max(logits.shape[1], 2) - 1
  if not (0 <= classes.min() and classes.max() <= most):
    raise ValueError(
        f"`classes` must be 0 to {most}; got {classes.min()} to "
        f"{classes.max()}.")
  return logits, classes


def expected_calibration_error(
    logits: ArrayLike,
    classes: ArrayLike,
    *,
    num_bins: int = NUM_BINS) -> float:
  """Expected calibration error with bins (0, 1/n], ..., (1 - 1/n, 1].

  Args:
    logits: [N, K], or [N, 1] for a binary task (the logit of class 1).
    classes: [N] int, the true classes.
    num_bins: n, at least 1.

  Returns:
    A fraction in [0, 1]; NaN if a logit is not finite.

  Raises:
    ValueError: the shapes are wrong, or there is no bin.
  """
  if num_bins < 1:
    raise ValueError(f"`num_bins` must be at least 1; got {num_bins}.")
  logits, classes = _checked(logits, classes)
  if not np.isfinite(logits).all():
    return float("nan")
  probabilities = np.exp(log_probabilities(logits))
  confidence = probabilities.max(-1)
  right = probabilities.argmax(-1) == classes
  edges = np.arange(1, num_bins) / num_bins  # values at an edge lie below it
  bins = np.searchsorted(edges, confidence, side="left")
  gaps = np.bincount(bins, right - confidence, num_bins)
  return float(np.abs(gaps).sum() / len(confidence))


def negative_log_likelihood(logits: ArrayLike, classes: ArrayLike) -> float:
  """-mean log p of the true class, in nats; NaN if a logit is not finite.

  Args:
    logits: [N, K], or [N, 1] for a binary task (the logit of class 1).
    classes: [N] int, the true classes.

  Raises:
    ValueError: the shapes are wrong.
  """
  logits, classes = _checked(logits, classes)
  if not np.isfinite(logits).all():
    return float("nan")
  found = log_probabilities(logits)
  return float(-found[np.arange(len(found)), classes].mean())
