"""ROC curves of membership attacks: areas, rates and their intervals.

The two pipelines of a pair divide the candidates between them, so bootstrap
intervals draw pairs with replacement. Everything is NumPy and SciPy, except the
random keys.
"""

from typing import Any

import jax
import numpy as np

from distill_jax.types import Array

LEVELS = (0.001, 0.01)  # false-positive rates that are reported
PRIORS = (0.01, 0.1)  # shares of members
_GRID = np.logspace(-4, 0, 41)  # false-positive rates of curves for plots


class Curve:
  """The ROC curve of scores; pipelines may be weighted.

  Attributes:
    fpr: [P + 1] false-positive rates, ascending, one per different score.
    tpr: [P + 1] true-positive rates.
  """

  def __init__(self, score: Any, member: Any, where: Any = None):
    """Args:
      score: [N, Z], larger for more likely members.
      member: [N, Z] bool.
      where: [N, Z] bool, the entries that are used; all by default.
    """
    score, member = np.asarray(score, np.float64), np.asarray(member, bool)
    where = np.ones(score.shape, bool) if where is None else np.asarray(where)
    pipeline = np.broadcast_to(np.arange(len(score))[:, None], score.shape)
    order = np.argsort(-score[where], kind="stable")
    ordered = score[where][order]
    self._num_pipelines = len(score)
    self._pipeline = pipeline[where][order]
    self._member = member[where][order]
    # A threshold can only lie between two different scores.
    self._ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    self.positives = int(self._member.sum())
    self.negatives = int((~self._member).sum())
    self.fpr, self.tpr = self._rates(None)

  @property
  def sound(self) -> bool:
    """Whether there are both members and non-members."""
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
    """Area under the curve: P(member's score > other's), ties count half."""
    return _area(self.fpr, self.tpr)

  def at(self, level: float) -> tuple[float, float]:
    """The last point (fpr, tpr) of the curve with fpr of at most `level`."""
    return _at(self.fpr, self.tpr, level)

  def resampled(self, key: Array, num: int) -> dict[str, np.ndarray]:
    """Areas and rates for pairs of pipelines drawn with replacement.

    Args:
      key: consumed.
      num: number of draws.

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
  """Summarises an attack as JSON: area, rates, intervals, precision.

  Args:
    key: key of the bootstrap; consumed.
    score: [N, Z], scores of one attack.
    member: [N, Z] bool.
    where: [N, Z] bool, the entries that are used; all by default.
    num_resampled: bootstrap draws of pairs of pipelines; 0 for no intervals.

  Returns:
    None if there are no members or no non-members, else a dict with
      `auc`, and its 95 % interval `auc_bootstrap`;
      `balanced_accuracy`, at the best threshold;
      `members` and `others`, their numbers;
      `tpr`, for each level of `LEVELS`: the `rate`; its 95 % intervals `exact`
      (Clopper-Pearson, for independent members) and `bootstrap`; the `fpr`; and
      `precision` for each prior of `PRIORS`.
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
  """The exact confidence interval [low, high] of a binomial rate.

  Args:
    hits: number of successes, in 0..trials.
    trials: number of trials, at least 1.
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
  """Share of members among those called members; None if none are.

  Args:
    tpr: true-positive rate of the attack.
    fpr: false-positive rate of the attack.
    prior: share of members among all candidates.
  """
  right, wrong = prior * tpr, (1 - prior) * fpr
  return right / (right + wrong) if right + wrong > 0 else None
