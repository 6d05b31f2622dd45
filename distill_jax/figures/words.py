"""A distilled text set: its nearest words, and its vectors as heat maps.

Both are in Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text
Dataset Distillation", 2019, arXiv 1910.02551, figures 9 and 10 for the maps.
"""

import textwrap
from collections.abc import Sequence

import numpy as np

from distill_jax.errors import plain
from distill_jax.figures import captions, theme

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
    title: str = "Distilled sentences",
    label_space: str = "raw"):
  """Every sentence in its nearest words, above it its largest label values.

  Sentences stand class by class, and of a class step by step.

  Args:
    sentences: M lists of words.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: of every class; two where labels are [M, 1].
    order: [S, n] int; with several steps, each sentence has its step.
    of_words: whether the set consists of these words.
    title: above all.
    label_space: of the labels, see `artifact.Artifact`.

  Returns:
    A `Figure` of the first twelve, four lines of each.
  """
  read = captions.shown(labels, len(sentences), class_names, label_space)
  steps = captions.steps_of(order, len(sentences))
  groups = captions.by_class(read, steps)
  rows = _first_of_each(list(groups.values()), _SHOWN)
  texts = captions.label_texts(read, class_names, 3, room=2.0)
  blocks = []
  for row in rows:
    head = "   ".join(texts[row])
    if steps is not None:
      head = f"{head}   {captions.step_text(steps[row])}"
    body = textwrap.wrap(
        plain(" ".join(sentences[row]), _LINES * _COLUMNS),
        _COLUMNS,
        max_lines=_LINES,
        placeholder=" …")
    blocks.append((head, body))
  note = "Nearest words of the distilled vectors; training used the vectors."
  if of_words:
    note = "The set consists of these words."
  note += f" In blue: {'class' if read.hard else read.note}."
  if len(rows) < len(sentences):
    note = f"{len(rows)} of {len(sentences)} sentences. {note}"
  heading = theme.wrapped(title, 78)
  notes = theme.wrapped(note, _COLUMNS)
  top = 0.1 + 0.23 * len(heading) + _LINE * len(notes)
  height = top + 0.18 + sum(
      (1 + len(body)) * _LINE + _GAP for _, body in blocks)
  figure = theme.figure(_WIDTH, height, layout=None)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  axes.set(xlim=(0, _WIDTH), ylim=(height, 0))

  def write(y, text, **style):
    style = {"color": theme.DARK, "fontsize": 8, "va": "top", **style}
    axes.text(0.12, y, text, parse_math=False, **style)

  for i, line in enumerate(heading):
    write(0.1 + 0.23 * i, line, fontsize=11, weight="bold")
  for i, line in enumerate(notes):
    write(0.1 + 0.23 * len(heading) + _LINE * i, line, color=theme.GREY)
  y = top + 0.1
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
    title: str = "Distilled sentences",
    label_space: str = "raw"):
  """The numbers of distilled sentences: words to the right, vectors upwards.

  Args:
    inputs: [M, s, d] in model space.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: of every class; two where labels are [M, 1].
    title: above all.
    label_space: of the labels, see `artifact.Artifact`.

  Returns:
    A `Figure` of six sentences at most, in one range of colours: 99.5 % of all
    numbers stay within it.

  Raises:
    ValueError: inputs of another rank, or labels that do not fit.
  """
  inputs = np.asarray(inputs, np.float32)
  if inputs.ndim != 3 or not inputs.size:
    raise ValueError(f"`inputs` must be [M, s, d]; got shape {inputs.shape}.")
  read = captions.shown(labels, len(inputs), class_names, label_space)
  shown = _first_of_each(list(captions.by_class(read).values()), _MAPS)
  columns = min(3, len(shown))
  rows = -(-len(shown) // columns)
  reach = max(float(np.quantile(np.abs(inputs), 0.995)), 1e-6)
  texts = captions.label_texts(read, class_names, 2, room=1.0)
  figure = theme.figure(max(2.4 * columns + 0.9, 5.0), 2.0 * rows + 0.9)
  note = "word vectors as the network reads them (model space)"
  if not read.hard:
    note += f"; numbers: {read.note}"
  if len(shown) < len(inputs):
    note += f"; {len(shown)} of {len(inputs)} sentences"
  theme.entitle(figure, title)
  panels = figure.subplots(rows, columns, squeeze=False)
  for place, axes in enumerate(panels.ravel()):
    if place >= len(shown):
      axes.set_axis_off()
      continue
    image = axes.imshow(
        inputs[shown[place]].T,
        cmap="RdBu_r",
        vmin=-reach,
        vmax=reach,
        aspect="auto",
        origin="lower",
        extent=(0.5, inputs.shape[1] + 0.5, 0.5, inputs.shape[2] + 0.5),
        interpolation="nearest")
    axes.set_title(", ".join(texts[shown[place]]), fontsize=8, parse_math=False)
    axes.tick_params(labelsize=7)
    for axis in (axes.xaxis, axes.yaxis):
      axis.get_major_locator().set_params(integer=True)
    if place % columns == 0:
      axes.set_ylabel("entry of the word vector", fontsize=8)
    if place + columns >= len(shown):
      axes.set_xlabel("word of the sentence", fontsize=8)
  bar = figure.colorbar(image, ax=panels, shrink=0.9)
  bar.set_label("value of the entry", fontsize=8)
  bar.ax.tick_params(labelsize=7)
  bar.outline.set_visible(False)
  theme.foot(figure, note)
  return figure


def _first_of_each(groups: Sequence[Sequence[int]], num: int) -> list[int]:
  """Up to `num` samples in the order of their classes, as many of each."""
  kept = [[] for _ in groups]
  for place in range(max(map(len, groups))):
    for own, group in zip(kept, groups, strict=True):
      if place < len(group) and sum(map(len, kept)) < num:
        own.append(group[place])
  return [sample for own in kept for sample in own]
