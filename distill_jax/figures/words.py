"""A distilled text set: its nearest words, and its vectors as heat maps.

Both are in Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text
Dataset Distillation", 2019, arXiv 1910.02551, figures 9 and 10 for the maps.
"""

import textwrap
from collections.abc import Sequence

import numpy as np

from distill_jax.figures import theme
from distill_jax.figures.captions import check_labels, label_texts

_WIDTH = 7.5  # inches
_COLUMNS = 105  # characters of 8 points in that
_LINES = 4  # of a sentence, at most
_LINE, _GAP = 0.17, 0.12
_SHOWN, _MAPS = 12, 6


def decoded_sentences(
    sentences: Sequence[Sequence[str]],
    labels,
    class_names: Sequence[str],
    *,
    order=None,
    of_words: bool = False,
    title: str = "Nearest words of the distilled sentences"):
  """Every sentence in its nearest words, above it its largest label values.

  Args:
    sentences: M lists of words.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: of every class; two where labels are [M, 1].
    order: [S, n] int; sentences then stand step by step.
    of_words: whether the set consists of these words.
    title: above all.

  Returns:
    A `Figure` of the first twelve, four lines of each.
  """
  labels = np.asarray(labels)
  check_labels(labels, len(sentences), class_names)
  rows = np.arange(len(sentences)) if order is None else np.ravel(order)
  each = len(rows) if order is None else np.shape(order)[1]
  captions = label_texts(labels, class_names, 3, room=2.0)
  blocks = []
  for place, row in enumerate(rows[:_SHOWN]):
    head = "   ".join(captions[row])
    if each < len(rows):
      head = f"step {place // each + 1}   {head}"
    body = textwrap.wrap(
        " ".join(sentences[row]), _COLUMNS, max_lines=_LINES, placeholder=" …")
    blocks.append((head, body))
  note = "Training used the vectors, not these words."
  if of_words:
    note = "The set consists of these words."
  if len(rows) > _SHOWN:
    note = f"The first {_SHOWN} of {len(rows)}. {note}"
  height = 0.62 + sum((1 + len(body)) * _LINE + _GAP for _, body in blocks)
  figure = theme.figure(_WIDTH, height, layout=None)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  axes.set(xlim=(0, _WIDTH), ylim=(height, 0))

  def write(y, text, **style):
    style = {"color": theme.DARK, "fontsize": 8, "va": "top", **style}
    axes.text(0.12, y, text, parse_math=False, **style)

  write(0.1, title, fontsize=11, weight="bold")
  write(0.33, note, color=theme.GREY)
  y = 0.58
  for head, body in blocks:
    write(y, head, weight="bold", color=theme.colour(0))
    for line in body:
      y += _LINE
      write(y, line)
    y += _LINE + _GAP
  return figure


def heat_maps(
    inputs,
    labels,
    class_names: Sequence[str],
    *,
    title: str = "Distilled sentences, their vectors"):
  """The numbers of distilled sentences: words to the right, vectors upwards.

  Args:
    inputs: [M, s, d] in model space.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: of every class; two where labels are [M, 1].
    title: above all.

  Returns:
    A `Figure` of the first six, in one range of colours: 99.5 % of all numbers
    stay within it.

  Raises:
    ValueError: inputs of another rank, or labels that do not fit.
  """
  inputs, labels = np.asarray(inputs, np.float32), np.asarray(labels)
  if inputs.ndim != 3 or not inputs.size:
    raise ValueError(f"`inputs` must be [M, s, d]; got shape {inputs.shape}.")
  check_labels(labels, len(inputs), class_names)
  shown = inputs[:_MAPS]
  columns = min(3, len(shown))
  rows = -(-len(shown) // columns)
  reach = max(float(np.quantile(np.abs(inputs), 0.995)), 1e-6)
  captions = label_texts(labels[:_MAPS], class_names, 2, room=1.1)
  figure = theme.figure(2.4 * columns + 0.9, 2.0 * rows + 0.5)
  panels = figure.subplots(rows, columns, squeeze=False)
  for place, axes in enumerate(panels.ravel()):
    if place >= len(shown):
      axes.set_axis_off()
      continue
    image = axes.imshow(
        shown[place].T,
        cmap="RdBu_r",
        vmin=-reach,
        vmax=reach,
        aspect="auto",
        origin="lower",
        interpolation="nearest")
    axes.set_title(", ".join(captions[place]), fontsize=8, parse_math=False)
    axes.tick_params(labelsize=7)
    for axis in (axes.xaxis, axes.yaxis):
      axis.get_major_locator().set_params(integer=True)
    if place % columns == 0:
      axes.set_ylabel("entry of the vector", fontsize=8)
    if place + columns >= len(shown):
      axes.set_xlabel("word", fontsize=8)
  bar = figure.colorbar(image, ax=panels, shrink=0.9)
  bar.ax.tick_params(labelsize=7)
  bar.outline.set_visible(False)
  rest = f" (the first {_MAPS} of {len(inputs)})" * (len(inputs) > _MAPS)
  figure.suptitle(title + rest, fontsize=10)
  return figure
