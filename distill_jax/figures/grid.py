"""The pictures of a set in a grid, labels below them."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distill_jax.figures import theme
from distill_jax.figures.captions import TEXT, check_labels, label_texts

# In inches; text in points.
_WIDEST, _NARROWEST, _LARGEST = 8.0, 4.5, 1.6
_COLUMNS, _MARGIN, _STEPS, _GAP = 10, 0.1, 0.95, 0.08
_LINE, _HEADING = 0.15, 0.24


def sample_grid(
    images,
    labels,
    class_names: Sequence[str],
    *,
    start=None,
    order=None,
    title: str = "Distilled samples"):
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
  check_labels(labels, len(images), class_names)
  rows = np.arange(len(images)) if order is None else np.ravel(order)
  steps = None
  if order is not None and len(order) > 1:
    steps = np.arange(len(rows)) // np.shape(order)[1] + 1
  columns, many = min(_COLUMNS, len(rows)), len(rows) > 20
  left = _MARGIN if steps is None else _STEPS
  breadth = min(columns * _LARGEST, _WIDEST - left - _MARGIN)
  texts = label_texts(
      labels[rows],
      class_names,
      1 if len(rows) > 50 else 3 - many,
      room=breadth / columns - _GAP / 2)
  panels = [_Panel("", images[rows], columns, texts, steps)]
  if start is not None:
    start = _images("start", start)
    if start.shape != images.shape:
      raise ValueError(
          f"`start` must have the shape of `images`, {images.shape}; got "
          f"{start.shape}.")
    before = _Panel("Before", start[rows], columns * (1 + many))
    panels = [before, panels[0]._replace(heading="After")]
  return _draw(panels, title, left, breadth)


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
  figure = theme.figure(1, 1, layout=None)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  width = max(_NARROWEST, left + breadth + _MARGIN)
  left += (width - left - breadth - _MARGIN) / 2
  y = _MARGIN
  for line in textwrap.wrap(title, int(width * 9.5)):
    _write(axes, width / 2, y, line, fontsize=11, weight="bold")
    y += _HEADING
  for line in textwrap.wrap(_caption(panels), int(width * 15)):
    _write(axes, width / 2, y, line, color=theme.GREY)
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
      _write(
          axes,
          left - _GAP,
          y + height / 2,
          text,
          ha="right",
          va="center",
          color=theme.GREY)
    for column, i in enumerate(members):
      x = left + (column + 0.5) * cell
      axes.imshow(
          pictures[i],
          interpolation="nearest",
          aspect="auto",
          extent=(x - width / 2, x + width / 2, y + height, y))
      for line, text in enumerate(panel.texts[i] if panel.texts else ()):
        _write(
            axes,
            x,
            y + height + 0.03 + line * _LINE,
            text,
            color=theme.GREY if line else theme.DARK)
    y += height + _GAP
    if panel.texts:
      y += _LINE * max(map(len, panel.texts)) + 0.03
  return y


def _write(axes, x, y, text, **style):
  style = {
      "ha": "center",
      "va": "top",
      "fontsize": TEXT,
      "color": theme.DARK,
      **style
  }
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


def _images(argument: str, images) -> np.ndarray:
  images = np.asarray(images, np.float32)
  if images.ndim != 4 or not images.size or images.shape[-1] not in (1, 3):
    raise ValueError(
        f"`{argument}` must be images [M, H, W, C] with C = 1 or 3; got shape "
        f"{images.shape}. Other samples have no pictures.")
  if not np.isfinite(images).all():
    raise ValueError(f"`{argument}` must be finite; got NaN or infinity.")
  return images
