"""Makes NumPy arrays of users' data; refuses masked, missing or ragged data."""

import enum
import re
from typing import Any

import numpy as np

from distill_jax.errors import DataError, plain

# How tables spell a missing value, in upper or lower case.
_SPELLINGS = frozenset((
    "", "nan", "-nan", "+nan", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>",
    "nat", "null", "none", "\\n", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"))
_LONGEST = max(map(len, _SPELLINGS))
_NAMELESS = re.compile(
    r"(Unnamed: \d+(\.\d+)*(_level_\d+)?)?")  # pandas' names for ""
# Modes of Pillow's pictures whose arrays hold what is seen.
_PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F")
_MISSING_TYPES = ("NAType", "NaTType", "MaskedConstant")  # pandas, NumPy


def is_missing(value: Any) -> bool:
  """Whether a value is missing, or is a usual spelling of a missing value."""
  if isinstance(value, str):
    value = value.strip()
    return len(value) <= _LONGEST and value.lower() in _SPELLINGS
  if value is None or type(value).__name__ in _MISSING_TYPES:
    return True
  is_float = isinstance(value, float | np.floating | np.datetime64)
  return is_float and bool(value != value)


def is_nameless(column: str) -> bool:
  """Whether a column has no name, such as row numbers saved by pandas or R."""
  return bool(_NAMELESS.fullmatch(column.strip()))


def as_array(argument: str, values) -> np.ndarray:
  """Returns the NumPy array of numbers, texts, lists or object arrays.

  Args:
    argument: name of the argument, for messages.
    values: anything that NumPy can read.

  Raises:
    DataError: a value is masked or missing (the message names its row), or
      samples differ in shape.
  """
  if isinstance(values, list | tuple) and any(
      isinstance(value, np.ma.MaskedArray) for value in values):
    values = _read(argument, np.ma.array, values)
  if isinstance(values, list | tuple):
    values = [*map(_content, values)]
  check_present(argument, np.ma.getmask(values))
  array = _read(argument, np.asarray, values)
  if array.dtype.kind not in "OT" or not array.ndim:
    return array
  missing = [
      is_missing(value) and not isinstance(value, str)
      for value in array.ravel()
  ]
  check_present(argument, np.reshape(missing, array.shape))
  return _read(argument, np.array, [*map(_content, array.tolist())])


def check_present(
    argument: str, missing, remedy: str = "Drop or fill these rows.") -> None:
  """Raises a `DataError` if something in an array is missing.

  Args:
    argument: name of the argument, for messages.
    missing: booleans of the array's shape, or False if nothing is missing.
    remedy: what the user can do; the end of the message.
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


def _content(value):
  """The value of an enumeration's member; other values are returned.

  A picture of Pillow's whose array would not be grey or RGB, such as the
  indices into a palette, becomes RGB.
  """
  if isinstance(value, enum.Enum):
    return value.value
  if hasattr(value, "getbands") and value.mode not in _PLAIN_MODES:
    return value.convert("RGB")
  return value


def _shape(value) -> tuple:
  if hasattr(value, "getbands"):
    value = np.asarray(value)
  shape = (len(value),) if hasattr(value, "__len__") else ()
  return tuple(getattr(value, "shape", shape))
