"""Texts that figures show beside samples: classes, label values and steps."""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distill_jax.errors import plain

TEXT = 8  # font size in points
LABEL_SPACES = ("raw", "probabilities", "logits", "centred")


class Shown(NamedTuple):
  """Labels of M samples as figures show them.

  Attributes:
    rows: [M, K] float with K >= 2: probabilities, or targets of a loss.
    classes: [M] int, the class of the largest value of each row.
    hard: whether all labels are hard, that is, each row names one class.
    note: what the values are, in the plural, for a sentence in a figure.
  """

  rows: np.ndarray
  classes: np.ndarray
  hard: bool
  note: str


def shown(
    labels, num_samples: int, class_names: Sequence[str],
    label_space: str) -> Shown:
  """Checks labels and prepares them for a figure.

  Logits become probabilities. Labels with one column, of two classes, get a
  second one.

  Args:
    labels: [M, K] float, or [M, 1] for two classes.
    num_samples: M, the number of samples.
    class_names: the names of all K classes; two if labels are [M, 1].
    label_space: one of `LABEL_SPACES`, see `artifact.Artifact`.

  Raises:
    ValueError: shapes do not fit together, or the label space is unknown.
  """
  labels = np.asarray(labels, np.float32)
  _check(labels, num_samples, class_names, label_space)
  rows = _rows(labels, label_space)
  one_hot = rows + (label_space == "centred") / rows.shape[1]
  # Centred labels were rounded when their mean was subtracted.
  hard = bool(np.allclose(one_hot, one_hot.round(), rtol=0, atol=1e-6))
  hard &= bool((one_hot.round().max(1) == 1).all())
  hard &= bool((one_hot.round().sum(1) == 1).all())
  if hard:
    note = "hard labels"
  elif label_space == "centred":
    note = (
        "label values (targets of a regression, on the scale of one-hot labels "
        "minus 1/K)")
  elif label_space == "raw" and not _are_probabilities(rows):
    note = "label values (targets of the cross-entropy, not probabilities)"
  else:
    note = "label probabilities"
  return Shown(rows, rows.argmax(1), hard, note)


def classes_of_rows(labels, label_space: str = "raw") -> np.ndarray:
  """Returns the class [M] of the largest value of rows [M, K] or [M, 1]."""
  return _rows(np.asarray(labels, np.float32), label_space).argmax(1)


def label_texts(labels: Shown, class_names, num: int, *, room: float):
  """Texts of the largest label values of each sample, such as "cat: 0.80".

  Hard labels give the class name alone. Of soft labels, all values but the
  largest are left out if they are 0 after rounding.

  Args:
    labels: the labels of M samples.
    class_names: the names of all K classes.
    num: number of values per sample, at least 1.
    room: width of a text in inches; longer names are shortened.

  Returns:
    M lists of 1 to `num` texts, the largest value first.
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
  """Shortens a name, if needed, so that it and `rest` fit into `room`.

  A shortened name ends in "…" and keeps at least one character.

  Args:
    name: any text.
    room: width in inches.
    rest: text that follows the name.
    size: size of the font in points.
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
  """Width of a text in inches, plus 5 % for rounding to pixels."""
  from matplotlib.textpath import TextPath

  text = plain(text, 300).replace("$", "S")  # "$" would start mathematics
  if not text:
    return 0.0
  return 1.05 / 72 * TextPath((0, 0), text, size=size).get_extents().width


def steps_of(order, num_samples: int) -> list[list[int]] | None:
  """Lists the steps of each of M samples, counted from 1.

  Args:
    order: [S, n] int, the samples of each step; or None.
    num_samples: M, the number of samples.

  Returns:
    M lists of steps; None if there are fewer than two steps.
  """
  if order is None or len(order) < 2:
    return None
  found = [[] for _ in range(num_samples)]
  for step, members in enumerate(np.asarray(order), 1):
    for sample in dict.fromkeys(members.tolist()):
      found[sample].append(step)
  return found


def step_text(steps: Sequence[int]) -> str:
  """Names the steps of a sample: "step 2", "steps 1, 3" or "in no step"."""
  if not steps:
    return "in no step"
  return f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"


def by_class(labels: Shown, steps=None) -> dict[int, list[int]]:
  """Groups samples by class.

  Args:
    labels: the labels of M samples.
    steps: result of `steps_of`, or None.

  Returns:
    {class: indices of its samples}, for the classes that have samples, in
    increasing order. The samples of a class are sorted by their first step.
  """
  first = [min(s, default=len(labels.rows)) for s in steps or ()]
  groups = {}
  for c in np.unique(labels.classes).tolist():
    own = np.flatnonzero(labels.classes == c).tolist()
    groups[c] = sorted(own, key=lambda i: first[i] if first else 0)
  return groups


def row_note(labels: Shown, class_names, groups, num_shown: int) -> str:
  """Says what the rows of a figure are, and which classes are missing.

  Args:
    labels: the labels of all samples.
    class_names: the names of all K classes.
    groups: result of `by_class`.
    num_shown: number of rows in the figure.
  """
  note = "Rows are classes."
  if not labels.hard:
    note = "Each sample is in the row of the class of its largest label value."
  if num_shown < len(groups):
    return f"{note} Shown are the first {num_shown} of {len(groups)} classes."
  missing = [c for c in range(len(class_names)) if c not in groups]
  if len(missing) > 5:
    return f"{note} {len(missing)} classes have no samples."
  if missing:
    names = ", ".join(plain(class_names[c], 20) for c in missing)
    return f"{note} Classes without samples: {names}."
  return note


def _rows(labels: np.ndarray, label_space: str) -> np.ndarray:
  """Returns label rows [M, K] with K >= 2; logits become probabilities."""
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
  """Raises ValueError if labels or names do not fit the samples."""
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
