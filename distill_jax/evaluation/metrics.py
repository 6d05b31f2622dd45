"""Metrics of classifiers, and comparisons of sets.

r_M and d_A: Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text
Dataset Distillation", 2019, arXiv 1910.02551.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax.types import Array

_NORMAL = 1.959964  # 97.5 % quantile of the normal distribution


class Accuracies:
  """Adds means and errors to a record that has accuracies.

  The record has `accuracy`, fractions [networks] or [sets, networks];
  `macro_f1`; and `diverged`, the number of networks whose weights or outputs
  are not finite. Such networks count as always predicting the first class.
  """

  __slots__ = ()
  accuracy: np.ndarray
  macro_f1: float | None
  diverged: int

  @property
  def mean(self) -> float:
    """Mean accuracy."""
    return float(self.accuracy.mean())

  @property
  def std(self) -> float:
    """Sample standard deviation over sets and networks; 0 for one."""
    return _std(self.accuracy)

  @property
  def stderr(self) -> float:
    """Standard error of the mean: over sets, or over networks of one set."""
    units = np.atleast_2d(self.accuracy)
    units = units.mean(1) if len(units) > 1 else units
    return float(_std(units) / np.sqrt(units.size))

  def summary(self) -> dict[str, Any]:
    """As JSON; the networks of all sets are listed in `per_network`."""
    return {
        "mean": self.mean,
        "std": self.std,
        "stderr": self.stderr,
        "macro_f1": self.macro_f1,
        "per_network": np.ravel(self.accuracy).tolist(),
        "diverged": self.diverged
    }


def _std(values: np.ndarray) -> float:
  return float(values.std(ddof=1)) if values.size > 1 else 0.0


class Spread(NamedTuple):
  """How far runs of equal settings and unequal seeds are apart.

  Attributes:
    mean: mean of the accuracies of the runs.
    std: their sample standard deviation.
    lowest: lowest accuracy of a run.
    highest: highest accuracy of a run.
    stderr: mean standard error of a run, which counts the networks that were
      trained on its set; None if that is one network in some run.
  """

  mean: float
  std: float
  lowest: float
  highest: float
  stderr: float | None


def spread(runs: Sequence[Mapping[str, Any]]) -> Spread:
  """Computes the spread of at least two runs.

  Args:
    runs: what `Accuracies.summary` says of each, such as `report["accuracy"]`.
  """
  means = [run["mean"] for run in runs]
  several = all(len(run["per_network"]) > 1 for run in runs)
  return Spread(
      mean=statistics.fmean(means),
      std=statistics.stdev(means),
      lowest=min(means),
      highest=max(means),
      stderr=statistics.fmean(r["stderr"] for r in runs) if several else None)


def confusion_matrix(
    labels: Array, predicted: Array, num_classes: int) -> Array:
  """Counts [K, K] int32 of samples by true (row) and predicted class.

  Args:
    labels: [B] int, in 0..K-1.
    predicted: [B] int.
    num_classes: K.
  """
  counts = jnp.zeros((num_classes, num_classes), jnp.int32)
  return counts.at[labels, predicted].add(1)


def accuracy(confusion: ArrayLike) -> np.ndarray:
  """Share of correct predictions, [..., K, K] -> [...]."""
  confusion = np.asarray(confusion, np.float64)
  return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum((-2, -1))


def class_accuracy(confusion: ArrayLike) -> np.ndarray:
  """Accuracy per true class, [..., K, K] -> [..., K]; NaN without samples."""
  confusion = np.asarray(confusion, np.float64)
  right = np.diagonal(confusion, axis1=-2, axis2=-1)
  total = confusion.sum(-1)
  return np.where(total > 0, right / np.maximum(total, 1), np.nan)


def macro_f1(confusion: ArrayLike) -> np.ndarray:
  """Mean F1 over classes that occur or are predicted, [..., K, K] -> [...]."""
  confusion = np.asarray(confusion, np.float64)
  right = np.diagonal(confusion, axis1=-2, axis2=-1)
  total = confusion.sum(-1) + confusion.sum(-2)
  f1 = 2 * right / np.maximum(total, 1)
  return f1.sum(-1) / np.maximum((total > 0).sum(-1), 1)


def majority_rate(confusion: ArrayLike) -> np.ndarray:
  """Accuracy of always predicting the commonest class, [..., K, K] -> [...]."""
  confusion = np.asarray(confusion, np.float64)
  return confusion.sum(-1).max(-1) / confusion.sum((-2, -1))


class Gain(NamedTuple):
  """The gain of a distilled set over a baseline, as fractions.

  Attributes:
    mean: difference of accuracies; positive if the distilled set is better.
    stderr: standard error of the mean over networks and sets; None for one
      network and one set.
    test_stderr: largest standard error by the choice of test samples; None if
      their number is unknown.
    margin: half the width of a 95 % interval around the mean, for all of these
      together; None if neither is known.
  """

  mean: float
  stderr: float | None
  test_stderr: float | None = None
  margin: float | None = None


def gain_over(
    accuracy_of_set: ArrayLike,
    accuracy_of_baseline: ArrayLike,
    num_test: int | None = None) -> Gain:
  """Compares a distilled set with a baseline, network by network.

  The baseline has several sets. Networks and sets are crossed, so the variances
  of both means add up. If set and baseline were tested on different numbers of
  networks, the networks are not paired.

  For networks and sets, the margin uses Student's t with the degrees of freedom
  of Welch and Satterthwaite, as few networks tell little of their own spread.
  For test samples it uses the binomial error, as if set and baseline were
  tested on different samples, so it is rather too wide. One right and one wrong
  answer are added to each (Agresti and Caffo, 2000, The American Statistician
  54, 280-288); otherwise four right answers of four would have no error.

  Args:
    accuracy_of_set: [R] fractions, one per network.
    accuracy_of_baseline: [sets, R'] fractions; network j is the same as in the
      set's.
    num_test: number of test samples.
  """
  ours = np.asarray(accuracy_of_set, np.float64)
  baseline = np.asarray(accuracy_of_baseline, np.float64)
  rates = np.stack([ours.mean(), baseline.mean()])
  by_network = baseline.mean(0)
  if ours.shape == by_network.shape:
    by_network, ours = by_network - ours, ours[:0]
  parts = [(means.var(ddof=1) / len(means), len(means) - 1)
           for means in (ours, by_network, baseline.mean(1))
           if len(means) > 1]
  mean = float(rates[0] - rates[1])
  stderr = test_stderr = None
  if parts:
    stderr = float(np.sqrt(sum(variance for variance, _ in parts)))
  if num_test:
    added = (num_test * rates + 1) / (num_test + 2)
    test_stderr = float(np.sqrt((added * (1 - added)).sum() / (num_test + 2)))
  if stderr is None and test_stderr is None:
    return Gain(mean, None)
  margin = np.hypot(
      _quantile(parts) * (stderr or 0.0), _NORMAL * (test_stderr or 0.0))
  return Gain(mean, stderr, test_stderr, float(margin))


def _quantile(parts: Sequence[tuple[float, int]]) -> float:
  """97.5 % quantile of t for a sum of variances.

  See Welch, 1947, Biometrika 34, 28-35.

  Args:
    parts: pairs of a variance and its degrees of freedom.
  """
  from scipy.special import stdtrit

  total = sum(variance for variance, _ in parts)
  if not total:
    return _NORMAL
  return float(stdtrit(total**2 / sum(v**2 / df for v, df in parts), 0.975))


def distance_to_nearest(
    features: ArrayLike, classes: ArrayLike, of_set: ArrayLike,
    classes_of_set: ArrayLike) -> float:
  """Mean distance of samples to the nearest sample of their class in a set.

  It is small if the set covers the same region as the samples.

  Args:
    features: [N, D] of the samples.
    classes: [N] int; samples of a class that the set lacks are left out.
    of_set: [M, D] features of the set.
    classes_of_set: [M] int.

  Returns:
    The mean Euclidean distance over samples, in the unit of the features.

  Raises:
    ValueError: there is no class in common.
  """
  from sklearn.neighbors import NearestNeighbors

  common = np.intersect1d(classes, classes_of_set)
  if not common.size:
    raise ValueError(
        "`classes_of_set` must have a class of `classes`; got "
        f"{np.unique(classes_of_set)} and {np.unique(classes)}.")
  distances = []
  for c in common:
    ours = np.asarray(features)[np.asarray(classes) == c]
    theirs = np.asarray(of_set)[np.asarray(classes_of_set) == c]
    distances.append(
        NearestNeighbors(n_neighbors=1).fit(theirs).kneighbors(ours)[0].ravel())
  return float(np.concatenate(distances).mean())


def distillation_ratio(accuracy_of_set: ArrayLike, accuracy_of_all: float):
  """r_M = 100 * accuracy on M distilled samples / accuracy on all data.

  Args:
    accuracy_of_set: fraction or array of fractions.
    accuracy_of_all: positive fraction, of the same network and test split.
  """
  _check_fractions(
      accuracy_of_set=accuracy_of_set, accuracy_of_all=accuracy_of_all)
  if not accuracy_of_all > 0:
    raise ValueError(
        f"`accuracy_of_all` must be positive; got {accuracy_of_all}.")
  return 100 * np.asarray(accuracy_of_set) / accuracy_of_all


def distillation_size(
    num_samples: Sequence[int], ratios: Sequence[float],
    percent: float) -> float:
  """d_A = min { M : r_M >= A }; inf if no M of the sweep reaches A.

  Args:
    num_samples: M of each set of the sweep, in any order.
    ratios: r_M of each set, in percent.
    percent: A.
  """
  if len(num_samples) != len(ratios):
    raise ValueError(
        "`ratios` must have one entry a set; got "
        f"{len(ratios)} for {len(num_samples)} sets.")
  reached = [
      m for m, r in zip(num_samples, ratios, strict=True) if r >= percent
  ]
  return min(reached, default=float("inf"))


def _check_fractions(**values):
  for name, value in values.items():
    if not np.all((np.asarray(value) >= 0) & (np.asarray(value) <= 1)):
      raise ValueError(
          f"`{name}` must be a fraction in [0, 1]; got {value}. Divide percent "
          "by 100.")
