"""Distilled time series as lines: rows are classes, columns are channels."""

from collections.abc import Sequence

import numpy as np

from distill_jax.figures import captions, theme

_CLASSES, _CHANNELS, _LINES = 10, 3, 5  # most that are shown
_NAMES = 1.3  # width of a text of the legend, in inches


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
  """Time series as lines: a row for each class, a column for each channel.

  A sample is in the row of the class with its largest label value.

  Args:
    series: [M, T, C] float, in original units.
    labels: [M, K] float, or [M, 1] for two classes.
    class_names: the names of all K classes; two if labels are [M, 1].
    start: [M, T, C], the samples before distillation, drawn as pale dashed
      lines; or None.
    order: [S, n] int, the samples of each step; or None. If there are several
      steps, each line is labelled with its steps.
    channels: the names of all C channels; by default "channel 1" and so on.
    title: title of the figure.
    label_space: "raw", "probabilities", "logits" or "centred", see
      `artifact.Artifact`. Logits are shown as probabilities.

  Returns:
    A `Figure` with at most ten classes, three channels and five samples per
    class; it says what it leaves out.

  Raises:
    ValueError: `series` does not have three axes or is empty, or labels, names
      or start do not fit.
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
          # Given one by one, as matplotlib skips labels that begin with "_".
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
  """Texts of the lines: largest label value and steps; None for no texts."""
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
    parts.append("Dashed lines are the samples before distillation.")
  if not read.hard:
    parts.append(f"Numbers are the largest {read.note}.")
  largest = max(map(len, groups.values()))
  if largest > _LINES:
    parts.append(f"Shown are up to {_LINES} of {largest} samples per class.")
  if depth > _CHANNELS:
    parts.append(f"Shown are the first {_CHANNELS} of {depth} channels.")
  return " ".join(parts)
