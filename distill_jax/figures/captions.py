"""What stands beside a sample: its largest label values."""

from collections.abc import Sequence

import numpy as np

TEXT = 8  # points


def label_texts(labels, class_names, num: int, *, room: float):
  """The `num` largest values of each row, with names that fit `room` inches.

  Zeros after the first say nothing and are left out, as are the values of hard
  labels.
  """
  if labels.shape[1] == 1:
    labels = np.concatenate([1 - labels, labels], axis=1)
  if np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all():
    names = [_shortened(str(name), "", room) for name in class_names]
    return [[names[c]] for c in labels.argmax(1)]
  decimals = 1 if np.abs(labels).max() >= 1.05 else 2
  largest = np.argsort(-labels, axis=1, kind="stable")[:, :num]
  values = [[f"{row[c]:z.{decimals}f}"
             for c in places]
            for row, places in zip(labels, largest, strict=True)]
  longest = ": " + max((value for row in values for value in row), key=len)
  names = [_shortened(str(name), longest, room) for name in class_names]
  return [[
      f"{names[c]}: {value}"
      for c, value in zip(places, row, strict=True)
      if c == places[0] or float(value)
  ]
          for places, row in zip(largest, values, strict=True)]


def _shortened(name: str, rest: str, room: float) -> str:
  """The name, or a start of it and "…", so that it and `rest` fit `room`."""
  if _inches(name + rest) <= room:
    return name
  end = min(len(name), 40)
  while end > 1 and _inches(f"{name[:end]}…{rest}") > room:
    end -= 1
  return name[:end].rstrip() + "…"


def _inches(text: str) -> float:
  """Width of a label value's text, and a twentieth for rounding to pixels."""
  from matplotlib.textpath import TextPath

  plain = text.replace("$", "S")  # Dollars would be read as mathematics.
  return 1.05 / 72 * TextPath((0, 0), plain, size=TEXT).get_extents().width


def check_labels(labels, num_samples: int, class_names: Sequence[str]) -> None:
  """Refuses labels or names that do not fit the samples."""
  if labels.ndim != 2 or len(labels) != num_samples:
    raise ValueError(
        f"`labels` must be [M, K] for {num_samples} samples; got shape "
        f"{labels.shape}.")
  expected = 2 if labels.shape[1] == 1 else labels.shape[1]
  if len(class_names) != expected:
    raise ValueError(
        f"`class_names` must have {expected} names; got {len(class_names)}.")
