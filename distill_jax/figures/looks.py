"""Looks: each known method has the same colour and marker in all figures.

A look consists of keyword arguments of matplotlib: `color`, `marker`,
`linestyle` and `markerfacecolor`. Colours are those of `theme.COLOURS`, which
colour-blind readers can tell apart. There are more methods than colours, so
some methods share a colour; they then have different markers.
"""

from collections.abc import Iterable
from typing import Any

from distill_jax.figures import theme

# Looks of methods, then of parameterizations, which are seldom in one figure
# with methods and share looks with them: index of the colour, and the marker.
_KNOWN = {
    "DM": (0, "o"),
    "DSA": (4, "v"),
    "DC": (5, "P"),
    "DSA and DM together": (2, "v"),
    "CAFE": (6, "X"),
    "IDC": (2, "D"),
    "EDD": (5, "<"),
    "NCFM": (3, "^"),
    "TGDD": (1, "s"),
    "DATM": (4, "p"),
    "MTT": (3, "<"),
    "RDED": (5, "d"),
    "CIM": (6, ">"),
    "SRe2L": (1, "h"),
    "KIP": (1, "p"),
    "FRePo": (3, "s"),
    "SLDD": (0, "p"),
    "FedAvg": (2, "s"),
    "herding": (4, "<"),
    "k-centre": (5, "s"),
    "k-means": (3, "d"),
    "pixels": (0, "o"),
    "several images in one": (1, "s"),
    "linear bases": (2, "D"),
    "hallucinator": (3, "^"),
    "frequencies": (4, "v"),
    "neural fields": (5, "P")
}
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
# Real samples are grey in all figures; markers and dashes tell them apart. The
# longest key with which a label begins decides, and each look is used once.
_REAL = {
    "random real": (theme.GREY, "o", _DASHES[1]),
    "random real, as many bytes": (theme.DARK, "x", _DASHES[2]),
    "random real, quantised": ("#8C8C8C", "s", _DASHES[3]),
    "r": ("#8C8C8C", "1", (0, (8, 2))),  # for the next other label
    "": (theme.DARK, "2", (0, (8, 2, 1, 2)))  # for one more
}


def looks(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
  """Chooses a look for each series of a figure.

  Args:
    labels: labels of the series, such as "DM, pixels" or "random real". Series
      whose labels agree up to the first comma have the same colour, except for
      real samples, which have greys.

  Returns:
    {label: look}, in the order of the labels.
  """
  labels = list(dict.fromkeys(labels))
  found = _real(labels)
  known = _known({_head(label) for label in labels})
  taken = set(known.values())
  free = [(i, marker) for i, marker in _pairs() if (i, marker) not in taken]
  of_head = {}
  for label in labels:
    head = _head(label)
    if label in found:
      continue
    before = of_head.setdefault(head, [])
    if not before:
      used = [p[0] for pairs in of_head.values() for p in pairs]
      used += [i for i, _ in taken]
      pair = known.get(head) or min(free, key=lambda p: used.count(p[0]))
    else:  # a further series of the same method
      colour = before[0][0]
      pair = next((p for p in free if p[0] == colour), free[0])
    if pair in free:
      free.remove(pair)
    before.append(pair)
    found[label] = dict(
        color=theme.COLOURS[pair[0]],
        markerfacecolor=theme.COLOURS[pair[0]],
        marker=pair[1],
        linestyle=_DASHES[(len(before) - 1) % len(_DASHES)])
  return {label: found[label] for label in labels}


def _known(heads: set[str]) -> dict[str, tuple[int, str]]:
  """Returns index of the colour and marker of known names, no two alike.

  Methods come first: a parameterization in the same figure takes another look
  than that of a method.
  """
  found = {}
  for head, pair in _KNOWN.items():
    if head in heads and pair not in found.values():
      found[head] = pair
  return found


def _real(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
  """Looks of the series of random real samples."""
  found, left = {}, dict(_REAL)
  for label in labels:
    head = _head(label)
    if head == "random real":
      begun = [
          start for start in left
          if label.startswith(start) and (start != head or label == head)
      ]
      start = max(begun or _REAL, key=len)
      colour, marker, dashes = left.pop(start, _REAL[start])
      found[label] = dict(
          color=colour, marker=marker, linestyle=dashes,
          markerfacecolor="none")  # markers below stay visible
  return found


def _head(label: str) -> str:
  """The part of a label before the first comma, usually a method."""
  return label.partition(",")[0]


def _pairs() -> Iterable[tuple[int, str]]:
  """Yields all pairs of a colour and a marker; all colours come in turn."""
  num = len(theme.COLOURS)
  for turn in range(len(theme.MARKERS)):
    for i in range(num):
      yield i, theme.MARKERS[(i + turn) % len(theme.MARKERS)]
