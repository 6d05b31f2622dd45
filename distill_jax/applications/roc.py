"""ROC curves of attacks: areas and rates, with intervals.

A pair of pipelines shares its candidates, so intervals by bootstrap draw pairs
with replacement. NumPy and SciPy alone, but for the keys.
"""

from typing import Any

import jax
import numpy as np

from distill_jax.types import Array

LEVELS = (0.001, 0.01)  # false-positive rates that are reported
PRIORS = (0.01, 0.1)  # shares of members
_GRID = np.logspace(-4, 0, 41)  # of a ROC curve that is kept


class Curve:
  """The ROC curve of scores, for any weights of pipelines.

  Attributes:
    fpr: [P + 1] ascending, of thresholds between different scores.
    tpr: [P + 1].
  """

  def __init__(self, score: Any, member: Any, where: Any = None):
    """Args:
      score: [N, Z].
      member: [N, Z] bool.
      where: [N, Z] bool, what counts; all by default.
    """
    score, member = np.asarray(score, np.float64), np.asarray(member, bool)
    where = np.ones(score.shape, bool) if where is None else np.asarray(where)
    pipeline = np.broadcast_to(np.arange(len(score))[:, None], score.shape)
    order = np.argsort(-score[where], kind="stable")
    ordered = score[where][order]
    self._num_pipelines = len(score)
    self._pipeline = pipeline[where][order]
    self._member = member[where][order]
    # A threshold parts different scores alone.
    self._ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    self.positives = int(self._member.sum())
    self.negatives = int((~self._member).sum())
    self.fpr, self.tpr = self._rates(None)

  @property
  def sound(self) -> bool:
    """Whether there are members and others."""
    return self.positives > 0 and self.negatives > 0

  def _rates(self, weights):
    each = 1.0 if weights is None else weights[self._pipeline]
    sums = []
    for side in (~self._member, self._member):
      total = np.cumsum(each * side)
      reached = total[self._ends] if len(total) else total
      largest = max(reached[-1], 1e-300) if len(reached) else 1.0
      sums.append(np.append(0.0, reached) / largest)
    return sums

  def auc(self) -> float:
    """Area under the curve: P(member's score > other's), ties by half."""
    return _area(self.fpr, self.tpr)

  def at(self, level: float) -> tuple[float, float]:
    """The largest (fpr, tpr) with fpr of at most `level`."""
    return _at(self.fpr, self.tpr, level)

  def resampled(self, key: Array, num: int) -> dict[str, np.ndarray]:
    """Area and rates of pairs of pipelines drawn with replacement.

    Args:
      key: consumed.
      num: of draws.

    Returns:
      `auc` [num] and `tpr` [num, levels] at `LEVELS`.
    """
    pairs = self._num_pipelines // 2
    drawn = jax.random.randint(key, (num, pairs), 0, pairs, np.int32)
    areas, rates = [], []
    for row in np.asarray(drawn):
      weights = np.bincount(row, minlength=pairs).repeat(2).astype(float)
      fpr, tpr = self._rates(weights)
      areas.append(_area(fpr, tpr))
      rates.append([_at(fpr, tpr, level)[1] for level in LEVELS])
    return dict(auc=np.array(areas), tpr=np.array(rates))

  def sketch(self) -> dict[str, list[float]]:
    """True-positive rates at false-positive rates from 1e-4 to 1, for a plot.
    """
    return dict(fpr=_GRID.tolist(), tpr=[self.at(level)[1] for level in _GRID])


def _area(fpr, tpr) -> float:
  return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))


def _at(fpr, tpr, level):
  last = np.searchsorted(fpr, level + 1e-12, side="right") - 1
  return float(fpr[last]), float(tpr[last])


def measure(
    key: Array,
    score: Any,
    member: Any,
    where: Any = None,
    *,
    num_resampled: int = 200) -> dict[str, Any] | None:
  """What an attack finds, as JSON: area, rates, intervals, precision.

  Args:
    key: of the bootstrap; consumed.
    score: [N, Z], of one attack.
    member: [N, Z] bool.
    where: [N, Z] bool, what counts; all by default.
    num_resampled: draws of the bootstrap over pairs of pipelines; 0 for none.

  Returns:
    `auc`, `balanced_accuracy`, `members`, `others` (counts), and `tpr`: for
    each of `LEVELS` its rate, `exact` (Clopper-Pearson, of independent
    members) and `bootstrap` intervals of 95 %, `fpr` and `precision` by prior
    of `PRIORS`. `auc_bootstrap` is the interval of the area. None where there
    are no members or no others.
  """
  curve = Curve(score, member, where)
  if not curve.sound:
    return None
  drawn = curve.resampled(key, num_resampled) if num_resampled else None
  found: dict[str, Any] = dict(
      auc=curve.auc(),
      auc_bootstrap=drawn and _interval(drawn["auc"]),
      balanced_accuracy=float((1 + (curve.tpr - curve.fpr).max()) / 2),
      members=curve.positives,
      others=curve.negatives,
      tpr={})
  for i, level in enumerate(LEVELS):
    fpr, tpr = curve.at(level)
    found["tpr"][str(level)] = dict(
        rate=tpr,
        exact=clopper_pearson(round(tpr * curve.positives), curve.positives),
        bootstrap=drawn and _interval(drawn["tpr"][:, i]),
        fpr=fpr,
        precision={str(p): precision(tpr, fpr, p) for p in PRIORS})
  return found


def _interval(values) -> list[float]:
  return np.quantile(values, (0.025, 0.975)).tolist()


def clopper_pearson(hits: int,
                    trials: int,
                    confidence: float = 0.95) -> list[float]:
  """The exact interval [low, high] of a binomial rate.

  Args:
    hits: in 0..trials.
    trials: at least 1.
    confidence: in (0, 1).
  """
  from scipy.special import betaincinv

  if not 0 <= hits <= trials or trials < 1:
    raise ValueError(
        f"`hits` must be in 0..{trials}, of at least 1 trial; got {hits}.")
  tail = (1 - confidence) / 2
  low = betaincinv(hits, trials - hits + 1, tail) if hits else 0.0
  high = betaincinv(hits + 1, trials - hits, 1 - tail) if hits < trials else 1.0
  return [float(low), float(high)]


def precision(tpr: float, fpr: float, prior: float) -> float | None:
  """Share of members among those that are called so; None if none are.

  Args:
    tpr: of the attack.
    fpr: of the attack.
    prior: share of members among all who could be.
  """
  right, wrong = prior * tpr, (1 - prior) * fpr
  return right / (right + wrong) if right + wrong > 0 else None
