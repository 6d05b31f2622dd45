"""The pictures of a set: rows are classes, columns the samples of a class."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax.figures import captions, theme
from distill_jax.figures.captions import TEXT

# In inches; text in points.
_WIDEST, _NARROWEST, _TALLEST, _PAGE = 8.0, 4.5, 5.2, 9.0
_CELLS, _LARGEST, _NAMES, _TEXTS = (0.82, 0.7, 0.58), 1.6, 1.4, 0.8
_COLUMNS, _PICTURES, _ROWS = 10, 100, 40
_MARGIN, _GAP, _BEFORE, _BETWEEN = 0.1, 0.08, 0.12, 0.3
_LINE, _HEADING, _NAME_SIZE = 0.15, 0.24, 9


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
  """The samples in a grid: rows are classes, columns samples of the class.

  The class is that of the largest label value. Pixels are drawn as they are,
  in one range for all pictures; the figure says how many pixels leave the
  range and are clipped. Soft labels stand by each sample.

  Args:
    images: [M, H, W, C] pixels with C = 1 or 3.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: of every class; two where labels are [M, 1].
    start: [M, H, W, C] pixels that the samples started from, shown before.
    order: [S, n] int; with several steps, samples of a class stand in the
      order of their steps, each with its step.
    title: above all.
    label_space: of the labels, see `artifact.Artifact`. Logits are shown as
      probabilities.
    limits: pixel values drawn black and white, those of the real images.

  Returns:
    A `Figure`. It has three label values a sample up to 20 samples, two up to
    50 and one beyond. Of a class it shows ten samples at most, and of many
    classes the first; the figure says so.

  Raises:
    ValueError: no images, or labels, names or limits that do not fit them.
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
  for cell in _CELLS:  # the largest that keeps the figure on a page
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
  """Attributes:
    columns: samples of a row.
    beside: whether "before" and "after" stand side by side.
    names: width of the names, in inches.
    cell: of a picture, in inches.
    texts: kept right of a picture for its texts, in inches; 0 for texts below.
  """

  columns: int
  beside: bool
  names: float
  cell: float
  texts: float


class _Panel(NamedTuple):
  """Pictures before or after distillation.

  Attributes:
    heading: above them, or "".
    images: [M, H, W, C] pixels.
    texts: M lists of lines below or beside the pictures; None for none.
    cell: side of a picture and the gap, in inches.
    lines: room kept below each row, or at least as high as a row.
    right: whether texts stand right of the pictures.
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
  """One panel, or those before and after; before is small above the other."""
  right = layout.texts > 0
  after = _Panel("", images, texts, layout.cell, lines, right)
  if start is None:
    return [after]
  cell = layout.cell if layout.beside else layout.cell / 2
  before = _Panel(
      "Before", start, None, cell, lines if layout.beside else 0, right)
  return [before, after._replace(heading="After")]


def _blocks(num_rows: int, layout: _Layout, panels) -> tuple[int, float]:
  """How many columns of rows the figure has, and how tall these are."""
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
  """Inches that a row takes, its name included."""
  pictures = layout.columns * (1 + layout.beside) * cell
  return layout.names + pictures + layout.beside * _BEFORE + layout.texts


def _texts(read, class_names, steps, *, room: float):
  """M lists of pairs of a line and its colour."""
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
  """Places everything by hand, in inches from the upper left corner.

  Args:
    panels: one, or those before and after.
    rows: pairs of a class name and its samples.
    layout: of rows and columns.
    num_blocks: columns of rows.
    title: above all.
    note: below the title.
    limits: of black and white.
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
  """Draws rows whose corner is (left, y); returns their lower end."""
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
  """What rows, numbers and greys are, and what is cut."""
  parts = [captions.row_note(read, class_names, groups, num_rows)]
  largest = max(map(len, groups.values()))
  if columns < largest:
    parts.append(f"Of each class, up to {columns} of {largest} samples.")
  parts.append(
      "Labels are hard." if read.hard else f"Numbers: the largest {read.note}.")
  low, high = limits
  pixels = f"Pixels: each colour from {low:.3g} to {high:.3g}"
  if images.shape[3] == 1:
    pixels = f"Pixels: {low:.3g} is black, {high:.3g} is white"
  half = 0.5 / 255 * (high - low)
  outside = ((images < low - half) | (images > high + half)).mean()
  if outside:
    percent = "under 1 %" if outside < 0.01 else f"{100 * outside:.0f} %"
    pixels += (
        f"; distilled ones reach from {images.min():z.2f} to "
        f"{images.max():z.2f}, and {percent} of them are clipped")
  parts.append(f"{pixels}.")
  return " ".join(parts)


def _images(argument: str, images) -> np.ndarray:
  images = np.asarray(images, np.float32)
  if images.ndim != 4 or not images.size or images.shape[-1] not in (1, 3):
    raise ValueError(
        f"`{argument}` must be images [M, H, W, C] with C = 1 or 3; got shape "
        f"{images.shape}. Other samples have no pictures.")
  if not np.isfinite(images).all():
    raise ValueError(f"`{argument}` must be finite; got NaN or infinity.")
  return images
