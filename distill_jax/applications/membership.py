"""Membership inference: who was in the data, judged from numbers alone.

The likelihood-ratio attack (LiRA) of Carlini et al., "Membership Inference
Attacks From First Principles", 2022, arXiv 2112.03570. Each of Z candidates is
in the data of half of N pipelines; of pipeline m and candidate z a statistic
is known, for a network that was trained on what the pipeline made

    phi = log p_y - log sum_{c != y} p_c

An attack knows all pipelines but the one it attacks, and of that one phi:

    online      log N(phi; mu_in, sd_in) - log N(phi; mu_out, sd_out)
    offline     (phi - mu_out) / sd_out
    threshold   phi

mu is the median of a candidate over pipelines that had it or had it not, sd
its standard deviation, or with `fixed` one for all candidates, which is better
where pipelines are few.

What differs from the published code:
  * pipelines come in pairs with complementary data. The pair of the attacked
    one is left out with it, so that every candidate is known in as many
    pipelines with as without it. Else the group that the attacked pipeline
    leaves has one value less than the other, and its less certain median tells
    on which side the candidate was: AUC is not 0.5 where nothing leaks.
  * with one standard deviation for all candidates that of `out` is that of
    `out`; both are pooled within candidates. The code takes that of `in`
    twice, over all candidates together.
  * `offline` is one-sided, as the paper has it; the code takes the density.

NumPy and SciPy alone, but for the keys.
"""

from typing import Any

import jax
import numpy as np

from distill_jax.errors import ConfigError
from distill_jax.types import Array

ATTACKS = ("online", "online_fixed", "offline", "offline_fixed", "threshold")
LEVELS = (0.001, 0.01)  # false-positive rates that are reported
PRIORS = (0.01, 0.1)  # shares of members
_LEAST = 1e-12  # a standard deviation below it counts as it
_GRID = np.logspace(-4, 0, 41)  # of a ROC curve that is kept


def keep_matrix(key: Array, num_pipelines: int, classes: Any) -> np.ndarray:
  """Which candidates are in the data of which pipeline.

  Pipelines 2i and 2i + 1 share the candidates of each class between them. With
  an even number of candidates of each class all pipelines have equally many.

  Args:
    key: consumed.
    num_pipelines: N, even and at least 6.
    classes: [Z] int, of the candidates.

  Returns:
    [N, Z] bool, N / 2 true in each column.

  Raises:
    ConfigError: another N.
  """
  if num_pipelines < 6 or num_pipelines % 2:
    raise ConfigError(
        "`num_pipelines` must be even and at least 6, two pairs beside the "
        f"one that is attacked; got {num_pipelines}.")
  classes = np.asarray(classes)
  keep = np.zeros((num_pipelines, len(classes)), bool)
  for pair in range(num_pipelines // 2):
    k_pair = jax.random.fold_in(key, pair)
    order = np.asarray(jax.random.permutation(k_pair, len(classes)))
    order = order[np.argsort(classes[order], kind="stable")]
    # Neighbours in this order, of one class, go to different pipelines.
    keep[2 * pair, order[::2]] = True
    keep[2 * pair + 1, order[1::2]] = True
  return keep


def statistic(outputs: Any, labels: Any) -> np.ndarray:
  """phi [Z] float64, how sure a network is of the given labels.

  Args:
    outputs: [Z, K] logits, or [Z, 1] of class 1 of two.
    labels: [Z] int.

  Returns:
    The log-odds of the label; 0 for outputs that are not finite.

  Example:
    membership.statistic([[2.0, 0.0, 0.0]], [0])  # [1.3069], 2 - log 2
  """
  z, y = np.asarray(outputs, np.float64), np.asarray(labels)
  if z.shape[1] == 1:
    phi = np.where(y == 1, z[:, 0], -z[:, 0])
  else:
    own = np.take_along_axis(z, y[:, None], 1)
    others = np.where(np.arange(z.shape[1]) == y[:, None], -np.inf, z - own)
    with np.errstate(invalid="ignore"):
      phi = -np.logaddexp.reduce(others, axis=1)
  return np.where(np.isfinite(z).all(1), phi, 0.0)


def scores(phi: Any, keep: Any) -> dict[str, np.ndarray]:
  """[N, Z] scores of each attack, larger for who is more likely a member.

  Args:
    phi: [N, Z] any statistic that is larger for members.
    keep: [N, Z] bool, see `keep_matrix`: of complementary pairs.
  """
  phi, keep = np.asarray(phi, np.float64), np.asarray(keep, bool)
  _check_pairs(phi, keep)
  found = {name: np.empty(phi.shape) for name in ATTACKS}
  for pair in range(len(phi) // 2):
    rows = slice(2 * pair, 2 * pair + 2)
    others = np.delete(phi, rows, 0)
    half = len(others) // 2
    order = np.argsort(~np.delete(keep, rows, 0), axis=0, kind="stable")
    by_side = np.take_along_axis(others, order, 0)
    inside, outside = by_side[:half], by_side[half:]
    mine = phi[rows]
    mu_in, mu_out = np.median(inside, 0), np.median(outside, 0)
    for suffix, spread in (("", _own), ("_fixed", _pooled)):
      sd_in, sd_out = spread(inside), spread(outside)
      from_out = (mine - mu_out) / sd_out
      from_in = (mine - mu_in) / sd_in
      found[f"online{suffix}"][rows] = (
          0.5 * (from_out**2 - from_in**2) + np.log(sd_out / sd_in))
      found[f"offline{suffix}"][rows] = from_out
    found["threshold"][rows] = mine
  return found


def _own(values):
  """Standard deviations [Z] of candidates."""
  return np.maximum(values.std(0, ddof=1), _LEAST)


def _pooled(values):
  """One standard deviation, within candidates."""
  return np.maximum(np.sqrt(values.var(0, ddof=1).mean()), _LEAST)


def _check_pairs(phi, keep) -> None:
  if phi.shape != keep.shape or phi.ndim != 2 or len(phi) < 6 or len(phi) % 2:
    raise ConfigError(
        "`phi` and `keep` must be [N, Z] with N even and at least 6; got "
        f"{phi.shape} and {keep.shape}.")
  if (keep[::2] == keep[1::2]).any():
    raise ConfigError(
        "`keep` must hold complementary pairs of pipelines, one with a "
        "candidate and one without. Make it with keep_matrix.")


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
  found = dict(
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


def permuted(
    key: Array,
    phi: Any,
    classes: Any,
    attack: str = "online_fixed",
    num: int = 20) -> np.ndarray:
  """Areas [num] where members are drawn anew: what no leak looks like.

  Args:
    key: consumed.
    phi: [N, Z].
    classes: [Z] int, of the candidates.
    attack: of `ATTACKS`.
    num: of draws.
  """
  areas = []
  for i in range(num):
    keep = keep_matrix(jax.random.fold_in(key, i), len(phi), classes)
    areas.append(Curve(scores(phi, keep)[attack], keep).auc())
  return np.array(areas)
