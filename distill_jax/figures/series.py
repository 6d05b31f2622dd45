"""Distilled time series as lines: rows are classes, columns channels."""

from collections.abc import Sequence

import numpy as np

from distill_jax.figures import captions, theme

_CLASSES, _CHANNELS, _LINES = 10, 3, 5  # shown at most
_NAMES = 1.3  # inches


def series_lines(
    series,
    labels,
    class_names: Sequence[str],
    *,
    start=None,
    order=None,
    channels: Sequence[str] | None = None,
    title: str = "Distilled samples",
    label_space: str = "raw"):
  """Lines in original units: a row for each class, a column for each channel.

  Args:
    series: [M, T, C] in original units.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: of every class; two where labels are [M, 1].
    start: [M, T, C], what the samples started from, dashed and pale.
    order: [S, n] int; with several steps, each line has its step.
    channels: C names; by default "channel 1" and so on.
    title: above all.
    label_space: of the labels, see `artifact.Artifact`.

  Returns:
    A `Figure` of ten classes, three channels and five samples of a class at
    most; it says what is cut.

  Raises:
    ValueError: series of another rank, or labels or names that do not fit.
  """
  series = np.asarray(series, np.float32)
  if series.ndim != 3 or not series.size:
    raise ValueError(f"`series` must be [M, T, C]; got shape {series.shape}.")
  num, _, depth = series.shape
  if channels is None:
    channels = [f"channel {i + 1}" for i in range(depth)]
  if len(channels) != depth:
    raise ValueError(
        f"`channels` must name {depth} channels; got {len(channels)}.")
  if start is not None and np.shape(start) != series.shape:
    raise ValueError(
        f"`start` must have the shape of `series`, {series.shape}; got "
        f"{np.shape(start)}.")
  read = captions.shown(labels, num, class_names, label_space)
  steps = captions.steps_of(order, num)
  groups = captions.by_class(read, steps)
  kept, width = list(groups)[:_CLASSES], min(depth, _CHANNELS)
  figure = theme.figure((5.5, 7.0, 8.0)[width - 1], 1.5 + 1.25 * len(kept))
  theme.entitle(figure, title)
  panels = figure.subplots(
      len(kept), width, squeeze=False, sharex=True, sharey="col")
  texts = _texts(read, class_names, steps)
  for row, c in zip(panels, kept, strict=True):
    _draw_class(row, series, start, groups[c][:_LINES], texts)
    name = captions.shortened(str(class_names[c]), 1.1, size=9)
    row[0].set_ylabel(name, fontsize=9, parse_math=False)
    if texts is not None:
      row[-1].legend(
          # Named, as names may begin with an underscore.
          handles=[line for line in row[-1].lines if line.get_ls() == "-"],
          loc="center left",
          bbox_to_anchor=(1.0, 0.5),
          fontsize=7.5,
          frameon=False,
          handlelength=1.2)
      for text in row[-1].get_legend().get_texts():
        text.set_parse_math(False)
  for axes, name in zip(panels[0], channels, strict=False):
    axes.set_title(
        captions.shortened(str(name), 2.0, size=9),
        fontsize=9,
        parse_math=False)
  for axes in panels[-1]:
    axes.set_xlabel("time step", fontsize=9)
  figure.align_ylabels()
  figure.supylabel("value (original units)", fontsize=9)
  note = _note(read, class_names, groups, kept, depth, start is not None)
  theme.foot(figure, note)
  return figure


def _draw_class(row, series, start, samples, texts) -> None:
  for channel, axes in enumerate(row):
    for i, sample in enumerate(samples):
      colour = theme.colour(i)
      if start is not None:
        axes.plot(
            start[sample][:, channel],
            color=colour,
            alpha=0.45,
            linewidth=0.9,
            linestyle="--")
      axes.plot(
          series[sample][:, channel],
          color=colour,
          linewidth=1.4,
          label=texts and texts[sample])
    theme.dress(axes, "both")
    axes.tick_params(labelsize=7.5)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _texts(read, class_names, steps) -> list[str] | None:
  """What stands beside each line: its largest label value and its step."""
  if read.hard and steps is None:
    return None
  found = [[] for _ in read.rows]
  if not read.hard:
    found = captions.label_texts(read, class_names, 1, room=_NAMES)
  return [
      ", ".join([*own, *([captions.step_text(steps[i])] if steps else ())])
      for i, own in enumerate(found)
  ]


def _note(read, class_names, groups, kept, depth, has_start) -> str:
  parts = [
      captions.row_note(read, class_names, groups, len(kept)),
      "Lines are samples."
  ]
  if has_start:
    parts.append("Dashed: what they started from.")
  if not read.hard:
    parts.append(f"Numbers: the largest {read.note}.")
  largest = max(map(len, groups.values()))
  if largest > _LINES:
    parts.append(f"Of each class, up to {_LINES} of {largest} samples.")
  if depth > _CHANNELS:
    parts.append(f"The first {_CHANNELS} of {depth} channels.")
  return " ".join(parts)
