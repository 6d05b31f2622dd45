"""One colour and marker for each method, the same in all figures.

A look is what matplotlib takes: `color`, `marker`, `linestyle` and
`markerfacecolor`. Colours are those of `theme.COLOURS`, which differ to
colour-blind readers too; as there are more methods than colours, no two looks
of a figure share both colour and marker.
"""

from collections.abc import Iterable
from typing import Any

from distill_jax.figures import theme

# Of methods, then of parameterizations, which are seldom in one figure with
# them and share looks: the colour's place, and the marker.
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
# Real samples are grey in all figures, and told apart by marks and dashes.
_REAL = {
    "random real": (theme.GREY, "o", _DASHES[1]),
    "random real, as many bytes": (theme.DARK, "x", _DASHES[2]),
    "random real, quantised": ("#8C8C8C", "s", _DASHES[3]),
    "r": ("#8C8C8C", "1", (0, (8, 2))),  # others, in this order
    "": (theme.DARK, "2", (0, (8, 2, 1, 2)))
}


def looks(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
  """A look for each series of a figure, by its label.

  Args:
    labels: in words, such as "DM, pixels" or "random real"; what stands before
      the first comma decides about the colour.
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
    else:  # the same method in another form
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
  """Colour's place and marker of known names, no two of them alike.

  Methods come first: a parameterization in the same figure takes another look
  than that of a method.
  """
  found = {}
  for head, pair in _KNOWN.items():
    if head in heads and pair not in found.values():
      found[head] = pair
  return found


def _real(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
  """The looks of real samples."""
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
          markerfacecolor="none")  # others show through
  return found


def _head(label: str) -> str:
  """The method of a label."""
  return label.partition(",")[0]


def _pairs() -> Iterable[tuple[int, str]]:
  """All colours with one marker each, then with the next one, and so on."""
  num = len(theme.COLOURS)
  for turn in range(len(theme.MARKERS)):
    for i in range(num):
      yield i, theme.MARKERS[(i + turn) % len(theme.MARKERS)]
