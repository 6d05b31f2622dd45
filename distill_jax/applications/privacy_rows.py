"""What the pipelines of an audit tell of each arm, as JSON."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from distill_jax.applications import membership
from distill_jax.applications.findings import mean_and_error
from distill_jax.types import Array

MAIN = "online_fixed"  # the attack of tables and figures
_ONE_SIDED = "offline_fixed"  # where few pipelines have a sample in the set
_SETS = ("pixels", "features")
MANY = 4.0  # standard errors that a sound audit stays within
_DRAWS = 20  # of members anew


def row(
    key: Array,
    arm: str,
    found: Mapping[str, np.ndarray],
    keep: np.ndarray,
    classes: np.ndarray,
    canary: np.ndarray,
    class_names: Sequence[str],
    guarantee: tuple[float, float] | None = None) -> dict[str, Any]:
  """What all attacks find in one arm, as JSON.

  Args:
    key: of bootstraps and of members drawn anew; consumed.
    arm: its name.
    found: [N, ...] arrays of `shadows.shadow`.
    keep: [N, Z] bool.
    classes: [Z] int.
    canary: [Z] bool.
    class_names: K names.
    guarantee: see `shadows.Arm`.
  """
  k_attacks, k_canaries, k_seen, k_sets, k_checks = jax.random.split(key, 5)
  scores = membership.scores(found["phi"], keep)
  accuracy = found["accuracy"][:, 0]
  seen = found["seen"]
  own = dict(
      arm=arm,
      num_samples=round(float(found["num_samples"].mean()), 1),
      bytes=round(float(found["bytes"].mean()), 1),
      **mean_and_error(accuracy),
      per_network=accuracy.tolist(),
      num_networks=len(accuracy),
      seconds=float(found["seconds"].mean()),
      attacks=_attacks(k_attacks, scores, keep),
      canaries=membership.measure(
          k_canaries, scores[MAIN], keep, np.broadcast_to(canary, keep.shape)),
      seen=None,
      worst_class=_worst(scores[MAIN], keep, classes, class_names),
      roc=membership.Curve(scores[MAIN], keep).sketch(),
      checks=_checks(k_checks, found, keep, classes),
      guarantee=guarantee and list(guarantee),
      limit=limit(float(found["noise_scale"][0, 0]), guarantee))
  if seen.any() and not (seen == keep).all():
    own["seen"] = membership.measure(
        k_seen, scores[_ONE_SIDED], seen, seen | ~keep)
  for number, name in enumerate(_SETS):
    own[name] = None
    if np.isfinite(found[name]).all():
      own[name] = _attacks(
          jax.random.fold_in(k_sets, number),
          membership.scores(found[name], keep), keep)
  return own


def _attacks(key, scores, keep):
  """`membership.measure` by attack; intervals by bootstrap of the main one."""
  return {
      name:
          membership.measure(
              key, score, keep, num_resampled=200 if name == MAIN else 0)
      for name, score in scores.items()
  }


def _worst(score, keep, classes, class_names):
  """The class whose members are found best; the best of K is above average."""
  areas = {}
  for c in np.unique(classes):
    where = np.broadcast_to(classes == c, keep.shape)
    areas[int(c)] = membership.Curve(score, keep, where).auc()
  worst = max(areas, key=lambda c: areas[c])
  return dict(name=class_names[worst], auc=areas[worst])


def _checks(key, found, keep, classes):
  """Areas that must be 1/2: of members drawn anew, of untrained networks."""
  k_permuted, k_untrained = jax.random.split(key)
  areas = membership.permuted(
      k_permuted, found["phi"], classes, MAIN, num=_DRAWS)
  checks: dict[str, Any] = dict(
      permuted=_half(areas.mean(),
                     areas.std(ddof=1) / _DRAWS**0.5))
  phi = found["untrained"]
  checks["untrained"] = None
  if np.isfinite(phi).all():
    spread = membership.permuted(k_untrained, phi, classes, MAIN, num=_DRAWS)
    area = membership.Curve(membership.scores(phi, keep)[MAIN], keep).auc()
    checks["untrained"] = _half(area, spread.std(ddof=1))
  return checks


def _half(area, error):
  return dict(
      auc=float(area),
      error=float(error),
      passed=bool(abs(area - 0.5) <= MANY * error + 1e-9))


def compare(rows: Sequence[dict[str, Any]]) -> None:
  """Adds the check that samples in a set of real ones are found.

  They must be found as well as members of the arm that trains on all real
  samples, where there is one, but for 0.05: `checks["inside"]` of each row.
  """
  full = next((r for r in rows if r["arm"] == r["maker"] == "all_real"), None)
  for one in rows:
    one["checks"]["inside"] = None
    if one["exact"] and one["seen"] is not None:
      auc = one["seen"]["auc"]
      reference: Any = full and full["attacks"][_ONE_SIDED]["auc"]
      one["checks"]["inside"] = dict(
          auc=auc,
          reference=reference,
          passed=bool(auc > max(0.5, (reference or 0.5) - 0.05)))


def limit(
    noise_scale: float,
    guarantee: tuple[float, float] | None = None) -> dict[str, Any] | None:
  """What no attack on this audit's pipelines exceeds, whatever it does.

  In a pair of pipelines a candidate takes the place of another of its class.
  Noised sums of vectors of length 1 then change by at most 2, and the best test
  between two normal distributions has the curve Phi(Phi^-1(fpr) + mu) with
  mu = 2 / noise (Dong, Roth & Su, "Gaussian Differential Privacy", 2019, arXiv
  1905.02383). A guarantee for one sample added or removed holds twice, for one
  removed and one added: tpr <= e^(2 epsilon) fpr + (1 + e^epsilon) delta, and
  the same for 1 - fpr and 1 - tpr.

  Args:
    noise_scale: standard deviation of the noise on sums; NaN for none.
    guarantee: (epsilon, delta), where there is no such noise; None for none.

  Returns:
    `auc`, `tpr` by level of `membership.LEVELS`; None for neither.
  """
  from scipy.special import ndtr, ndtri

  if not math.isnan(noise_scale):
    mu = 2 / noise_scale
    area = float(ndtr(mu / math.sqrt(2)))

    def most(rate):
      return ndtr(ndtri(rate) + mu)
  elif guarantee is not None:
    epsilon, delta = guarantee
    factor, extra = math.exp(2 * epsilon), (1 + math.exp(epsilon)) * delta

    def most(rate):
      above = factor * rate + extra
      return np.clip(
          np.minimum(above, 1 - (1 - rate - extra) / factor), 0.0, 1.0)

    rates = np.linspace(0.0, 1.0, 100_001)
    area = float(np.trapezoid(most(rates), rates))
  else:
    return None
  return dict(
      auc=area,
      tpr={str(level): float(most(level)) for level in membership.LEVELS})
