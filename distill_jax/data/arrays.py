"""From what users hold to NumPy arrays: nothing masked, missing or ragged."""

import re
from typing import Any

import numpy as np

from distill_jax.errors import DataError, plain

# As tables spell that a value is missing, in any case.
_SPELLINGS = frozenset((
    "", "nan", "-nan", "na", "n/a", "#n/a", "#na", "<na>", "nat", "null",
    "none"))
_NAMELESS = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")  # pandas reads "" so
_MISSING_TYPES = ("NAType", "NaTType", "MaskedConstant")  # pandas, NumPy


def is_missing(value: Any) -> bool:
  """Whether a value, or a usual spelling of one, stands for none."""
  if isinstance(value, str):
    value = value.strip()
    return len(value) < 5 and value.lower() in _SPELLINGS
  if value is None or type(value).__name__ in _MISSING_TYPES:
    return True
  is_float = isinstance(value, float | np.floating | np.datetime64)
  return is_float and bool(value != value)


def is_nameless(column: str) -> bool:
  """Whether a column has no name, as row numbers that pandas or R wrote."""
  return bool(_NAMELESS.fullmatch(column.strip()))


def as_array(argument: str, values) -> np.ndarray:
  """What NumPy makes of numbers, texts, lists and object arrays of these.

  Args:
    argument: what to call them in messages.
    values: anything that NumPy reads.

  Raises:
    DataError: something masked or missing, with its row, or samples of several
      shapes.
  """
  if isinstance(values, list | tuple) and any(
      isinstance(value, np.ma.MaskedArray) for value in values):
    values = _read(argument, np.ma.array, values)
  check_present(argument, np.ma.getmask(values))
  array = _read(argument, np.asarray, values)
  if array.dtype.kind not in "OT" or not array.ndim:
    return array
  missing = [
      is_missing(value) and not isinstance(value, str)
      for value in array.ravel()
  ]
  check_present(argument, np.reshape(missing, array.shape))
  return _read(argument, np.array, array.tolist())


def check_present(
    argument: str, missing, remedy: str = "Drop or fill these rows.") -> None:
  """Refuses an array in which something is missing.

  Args:
    argument: what to call it in messages.
    missing: bools in the shape of the array, or False for nothing.
    remedy: the end of the message.
  """
  rows = np.argwhere(missing)
  if len(rows):
    raise DataError(
        f"`{argument}` must have no missing values; got {len(rows)}, the first "
        f"in row {rows[0, 0]}. {remedy}")


def _read(argument, read, values) -> np.ndarray:
  try:
    return read(values)
  except (ValueError, TypeError, RuntimeError) as error:
    shapes: dict[tuple, int] = {}
    for row, value in enumerate(values if hasattr(values, "__len__") else ()):
      shapes.setdefault(_shape(value), row)
    if len(shapes) < 2:
      raise DataError(
          f"`{argument}` must be an array; NumPy cannot read it: "
          f"{plain(error, 120)}") from error
    first, other = list(shapes.items())[:2]
    raise DataError(
        f"`{argument}` must have samples of one shape; got {first[0]} in row "
        f"{first[1]} and {other[0]} in row {other[1]}. Resize or pad them."
    ) from error


def _shape(value) -> tuple:
  shape = (len(value),) if hasattr(value, "__len__") else ()
  return tuple(getattr(value, "shape", shape))
