"""Names beside points, where they hide neither points nor each other."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distill_jax.figures import theme

_DISTANCES = 7, 10, 14, 20, 28, 40  # points between a name and its point
_LINKED = 12  # beyond this, a line leads to the point
# Where a name stands, seen from its point, best first.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_ORDERS, _ROUNDS = 8, 3  # of choosing places
_CLEARLY = 1  # points by which a name is nearer to its own point than to others


def write(
    figure,
    axes,
    points: Mapping[str, tuple[float, float]],
    taken: Sequence[tuple[float, float, float, float]],
    *,
    fontsize: float = 8.5) -> None:
  """Writes a name beside each point.

  The figure must be complete but for the names, as places are found in pixels.
  A name takes the place, of those around its point, that covers least of what
  is taken, the nearest of equally good ones.

  Args:
    figure: of the axes.
    axes: where the points are.
    points: by name, in the units of the axes.
    taken: boxes `(x0, y0, x1, y1)` in pixels that names should not cover.
    fontsize: in points.
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
    if place.distance > _LINKED:
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
  """Attributes:
    box: in pixels.
    distance: from the point, in points.
    cost: of being there, as an area in pixels.
  """

  box: np.ndarray
  distance: float
  cost: float


def _chosen(places: Mapping[str, Sequence[_Place]]) -> dict[str, _Place]:
  """A place for each name, the best of several orders of choosing."""
  generator = np.random.default_rng(0)
  best, least = {}, np.inf
  for _ in range(_ORDERS):
    chosen: dict[str, _Place] = {}
    names = generator.permutation(list(places)).tolist()
    for name in names * _ROUNDS:  # names make room for those that came later
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
  """Of a name there, others being where they are."""
  return place.cost + sum(_covered(place.box, other.box) for other in others)


def _around_it(at, others, size, pixel: float) -> list[_Place]:
  """The places of a name around its point, dear where others are nearer."""
  places = []
  for distance, (i, side) in itertools.product(_DISTANCES, enumerate(_SIDES)):
    side = np.asarray(side, float)
    shift = distance * pixel * side / np.hypot(*side)
    low = at + shift + (side - 1) / 2 * (size.width, size.height)
    box = np.concatenate([low, low + (size.width, size.height)])
    far = _gap(box, at) + _CLEARLY * pixel
    nearer = sum(max(0.0, far - _gap(box, other)) for other in others)
    cost = 0.15 * (distance - _DISTANCES[0]) + 0.1 * i + nearer / pixel
    places.append(_Place(box, distance, size.height * pixel * cost))
  return places


def _gap(box, point) -> float:
  """From a point to the nearest place of a box."""
  return float(np.hypot(*(np.clip(point, box[:2], box[2:]) - point)))


def around(axes, x: float, y: float, height: float = 0.0, width: float = 11.0):
  """The box in pixels of a marker, and of its bar, to be taken.

  Args:
    axes: where it is.
    x: in the units of the axes.
    y: the same.
    height: of the bar to each side, in the units of the axes.
    width: of the marker in points.
  """
  half = width / 2 * axes.figure.dpi / 72
  (left, low), (_, high) = axes.transData.transform([(x, y - height),
                                                     (x, y + height)])
  return left - half, min(low, high) - half, left + half, max(low, high) + half


def _covered(box, other) -> float:
  """The area in which two boxes overlap."""
  sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
  return float(np.prod(np.maximum(sides, 0)))


def _outside(box, frame) -> float:
  """How much of a box leaves a frame, as an area."""
  whole = (box[2] - box[0]) * (box[3] - box[1])
  return float(whole - _covered(box, frame))
