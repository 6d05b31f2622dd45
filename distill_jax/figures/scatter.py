"""Scatter plots of real and distilled samples, by t-SNE."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax.figures import theme
from distill_jax.figures.captions import shortened

_CLASSES = 20  # number of colours that can be told apart


class Points(NamedTuple):
  """Samples that `t_sne` draws as points.

  Attributes:
    features: [M, D] float.
    classes: [M] int in 0..K-1.
    segments: [M] int from 0, the segment of each sample, which decides about
      its marker; or None.
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
    title: str = "Real and distilled samples (t-SNE)"):
  """Real samples and distilled sets in two dimensions, one panel for each set.

  One t-SNE (van der Maaten & Hinton, "Visualizing Data using t-SNE", 2008) is
  computed of all samples together, so the real samples have the same positions
  in all panels. Colours are classes. Real samples are small points, distilled
  ones large markers with a dark edge, whose shapes are segments (they repeat
  after eight). At most 20 classes are drawn, those with distilled samples
  first; the figure says so.

  Args:
    real: the real samples.
    sets: {title of the panel: distilled samples}.
    class_names: the names of all K classes.
    seed: seed of t-SNE.
    title: title of the figure.

  Returns:
    A `Figure`.

  Raises:
    ValueError: `sets` is empty, or there are fewer than ten points in all.
  """
  from matplotlib import colormaps
  from matplotlib.colors import to_rgba
  from sklearn.manifold import TSNE

  if not sets:
    raise ValueError("`sets` must hold at least one set; got none.")
  found = np.unique(np.concatenate([p.classes for p in sets.values()]))
  others = np.setdiff1d(real.classes, found)
  shown = sorted(int(c) for c in (*found, *others)[:_CLASSES])
  real = _of_classes(real, shown)
  sets = {name: _of_classes(p, shown) for name, p in sets.items()}
  points = (real, *sets.values())
  features = np.concatenate([np.asarray(p.features) for p in points])
  if len(features) < 10:
    raise ValueError(
        "`real` and `sets` must hold at least ten points together; got "
        f"{len(features)}.")
  plane = TSNE(
      init="pca", random_state=seed,
      perplexity=min(30,
                     len(features) / 4)).fit_transform(features)
  real_at, *sets_at = np.split(
      plane,
      np.cumsum([len(p.features) for p in points])[:-1])
  palette = [to_rgba(colour) for colour in theme.CLASSES]
  if len(shown) > len(palette):
    palette = [colormaps["tab20"](i) for i in range(20)]
  colours = np.ones((len(class_names), 4))
  colours[shown, :3] = [palette[i][:3] for i in range(len(shown))]
  width = 5.5 if len(sets) == 1 else 8.0
  figure = theme.figure(width, 1.9 + 0.9 * width / len(sets))
  theme.entitle(figure, title)
  panels = np.ravel(figure.subplots(1, len(sets), sharex=True, sharey=True))
  for axes, (name, p), at in zip(panels, sets.items(), sets_at, strict=True):
    axes.scatter(
        *real_at.T,
        s=11,
        c=colours[np.asarray(real.classes)],
        alpha=0.55,
        linewidths=0)
    segments = np.zeros(len(at), int)
    if p.segments is not None:
      segments = np.asarray(p.segments)
    for segment in np.unique(segments):
      own = segments == segment
      axes.scatter(
          *at[own].T,
          s=46,
          c=colours[np.asarray(p.classes)[own]],
          marker=theme.marker(segment),
          edgecolors=theme.DARK,
          linewidths=1.1)
    lines = theme.wrapped(name, int(12 * width / len(sets)))
    axes.set_title("\n".join(lines), fontsize=9, parse_math=False)
    axes.set(xticks=(), yticks=())
    axes.set_xlabel("t-SNE 1 (no unit)", fontsize=9)
  panels[0].set_ylabel("t-SNE 2 (no unit)", fontsize=9)
  _legend(figure, sets, class_names, shown, colours, width)
  return figure


def _of_classes(points: Points, shown: Sequence[int]) -> Points:
  kept = np.isin(np.asarray(points.classes), shown)
  return Points(
      *(None if part is None else np.asarray(part)[kept] for part in points))


def _legend(figure, sets, class_names, shown, colours, width) -> None:
  """Draws the legend: kinds of points and segments first, then classes."""
  from matplotlib.lines import Line2D

  def entry(label, **style):
    style = {"marker": "o", "linestyle": "", **style}
    return Line2D([], [], label=label, **style)

  columns = 5 if width > 6 else 4
  edge = dict(markeredgecolor=theme.DARK, markeredgewidth=1.1)
  handles = [
      entry("real sample", color=theme.GREY, markersize=3.5),
      entry("distilled sample", color=theme.PALE, markersize=7, **edge)
  ]
  numbers = sorted({
      int(g) for p in sets.values() if p.segments is not None
      for g in np.unique(p.segments)
  })
  handles += [
      entry(
          f"distilled, segment {g + 1}",
          marker=theme.marker(g),
          color="white",
          markersize=7,
          **edge) for g in numbers
  ]
  if numbers:
    del handles[1]  # the entries of segments replace it
  room = width / columns - 0.45
  classes = [
      entry(shortened(str(class_names[c]), room), color=colours[c])
      for c in shown
  ]
  # The legend is filled by columns; the first one has the kinds of points only.
  rows = max(len(handles), -(-len(classes) // (columns - 1)))
  columns = 1 + -(-len(classes) // rows)
  handles += [entry("", color="none")] * (rows - len(handles)) + classes
  handles += [entry("", color="none")] * (rows * columns - len(handles))
  cut = len(class_names) > len(shown) == _CLASSES
  theme.legend(
      figure,
      handles=handles,
      ncols=columns,
      fontsize=8,
      columnspacing=1.0,
      title=f"colours: classes ({len(shown)} of {len(class_names)} shown)"
      if cut else "colours: classes",
      title_fontsize=8)
