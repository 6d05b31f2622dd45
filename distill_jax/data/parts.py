"""The parts of a data set: their names in files, and held-out test parts."""

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from distill_jax.data import labelling
from distill_jax.data.host import is_host
from distill_jax.errors import DataError, listed, shown

TEST_FRACTION = 0.2  # of each class, held out if there is no test part
NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing")
}


def part_of(name: str) -> str | None:
  """The part that a name means, in upper or lower case; None for no part."""
  name = name.casefold()
  return next((part for part, names in NAMES.items() if name in names), None)


def by_part(place, named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
  """Sorts things by the part that their names mean; drops those of no part.

  Args:
    place: where they were found, for the message.
    named: pairs of a name, such as `valid`, and the thing.

  Raises:
    DataError: two things belong to one part.
  """
  found = {}
  for name, thing in named:
    part = part_of(name)
    if part in found:
      both = (getattr(t, "name", t) for t in (found[part], thing))
      raise DataError(
          f"`spec` must name one {part} part; {place} has "
          f"{' and '.join(map(str, both))}. Move one of them away.")
    if part:
      found[part] = thing
  return {part: found[part] for part in NAMES if part in found}


def given_parts(parts):
  """Returns those parts of `{part: (inputs, labels)}` that are given.

  Raises:
    DataError: only inputs or only labels of a part are given.
  """
  for part, (x, y) in parts.items():
    if (x is None) != (y is None):
      raise DataError(f"`x_{part}` and `y_{part}` must be given together.")
  return {part: pair for part, pair in parts.items() if pair[0] is not None}


def check_lengths(inputs, labels) -> None:
  """Refuses parts `{part: inputs}` that do not have one label per sample."""
  for part, x in inputs.items():
    y = labelling.as_labels(f"y_{part}", labels[part])
    if len(x) != len(y):
      raise DataError(
          f"`x_{part}` and `y_{part}` must be of equal length; got {len(x)} "
          f"and {len(y)}. Give every sample one label.")


def share_of(text: str | None) -> float | None:
  """The share that `test=` of a SPEC gives; None if the SPEC has no `test=`.

  Raises:
    DataError: it is not a number in [0, 1).
  """
  try:
    share = None if text is None else float(text)
  except ValueError:
    share = -1.0
  if share is None or 0 <= share < 1:
    return share
  raise DataError(f"`spec` must have test in [0, 1); got {shown(text)}.")


def hold_out(
    arrays: dict[str, Any],
    share: float | None,
    usual: float = TEST_FRACTION) -> tuple[dict[str, Any], str]:
  """Holds out a test part if there is none.

  The choice depends on the labels only. If the share is the default one, and
  every class is so small that the share is less than one sample, nothing is
  held out.

  Args:
    arrays: `x_train`, `y_train` and the same of the other parts.
    share: share of every class given in the SPEC; None if none is given.
    usual: default share.

  Returns:
    The arrays with their test part, and a sentence on what was held out, "" if
    nothing was.

  Raises:
    DataError: a share is given although there is a test part.
  """
  if "x_test" in arrays or "y_test" in arrays:
    if share:
      raise DataError(
          "`spec` must not have test=... where there is a test part; got "
          f"{share}.")
    return arrays, ""
  usual = usual if share is None else 0.0
  share = share or usual
  if not share:
    return arrays, ""
  inputs = arrays["x_train"]
  labels = labelling.as_labels("y_train", arrays["y_train"])
  if len(inputs) != len(labels):
    return arrays, ""  # `from_arrays` raises the error
  classes, counts = np.unique(labels, return_counts=True)
  if usual and max(counts, default=0) * usual < 1:
    return arrays, ""
  rows = stratified(labels, classes, share, 0, name="test")
  split = {
      f"{letter}_{part}": _rows(values, kept)
      for letter, values in (("x", inputs), ("y", labels))
      for part, kept in zip(("train", "test"), rows, strict=True)
  }
  name = "a fifth" if share == TEST_FRACTION else f"{share:g}"
  held = len(rows[1])
  return {
      **arrays,
      **split
  }, (
      f"{name} of every class became the test part: {held:,} of "
      f"{len(labels):,}")


def stratified(
    labels: np.ndarray,
    classes: Sequence[str] | np.ndarray,
    fraction: float,
    seed: int,
    *,
    name: str = "validation_fraction"):
  """Returns the rows to keep and the rows to hold out, both ascending.

  Args:
    labels: [N].
    classes: all values that labels take.
    fraction: fraction of each class to hold out, in [0, 1); at least one sample
      of each class unless 0.
    seed: seed of the choice.
    name: name of the fraction, for messages.

  Raises:
    DataError: a class has one sample, or the fraction is out of range.
  """
  if not isinstance(fraction, Real) or not 0 <= fraction < 1:
    raise DataError(f"`{name}` must be in [0, 1); got {shown(fraction)}.")
  if not isinstance(seed, Integral) or seed < 0:
    raise DataError(
        f"`seed` must be a whole number, at least 0; got {shown(seed)}.")
  if fraction == 0:
    return np.arange(len(labels)), np.arange(0)
  generator = np.random.default_rng(seed)
  found, counts = np.unique(np.asarray(labels, str), return_counts=True)
  if single := [*map(shown, found[counts == 1].tolist())]:
    remedy = (
        "Add samples of it or drop it. Or hold nothing out: "
        "`validation_fraction` 0, and a test part of its own "
        "(`test_fraction` 0 for none).")
    if len(labels) < 2 * len(classes):
      remedy = "Are these numbers to predict? Regression is not supported."
    raise DataError(
        f"`{name}` must leave samples of every class to train on; got "
        f"{fraction} and one sample of class {listed(single, 2, 20)}. {remedy}")
  held = []
  for label in classes:
    rows = np.flatnonzero(labels == label)
    num = min(max(1, round(fraction * len(rows))), len(rows) - 1)
    held.append(generator.permutation(rows)[:num])
  held = np.sort(np.concatenate(held))
  return np.setdiff1d(np.arange(len(labels)), held), held


def _rows(values, rows: np.ndarray):
  """Rows of an array, of a list of texts, or of samples on the host."""
  if is_host(values):
    return values.take(rows)
  if isinstance(values, list):
    return [values[row] for row in rows]
  return np.asarray(values)[rows]
