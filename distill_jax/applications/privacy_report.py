"""An audit's rows, table and figure, from what its pipelines gave."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from distill_jax.applications import membership
from distill_jax.applications.findings import (
    aligned,
    mean_and_error,
    with_error,
)
from distill_jax.figures import theme
from distill_jax.types import Array

MAIN = "online_fixed"  # the attack of tables and figures
_ONE_SIDED = "offline_fixed"  # where few pipelines have a sample in the set
_SETS = ("pixels", "features")
_MANY = 4.0  # standard errors that a sound audit stays within
_DRAWS = 20  # of members anew
WORDING = (
    "Distilled data carry no guarantee of privacy. An audit can find that "
    "something leaks; that it finds nothing proves nothing. Whoever needs a "
    "guarantee takes sets with differential privacy and states epsilon, delta "
    "and which data count as neighbours.")


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
  worst = max(areas, key=areas.get)
  return dict(name=class_names[worst], auc=areas[worst])


def _checks(key, found, keep, classes):
  """Areas that must be 1/2: of members drawn anew, of untrained networks."""
  k_permuted, k_untrained = jax.random.split(key)
  areas = membership.permuted(
      k_permuted, found["phi"], classes, MAIN, num=_DRAWS)
  checks = dict(permuted=_half(areas.mean(), areas.std(ddof=1) / _DRAWS**0.5))
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
      passed=bool(abs(area - 0.5) <= _MANY * error + 1e-9))


def compare(rows: Sequence[dict[str, Any]]) -> None:
  """Adds the check that samples in a set of real ones are found.

  They must be found at least as well as members of the arm that trains on all
  real samples, where there is one: `checks["inside"]` of each row.
  """
  full = next((r for r in rows if r["arm"] == r["maker"] == "all_real"), None)
  for one in rows:
    one["checks"]["inside"] = None
    if one["exact"] and one["seen"] is not None:
      auc = one["seen"]["auc"]
      reference = full and full["attacks"][_ONE_SIDED]["auc"]
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


def table(document: Mapping[str, Any]) -> str:
  """The rows as text: accuracy and attacks, then checks."""
  heads = (
      "arm", "images", "kB", "accuracy", "AUC", "TPR at 1 %", "at 0.1 %",
      "canaries", "seen", "pixels")
  lines = []
  for one in document["rows"]:
    found = one["attacks"][MAIN]
    rate = found["tpr"]["0.01"]
    low, high = rate["exact"]
    lines.append((
        one["arm"], f"{one['num_samples']:g}", f"{one['bytes'] / 1000:.1f}",
        with_error(one["mean"], one["stderr"]), _area(found),
        f"{100 * rate['rate']:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
        _rare(found), _area(one["canaries"]), _area(one["seen"]),
        _best(one["pixels"])))
  settings = document["settings"]
  notes = [
      f"Accuracy in percent, mean and standard error of "
      f"{settings['num_pipelines']} pipelines, each with half of "
      f"{settings['num_candidates']:,} candidates. AUC and true-positive rates "
      "in percent at a false-positive rate of 1 and 0.1 % of the "
      "likelihood-ratio attack on networks (both sides known, one variance), "
      "the latter of at least 1,000 non-members, with intervals of 95 % for "
      "independent members; 0.5 and the "
      "false-positive rate itself are chance.",
      f"canaries: AUC of {settings['num_canaries']} candidates with a wrong "
      "label. seen: AUC of real samples in the set, or where it started, "
      "against candidates that the pipeline lacked. pixels: the larger AUC of "
      "two attacks on the set itself, by distance to its nearest sample, plain "
      "or both sides known, so that chance is somewhat above 0.5.",
      *_limits(document["rows"]), WORDING
  ]
  checks = [(
      one["arm"], *(
          _check(one["checks"][name])
          for name in ("permuted", "untrained", "inside")))
            for one in document["rows"]]
  told = [
      "Checks of the audit: AUC with members drawn anew and of untrained "
      "networks must be 0.5; real samples in a set must be found about as well "
      "as members of all_real, or better."
  ]
  return "\n".join((
      aligned(heads, lines, notes),
      aligned(("check", "members anew", "untrained", "in the set"), checks,
              told)))


def _area(found) -> str:
  return "-" if found is None else f"{found['auc']:.3f}"


def _rare(found) -> str:
  """The rate at 0.1 %, of which fewer than 1,000 non-members tell nothing."""
  if found["others"] < 1000:
    return "-"
  return f"{100 * found['tpr']['0.001']['rate']:.2f}"


def _best(attacks) -> str:
  if attacks is None:
    return "-"
  return f"{max(attacks[name]['auc'] for name in (MAIN, 'threshold')):.3f}"


def _check(found) -> str:
  if found is None:
    return "-"
  error = f" ± {found['error']:.3f}" if "error" in found else ""
  passed = "passed" if found["passed"] else "FAILED"
  return f"{found['auc']:.3f}{error} {passed}"


def _limits(rows):
  known = [
      f"{one['arm']}: {100 * one['limit']['tpr']['0.01']:.1f} %, AUC "
      f"{one['limit']['auc']:.3f}" for one in rows if one["limit"]
  ]
  if not known:
    return []
  return [
      "No attack can exceed, by differential privacy, at a false-positive rate "
      f"of 1 %: {'; '.join(known)}."
  ]


def figure(document: Mapping[str, Any]):
  """ROC curves of arms, and their true-positive rates at 1 %."""
  rows = document["rows"]
  drawn = theme.figure(10, 2.2 + 0.42 * max(len(rows), 5))
  settings = document["settings"]
  theme.entitle(
      drawn, "Membership inference: "
      f"{settings['num_pipelines']} pipelines with half of "
      f"{settings['num_candidates']:,} candidates")
  left, right = drawn.subplots(1, 2, width_ratios=(1, 1.15))
  chance = np.logspace(-4, 0, 41)
  left.plot(chance, chance, color=theme.GREY, linestyle="--", linewidth=1)
  styles = ("-", "-.", ":")
  for i, one in enumerate(rows):
    rates = np.array(one["roc"]["tpr"])
    left.plot(
        one["roc"]["fpr"],
        np.where(rates > 0, rates, np.nan),
        color=theme.colour(i),
        linestyle=styles[i // len(theme.COLOURS) % 3],
        linewidth=1.4,
        label=one["arm"])
  least = 0.5 / max(one["attacks"][MAIN]["others"] for one in rows)
  left.set(
      xscale="log",
      yscale="log",
      xlim=(max(least, 1e-4), 1),
      ylim=(max(least, 1e-4), 1.1))
  left.set_xlabel("false-positive rate", fontsize=10)
  left.set_ylabel("true-positive rate", fontsize=10)
  theme.note(left, drawn, "attack on networks\ndashed: chance")
  theme.dress(left, "both")
  _rates(drawn, right, rows)
  theme.legend(
      drawn, handles=left.get_lines()[1:], fontsize=9, ncols=min(4, len(rows)))
  return drawn


def _rates(drawn, axes, rows):
  """True-positive rates at a false-positive rate of 1 %, by arm."""
  kinds = (("attacks", "network", "o", 0.16),
           ("pixels", "set, by pixels", "s", -0.16))
  for number, (field, name, marker, shift) in enumerate(kinds):
    shown = [(i, one[field][MAIN]["tpr"]["0.01"])
             for i, one in enumerate(rows)
             if one[field]]
    if not shown:
      continue
    rate = 100 * np.array([one["rate"] for _, one in shown])
    low, high = 100 * np.array([one["exact"] for _, one in shown]).T
    y = np.array([i for i, _ in shown]) + shift
    axes.errorbar(
        np.maximum(rate, 0.1),
        y,
        xerr=(
            np.maximum(rate, 0.1) - np.clip(low, 0.1, np.maximum(rate, 0.1)),
            np.maximum(high, 0.1) - np.maximum(rate, 0.1)),
        fmt=marker,
        fillstyle="none" if number else "full",
        color=theme.DARK if number else theme.colour(0),
        capsize=2.5,
        linewidth=1.2,
        label=name)
  for i, one in enumerate(rows):
    if one["limit"]:
      most = 100 * one["limit"]["tpr"]["0.01"]
      axes.plot([most, most], [i - 0.4, i + 0.4], color=theme.colour(1))
  axes.axvline(1, color=theme.GREY, linestyle="--", linewidth=1)
  axes.set(xscale="log", xlim=(0.1, 130), ylim=(len(rows) - 0.4, -0.6))
  axes.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
  theme.name_ticks(
      axes.yaxis, [f"{r['arm']} ({100 * r['mean']:.0f} %)" for r in rows])
  axes.set_xlabel(
      "true-positive rate at a false-positive rate of 1 % (%)", fontsize=10)
  limits = "; bars: limit by differential privacy" if any(
      one["limit"] for one in rows) else ""
  theme.note(
      axes, drawn, "filled: attack on networks; open: on the set, by pixels\n"
      f"in brackets: accuracy{limits}")
  theme.dress(axes, "x")
