"""How many label rows of each class suit the data, if nobody says."""

import numpy as np

from distill_jax.errors import counted

PER_CLASS = 10


def per_class_of(source, wanted: int = PER_CLASS) -> tuple[int, str]:
  """At most half of the smallest class, and at least one.

  Args:
    source: a `data.Source`.
    wanted: label rows of each class.

  Returns:
    The number, and a line on one that was lowered, or "".
  """
  counts = np.asarray(source.train.counts)
  smallest = min(source.train.present, key=lambda c: counts[c])
  most = max(1, int(counts[smallest]) // 2)
  if most >= wanted:
    return wanted, ""
  name = f"{source.class_names[smallest]!r:.40}"
  number = counted(int(counts[smallest]), "training sample")
  why = (
      f"half of the {number} of {name}"
      if counts[smallest] > 1 else f"{name} has {number} only")
  return most, (
      f"{counted(most, 'label row')} of each class, not {wanted}: {why}")
