"""Charts of accuracies and losses: curves, bars and matrices.

`accuracy_against` draws figure 6 of Sucholutsky & Schonlau, "Soft-Label
Dataset Distillation and Text Dataset Distillation", 2019, arXiv 1910.02551.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill_jax.errors import counted, plain
from distill_jax.figures import beside, captions, theme
from distill_jax.figures.looks import looks
from distill_jax.figures.titles import data_name, network_name, row_name

_FEW = 8  # up to so many sizes, each has a tick of its own
_OVER_NETWORKS = "one standard deviation over networks"
# Horizontal axes of `accuracy_against`: field of a row, title, unit of ticks.
AXES = {
    "samples": ("num_samples", "number of distilled samples", ""),
    "bytes": ("bytes", "size of the set", "B"),
    "bits": ("bits", "bits per stored value (32: floating point)", ""),
    "minutes": (
        "minutes", "minutes of distillation, including experts and teachers", ""
    )
}
_ROUND = ("bytes", "minutes")  # axes whose ticks are round numbers
_LEVELS = ("--", ":", "-.")  # dashes of horizontal lines


def curves(
    metrics: Sequence[Mapping[str, float]],
    *,
    loss: str = "outer loss",
    title: str = "Distillation"):
  """Loss and, if it was logged, accuracy against outer steps.

  Each point is the mean over the steps since the previous point.

  Args:
    metrics: lines of `metrics.jsonl`, each with `step`, `loss` and optionally
      `accuracy`, a fraction in [0, 1] that was measured on real batches.
    loss: description of the loss, such as `loss_name(artifact)`.
    title: title of the figure.

  Returns:
    A `Figure` with one or two panels.

  Raises:
    ValueError: `metrics` is empty.
  """
  if not len(metrics):
    raise ValueError("`metrics` must hold at least one line; got none.")
  name, _, rest = loss.partition(": ")
  shown = [("loss", "outer loss", f"{name}: {rest}" if rest else name, 1)]
  if "accuracy" in metrics[0]:
    shown.append((
        "accuracy", "accuracy (%)",
        "accuracy on batches of real training data, after training on the set",
        100))
  figure = theme.figure(6.5, 1.0 + 2.1 * len(shown))
  theme.entitle(figure, title)
  panels = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
  steps = [line["step"] for line in metrics]
  for axes, (field, label, note, scale), colour in zip(panels, shown,
                                                       theme.COLOURS,
                                                       strict=False):
    values = [scale * line[field] for line in metrics]
    axes.plot(steps, values, color=colour, marker="o" * (len(steps) < 15))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(label, fontsize=10)
    theme.note(axes, figure, note)
    theme.dress(axes, "both")
  panels[-1].set_xlabel("outer step", fontsize=10)
  figure.align_ylabels()
  return figure


def accuracy_against(
    rows: Sequence[Mapping[str, Any]],
    axis: str = "samples",
    *,
    full_data: float | None = None,
    levels: Mapping[str, float] | None = None,
    size: str = "",
    named: bool = False,
    title: str = "Test accuracy against the size of the set"):
  """Test accuracy against the size or the cost of sets, a line for each label.

  Args:
    rows: one mapping for each point. It has the `label` of the line; the
      position, which is `num_samples`, `bytes`, `bits` or `minutes` depending
      on `axis`; and the accuracy, `mean` and optionally `std`, fractions in
      [0, 1]. If `per_network` lists one network only, no error bar is drawn. An
      optional `kind` divides the points of a label: those of the first kind
      have filled markers, all others open ones.
    axis: "samples", "bytes", "bits" or "minutes".
    full_data: accuracy of networks trained on all real data, a fraction in
      [0, 1]. It is drawn as a dashed line, and 90 % of it as a dotted line.
    levels: {description: accuracy}, fractions in [0, 1] that are drawn as
      further horizontal lines.
    size: title of the horizontal axis, if the default does not fit.
    named: whether labels are written beside the points instead of in a legend.
    title: title of the figure; it should name data and methods.

  Returns:
    A `Figure`. The colours and markers of methods are those of `looks`.

  Raises:
    ValueError: `rows` is empty, or `axis` is unknown.
  """
  if not len(rows):
    raise ValueError("`rows` must hold at least one point; got none.")
  if axis not in AXES:
    raise ValueError(f"`axis` must be {' or '.join(AXES)}; got {axis!r}.")
  field, name, unit = AXES[axis]
  figure = theme.figure(6.5, 4.6)
  theme.entitle(figure, title)
  axes = figure.subplots()
  kinds = list(dict.fromkeys(row.get("kind", "") for row in rows))
  shown = [
      line for label, look in looks(row["label"] for row in rows).items()
      for line in _lines(axes, rows, label, field, kinds, look, named)
  ]
  if named:
    shown = _kinds(kinds)
  across = {}
  if full_data is not None:
    across = {
        "trained on all real data": full_data,
        "90 % of the full-data accuracy": 0.9 * full_data
    }
  across |= levels or {}
  for i, (text, level) in enumerate(across.items()):
    shown.append(
        axes.axhline(
            100 * level,
            color=theme.GREY,
            linestyle=_LEVELS[i % len(_LEVELS)],
            linewidth=1.2,
            zorder=1,
            label=f"{plain(text, 48)}: {100 * level:.1f} %"))
  _log_axis(axes, [row[field] for row in rows], unit, axis in _ROUND, named)
  theme.dress(axes, "both")
  axes.set_xlabel(size or name, fontsize=10)
  axes.set_ylabel("test accuracy (%)", fontsize=10)
  if any(map(_has_std, rows)):
    theme.note(axes, figure, f"error bars: ± {_OVER_NETWORKS}")
  ends = [
      100 * (row["mean"] + sign * _std(row))
      for row in rows
      for sign in (-1, 1)
  ] + [100 * level for level in across.values()]
  low = max(5 * np.floor((min(ends) - 2) / 5), 0)
  axes.set_ylim(low, min(5 * np.ceil((max(ends) + 2) / 5), 103))
  axes.locator_params("y", steps=(1, 2, 5, 10))
  if shown:
    labels = [handle.get_label() for handle in shown]
    theme.legend(
        figure, handles=shown, fontsize=9, ncols=_columns(labels, 9, 6.5))
  if named:
    _names(figure, axes, rows, field, [100 * v for v in across.values()])
  return figure


def _lines(axes, rows, label, field, kinds, look, named):
  """Draws the points of a label: a line for each kind, linked vertically."""
  own = [row for row in rows if row["label"] == label]
  for i, kind in enumerate(kinds):
    line = sorted((row for row in own if row.get("kind", "") == kind),
                  key=lambda row: row[field])
    if line:
      yield axes.errorbar(
          [row[field] for row in line],
          [100 * row["mean"] for row in line],
          yerr=_whiskers([100 * _std(row) for row in line]),
          **(dict(look, markerfacecolor="white") if i else look),
          ecolor=theme.DARK if named else look["color"],
          barsabove=named,  # short error bars stay visible in their markers
          markersize=5.5,
          markeredgewidth=1.3,
          capsize=2.5,
          capthick=1.0,
          linewidth=1.5,
          elinewidth=1.0,
          label=label)
  for x in {row[field] for row in own} if len(kinds) > 1 else ():
    ends = [100 * row["mean"] for row in own if row[field] == x]
    axes.plot([x] * len(ends),
              ends,
              color=look["color"],
              linewidth=0.8,
              linestyle=":",
              zorder=1)


def _columns(labels: Sequence[str], size: float, width: float) -> int:
  """Returns the number of columns of a legend, 1 to 4, that fits its labels.

  Args:
    labels: the labels, of which matplotlib fills one column after the other.
    size: size of their font in points.
    width: width of the figure in inches.
  """
  widths = [captions.inches(plain(label), size) for label in labels]
  for num in range(min(4, len(labels)), 1, -1):
    texts = sum(part.max() for part in np.array_split(widths, num))
    # In matplotlib a handle with its gap is 2.8 times as wide as the font is
    # high, the gap between columns twice, and both margins together 0.8 times.
    if texts + (2.8 * num + 2 * (num - 1) + 0.8) * size / 72 < width:
      return num
  return 1


def _kinds(kinds: Sequence[str]) -> list:
  """Legend entries that explain filled and open markers."""
  from matplotlib.lines import Line2D

  if len(kinds) < 2:
    return []
  return [
      Line2D([], [],
             color=theme.GREY,
             marker="o",
             markersize=6,
             markeredgewidth=1.4,
             markerfacecolor="white" if i else theme.GREY,
             linestyle="",
             label=kind) for i, kind in enumerate(kinds)
  ]


def _names(figure, axes, rows, field, levels) -> None:
  """Writes each label beside its highest point, once for all kinds."""
  figure.draw_without_rendering()
  points, taken = {}, []
  for row in rows:
    x, y = row[field], 100 * row["mean"]
    taken.append(beside.around(axes, x, y, 100 * _std(row)))
    points.setdefault(row["label"], []).append((y, x))
  for label, found in points.items():
    (low, _), (high, x) = min(found), max(found)
    points[label] = x, high
    if len({x for _, x in found}) == 1:  # the points are linked by a line
      taken.append(
          beside.around(axes, x, (low + high) / 2, (high - low) / 2, width=3))
  left, right = axes.get_window_extent().intervalx
  for level in levels:
    _, y = axes.transData.transform((1, level))
    taken.append((left, y - 2, right, y + 2))
  beside.write(figure, axes, points, taken)


def accuracy_bars(report: Mapping[str, Any], *, title: str | None = None):
  """Accuracies of a distilled set and its baselines as bars, the best on top.

  Args:
    report: a report with `accuracy`, a mapping with `mean` and `std`, which are
      fractions in [0, 1]; and optionally `baselines`, {name: such a mapping},
      `full_data_accuracy`, a fraction that is drawn as a dashed line, and
      `network`, `data` and `num_samples`, which are named in the figure.
    title: title of the figure; by default it names the data and the number of
      samples, as far as the report has them.

  Returns:
    A `Figure`. Whiskers show one standard deviation over networks, cut off at 0
    and 100 %. Accuracies of a single network have none.
  """
  bars = {
      row_name(name): block
      for name, block in report.get("baselines", {}).items()
  }
  bars["distilled"] = report["accuracy"]
  bars = dict(sorted(bars.items(), key=lambda bar: bar[1]["mean"]))
  means = np.array([100 * block["mean"] for block in bars.values()])
  stds = np.array([100 * _std(block) for block in bars.values()])
  colours = [
      theme.colour(0) if name == "distilled" else theme.PALE for name in bars
  ]
  figure = theme.figure(6.5, 1.6 + 0.34 * len(bars))
  theme.entitle(figure, _title(report) if title is None else title)
  axes = figure.subplots()
  whiskers = np.where(stds > 0, stds, np.nan)
  whiskers = [np.minimum(whiskers, means), np.minimum(whiskers, 100 - means)]
  axes.barh(
      range(len(bars)),
      means,
      xerr=whiskers if stds.any() else None,
      height=0.68,
      color=colours,
      ecolor=theme.DARK,
      capsize=2.5,
      error_kw={"linewidth": 1})
  for y, (name, mean, std) in enumerate(zip(bars, means, stds, strict=True)):
    axes.text(
        105,
        y,
        f"{mean:.1f} ± {std:.1f}" if _has_std(bars[name]) else f"{mean:.1f}",
        va="center",
        fontsize=9,
        color=theme.DARK,
        weight="bold" if name == "distilled" else "normal")
  theme.dress(axes, "x")
  axes.tick_params(axis="y", length=0)
  theme.name_ticks(axes.yaxis, bars)
  # The axis ends at 100 %; the space to the right is for the numbers.
  axes.set(xlim=(0, 124), xticks=range(0, 101, 20))
  axes.spines["bottom"].set_bounds(0, 100)
  judge = plain(network_name(report.get("network", "")))
  axes.set_xlabel(
      f"test accuracy of {judge} (%)" if judge else "test accuracy (%)",
      fontsize=10,
      parse_math=False)
  notes = []
  if any(map(_has_std, bars.values())):
    notes.append(f"± and whiskers: {_OVER_NETWORKS}")
    if len(bars) > 1:
      notes[0] += ",\nfor baselines over sets and networks"
  full_data = report.get("full_data_accuracy")
  if full_data is not None:
    full_data *= 100
    axes.axvline(full_data, color=theme.GREY, linestyle="--", linewidth=1.2)
    notes.append(f"dashed line: trained on all real data, {full_data:.1f} %")
  theme.note(axes, figure, "\n".join(notes), share=0.7)
  return figure


def transfer_matrix(
    sets: Mapping[str, Mapping[str, Any]],
    *,
    title: str = "Accuracy by network trained on the set"):
  """Accuracy of each set with each network as a matrix.

  Rows are sets, and random real data as the last row if a set was compared with
  them on every network; columns are networks.

  Args:
    sets: {name of a set: `networks` of its report}. All sets must have been
      evaluated with the same networks, in the same order.
    title: title of the figure; it should name data, methods and size.

  Returns:
    A `Figure`.

  Raises:
    ValueError: `sets` is empty, or the networks of two sets differ.
  """
  targets = list(next(iter(sets.values()), ()))
  if not targets or any(list(row) != targets for row in sets.values()):
    raise ValueError(
        "`sets` must be of the same networks; got "
        f"{ {name: list(row) for name, row in sets.items()} }.")
  rows = {
      name: [row[t]["accuracy"] for t in targets] for name, row in sets.items()
  }
  for row in sets.values():
    if all("random_real" in row[t] for t in targets):
      rows["random real data"] = [row[t]["random_real"] for t in targets]
      break
  means = np.array([[100 * b["mean"] for b in row] for row in rows.values()])
  figure = theme.figure(
      max(5.0, 1.9 + 0.95 * len(targets)), 1.9 + 0.55 * len(rows))
  theme.entitle(figure, title)
  axes = figure.subplots()
  low, high = 10 * np.floor(means.min() / 10), 10 * np.ceil(means.max() / 10)
  low = min(low, high - 10)
  if any(_has_std(block) for row in rows.values() for block in row):
    theme.note(axes, figure, f"± {_OVER_NETWORKS}")
  image = axes.imshow(means, cmap="Blues", vmin=low, vmax=high, aspect="auto")
  for y, row in enumerate(rows.values()):
    for x, block in enumerate(row):
      text, std = f"{means[y, x]:.1f}", 100 * _std(block)
      axes.text(
          x,
          y,
          f"{text}\n± {std:.1f}" if _has_std(block) else text,
          ha="center",
          va="center",
          fontsize=9,
          color="white" if means[y, x] > (low + high) / 2 else theme.DARK)
  theme.name_ticks(
      axes.xaxis,
      map(network_name, targets),
      rotation=30,
      ha="right",
      rotation_mode="anchor")
  theme.name_ticks(axes.yaxis, rows)
  axes.set_ylabel("training set", fontsize=10)
  axes.tick_params(labelsize=9, length=0)
  axes.spines[:].set_visible(False)
  axes.set_xlabel("network", fontsize=10)
  bar = figure.colorbar(image, ax=axes)
  bar.set_label("test accuracy (%)", fontsize=9)
  bar.ax.tick_params(labelsize=8)
  bar.outline.set_visible(False)
  return figure


def confusion_matrix(counts, *, title: str = "Predicted classes"):
  """Confusion matrix of many classes, as colours without numbers.

  Args:
    counts: [K, K], numbers of samples; true classes are rows, predicted ones
      columns.
    title: title of the figure.

  Returns:
    A `Figure`. Colours are percentages of the true class. Classes are numbered
    from 1 instead of named.

  Raises:
    ValueError: `counts` is not a square matrix, or is empty.
  """
  counts = np.asarray(counts, float)
  if counts.ndim != 2 or len(set(counts.shape)) != 1 or not counts.size:
    raise ValueError(f"`counts` must be [K, K]; got shape {counts.shape}.")
  shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
  figure = theme.figure(6.5, 6.0)
  theme.entitle(figure, title)
  axes = figure.subplots()
  image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
  theme.note(
      axes, figure,
      "Classes are numbered from 1, in the order of the data set.")
  for axis in (axes.xaxis, axes.yaxis):
    places = np.unique(np.linspace(0, len(counts) - 1, 11).round())
    axis.set_ticks(places, [f"{place + 1:.0f}" for place in places])
  axes.tick_params(labelsize=9, length=0)
  axes.spines[:].set_visible(False)
  axes.set_xlabel("predicted class", fontsize=10)
  axes.set_ylabel("true class", fontsize=10)
  bar = figure.colorbar(image, ax=axes, shrink=0.8)
  bar.set_label("% of the samples of the true class", fontsize=9)
  bar.ax.tick_params(labelsize=8)
  bar.outline.set_visible(False)
  return figure


def _log_axis(axes, sizes: Sequence[float], unit: str, even: bool, wide: bool):
  """Makes the x axis logarithmic and sets its ticks.

  Args:
    axes: the axes.
    sizes: positions of the points.
    unit: unit that the labels of ticks end in, or "".
    even: whether ticks are round numbers. Otherwise they are the sizes
      themselves, unless there are more than `_FEW`.
    wide: whether to leave more room at both ends, for names.
  """
  from matplotlib.ticker import EngFormatter

  axes.set_xscale("log")
  ticks = sorted(set(sizes))
  smallest, largest = ticks[0], ticks[-1]
  room = max(1.18, (largest / smallest)**(0.12 if wide else 0.06))
  low, high = smallest / room, largest * room
  if even or len(ticks) > _FEW:
    for steps in ((1,), (1, 2, 5), (1, 2, 3, 5, 7), range(1, 10)):
      ticks = [m * 10**e for e in range(-3, 12) for m in steps]
      ticks = [t for t in ticks if low <= t <= high]
      if len(ticks) > 2:
        break
  axes.set_xlim(low, high)
  axes.set_xticks(ticks)
  axes.xaxis.set_major_formatter(EngFormatter(unit))
  axes.minorticks_off()


def _std(block: Mapping[str, Any]) -> float:
  """The standard deviation over networks, or 0 if there is none."""
  return block["std"] if _has_std(block) else 0.0


def _has_std(block: Mapping[str, Any]) -> bool:
  """Whether there is a standard deviation over several networks."""
  std = block.get("std")
  if std is None or not np.isfinite(std):
    return False
  if "per_network" in block:
    return len(block["per_network"]) > 1
  return std > 0


def _whiskers(stds):
  """Lengths of error bars: NaN, which is not drawn, instead of 0."""
  stds = np.asarray(stds, float)
  return np.where(stds > 0, stds, np.nan) if stds.any() else None


def _title(report: Mapping[str, Any]) -> str:
  """Title with the data and the number of samples, if the report has them."""
  title = "Distilled set and baselines"
  parts = []
  if "spec" in report.get("data", {}):
    parts.append(data_name(report["data"]["spec"]))
  if "num_samples" in report:
    parts.append(counted(report["num_samples"], "sample"))
  return f"{title}: {', '.join(parts)}" if parts else title
