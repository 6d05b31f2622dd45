"""Distilled texts: their nearest words, and their word vectors as heat maps.

Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text Dataset
Distillation", 2019, arXiv 1910.02551, show both; heat maps are their figures 9
and 10.
"""

import textwrap
from collections.abc import Sequence

import numpy as np

from distill_jax.errors import plain
from distill_jax.figures import captions, theme

_WIDTH = 7.5  # width of the figure in inches
_COLUMNS = 105  # characters of 8 points that fit into a line
_LINES = 4  # most lines of a sentence
_LINE, _GAP = 0.17, 0.12  # height of a line, and between sentences, in inches
_SHOWN, _MAPS = 12, 6  # most sentences and heat maps that are shown


def decoded_sentences(
    sentences: Sequence[Sequence[str]],
    labels,
    class_names: Sequence[str],
    *,
    order=None,
    of_words: bool = False,
    title: str = "Distilled sentences",
    label_space: str = "raw"):
  """Distilled sentences as words, with their largest label values above them.

  Sentences are sorted by class, and within a class by their first step.

  Args:
    sentences: M lists of words, such as the nearest words of each vector.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: the names of all K classes; two if labels are [M, 1].
    order: [S, n] int, the samples of each step; or None. If there are several
      steps, each sentence is labelled with its steps.
    of_words: whether the set consists of exactly these words. Otherwise the
      figure says that they are only the nearest ones.
    title: title of the figure.
    label_space: "raw", "probabilities", "logits" or "centred", see
      `artifact.Artifact`. Logits are shown as probabilities.

  Returns:
    A `Figure` with at most twelve sentences, evenly over the classes, and at
    most four lines of each.

  Raises:
    ValueError: labels or names do not fit.
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
  note = (
      "Each distilled vector is shown as its nearest word. Training uses the "
      "vectors.")
  if of_words:
    note = "The set consists of these words."
  note += f" In blue: {'classes' if read.hard else f'the largest {read.note}'}."
  if len(rows) < len(sentences):
    note = f"Shown are {len(rows)} of {len(sentences)} sentences. {note}"
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
  """Word vectors of distilled sentences as heat maps, one for each sentence.

  Words are columns, and the dimensions of their vectors are rows. All maps have
  the same colour scale, which covers 99.5 % of the values of the set.

  Args:
    inputs: [M, s, d] float, in model space: M sentences of s vectors.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: the names of all K classes; two if labels are [M, 1].
    title: title of the figure.
    label_space: "raw", "probabilities", "logits" or "centred", see
      `artifact.Artifact`. Logits are shown as probabilities.

  Returns:
    A `Figure` with at most six sentences, evenly over the classes.

  Raises:
    ValueError: `inputs` does not have three axes or is empty, or labels or
      names do not fit.
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
  note = "Word vectors are in model space, as networks see them."
  if not read.hard:
    note += f" Numbers are the largest {read.note}."
  if len(shown) < len(inputs):
    note += f" Shown are {len(shown)} of {len(inputs)} sentences."
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
      axes.set_ylabel("dimension of the word vector", fontsize=8)
    if place + columns >= len(shown):
      axes.set_xlabel("position of the word", fontsize=8)
  bar = figure.colorbar(image, ax=panels, shrink=0.9)
  bar.set_label("value", fontsize=8)
  bar.ax.tick_params(labelsize=7)
  bar.outline.set_visible(False)
  theme.foot(figure, note)
  return figure


def _first_of_each(groups: Sequence[Sequence[int]], num: int) -> list[int]:
  """Chooses up to `num` samples, class by class, evenly over the classes."""
  kept = [[] for _ in groups]
  for place in range(max(map(len, groups))):
    for own, group in zip(kept, groups, strict=True):
      if place < len(group) and sum(map(len, kept)) < num:
        own.append(group[place])
  return [sample for own in kept for sample in own]
