"""The points of a sweep: their table, figure, and comparisons of lines."""

import itertools
from collections.abc import Mapping
from typing import Any

from distill_jax.evaluation import baselines, metrics

# The baselines with as many samples, bytes or bits; the nearest rival is first.
BASELINES = {
    "samples": ("random_real",),
    "bytes": ("byte_matched_real",),
    "bits": ("byte_matched_quantised", "byte_matched_real")
}
# The field that must be equal in points that are compared.
SAME = {"samples": "samples_per_class", "bytes": "bytes", "bits": "bits"}
_OF_A_RUN = ("num_networks", "label_regime", "seed", "device", "seconds")


def point(line: str, ipc: int, report: dict, against: str) -> dict:
  """Collects what table, figure and file show of a set and of its baseline.

  Args:
    line: name of the set's line in the legend.
    ipc: samples per class.
    report: report of the set's run.
    against: a key of `BASELINES`.
  """
  size = dict(
      samples_per_class=ipc,
      num_samples=report["num_samples"],
      bits=(report.get("quantisation") or {}).get("bits", 32),
      bytes=report["storage_bytes"]["total"])

  def rival(name):
    found = report["baselines"].get(name)
    return found and dict(
        size,
        label=baselines.TITLES[name],
        network=report.get("network"),
        num_samples=found["num_samples"],
        **{part: found[part] for part in ("mean", "std", "stderr")})

  real, *beside = map(rival, BASELINES[against])
  return dict(
      label=line,
      network=report.get("network"),
      **size,
      **report["accuracy"],
      real=real,
      beside=[other for other in beside if other],
      **{name: report[name] for name in _OF_A_RUN})


def drawn(points: list[dict]) -> list[dict]:
  """Returns the points of the figure: all sets, and each baseline once.

  Baselines have one line for each network that was trained on them.
  """
  real = [p["real"] for p in points if p["real"]]
  real += [other for p in points for other in p.get("beside", ())]
  several = len({r.get("network") for r in real}) > 1
  lines = {}
  for r in real:
    label = f"{r['label']}, {r['network']}" if several else r["label"]
    place = label, r["num_samples"], r["bytes"], r.get("bits")
    lines[place] = {**r, "label": label}
  return points + list(lines.values())


def table(points: list[dict], against: str) -> str:
  """A text table with one line per point, and its baseline beside it."""
  width = max(len(p["label"]) for p in points) + 2
  head = (
      f"{'':<{width}}{'per class':>9}{'bytes':>12}{'accuracy %':>16}"
      f"{title(against):>19}")
  rule = "-" * len(head)
  lines = (
      f"{p['label']:<{width}}{p['samples_per_class']:>9}"
      f"{p['bytes']:>12,}{percent(p):>16}{percent(p['real']):>19}"
      for p in points)
  note = "± is the standard deviation over networks; of a gain, its error"
  return "\n".join((head, rule, *lines, rule, note))


def title(against: str) -> str:
  """The title of the baseline that a table shows beside each point."""
  return baselines.TITLES[BASELINES[against][0]]


def comparisons(points: list[dict], against: str) -> dict[str, str]:
  """Returns how much each line gains over each other line.

  Networks are paired.

  Args:
    points: results of `point`.
    against: a key of `BASELINES`. Points are compared if they have the same
      size on that axis and the same network.

  Returns:
    A dict: "A over B by SIZE" -> "1: gain, 10: gain".
  """
  size = SAME[against]
  lines = list(dict.fromkeys(p["label"] for p in points))
  texts = {}
  for one, two in itertools.combinations(lines, 2):
    gains = (
        f"{a[size]:,}: " +
        gain(metrics.gain_over(a["per_network"], [b["per_network"]])._asdict())
        for a in points
        for b in points
        if (a["label"], b["label"]) == (one, two) and all(
            a.get(field) == b.get(field) for field in (size, "network")))
    texts[f"{one} over {two} by {size.replace('_', ' ')}"] = ", ".join(gains)
  return {pair: text for pair, text in texts.items() if text}


def percent(accuracy: dict | None) -> str:
  """Mean ± standard deviation in percent, if there is one; "-" for None."""
  if accuracy is None:
    return "-"
  mean, std = (f"{100 * accuracy[part]:.2f}" for part in ("mean", "std"))
  return f"{mean} ± {std}" if accuracy["std"] else mean


def gain(found: Mapping[str, Any]) -> str:
  """Percentage points of a `Gain` ± their standard error, if it is known."""
  error = found["stderr"]
  known = "" if error is None else f" ± {100 * error:.2f}"
  return f"{100 * found['mean']:+z.2f}{known}"


def minutes(seconds: float) -> str:
  """A duration as the table shows it."""
  return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
