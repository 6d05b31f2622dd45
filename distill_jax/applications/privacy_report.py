"""The table and the figure of a privacy audit; see `privacy_rows`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from distill_jax.applications.findings import (
    aligned,
    with_error,
)
from distill_jax.applications.names import title
from distill_jax.applications.privacy_rows import MAIN, MANY
from distill_jax.figures import theme
from distill_jax.figures.looks import looks
from distill_jax.figures.titles import data_name

WORDING = (
    "Distilled data carry no guarantee of privacy. An audit can find that "
    "something leaks; that it finds nothing proves nothing. Whoever needs a "
    "guarantee takes sets with differential privacy and states epsilon, delta "
    "and which data count as neighbours.")


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
  asked = settings.get("num_candidates_asked", settings["num_candidates"])
  fewer = settings["num_candidates"] < asked
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
      "or both sides known, so that chance is somewhat above 0.5.", *[
          f"{asked:,} candidates were asked for: every class gives the same "
          "even number, or the largest that it has."
      ] * fewer, *_limits(document["rows"]), WORDING
  ]
  checks = [(
      one["arm"], *(
          _check(one["checks"][name])
          for name in ("permuted", "untrained", "inside")))
            for one in document["rows"]]
  told = [
      "Checks of the audit: AUC with members drawn anew and of untrained "
      f"networks must be 0.5 within {MANY:g} standard errors; real samples in "
      "a set must be found as well as members of all_real, or better, but for "
      "0.05."
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
  """A figure of the ROC curves of arms and their true-positive rates at 1 %."""
  rows = document["rows"]
  drawn = theme.figure(8, 2.6 + 0.34 * max(len(rows), 5))
  settings = document["settings"]
  data = f"{data_name(document['data'])}, " if "data" in document else ""
  theme.entitle(
      drawn, f"{data}membership inference: "
      f"{settings['num_pipelines']} pipelines, each with half of "
      f"{settings['num_candidates']:,} candidates")
  left, right = drawn.subplots(1, 2, width_ratios=(1, 1))
  chance = np.logspace(-4, 0, 41)
  left.plot(chance, chance, color=theme.GREY, linestyle="--", linewidth=1)
  known = looks(title(one["arm"]) for one in rows)
  for one in rows:
    rates = np.array(one["roc"]["tpr"])
    look = known[title(one["arm"])]
    left.plot(
        one["roc"]["fpr"],
        np.where(rates > 0, rates, np.nan),
        color=look["color"],
        linestyle=look["linestyle"],
        linewidth=1.4,
        label=title(one["arm"]))
  least = 0.5 / max(one["attacks"][MAIN]["others"] for one in rows)
  left.set(
      xscale="log",
      yscale="log",
      xlim=(max(least, 1e-4), 1),
      ylim=(max(least, 1e-4), 1.1))
  left.set_xlabel("false-positive rate", fontsize=10)
  left.set_ylabel("true-positive rate", fontsize=10)
  theme.note(left, drawn, "attack on networks\nthin dashes: chance")
  theme.dress(left, "both")
  _rates(drawn, right, rows)
  theme.legend(
      drawn,
      handles=left.get_lines()[1:],
      fontsize=9,
      handlelength=3.2,
      ncols=min(3, len(rows)))
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
        label=name,
        clip_on=False)
  for i, one in enumerate(rows):
    if one["limit"]:
      most = 100 * one["limit"]["tpr"]["0.01"]
      axes.plot([most, most], [i - 0.4, i + 0.4], color=theme.colour(1))
  axes.axvline(1, color=theme.GREY, linestyle="--", linewidth=1)
  axes.set(xscale="log", xlim=(0.1, 130), ylim=(len(rows) - 0.4, -0.6))
  axes.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
  theme.name_ticks(
      axes.yaxis,
      [f"{title(r['arm'])} ({100 * r['mean']:.0f} %)" for r in rows],
      fontsize=8.5)
  axes.set_xlabel(
      "true-positive rate (%) at a\nfalse-positive rate of 1 %", fontsize=10)
  limits = "\nvertical mark: limit of any attack" if any(
      one["limit"] for one in rows) else ""
  theme.note(
      axes, drawn, "filled: attack on networks\nopen: attack on pixels of the "
      f"set{limits}\nin brackets: test accuracy")
  theme.dress(axes, "x")
