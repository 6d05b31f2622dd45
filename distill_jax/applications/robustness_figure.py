"""The figure of a robustness audit of small sets; see `robustness_report`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from distill_jax.applications.names import title as name_of
from distill_jax.applications.robustness_report import of_kind
from distill_jax.errors import counted
from distill_jax.evaluation.columns import farthest
from distill_jax.figures import theme
from distill_jax.figures.titles import data_name

_BARS = (("clean", "clean", theme.PALE), ("fgsm", "FGSM", theme.COLOURS[5]),
         ("pgd", "PGD", theme.COLOURS[0]))


def draw(document: Mapping[str, Any]):
  """Bars of accuracy under attack, and of the trigger's success rate."""
  rows, settings = document["rows"], document["settings"]
  sets = of_kind(rows, "clean")
  panels = 1 + bool(settings["poison"])
  most = max(len(sets), 5)
  figure = theme.figure(2.2 + 0.83 * most, 1.4 + 2.6 * panels)
  theme.entitle(
      figure, f"{data_name(document['data'])}, "
      f"{counted(settings['per_class'], 'sample')} per class: accuracy under "
      "attack"
      f"{', and success of backdoor triggers' * bool(settings['poison'])}")
  axes = figure.subplots(
      panels, squeeze=False, height_ratios=(3, 2)[:panels])[:, 0]
  _draw_attacks(figure, axes[0], rows, sets)
  if settings["poison"]:
    _draw_poison(figure, axes[1], rows, settings, document["target"])
  return figure


def _draw_attacks(figure, axes, rows, sets):
  attacked = next((row["attacked"] for row in sets if row["attacked"]), None)
  for i, (name, title, colour) in enumerate(_BARS):
    measured = [
        row[name] or (name == "clean" and row["accuracy"]) for row in sets
    ]
    _bars(axes, measured, 0.26 * (i - 1), 0.24, title, colour)
  for kind, title, marker in (("same_seconds", "all real data, as many seconds",
                               "D"), ("same_samples",
                                      "all real data, as many samples", "o")):
    for place, measure in ((-0.26, "clean"), (0.26, "pgd")):
      found = [(x, row[measure])
               for x, one in enumerate(sets)
               for row in of_kind(rows, kind, of=one["arm"])]
      found = [(x + place, 100 * m["mean"]) for x, m in found if m]
      axes.plot(
          *zip(*found, strict=True) if found else ((), ()),
          linestyle="none",
          marker=marker,
          markersize=5,
          fillstyle="full" if measure == "clean" else "none",
          color=theme.COLOURS[1 if marker == "D" else 2],
          label=title if measure == "clean" and found else None)
  note = "bars: ± one standard error"
  if attacked:
    note = (
        f"L-infinity eps {farthest(attacked)}, "
        f"{attacked['num_samples']:,} test samples; {note}; marks: all "
        "data for as many seconds or samples, filled clean, open under PGD")
  theme.note(axes, figure, note)
  _finish(axes, [name_of(row["arm"]) for row in sets], "test accuracy (%)")


def _draw_poison(figure, axes, rows, settings, target):
  fractions = settings["poison"]
  names = list(dict.fromkeys(row["arm"] for row in of_kind(rows, "poisoned")))
  clean = {row["arm"]: row["success"] for row in of_kind(rows, "clean")}
  series = [("without poisoned images", [*map(clean.get, names), None])]
  for fraction in fractions:
    given = [r for r in rows if r.get("fraction") == fraction]
    series.append((
        f"{100 * fraction:g} % of data poisoned",
        [row["success"] for row in given]))
  width = 0.8 / len(series)
  for i, (title, measured) in enumerate(series):
    _bars(
        axes, measured, width * (i - (len(series) - 1) / 2), 0.92 * width,
        title, theme.PALE if i == 0 else theme.colour(i))
  theme.note(
      axes, figure,
      "stamped test images of other classes that are taken for the target "
      f"class, {target}; stamped real: random real with the same share of the "
      "set stamped, at least one image")
  _finish(axes, [*map(name_of, names), "stamped real"], "attack success (%)")


def _bars(axes, measured, offset, width, title, colour):
  known = [(x, m) for x, m in enumerate(measured) if m and m["mean"] is not None
          ]
  axes.bar([x + offset for x, _ in known], [100 * m["mean"] for _, m in known],
           width,
           yerr=[100 * (m["stderr"] or 0) for _, m in known],
           color=colour,
           ecolor=theme.DARK,
           capsize=2,
           error_kw={"linewidth": 0.8},
           label=title)


def _finish(axes, names, label):
  theme.dress(axes, "y")
  theme.name_ticks(axes.xaxis, names, most=16, fontsize=8.5)
  # Marks at 100 are seen whole.
  axes.set_ylim(0, min(104, 10 * np.ceil(0.105 * max(axes.dataLim.y1, 5))))
  axes.yaxis.get_major_locator().set_params(steps=(1, 2, 5, 10))
  axes.set_ylabel(label, fontsize=10)
  axes.legend(
      fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
