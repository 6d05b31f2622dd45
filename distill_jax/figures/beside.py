"""Names beside points, placed so that they hide as little as possible.

Each name has a number of candidate places around its point. A place costs more
the farther it is from the point, the more of it overlaps with markers, lines or
other names, and if it is nearer to another point than to its own. The names
choose their cheapest places in turn.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distill_jax.figures import theme

# Distances between a name and its point, in typographic points.
_DISTANCES = 7, 10, 14, 20, 28, 40
# A line links a name and its point if they are farther apart than this. A name
# that is not adjacent to its point also has a line if the nearest other point
# is at most so much farther away.
_LINKED, _UNCLEAR = 12, 3
# Directions from a point to its name, the preferred ones first.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_ORDERS = 8  # random orders in which the names choose; the cheapest is used
_ROUNDS = 3  # how often each name chooses in one order
# A name should be nearer to its own point than to others by so many points.
_CLEARLY = 1


def write(
    figure,
    axes,
    points: Mapping[str, tuple[float, float]],
    taken: Sequence[tuple[float, float, float, float]],
    *,
    fontsize: float = 8.5) -> None:
  """Writes a name beside each point.

  Call it last, as the places are computed in pixels of the drawn figure. Names
  that had to be placed far from their points are linked to them by a line.

  Args:
    figure: the figure, complete except for the names.
    axes: the axes with the points.
    points: {name: (x, y)} in the units of the axes.
    taken: boxes `(x0, y0, x1, y1)` in pixels that names should not cover.
    fontsize: size of the font in points.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg

  figure.draw_without_rendering()
  renderer = FigureCanvasAgg(figure).get_renderer()
  pixel = figure.dpi / 72
  frame = axes.get_window_extent(renderer)
  boxes = [np.asarray(box, float) for box in taken]
  at = {name: axes.transData.transform(p) for name, p in points.items()}
  texts, places = {}, {}
  for name, point in points.items():
    text = axes.annotate(
        name,
        point,
        xytext=(0, 0),
        textcoords="offset points",
        va="bottom",
        ha="left",
        fontsize=fontsize,
        color=theme.DARK,
        parse_math=False,
        zorder=5)
    text.set_in_layout(False)
    texts[name] = text
    size = text.get_window_extent(renderer)
    others = [place for n, place in at.items() if n != name]
    places[name] = _around_it(at[name], others, size, pixel)
  frame = np.array(axes.get_window_extent(renderer).extents)
  for name, own in places.items():
    places[name] = [
        place._replace(
            cost=place.cost + 10 * _outside(place.box, frame) +
            sum(_covered(place.box, box) for box in boxes)) for place in own
    ]
  for name, place in _chosen(places).items():
    texts[name].set_position(tuple((place.box[:2] - at[name]) / pixel))
    if place.linked:
      end = np.clip(at[name], place.box[:2], place.box[2:])
      line = axes.annotate(
          "",
          points[name],
          xytext=tuple((end - at[name]) / pixel),
          textcoords="offset points",
          arrowprops=dict(
              arrowstyle="-",
              color=theme.GREY,
              linewidth=0.7,
              shrinkA=1,
              shrinkB=4))
      line.set_in_layout(False)


class _Place(NamedTuple):
  """A candidate place of a name.

  Attributes:
    box: [4] float, (x0, y0, x1, y1) in pixels.
    linked: whether a line should lead from the name to its point.
    cost: cost of the place without other names, as an area in square pixels.
  """

  box: np.ndarray
  linked: bool
  cost: float


def _chosen(places: Mapping[str, Sequence[_Place]]) -> dict[str, _Place]:
  """Chooses a place for each name: the cheapest result of several orders."""
  generator = np.random.default_rng(0)
  best, least = {}, np.inf
  for _ in range(_ORDERS):
    chosen: dict[str, _Place] = {}
    names = generator.permutation(list(places)).tolist()
    for name in names * _ROUNDS:  # early names may make room for later ones
      chosen.pop(name, None)
      costs = [_cost(place, chosen.values()) for place in places[name]]
      chosen[name] = places[name][int(np.argmin(costs))]
    total = sum(
        _cost(place, (p
                      for n, p in chosen.items()
                      if n != name))
        for name, place in chosen.items())
    if total < least:
      best, least = chosen, total
  return best


def _cost(place: _Place, others: Iterable[_Place]) -> float:
  """Cost of a place, given the places of the other names."""
  return place.cost + sum(_covered(place.box, other.box) for other in others)


def _around_it(at, others, size, pixel: float) -> list[_Place]:
  """Candidate places of a name, which cost more if they are near others."""
  places = []
  for distance, (i, side) in itertools.product(_DISTANCES, enumerate(_SIDES)):
    side = np.asarray(side, float)
    shift = distance * pixel * side / np.hypot(*side)
    low = at + shift + (side - 1) / 2 * (size.width, size.height)
    box = np.concatenate([low, low + (size.width, size.height)])
    own, gaps = _gap(box, at), [_gap(box, other) for other in others]
    nearer = sum(max(0.0, own + _CLEARLY * pixel - gap) for gap in gaps)
    unclear = min(gaps, default=np.inf) < own + _UNCLEAR * pixel
    cost = 0.15 * (distance - _DISTANCES[0]) + 0.1 * i + nearer / pixel
    linked = distance > (_DISTANCES[0] if unclear else _LINKED)
    places.append(_Place(box, linked, size.height * pixel * cost))
  return places


def _gap(box, point) -> float:
  """Distance in pixels from a point to a box; 0 inside."""
  return float(np.hypot(*(np.clip(point, box[:2], box[2:]) - point)))


def around(axes, x: float, y: float, height: float = 0.0, width: float = 11.0):
  """Returns the box of a marker and its error bar, for `taken` of `write`.

  Args:
    axes: the axes with the marker.
    x: position of the marker, in the units of the axes.
    y: position of the marker, in the units of the axes.
    height: length of the error bar to each side, in the units of the axes.
    width: width of the marker in points.

  Returns:
    `(x0, y0, x1, y1)` in pixels.
  """
  half = width / 2 * axes.figure.dpi / 72
  (left, low), (_, high) = axes.transData.transform([(x, y - height),
                                                     (x, y + height)])
  return left - half, min(low, high) - half, left + half, max(low, high) + half


def _covered(box, other) -> float:
  """Area of the overlap of two boxes, in square pixels."""
  sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
  return float(np.prod(np.maximum(sides, 0)))


def _outside(box, frame) -> float:
  """Area of a box that lies outside a frame, in square pixels."""
  whole = (box[2] - box[0]) * (box[3] - box[1])
  return float(whole - _covered(box, frame))
