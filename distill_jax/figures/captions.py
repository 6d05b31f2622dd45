"""What stands beside a sample: its class and its largest label values."""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distill_jax.errors import plain

TEXT = 8  # points
LABEL_SPACES = ("raw", "probabilities", "logits", "centred")


class Shown(NamedTuple):
  """Labels as figures show them.

  Attributes:
    rows: [M, K] float, K at least 2: probabilities or targets.
    classes: [M] int, of the largest value.
    hard: whether each row names one class.
    note: what the values are.
  """

  rows: np.ndarray
  classes: np.ndarray
  hard: bool
  note: str


def shown(
    labels, num_samples: int, class_names: Sequence[str],
    label_space: str) -> Shown:
  """Labels checked and read: logits become probabilities, one column two.

  Args:
    labels: [M, K] float, or [M, 1] for two classes.
    num_samples: M.
    class_names: of every class; two where labels are [M, 1].
    label_space: of the labels, see `artifact.Artifact`.

  Raises:
    ValueError: labels, names or a space that do not fit.
  """
  labels = np.asarray(labels, np.float32)
  _check(labels, num_samples, class_names, label_space)
  rows = _rows(labels, label_space)
  one_hot = rows + (label_space == "centred") / rows.shape[1]
  # Targets less their mean are rounded.
  hard = bool(np.allclose(one_hot, one_hot.round(), rtol=0, atol=1e-6))
  hard &= bool((one_hot.round().max(1) == 1).all())
  hard &= bool((one_hot.round().sum(1) == 1).all())
  if hard:
    note = "hard labels"
  elif label_space == "centred":
    note = "label values (targets of a regression; a one-hot label less 1/K)"
  elif label_space == "raw" and not _are_probabilities(rows):
    note = "label values (targets of the cross-entropy, not probabilities)"
  else:
    note = "label probabilities"
  return Shown(rows, rows.argmax(1), hard, note)


def classes_of_rows(labels, label_space: str = "raw") -> np.ndarray:
  """The class [M] of the largest value of label rows [M, K] or [M, 1]."""
  return _rows(np.asarray(labels, np.float32), label_space).argmax(1)


def label_texts(labels: Shown, class_names, num: int, *, room: float):
  """The `num` largest values of each row, with names that fit `room` inches.

  Zeros after the first say nothing and are left out, as are the values of hard
  labels.
  """
  if labels.hard:
    names = [shortened(str(name), room) for name in class_names]
    return [[names[c]] for c in labels.classes]
  rows = labels.rows
  decimals = 1 if np.abs(rows).max() >= 1.05 else 2
  largest = np.argsort(-rows, axis=1, kind="stable")[:, :num]
  values = [[f"{row[c]:z.{decimals}f}"
             for c in places]
            for row, places in zip(rows, largest, strict=True)]
  longest = ": " + max((value for row in values for value in row), key=len)
  names = [shortened(str(name), room, longest) for name in class_names]
  return [[
      f"{names[c]}: {value}"
      for c, value in zip(places, row, strict=True)
      if c == places[0] or float(value)
  ]
          for places, row in zip(largest, values, strict=True)]


def shortened(
    name: str, room: float, rest: str = "", *, size: float = TEXT) -> str:
  """The name, or a start of it and "…", so that it and `rest` fit `room`.

  Args:
    name: any text.
    room: in inches.
    rest: what follows the name.
    size: of the font in points.
  """
  name = plain(name)
  if inches(name + rest, size) <= room + 1e-6:
    return name
  end = bisect.bisect_right(
      range(1, len(name)),
      room,
      key=lambda end: inches(f"{name[:end]}…{rest}", size))
  return name[:max(end, 1)].rstrip() + "…"


def inches(text: str, size: float = TEXT) -> float:
  """Width of a text, and a twentieth for rounding to pixels."""
  from matplotlib.textpath import TextPath

  text = plain(text, 300).replace("$", "S")  # which would be mathematics
  if not text:
    return 0.0
  return 1.05 / 72 * TextPath((0, 0), text, size=size).get_extents().width


def steps_of(order, num_samples: int) -> list[list[int]] | None:
  """The steps, from 1, of each of M samples; None where there is one step."""
  if order is None or len(order) < 2:
    return None
  found = [[] for _ in range(num_samples)]
  for step, members in enumerate(np.asarray(order), 1):
    for sample in dict.fromkeys(members.tolist()):
      found[sample].append(step)
  return found


def step_text(steps: Sequence[int]) -> str:
  """"step 2", "steps 1, 3"; "in no step" for none."""
  if not steps:
    return "in no step"
  return f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"


def by_class(labels: Shown, steps=None) -> dict[int, list[int]]:
  """The samples of each class that has some, by step and then in their order.
  """
  first = [min(s, default=len(labels.rows)) for s in steps or ()]
  groups = {}
  for c in np.unique(labels.classes).tolist():
    own = np.flatnonzero(labels.classes == c).tolist()
    groups[c] = sorted(own, key=lambda i: first[i] if first else 0)
  return groups


def row_note(labels: Shown, class_names, groups, num_shown: int) -> str:
  """What the rows are, and which classes they lack."""
  note = "Rows are classes"
  if not labels.hard:
    note += ", by the largest label value"
  if num_shown < len(groups):
    return f"{note}: the first {num_shown} of {len(groups)}."
  missing = [c for c in range(len(class_names)) if c not in groups]
  if len(missing) > 5:
    return f"{note}; {len(missing)} classes have no sample."
  if missing:
    names = ", ".join(plain(class_names[c], 20) for c in missing)
    return f"{note}; none of {names}."
  return f"{note}."


def _rows(labels: np.ndarray, label_space: str) -> np.ndarray:
  """Label rows [M, K] with K at least 2, logits as probabilities."""
  one = labels.shape[1] == 1
  if label_space == "logits":
    if one:
      labels = 1 / (1 + np.exp(-labels))
    else:
      labels = np.exp(labels - labels.max(1, keepdims=True))
      labels = labels / labels.sum(1, keepdims=True)
  if one:
    rest = -labels if label_space == "centred" else 1 - labels
    labels = np.concatenate([rest, labels], axis=1)
  return labels


def _are_probabilities(rows: np.ndarray) -> bool:
  return bool((rows > -1e-6).all() and np.allclose(rows.sum(1), 1, atol=1e-4))


def _check(labels, num_samples: int, class_names, label_space) -> None:
  """Refuses labels or names that do not fit the samples."""
  if labels.ndim != 2 or len(labels) != num_samples:
    raise ValueError(
        f"`labels` must be [M, K] for {num_samples} samples; got shape "
        f"{labels.shape}.")
  expected = 2 if labels.shape[1] == 1 else labels.shape[1]
  if len(class_names) != expected:
    raise ValueError(
        f"`class_names` must have {expected} names; got {len(class_names)}.")
  if label_space not in LABEL_SPACES:
    raise ValueError(
        f"`label_space` must be one of {', '.join(LABEL_SPACES)}; got "
        f"{label_space!r}.")
