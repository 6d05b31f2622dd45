"""Distilled samples of tabular data: a heat map with the values in it."""

from collections.abc import Sequence

import numpy as np

from distill_jax.figures import captions, theme

_COLUMNS, _ROWS = 20, 30  # most that are shown
# Width of the names of rows, width of the figure, height of a row; in inches.
_NAMES, _WIDEST, _ROW = 2.2, 8.0, 0.24
_SMALLEST, _LARGEST = 6, 8  # font sizes of values, in points
_REACH = 2.5  # standard deviations at which the colours end


def feature_table(
    features,
    labels,
    class_names: Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    standardised=None,
    order=None,
    title: str = "Distilled samples",
    label_space: str = "raw"):
  """A table of samples by row, with their classes, and features by column.

  Values are written into the cells if they fit. Colours show how far a value is
  from the mean of its column, in standard deviations.

  Args:
    features: [M, D] float, in original units.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: the names of all K classes; two if labels are [M, 1].
    columns: the names of all D features; by default x1 to xD.
    standardised: [M, D] float, the features standardised with the means and
      standard deviations of the real data, for the colours. By default those of
      the distilled samples are used.
    order: [S, n] int, the samples of each step; or None. If there are several
      steps, each sample is labelled with its steps.
    title: title of the figure.
    label_space: "raw", "probabilities", "logits" or "centred", see
      `artifact.Artifact`. Logits are shown as probabilities.

  Returns:
    A `Figure` with at most 30 samples and 20 features; it says what it leaves
    out.

  Raises:
    ValueError: `features` does not have two axes or is empty, or labels or
      names do not fit.
  """
  features = np.asarray(features, np.float32)
  if features.ndim != 2 or not features.size:
    raise ValueError(f"`features` must be [M, D]; got shape {features.shape}.")
  num, width = features.shape
  if columns is None:
    columns = [f"x{i + 1}" for i in range(width)]
  if len(columns) != width:
    raise ValueError(
        f"`columns` must name {width} features; got {len(columns)}.")
  read = captions.shown(labels, num, class_names, label_space)
  steps = captions.steps_of(order, num)
  groups = captions.by_class(read, steps)
  kept = _spread(list(groups.values()))
  colours = _colours(features, standardised)[kept, :_COLUMNS]
  shown = features[kept, :_COLUMNS]
  names = _row_names(read, class_names, steps, kept)
  room = min(max(map(captions.inches, names)), _NAMES) + 0.4
  breadth = min(_WIDEST - room - 0.9, 0.75 * shown.shape[1])
  figure = theme.figure(
      max(room + breadth + 0.9, 5.0), 1.9 + _ROW * max(len(kept), 4))
  theme.entitle(figure, title)
  axes = figure.subplots()
  image = axes.imshow(
      colours, cmap="RdBu_r", vmin=-_REACH, vmax=_REACH, aspect="auto")
  written = _write_values(axes, shown, colours, breadth / shown.shape[1])
  theme.note(axes, figure, _note(read, features.shape, shown.shape, written))
  short = [captions.shortened(str(c), 1.0) for c in columns[:_COLUMNS]]
  longest = max(map(captions.inches, short))
  slanted = longest > breadth / shown.shape[1]
  theme.name_ticks(
      axes.xaxis,
      short,
      most=99,
      fontsize=captions.TEXT,
      **(
          dict(rotation=35, ha="right", rotation_mode="anchor")
          if slanted else {}))
  theme.name_ticks(axes.yaxis, names, most=99, fontsize=captions.TEXT)
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)
  for y in np.flatnonzero(np.diff(read.classes[kept])):
    axes.axhline(y + 0.5, color="white", linewidth=2.5)
  axes.set_xlabel("feature (original units)", fontsize=9)
  axes.set_ylabel("distilled sample", fontsize=9)
  tall = figure.get_size_inches()[1]
  bar = figure.colorbar(
      image, ax=axes, extend="both", shrink=min(1, 3 / tall), aspect=15)
  mean = "distilled" if standardised is None else "real"
  bar.set_label(f"standard deviations\nfrom the {mean} mean", fontsize=8)
  bar.ax.tick_params(labelsize=7)
  bar.outline.set_visible(False)
  return figure


def _spread(groups: Sequence[Sequence[int]]) -> list[int]:
  """Chooses up to `_ROWS` samples, class by class, evenly over the classes."""
  num = max(1, _ROWS // len(groups))
  while sum(len(g[:num + 1]) for g in groups) <= _ROWS and num < max(map(
      len, groups)):
    num += 1
  return [sample for group in groups for sample in group[:num]][:_ROWS]


def _colours(features, standardised) -> np.ndarray:
  if standardised is not None:
    return np.asarray(standardised, np.float32)
  centred = features - features.mean(0)
  std = centred.std(0)
  return centred / np.where(std > 0, std, 1)


def _row_names(read, class_names, steps, kept) -> list[str]:
  """Names of the rows: class, label value if labels are soft, and steps."""
  texts = captions.label_texts(read, class_names, 1, room=_NAMES - 0.5)
  return [
      texts[i][0] + (f", {captions.step_text(steps[i])}" if steps else "")
      for i in kept
  ]


def _note(read, all_of, shown, written: bool) -> str:
  parts = ["Values are in original units."]
  if not written:
    parts = ["Values are shown by colours alone, as numbers do not fit."]
  if not read.hard:
    parts.append(f"Numbers beside class names are the largest {read.note}.")
  for name, total, num in zip(("samples", "features"), all_of, shown,
                              strict=True):
    if num < total:
      parts.append(f"Shown are {num} of {total:,} {name}.")
  return " ".join(parts)


def _write_values(axes, values, colours, room: float) -> bool:
  """Writes the values into the cells, if all fit in a legible font.

  Args:
    axes: the axes.
    values: [rows, columns] float.
    colours: [rows, columns] float, in standard deviations.
    room: width of a cell in inches.

  Returns:
    Whether the values were written.
  """
  for digits in (3, 2):
    texts = [[number(v, digits) for v in row] for row in values]
    longest = max((text for row in texts for text in row), key=len)
    size = min(_LARGEST, 0.95 * room / captions.inches(longest, 1))
    if size >= _SMALLEST:
      break
  else:
    return False
  for y, row in enumerate(texts):
    for x, text in enumerate(row):
      dark = abs(colours[y, x]) > 0.7 * _REACH
      axes.text(
          x,
          y,
          text,
          ha="center",
          va="center",
          fontsize=size,
          color="white" if dark else theme.DARK)
  return True


def number(value: float, digits: int = 3) -> str:
  """Writes a number with so many significant digits: 0.0123, 45.6, 5.67e6.

  Numbers from 1,000 to 100,000 are rounded to integers, such as 12,345.
  """
  if 1e3 <= abs(value) < 1e5:
    return f"{value:,.0f}"
  text = f"{value:.{digits}g}"
  return text.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
