"""Real and distilled samples in one plane (t-SNE)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax.figures import theme


class Points(NamedTuple):
  """Samples as points, for `t_sne`.

  Attributes:
    features: [M, D].
    classes: [M] int.
    segments: [M] int from 0, the marker of each; None where there are none.
  """

  features: Any
  classes: Any
  segments: Any = None


def t_sne(
    real: Points,
    sets: Mapping[str, Points],
    class_names: Sequence[str],
    *,
    seed: int = 0):
  """Real samples and sets of them in one plane, a panel for each set.

  One t-SNE (van der Maaten & Hinton, 2008) of all points together, so the
  real samples lie alike in all panels. Colours are classes; real samples are
  small and pale; markers tell segments apart, and repeat after six.

  Args:
    real: real samples.
    sets: by title.
    class_names: K of them, at most 20.
    seed: of t-SNE.

  Returns:
    A `Figure`.

  Raises:
    ValueError: no sets, more classes than colours, or too few points.
  """
  from matplotlib import colormaps
  from matplotlib.lines import Line2D
  from sklearn.manifold import TSNE

  num_classes = len(class_names)
  if not sets or num_classes > 20:
    raise ValueError(
        "`sets` must hold a set of at most 20 classes; got "
        f"{len(sets)} of {num_classes}.")
  points = (real, *sets.values())
  features = np.concatenate([np.asarray(p.features) for p in points])
  if len(features) < 10:
    raise ValueError(
        "`real` and `sets` must hold ten points together; got "
        f"{len(features)}.")
  plane = TSNE(
      init="pca", random_state=seed,
      perplexity=min(30,
                     len(features) / 4)).fit_transform(features)
  real_at, *sets_at = np.split(
      plane,
      np.cumsum([len(p.features) for p in points])[:-1])
  palette = colormaps["tab10" if num_classes <= 10 else "tab20"]
  colours = np.array([palette(c) for c in range(num_classes)])
  width = 4.5 if len(sets) == 1 else 8.0
  figure = theme.figure(width, 1.0 + width / len(sets))
  panels = np.ravel(figure.subplots(1, len(sets), sharex=True, sharey=True))
  for axes, (title, p), at in zip(panels, sets.items(), sets_at, strict=True):
    axes.scatter(
        *real_at.T,
        s=5,
        c=colours[np.asarray(real.classes)],
        alpha=0.25,
        linewidths=0)
    segments = np.zeros(len(at), int)
    if p.segments is not None:
      segments = np.asarray(p.segments)
    for segment in np.unique(segments):
      own = segments == segment
      axes.scatter(
          *at[own].T,
          s=26,
          c=colours[np.asarray(p.classes)[own]],
          marker=theme.marker(segment),
          edgecolors=theme.DARK,
          linewidths=0.8)
    axes.set_title(title, fontsize=10)
    axes.set(xticks=(), yticks=())
  handles = [
      Line2D([], [], marker="o", linestyle="", color=colours[c], label=name)
      for c, name in enumerate(class_names)
  ]
  numbers = sorted({
      int(g) for p in sets.values() if p.segments is not None
      for g in np.unique(p.segments)
  })
  handles += [
      Line2D([], [],
             marker=theme.marker(g),
             linestyle="",
             color="white",
             markeredgecolor=theme.DARK,
             label=f"segment {g + 1}") for g in numbers
  ]
  figure.legend(
      handles=handles,
      loc="outside lower center",
      ncols=5,
      fontsize=8,
      frameon=False,
      columnspacing=1.0)
  return figure
