"""Checks the samples that users give, and brings them to one form."""

import collections

import numpy as np

from distill_jax.data.arrays import as_array, check_present, is_nameless
from distill_jax.data.host import HostRows
from distill_jax.errors import DataError, shown

_KINDS = {"image": (3, 4), "series": (3,), "features": (2,)}  # allowed ranks
_OVERSHOOT = 1.5  # images in [0, 1] may reach this by resizing or brightening
_AXES = "[N, H, W], [N, H, W, C], [N, T, C] or [N, D]"


def numbers(argument, inputs, columns):
  """Returns users' samples as a NumPy array.

  Args:
    argument: name of the argument, for messages.
    inputs: [N, ...] array-like, or a data frame of D numeric columns.
    columns: names of the columns to take of a data frame; None for its own.

  Returns:
    [N, ...]; of a data frame [N, D] float64.

  Raises:
    DataError: values are missing or ragged, or columns are not there, not
      named or not numeric.
  """
  if not (hasattr(inputs, "columns") and hasattr(inputs, "to_numpy")):
    return as_array(argument, inputs)
  arrays, own = [], collections.Counter(inputs.columns)
  for name in columns if columns is not None else inputs.columns:
    if own[name] != 1:
      raise DataError(
          f"`{argument}` must have column {shown(name)} of `x_train` once; got "
          f"it {own[name]} times. Add or rename columns.")
    if is_nameless(str(name)):
      raise DataError(
          f"`{argument}` must have named columns; got {shown(name)}, which "
          "looks like row numbers that were saved. Drop it.")
    column = f"{argument}[{shown(name)}]"
    array = as_array(column, inputs[name])
    if array.dtype.kind not in "buif":
      raise DataError(
          f"`{argument}` must have numeric columns; got {array.dtype} in "
          f"column {shown(name)}. Drop or encode it.")
    check_present(column, np.isnan(array))
    arrays.append(array.astype(np.float64))
  return np.stack(arrays, axis=1) if arrays else np.zeros((len(inputs), 0))


def checked(argument, inputs, kind):
  """Checks samples, and brings them to one type and shape.

  Args:
    argument: name of the argument, for messages.
    inputs: [N, ...] NumPy array.
    kind: "image", "series" or "features"; None to tell by shape and type.

  Returns:
    uint8 images or floats; images are [N, H, W, C].

  Raises:
    DataError: type, shape or range do not fit.
  """
  floats = inputs.dtype.kind == "f"
  _check_form(argument, inputs, kind)
  if floats:
    _check_finite(argument, inputs)
  image = inputs.ndim == 4 or inputs.ndim == 3 and kind != "series"
  if image and floats:
    _check_scale(argument, inputs)
  if image and not floats:
    inputs = _pixels(argument, inputs)
  else:  # float32 cannot hold all integers
    narrow = floats and inputs.dtype.itemsize <= 4
    found = inputs.astype(np.float32 if narrow else np.float64, copy=False)
    if inputs.dtype.kind in "ui":
      _check_integers(argument, inputs, found)
    inputs = found
  return inputs[..., None] if image and inputs.ndim == 3 else inputs


def check_host(argument, rows: HostRows) -> None:
  """Checks the same as `checked` for samples that are read in pieces.

  Args:
    argument: name of the argument, for messages.
    rows: [N, H, W, C] or [N, D].

  Raises:
    DataError: type, shape or range do not fit.
  """
  if rows.dtype not in (np.uint8, np.float32):
    raise DataError(
        f"`{argument}` must hold uint8 or float32 where it stays on the host; "
        f"got {rows.dtype}. Convert the file once.")
  if rows.ndim not in (2, 4):
    raise DataError(
        f"`{argument}` must be [N, H, W, C] or [N, D] where it stays on the "
        f"host; got shape {rows.shape}. Grey images have one channel.")
  _check_channels(argument, rows.shape)
  if rows.dtype == np.uint8:
    return
  for piece in rows.pieces():
    _check_finite(argument, piece)
    if rows.ndim == 4:
      _check_scale(argument, piece)


def check_alike(part, train, other):
  """Refuses samples of another shape or type than those for training.

  Args:
    part: name of the part of `other`, "validation" or "test".
    train: [N, ...], as `checked` returns them.
    other: [M, ...], the same.

  Raises:
    DataError: they differ.
  """
  kinds = [
      "pixels" if x.dtype == np.uint8 else "floats" for x in (train, other)
  ]
  if train.shape[1:] != other.shape[1:] or kinds[0] != kinds[1]:
    raise DataError(
        f"`x_{part}` must have samples like those of `x_train`, "
        f"{train.shape[1:]} {kinds[0]}; got {other.shape[1:]} {kinds[1]}. Give "
        "both one shape and one type.")


def _check_form(argument, inputs, kind) -> None:
  """Checks type and shape of inputs, and whether these are of their kind."""
  shape, floats = inputs.shape, inputs.dtype.kind == "f"
  if inputs.dtype.kind not in "buif":
    raise DataError(
        f"`{argument}` must be integers or floats; got {inputs.dtype}. Convert "
        "it, and make samples equal in shape.")
  if inputs.ndim not in (2, 3, 4):
    raise DataError(
        f"`{argument}` must be {_AXES}; got shape {shape}. A single feature is "
        "x[:, None].")
  if kind is None and inputs.ndim == 3 and floats:
    raise DataError(
        f"`kind` must be given for floats [N, ., .]: kind=\"series\" for time "
        f"series [N, T, C], kind=\"image\" for grey images [N, H, W]; got "
        f"`{argument}` of shape {shape}.")
  if kind is not None and inputs.ndim not in _KINDS.get(kind, ()):
    one = kind == "series" and inputs.ndim == 2
    raise DataError(
        f"`kind` must be one of {', '.join(_KINDS)}, and fit {_AXES}; got "
        f"{kind!r} for `{argument}` of shape {shape}."
        f"{' Series of one channel are x[..., None].' * one}")
  if inputs.size == 0:
    raise DataError(f"`{argument}` must hold samples; got {shape}.")
  if kind == "series" and shape[1] == 1 < shape[2]:
    raise DataError(
        f"`{argument}` must be [N, T, C] with several steps T; got {shape}, "
        "which looks like [N, C, T]. Transpose it: x.transpose(0, 2, 1).")
  if kind is None:
    _check_channels(argument, shape)


def _check_channels(argument, shape) -> None:
  """Refuses images whose shape looks like [N, C, H, W]."""
  if len(shape) == 4 and shape[1] <= 4 < min(shape[2:]):
    raise DataError(
        f"`{argument}` must be [N, H, W, C]; got {shape}, which looks like "
        "[N, C, H, W]. Transpose it: x.transpose(0, 2, 3, 1). kind=\"image\" "
        "takes it as it is.")


def _pixels(argument, inputs):
  """Returns integer images as uint8; True is white."""
  if inputs.dtype == bool:
    return np.uint8(255) * inputs
  if inputs.min() < 0 or inputs.max() > 255:
    raise DataError(
        f"`{argument}` must be pixels 0..255 where it is integer; got "
        f"{inputs.min()}..{inputs.max()}. Rescale it to floats in [0, 1].")
  return inputs.astype(np.uint8)


def _check_integers(argument, inputs, rounded):
  """Refuses integers that vary by less than float64 can tell apart."""
  gaps = np.spacing(np.abs(rounded).reshape(-1, inputs.shape[-1]).max(0))
  if gaps.max() <= 0.5:
    return
  rows = inputs.reshape(-1, inputs.shape[-1])
  spread = (rows - rows.min(0)).astype(np.float64).std(0)
  bad = np.flatnonzero((spread > 0) & (gaps > 1e-3 * spread))
  if len(bad):
    raise DataError(
        f"`{argument}` must be integers whose differences float64 can hold; "
        f"got {rows[0, bad[0]]} in column {bad[0]}. Subtract the smallest "
        "value.")


def _check_scale(argument, inputs):
  """Refuses floats that look like pixels 0..255 or another such range."""
  if inputs.min() >= 0 and inputs.max() > _OVERSHOOT:
    raise DataError(
        f"`{argument}` must be images in [0, 1] where it is float and has no "
        f"negative values; got {inputs.min():g}..{inputs.max():g}. Divide by "
        "the largest possible value, or take uint8 for 0..255.")


def _check_finite(argument, inputs):
  with np.errstate(over="ignore"):
    bad = np.argwhere(~np.isfinite(inputs.astype(np.float32, copy=False)))
  if len(bad):
    column = f", column {bad[0, 1]}" if inputs.ndim == 2 else ""
    raise DataError(
        f"`{argument}` must be finite float32; got {len(bad)} NaN or infinite "
        f"values, the first in row {bad[0, 0]}{column}. Drop or fill these "
        "rows.")
