"""Distilled images in a grid: rows are classes, columns their samples."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax.figures import captions, theme
from distill_jax.figures.captions import TEXT

# All lengths are in inches.
_WIDEST, _NARROWEST = 8.0, 4.5  # width of the figure
_TALLEST = 5.2  # taller rows are split into blocks side by side
_PAGE = 9.0  # greatest height of the rows
_CELLS = 0.82, 0.7, 0.58  # sides of an image, the preferred one first
_LARGEST = 1.6  # side of an image, if there are few
_NAMES, _TEXTS = 1.4, 0.8  # widths of class names, and of texts beside images
_COLUMNS, _PICTURES, _ROWS = 10, 100, 40  # most that are shown
_MARGIN, _GAP = 0.1, 0.08
_BEFORE, _BETWEEN = 0.12, 0.3  # between "before" and "after", between blocks
_LINE, _HEADING = 0.15, 0.24  # heights of a line and of a heading
_NAME_SIZE = 9  # font size of class names, in points


def sample_grid(
    images,
    labels,
    class_names: Sequence[str],
    *,
    start=None,
    order=None,
    title: str = "Distilled samples",
    label_space: str = "raw",
    limits: tuple[float, float] = (0.0, 1.0)):
  """Images in a grid: rows are classes, columns the samples of a class.

  A sample is in the row of the class with its largest label value. Soft labels
  are written beside or below each sample. All images are drawn with the same
  limits; the figure says how many pixels are clipped.

  Args:
    images: [M, H, W, C] float, pixels with C = 1 or 3.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: the names of all K classes; two if labels are [M, 1].
    start: [M, H, W, C], the samples before distillation, shown beside or above
      the others; or None.
    order: [S, n] int, the samples of each step; or None. If there are several
      steps, samples of a class are sorted by their first step, and each sample
      is labelled with its steps.
    title: title of the figure.
    label_space: "raw", "probabilities", "logits" or "centred", see
      `artifact.Artifact`. Logits are shown as probabilities.
    limits: (black, white), the pixel values that are drawn black and white,
      usually the range of the real images.

  Returns:
    A `Figure`. Each sample has up to three label values if there are at most 20
    samples, up to two if there are at most 50, and one otherwise. At most ten
    samples per class are shown and, if there are many classes, the first ones
    only; the figure says what it leaves out.

  Raises:
    ValueError: there are no images, images are not finite, or labels, names,
      start or limits do not fit.
  """
  images = _images("images", images)
  read = captions.shown(labels, len(images), class_names, label_space)
  if not limits[0] < limits[1]:
    raise ValueError(f"`limits` must be (black, white); got {limits}.")
  if start is not None:
    start = _images("start", start)
    if start.shape != images.shape:
      raise ValueError(
          f"`start` must have the shape of `images`, {images.shape}; got "
          f"{start.shape}.")
  steps = captions.steps_of(order, len(images))
  groups = captions.by_class(read, steps)
  columns = min(max(map(len, groups.values())), _COLUMNS)
  kept = list(groups)[:min(_ROWS, max(10, _PICTURES // columns))]
  rows = [(str(class_names[c]), groups[c][:columns]) for c in kept]
  for cell in _CELLS:  # the largest with which all rows fit on a page
    layout = _layout(rows, columns, cell, start is not None, read.hard)
    texts = _texts(
        read, class_names, steps, room=layout.texts or layout.cell - _GAP / 2)
    shown = [texts[i] for _, samples in rows for i in samples]
    lines = max(map(len, shown))
    if layout.texts:
      widths = [captions.inches(text) for own in shown for text, _ in own]
      layout = layout._replace(texts=max(widths))
    panels = _panels(images, start, texts, layout, lines)
    num_blocks, height = _blocks(len(rows), layout, panels)
    if height <= _PAGE:
      break
  each = int(-(-len(rows) // num_blocks) * min(_PAGE / height, 1))
  rows = rows[:max(10, each * num_blocks)]
  note = _note(images, read, class_names, groups, columns, len(rows), limits)
  return _draw(panels, rows, layout, num_blocks, title, note, limits)


class _Layout(NamedTuple):
  """Sizes of the parts of a row; lengths are in inches.

  Attributes:
    columns: number of samples in a row.
    beside: whether the samples before and after are side by side.
    names: width of the class names.
    cell: side of an image and the gap after it.
    texts: width of the texts to the right of an image; 0 if they are below it.
  """

  columns: int
  beside: bool
  names: float
  cell: float
  texts: float


class _Panel(NamedTuple):
  """The samples before or after distillation.

  Attributes:
    heading: text above the samples, or "".
    images: [M, H, W, C] float, pixels.
    texts: M lists of pairs of a line and its colour; or None.
    cell: side of an image and the gap after it, in inches.
    lines: number of lines for which each row has room.
    right: whether the texts are to the right of the images instead of below.
  """

  heading: str
  images: np.ndarray
  texts: Sequence[Sequence[tuple[str, str]]] | None
  cell: float
  lines: int
  right: bool


def _layout(rows, columns, cell, before: bool, hard: bool) -> _Layout:
  longest = max(captions.inches(name, _NAME_SIZE) for name, _ in rows)
  names = min(longest, _NAMES) + _GAP
  beside = before and columns <= (6 if hard else 4)
  wide = columns * (1 + beside)
  few = len(rows) * columns <= 4
  texts = _TEXTS * (columns == 1 and not hard)
  room = _WIDEST - 2 * _MARGIN - names - beside * _BEFORE - texts
  cell = min(room / wide, _LARGEST if few else cell)
  return _Layout(columns, beside, names, cell, texts)


def _panels(images, start, texts, layout: _Layout, lines: int):
  """Returns one panel, or two; "before" is drawn smaller if it is above."""
  right = layout.texts > 0
  after = _Panel("", images, texts, layout.cell, lines, right)
  if start is None:
    return [after]
  cell = layout.cell if layout.beside else layout.cell / 2
  before = _Panel(
      "Before", start, None, cell, lines if layout.beside else 0, right)
  return [before, after._replace(heading="After")]


def _blocks(num_rows: int, layout: _Layout, panels) -> tuple[int, float]:
  """Returns the number of blocks side by side, and their height in inches."""
  if layout.beside:
    panels = panels[1:]
  row, wide = sum(map(_row_height, panels)), _breadth(layout, panels[-1].cell)
  blocks = 1
  while (-(-num_rows // blocks) * row > _TALLEST and
         (blocks + 1) * wide + blocks * _BETWEEN <= _WIDEST - 2 * _MARGIN):
    blocks += 1
  each = -(-num_rows // blocks)
  return -(-num_rows // each), each * row


def _breadth(layout: _Layout, cell: float) -> float:
  """Width of a row with its class name, in inches."""
  pictures = layout.columns * (1 + layout.beside) * cell
  return layout.names + pictures + layout.beside * _BEFORE + layout.texts


def _texts(read, class_names, steps, *, room: float):
  """Texts of the samples: M lists of pairs of a line and its colour."""
  num = len(read.rows)
  found = [[] for _ in range(num)]
  if not read.hard:
    values = captions.label_texts(
        read, class_names, 1 if num > 50 else 3 - (num > 20), room=room)
    for lines, own in zip(found, values, strict=True):
      lines += [(v, theme.GREY if i else theme.DARK) for i, v in enumerate(own)]
  for lines, own in zip(found, steps or (), strict=False):
    lines.append((captions.step_text(own), theme.colour(0)))
  return found


def _draw(panels, rows, layout: _Layout, num_blocks, title, note, limits):
  """Draws the figure; coordinates are inches from the upper left corner.

  Args:
    panels: one panel, or the two before and after distillation.
    rows: pairs of a class name and the indices of its samples.
    layout: sizes of the parts of a row.
    num_blocks: number of blocks of rows, side by side.
    title: title of the figure.
    note: text below the title.
    limits: pixel values that are drawn black and white.
  """
  figure = theme.figure(1, 1, layout=None)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  each = -(-len(rows) // num_blocks)
  between = (num_blocks - 1) * _BETWEEN
  width = num_blocks * _breadth(layout, layout.cell) + between + 2 * _MARGIN
  width = max(_NARROWEST, width)
  y = _MARGIN
  for line in theme.wrapped(title, int(width * 9.5)):
    _write(axes, width / 2, y, line, fontsize=11, weight="bold")
    y += _HEADING
  for line in theme.wrapped(note, int(width * 15)):
    _write(axes, width / 2, y, line, color=theme.GREY)
    y += _LINE
  y += _GAP
  for group in ([panels] if layout.beside else [[p] for p in panels]):
    wide = _breadth(layout, group[-1].cell)
    x, bottom = (width - num_blocks * wide - between) / 2, y
    for block in range(num_blocks):
      members = rows[block * each:(block + 1) * each]
      end = _draw_block(axes, group, members, layout, x, y, limits)
      x, bottom = x + wide + _BETWEEN, max(bottom, end)
    y = bottom + _GAP
  axes.set(xlim=(0, width), ylim=(y, 0))
  figure.set_size_inches(width, y)
  return figure


def _row_height(panel: _Panel) -> float:
  shape = np.array(panel.images.shape[1:3])
  height = shape[0] * (panel.cell - _GAP) / shape.max()
  if panel.right:
    return max(height, _LINE * panel.lines) + _GAP
  return height + _GAP + _LINE * panel.lines


def _draw_block(axes, panels, rows, layout: _Layout, left, y, limits) -> float:
  """Draws rows from their corner (left, y) on; returns their lower end."""
  starts, x = [], left + layout.names
  for panel in panels:
    starts.append(x)
    if panel.heading:
      middle = x + layout.columns * panel.cell / 2
      _write(axes, middle, y, panel.heading, fontsize=10)
    x += layout.columns * panel.cell + _BEFORE
  y += _HEADING * bool(panels[0].heading)
  for name, samples in rows:
    for x, panel in zip(starts, panels, strict=True):
      _draw_row(axes, panel, samples, x, y, limits)
    height, last = _row_height(panels[-1]), panels[-1]
    middle = (height - _GAP - _LINE * last.lines * (not last.right)) / 2
    _write(
        axes,
        left + layout.names - _GAP,
        y + middle,
        captions.shortened(name, layout.names - _GAP, size=_NAME_SIZE),
        ha="right",
        va="center",
        fontsize=_NAME_SIZE)
    y += height
  return y


def _draw_row(axes, panel: _Panel, samples, left, y, limits) -> None:
  shape = np.array(panel.images.shape[1:3])
  height, width = shape * (panel.cell - _GAP) / shape.max()
  low, high = limits
  if panel.right:
    y += (_row_height(panel) - _GAP - height) / 2
  for column, i in enumerate(samples):
    x = left + (column + 0.5) * panel.cell
    picture = np.clip((panel.images[i] - low) / (high - low), 0, 1)
    axes.imshow(
        np.broadcast_to(picture, (*picture.shape[:2], 3)),
        interpolation="nearest",
        aspect="auto",
        extent=(x - width / 2, x + width / 2, y + height, y))
    texts: Any = panel.texts[i] if panel.texts else ()
    for line, (text, colour) in enumerate(texts):
      at = (x, y + height + 0.03, "center")
      if panel.right:
        above = (height - _LINE * len(texts)) / 2
        at = (left + panel.cell, y + above + 0.02, "left")
      _write(axes, at[0], at[1] + line * _LINE, text, ha=at[2], color=colour)


def _write(axes, x, y, text, **style):
  style = {
      "ha": "center",
      "va": "top",
      "fontsize": TEXT,
      "color": theme.DARK,
      **style
  }
  axes.text(x, y, text, parse_math=False, **style)


def _note(images, read, class_names, groups, columns, num_rows, limits) -> str:
  """Says what rows, numbers and grey levels mean, and what is left out."""
  parts = [captions.row_note(read, class_names, groups, num_rows)]
  largest = max(map(len, groups.values()))
  if columns < largest:
    parts.append(f"Shown are up to {columns} of {largest} samples per class.")
  if read.hard:
    parts.append("Labels are hard.")
  else:
    parts.append(f"Numbers are the largest {read.note}.")
  low, high = limits
  pixels = f"Pixel values: each colour from {low:.3g} to {high:.3g}"
  if images.shape[3] == 1:
    pixels = f"Pixel values: {low:.3g} is black, {high:.3g} is white"
  half = 0.5 / 255 * (high - low)
  outside = ((images < low - half) | (images > high + half)).mean()
  if outside:
    percent = "under 1 %" if outside < 0.01 else f"{100 * outside:.0f} %"
    pixels += (
        f"; distilled ones range from {images.min():z.2f} to "
        f"{images.max():z.2f}, and {percent} of them are clipped")
  parts.append(f"{pixels}.")
  return " ".join(parts)


def _images(argument: str, images) -> np.ndarray:
  images = np.asarray(images, np.float32)
  if images.ndim != 4 or not images.size or images.shape[-1] not in (1, 3):
    raise ValueError(
        f"`{argument}` must be images [M, H, W, C] with C = 1 or 3; got shape "
        f"{images.shape}. Other samples cannot be drawn as images.")
  if not np.isfinite(images).all():
    raise ValueError(f"`{argument}` must be finite; got NaN or infinity.")
  return images
