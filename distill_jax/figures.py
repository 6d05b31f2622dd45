"""Pictures of a distilled set and of the run that made it.

Every function returns a `matplotlib.figure.Figure`: a notebook shows it and
`save` writes it. No global state is touched: pyplot is never imported, and
matplotlib only when a figure is asked for. Figures are at most 8 inches wide,
so that they stay legible at the width of a README.

`accuracy_against` draws figure 6 of Sucholutsky & Schonlau, "Soft-Label
Dataset Distillation and Text Dataset Distillation", 2019, arXiv 1910.02551.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax import storage

_DPI = 150
# Okabe and Ito's colours, which differ to colour-blind readers too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP"
_PALE, _GREY, _DARK = "#B8B8B8", "#666666", "#222222"

# Horizontal axes: the field of a row, its title, its unit.
AXES = {
    "samples": ("num_samples", "distilled samples", ""),
    "bytes": ("bytes", "size of the set", "B"),
}

# The sample grid, in inches; text in points.
_WIDEST, _NARROWEST, _LARGEST = 8.0, 4.5, 1.6
_COLUMNS, _MARGIN, _STEPS, _GAP = 10, 0.1, 0.95, 0.08
_TEXT, _LINE, _HEADING = 8, 0.15, 0.24


def save(figure, path) -> None:
  """Writes a PNG atomically: the old file or the new one, never a part.

  Args:
    figure: a matplotlib `Figure`.
    path: of the file; its folder exists.
  """
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=_DPI)
  storage.replace(path, content.getvalue())


def sample_grid(
    images,
    labels,
    class_names: Sequence[str],
    *,
    start=None,
    order=None,
    title: str = "Distilled samples",
):
  """The samples in a grid, below each its largest label values.

  Black to white is one range for all pictures of a panel: the mean of their
  pixels and what 99.5 % of them stay within on either side. Samples that look
  like noise are then visible; the caption tells the range.

  Args:
    images: [M, H, W, C] pixels with C = 1 or 3, of any range.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: of every class; two where labels are [M, 1].
    start: [M, H, W, C] pixels that the samples started from, shown first.
    order: [S, n] int; samples then stand step by step.
    title: above all.

  Returns:
    A `Figure`. It has three label values a sample up to 20 samples, two up to
    50 and one beyond.

  Raises:
    ValueError: no images, or labels or names that do not fit them.
  """
  images, labels = _images("images", images), np.asarray(labels)
  _check_labels(labels, len(images), class_names)
  rows = np.arange(len(images)) if order is None else np.ravel(order)
  steps = None
  if order is not None and len(order) > 1:
    steps = np.arange(len(rows)) // np.shape(order)[1] + 1
  columns, many = min(_COLUMNS, len(rows)), len(rows) > 20
  left = _MARGIN if steps is None else _STEPS
  breadth = min(columns * _LARGEST, _WIDEST - left - _MARGIN)
  texts = _label_texts(
      labels[rows], class_names, 1 if len(rows) > 50 else 3 - many,
      room=breadth / columns - _GAP / 2,
  )
  panels = [_Panel("", images[rows], columns, texts, steps)]
  if start is not None:
    start = _images("start", start)
    if start.shape != images.shape:
      raise ValueError(
          f"`start` must have the shape of `images`, {images.shape}; got "
          f"{start.shape}."
      )
    before = _Panel("Before", start[rows], columns * (1 + many))
    panels = [before, panels[0]._replace(heading="After")]
  return _draw(panels, title, left, breadth)


def curves(metrics: Sequence[Mapping[str, float]]):
  """Loss and, where it was logged, accuracy against outer steps.

  Args:
    metrics: lines of `metrics.jsonl`: `step`, `loss` and `accuracy`, a
      fraction of real batches.

  Returns:
    A `Figure` with one or two panels.

  Raises:
    ValueError: no lines.
  """
  if not len(metrics):
    raise ValueError("`metrics` must hold at least one line; got none.")
  shown = [("loss", "loss", 1)]
  if "accuracy" in metrics[0]:
    shown.append(("accuracy", "accuracy on\nreal data (%)", 100))
  figure = _figure(6.5, 0.6 + 1.9 * len(shown))
  panels = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
  steps = [line["step"] for line in metrics]
  for axes, (name, label, scale), colour in zip(
      panels, shown, _COLOURS, strict=False
  ):
    values = [scale * line[name] for line in metrics]
    axes.plot(steps, values, color=colour, marker="o" * (len(steps) < 15))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(label, fontsize=10)
    _dress(axes, "both")
  panels[-1].set_xlabel("outer step", fontsize=10)
  figure.align_ylabels()
  return figure


def accuracy_against(
    rows: Sequence[Mapping[str, Any]],
    axis: str = "samples",
    *,
    full_data: float | None = None,
):
  """Test accuracy against the size of the set, a line for each label.

  Args:
    rows: `label` (of the line), `num_samples` or `bytes`, `mean` and `std`
      (fractions; the std may be missing).
    axis: "samples" or "bytes".
    full_data: accuracy from all real data, a fraction; drawn dashed, and
      dotted 90 % of it.

  Returns:
    A `Figure`.

  Raises:
    ValueError: no rows, or another axis.
  """
  if not len(rows):
    raise ValueError("`rows` must hold at least one point; got none.")
  if axis not in AXES:
    raise ValueError(f"`axis` must be {' or '.join(AXES)}; got {axis!r}.")
  size, title, unit = AXES[axis]
  figure = _figure(6.5, 4.2)
  axes = figure.subplots()
  shown = []
  for i, label in enumerate(dict.fromkeys(row["label"] for row in rows)):
    line = sorted(
        (row for row in rows if row["label"] == label),
        key=lambda row: row[size],
    )
    shown.append(axes.errorbar(
        [row[size] for row in line],
        [100 * row["mean"] for row in line],
        yerr=[100 * _std(row) for row in line],
        color=_COLOURS[i % len(_COLOURS)], marker=_MARKERS[i % len(_MARKERS)],
        markersize=5, capsize=3, linewidth=1.5, label=label,
    ))
  if full_data is not None:
    for share, style, text in (
        (100, "--", "all real data"), (90, ":", "90 % of all real data"),
    ):
      level = share * full_data
      shown.append(axes.axhline(
          level, color=_GREY, linestyle=style, linewidth=1.2,
          label=f"{text}: {level:.1f} %",
      ))
  _log_axis(axes, [row[size] for row in rows], unit)
  _dress(axes, "both")
  axes.set_xlabel(title, fontsize=10)
  axes.set_ylabel("test accuracy (%)", fontsize=10)
  axes.set_ylim(0, 103)
  figure.legend(handles=shown, loc="outside lower center", ncols=2, fontsize=9,
                frameon=False)
  return figure


def accuracy_bars(report: Mapping[str, Any]):
  """The distilled set and its baselines as bars, the best on top.

  Args:
    report: `accuracy` and `baselines`, {name: the same}; each a mapping with
      `mean` and `std` in fractions. `full_data_accuracy` is drawn as a line
      where there is one.

  Returns:
    A `Figure`; whiskers are one standard deviation over networks, cut at 0 and
    100 %.
  """
  from distill_jax.evaluation.baselines import TITLES

  bars = {TITLES.get(name, name): block
          for name, block in report.get("baselines", {}).items()}
  bars["distilled"] = report["accuracy"]
  bars = dict(sorted(bars.items(), key=lambda bar: bar[1]["mean"]))
  means = np.array([100 * block["mean"] for block in bars.values()])
  stds = np.array([100 * _std(block) for block in bars.values()])
  colours = [_COLOURS[0] if name == "distilled" else _PALE for name in bars]
  figure = _figure(6.5, 0.9 + 0.34 * len(bars))
  axes = figure.subplots()
  whiskers = [np.minimum(stds, means), np.minimum(stds, 100 - means)]
  axes.barh(
      list(bars), means, xerr=whiskers, height=0.68, color=colours,
      ecolor=_DARK, capsize=2.5, error_kw={"linewidth": 1},
  )
  for y, (name, mean, std) in enumerate(zip(bars, means, stds, strict=True)):
    axes.text(
        105, y, f"{mean:.1f} ± {std:.1f}" if std else f"{mean:.1f}",
        va="center", fontsize=9, color=_DARK,
        weight="bold" if name == "distilled" else "normal",
    )
  _dress(axes, "x")
  axes.tick_params(axis="y", length=0)
  # The scale ends at 100 %; the numbers stand right of it.
  axes.set(xlim=(0, 124), xticks=range(0, 101, 20))
  axes.set_xlabel("test accuracy (%)", fontsize=10)
  full_data = report.get("full_data_accuracy")
  if full_data is not None:
    full_data *= 100
    axes.axvline(full_data, color=_GREY, linestyle="--", linewidth=1.2)
    axes.set_title(f"dashed: all real data, {full_data:.1f} %", fontsize=9,
                   color=_GREY, loc="right")
  return figure


def transfer_matrix(sets: Mapping[str, Mapping[str, Any]]):
  """Accuracy of sets on networks as a matrix, random real data as last row.

  Args:
    sets: {name of a set: `networks` of its report}, all of the same
      networks, which become the columns.

  Returns:
    A `Figure`.

  Raises:
    ValueError: no sets, or other networks in one of them.
  """
  targets = list(next(iter(sets.values()), ()))
  if not targets or any(list(row) != targets for row in sets.values()):
    raise ValueError(
        "`sets` must be of the same networks; got "
        f"{ {name: list(row) for name, row in sets.items()} }."
    )
  first = next(iter(sets.values()))
  rows = {name: [row[t]["accuracy"] for t in targets]
          for name, row in sets.items()}
  rows["random real"] = [first[t]["random_real"] for t in targets]
  means = np.array([[100 * b["mean"] for b in row] for row in rows.values()])
  figure = _figure(1.6 + 0.95 * len(targets), 1.3 + 0.55 * len(rows))
  axes = figure.subplots()
  low, high = 10 * np.floor(means.min() / 10), 10 * np.ceil(means.max() / 10)
  image = axes.imshow(means, cmap="Blues", vmin=low, vmax=high, aspect="auto")
  for y, row in enumerate(rows.values()):
    for x, block in enumerate(row):
      text, std = f"{means[y, x]:.1f}", 100 * _std(block)
      axes.text(
          x, y, f"{text}\n± {std:.1f}" if std else text, ha="center",
          va="center", fontsize=9,
          color="white" if means[y, x] > (low + high) / 2 else _DARK,
      )
  axes.set_xticks(range(len(targets)), targets, rotation=30, ha="right",
                  rotation_mode="anchor")
  axes.set_yticks(range(len(rows)), list(rows))
  axes.tick_params(labelsize=9, length=0)
  axes.spines[:].set_visible(False)
  axes.set_xlabel("network trained on the set", fontsize=10)
  bar = figure.colorbar(image, ax=axes)
  bar.set_label("test accuracy (%)", fontsize=9)
  bar.ax.tick_params(labelsize=8)
  bar.outline.set_visible(False)
  return figure


class Points(NamedTuple):
  """Samples as points, for `t_sne`.

  Attributes:
    features: [M, D].
    classes: [M] int.
    segments: [M] int from 0, the marker of each; None where there are none.
  """

  features: Any
  classes: Any
  segments: Any = None


def t_sne(
    real: Points,
    sets: Mapping[str, Points],
    class_names: Sequence[str],
    *,
    seed: int = 0,
):
  """Real samples and sets of them in one plane, a panel for each set.

  One t-SNE (van der Maaten & Hinton, 2008) of all points together, so the
  real samples lie alike in all panels. Colours are classes; real samples are
  small and pale; markers tell segments apart, and repeat after six.

  Args:
    real: real samples.
    sets: by title.
    class_names: K of them, at most 20.
    seed: of t-SNE.

  Returns:
    A `Figure`.

  Raises:
    ValueError: no sets, more classes than colours, or too few points.
  """
  from matplotlib import colormaps
  from matplotlib.lines import Line2D
  from sklearn.manifold import TSNE

  num_classes = len(class_names)
  if not sets or num_classes > 20:
    raise ValueError(
        "`sets` must hold a set of at most 20 classes; got "
        f"{len(sets)} of {num_classes}."
    )
  points = (real, *sets.values())
  features = np.concatenate([np.asarray(p.features) for p in points])
  if len(features) < 10:
    raise ValueError(
        "`real` and `sets` must hold ten points together; got "
        f"{len(features)}."
    )
  plane = TSNE(
      init="pca", random_state=seed, perplexity=min(30, len(features) / 4),
  ).fit_transform(features)
  real_at, *sets_at = np.split(
      plane, np.cumsum([len(p.features) for p in points])[:-1]
  )
  palette = colormaps["tab10" if num_classes <= 10 else "tab20"]
  colours = np.array([palette(c) for c in range(num_classes)])
  width = 4.5 if len(sets) == 1 else 8.0
  figure = _figure(width, 1.0 + width / len(sets))
  panels = np.ravel(figure.subplots(1, len(sets), sharex=True, sharey=True))
  for axes, (title, p), at in zip(panels, sets.items(), sets_at, strict=True):
    axes.scatter(*real_at.T, s=5, c=colours[np.asarray(real.classes)],
                 alpha=0.25, linewidths=0)
    segments = np.zeros(len(at), int)
    if p.segments is not None:
      segments = np.asarray(p.segments)
    for segment in np.unique(segments):
      own = segments == segment
      axes.scatter(
          *at[own].T, s=26, c=colours[np.asarray(p.classes)[own]],
          marker=_MARKERS[segment % len(_MARKERS)], edgecolors=_DARK,
          linewidths=0.8,
      )
    axes.set_title(title, fontsize=10)
    axes.set(xticks=(), yticks=())
  handles = [
      Line2D([], [], marker="o", linestyle="", color=colours[c], label=name)
      for c, name in enumerate(class_names)
  ]
  numbers = sorted({
      int(g) for p in sets.values() if p.segments is not None
      for g in np.unique(p.segments)
  })
  handles += [
      Line2D([], [], marker=_MARKERS[g % len(_MARKERS)], linestyle="",
             color="white", markeredgecolor=_DARK, label=f"segment {g + 1}")
      for g in numbers
  ]
  figure.legend(handles=handles, loc="outside lower center", ncols=5,
                fontsize=8, frameon=False, columnspacing=1.0)
  return figure


class _Panel(NamedTuple):
  """A block of pictures.

  Attributes:
    heading: above it, or "".
    images: [M, H, W, C] pixels.
    columns: pictures in a row.
    texts: M lists of lines below the pictures.
    steps: [M] int, the step each picture belongs to, or None.
  """

  heading: str
  images: np.ndarray
  columns: int
  texts: Sequence[Sequence[str]] = ()
  steps: np.ndarray | None = None


def _draw(panels: Sequence[_Panel], title: str, left: float, breadth: float):
  """Places everything by hand, in inches from the upper left corner.

  Args:
    panels: from top to bottom.
    title: above all.
    left: inches kept free left of the pictures.
    breadth: inches that the pictures of a full row take.
  """
  figure = _figure(1, 1, layout=None)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  width = max(_NARROWEST, left + breadth + _MARGIN)
  left += (width - left - breadth - _MARGIN) / 2
  y = _MARGIN
  for line in textwrap.wrap(title, int(width * 9.5)):
    _write(axes, width / 2, y, line, fontsize=11, weight="bold")
    y += _HEADING
  for line in textwrap.wrap(_caption(panels), int(width * 15)):
    _write(axes, width / 2, y, line, color=_GREY)
    y += _LINE
  for panel in panels:
    y += _GAP
    if panel.heading:
      _write(axes, width / 2, y, panel.heading, fontsize=10)
      y += _HEADING
    y = _draw_panel(axes, panel, left, y, breadth / panel.columns)
  axes.set(xlim=(0, width), ylim=(y, 0))
  figure.set_size_inches(width, y)
  return figure


def _draw_panel(axes, panel: _Panel, left, y, cell) -> float:
  """Draws a block whose corner is (left, y); returns its lower end."""
  shape = np.array(panel.images.shape[1:3])
  height, width = shape * (cell - _GAP) / shape.max()
  mean, reach = _range(panel.images)
  pictures = np.clip((panel.images - mean) / (2 * reach) + 0.5, 0, 1)
  pictures = np.broadcast_to(pictures, (*pictures.shape[:3], 3))
  for row in range(0, len(pictures), panel.columns):
    members = range(row, min(row + panel.columns, len(pictures)))
    if panel.steps is not None:
      text = _step_text(panel.steps[members[0]], panel.steps[members[-1]])
      _write(axes, left - _GAP, y + height / 2, text, ha="right", va="center",
             color=_GREY)
    for column, i in enumerate(members):
      x = left + (column + 0.5) * cell
      axes.imshow(
          pictures[i], interpolation="nearest", aspect="auto",
          extent=(x - width / 2, x + width / 2, y + height, y),
      )
      for line, text in enumerate(panel.texts[i] if panel.texts else ()):
        _write(axes, x, y + height + 0.03 + line * _LINE, text,
               color=_GREY if line else _DARK)
    y += height + _GAP
    if panel.texts:
      y += _LINE * max(map(len, panel.texts)) + 0.03
  return y


def _write(axes, x, y, text, **style):
  style = {"ha": "center", "va": "top", "fontsize": _TEXT, "color": _DARK,
           **style}
  axes.text(x, y, text, parse_math=False, **style)


def _range(images) -> tuple[float, float]:
  """The mean pixel, and what is added to it for white."""
  mean = float(images.mean())
  return mean, max(float(np.quantile(np.abs(images - mean), 0.995)), 0.01)


def _caption(panels: Sequence[_Panel]) -> str:
  def text(panel):
    mean, reach = _range(panel.images)
    return f"{mean - reach:z.2f} to {mean + reach:.2f} {panel.heading.lower()}"

  ranges = ", ".join(text(panel).strip() for panel in panels)
  return f"Pixels from black to white: {ranges}; in real images 0 to 1."


def _step_text(first: int, last: int) -> str:
  return f"step {first}" if first == last else f"steps {first}–{last}"


def _label_texts(labels, class_names, num: int, *, room: float):
  """The `num` largest values of each row, with names that fit `room` inches.

  Zeros after the first say nothing and are left out, as are the values of hard
  labels.
  """
  if labels.shape[1] == 1:
    labels = np.concatenate([1 - labels, labels], axis=1)
  if np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all():
    names = [_shortened(str(name), "", room) for name in class_names]
    return [[names[c]] for c in labels.argmax(1)]
  decimals = 1 if np.abs(labels).max() >= 1.05 else 2
  largest = np.argsort(-labels, axis=1, kind="stable")[:, :num]
  values = [
      [f"{row[c]:z.{decimals}f}" for c in places]
      for row, places in zip(labels, largest, strict=True)
  ]
  longest = ": " + max((value for row in values for value in row), key=len)
  names = [_shortened(str(name), longest, room) for name in class_names]
  return [
      [
          f"{names[c]}: {value}"
          for c, value in zip(places, row, strict=True)
          if c == places[0] or float(value)
      ] for places, row in zip(largest, values, strict=True)
  ]


def _shortened(name: str, rest: str, room: float) -> str:
  """The name, or a start of it and "…", so that it and `rest` fit `room`."""
  if _inches(name + rest) <= room:
    return name
  end = min(len(name), 40)
  while end > 1 and _inches(f"{name[:end]}…{rest}") > room:
    end -= 1
  return name[:end].rstrip() + "…"


def _inches(text: str) -> float:
  """Width of a label value's text, and a twentieth for rounding to pixels."""
  from matplotlib.textpath import TextPath

  plain = text.replace("$", "S")  # Dollars would be read as mathematics.
  return 1.05 / 72 * TextPath((0, 0), plain, size=_TEXT).get_extents().width


def _images(argument: str, images) -> np.ndarray:
  images = np.asarray(images, np.float32)
  if images.ndim != 4 or not images.size or images.shape[-1] not in (1, 3):
    raise ValueError(
        f"`{argument}` must be images [M, H, W, C] with C = 1 or 3; got shape "
        f"{images.shape}. Other samples have no pictures."
    )
  if not np.isfinite(images).all():
    raise ValueError(f"`{argument}` must be finite; got NaN or infinity.")
  return images


def _check_labels(labels, num_samples: int, class_names):
  if labels.ndim != 2 or len(labels) != num_samples:
    raise ValueError(
        f"`labels` must be [M, K] for {num_samples} images; got shape "
        f"{labels.shape}."
    )
  expected = 2 if labels.shape[1] == 1 else labels.shape[1]
  if len(class_names) != expected:
    raise ValueError(
        f"`class_names` must have {expected} names; got {len(class_names)}."
    )


def _figure(width: float, height: float, layout="constrained"):
  """A figure of its own, in inches, with no pyplot behind it."""
  from matplotlib.figure import Figure

  return Figure(figsize=(width, height), dpi=_DPI, layout=layout)


def _dress(axes, grid: str):
  """The common look: two spines, a pale grid behind the data."""
  axes.spines[["top", "right"]].set_visible(False)
  axes.tick_params(labelsize=9)
  axes.set_axisbelow(True)
  axes.grid(axis=grid, color="#E6E6E6", linewidth=0.8)


def _log_axis(axes, sizes: Sequence[int], unit: str):
  """A logarithmic x axis over a decade or more, labelled at 1, 2 and 5."""
  from matplotlib.ticker import EngFormatter

  axes.set_xscale("log")
  smallest = min(sizes)
  largest = max(10 * smallest, *sizes)
  axes.set_xlim(0.85 * smallest, largest / 0.85)
  ticks = [m * 10**e for e in range(12) for m in (1, 2, 5)]
  axes.set_xticks([t for t in ticks if smallest <= t <= largest])
  axes.xaxis.set_major_formatter(EngFormatter(unit))
  axes.minorticks_off()


def _std(block: Mapping[str, Any]) -> float:
  """The standard deviation, 0 where there is none (one network)."""
  std = block.get("std")
  return std if std is not None and np.isfinite(std) else 0.0
