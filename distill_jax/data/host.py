"""Samples that stay in a file or on the host, for data larger than memory.

`HostRows` takes the place of the inputs of a `Split`. Rows are fetched when
they are asked for; a program under `jit` asks the host for them by a callback.
Sampling, epochs and evaluation therefore use the same code and give the same
numbers as with arrays on the device. What needs all samples at once raises an
error that says so.
"""

import contextlib
import math
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from distill_jax.environment import in_bytes
from distill_jax.errors import DataError

_PIECE_ROWS = 4096  # rows that `pieces` reads at once
_asked: ContextVar[list | None] = ContextVar("asked", default=None)


@jax.tree_util.register_static
class HostRows:
  """Raw samples [N, ...] that stay on the host; JAX treats them as a constant.

  Attributes:
    shape: [N, ...].
    dtype: type of the samples.
    fetched: number of bytes fetched so far.
    ahead: `(rows [n]) -> samples or None`, a function that returns rows which
      were read ahead, see `ahead`; None where nothing is read ahead.
  """

  def __init__(
      self, values: Any, rows: np.ndarray | None = None, lock: Any = None):
    """Wraps an array or an object that behaves like one.

    Args:
      values: a memory-mapped array (`np.load(file, mmap_mode="r")`), or any
        object with `len()` that returns samples of one shape and type when
        indexed by an array of integers or by a single integer.
      rows: [N] int, the rows of `values` to use; all by default.
      lock: a `threading.Lock` shared by all objects that read the same values,
        so that these are never read twice at once; a new lock by default.

    Raises:
      DataError: there are no samples, or they are not arrays of numbers.
    """
    try:
      size = len(values) if rows is None else len(rows)
    except TypeError:
      raise DataError(
          "`values` must have a length and give samples by index; got "
          f"{type(values).__name__}.") from None
    if not size:
      raise DataError("`values` must hold samples; got none.")
    self._values, self._lock = values, lock or threading.Lock()
    self._rows = None if rows is None else np.asarray(rows)
    self._by_array = _takes_arrays(values)
    self._file = _File.of(values)
    self.shape: tuple[int, ...] = ()
    self.dtype: Any = None  # until the first sample is read
    first = self._read(np.zeros(1, np.int64) if rows is None else rows[:1])
    if first.dtype.kind not in "uif":
      raise DataError(
          f"`values` must hold integers or floats; got {first.dtype}.")
    self.shape = (size, *first.shape[1:])
    self.dtype = first.dtype
    self.fetched = 0
    self.ahead: Callable[[np.ndarray], np.ndarray | None] | None = None

  def __len__(self) -> int:
    return self.shape[0]

  def __repr__(self) -> str:
    return f"HostRows {self.shape} {self.dtype}"

  def __array__(self, *args, **options):
    raise DataError(
        f"`source` must fit into memory for this: {len(self):,} samples are "
        f"{in_bytes(self.nbytes)} and stay on the host. Read some, such as "
        "inputs[:1000]; keep fewer; or choose a method that draws batches.")

  @property
  def ndim(self) -> int:
    """Number of axes; the first one counts samples."""
    return len(self.shape)

  @property
  def size(self) -> int:
    """Number of values in all samples."""
    return math.prod(self.shape)

  @property
  def nbytes(self) -> int:
    """Number of bytes of all samples."""
    return self.size * self.dtype.itemsize

  def __getitem__(self, index):
    """Returns samples [..., *sample] of rows [...] or a slice, on the device.

    If the rows are traced, a callback fetches them when the program runs.
    """
    if isinstance(index, Tracer):
      found = jax.ShapeDtypeStruct((*index.shape, *self.shape[1:]), self.dtype)
      if (asked := _asked.get()) is not None:
        asked.append((self, index))
        return jnp.zeros(found.shape, found.dtype)
      return jax.pure_callback(
          self._fetch, found, index, vmap_method="broadcast_all")
    return jnp.asarray(self.read(index))

  def read(self, index) -> np.ndarray:
    """Like `[index]`, but returns a NumPy array."""
    if isinstance(index, slice):
      index = np.arange(*index.indices(len(self)))
    return self._fetch(index)

  def take(self, rows: np.ndarray) -> "HostRows":
    """Returns some of these samples, in the given order, still on the host."""
    rows = np.asarray(rows)
    return HostRows(
        self._values, rows if self._rows is None else self._rows[rows],
        self._lock)

  def pieces(self):
    """Yields all samples in order, [n, ...] at a time."""
    for start in range(0, len(self), _PIECE_ROWS):
      yield self.read(slice(start, start + _PIECE_ROWS))

  def _fetch(self, index) -> np.ndarray:
    index = np.asarray(index)
    found = None
    if self.ahead is not None:
      found = self.ahead(index.ravel())
    if found is None:
      found = self.load(index.ravel())
    return found.reshape(index.shape + self.shape[1:])

  def load(self, index: np.ndarray) -> np.ndarray:
    """Reads the samples [n, ...] of rows [n] from the file now."""
    with self._lock:
      found = self._read(index if self._rows is None else self._rows[index])
    self.fetched += found.nbytes
    return found

  def _read(self, rows: np.ndarray) -> np.ndarray:
    if self._file is not None:
      return self._file.read(rows)
    if self._by_array:
      return np.asarray(self._values[rows])
    found = [self._one(int(row)) for row in rows]
    kind, shape = self.dtype or found[0].dtype, self.shape[1:] or found[0].shape
    for row, one in zip(rows, found, strict=True):
      if one.dtype != kind or one.shape != shape:
        raise DataError(
            "`values` must give samples of one type and shape, "
            f"{kind} {shape}; got {one.dtype} {one.shape} in row {row}.")
    return np.stack(found)

  def _one(self, row: int) -> np.ndarray:
    try:
      return np.asarray(self._values[row])
    except ValueError as error:  # such as pairs of image and label
      raise DataError(
          f"`values` must give samples that are arrays of numbers; row {row} "
          f"is not: {error}.") from error


class _File:
  """Reads rows of a memory-mapped file directly, without mapping pages.

  A mapped page also loads the pages next to it, so that a few random rows would
  fill the memory with much of the file.
  """

  def __init__(self, array: np.memmap):
    self._array = array
    self._handle = os.open(str(array.filename), os.O_RDONLY)
    weakref.finalize(self, os.close, self._handle)

  @classmethod
  def of(cls, values) -> "_File | None":
    """Wraps a whole memory-mapped array in C order; None for anything else."""
    whole = isinstance(values, np.memmap) and isinstance(
        values.base, mmap.mmap) and values.flags.c_contiguous and (
            values.mode != "c")  # changes in this mode are not in the file
    return cls(values) if whole else None

  def read(self, rows: np.ndarray) -> np.ndarray:
    """Returns the samples [n, ...] of rows [n]."""
    array = self._array
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(array):
      raise IndexError(f"rows must be 0..{len(array) - 1}")
    found = np.empty((len(rows), *array.shape[1:]), array.dtype)
    each = found.nbytes // max(len(rows), 1)
    # Consecutive rows are read at once.
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    ends = np.append(starts[1:], len(rows))
    place = found.reshape(-1).view(np.uint8).data
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
      part = place[start * each:end * each]
      offset = array.offset + int(rows[start]) * each
      while part:
        size = os.preadv(self._handle, [part], offset)
        if not size:
          raise OSError(f"{array.filename} is shorter than it was")
        part, offset = part[size:], offset + size
    return found


@contextlib.contextmanager
def recording() -> Iterator[list]:
  """A context in which traced rows are recorded and not fetched.

  Yields:
    A list of pairs: a `HostRows` and the traced rows that were asked of it. In
    place of the samples, `HostRows` returns zeros.
  """
  asked: list = []
  token = _asked.set(asked)
  try:
    yield asked
  finally:
    _asked.reset(token)


def is_host(values: Any) -> bool:
  """Whether samples stay on the host."""
  return isinstance(values, HostRows)


def _takes_arrays(values: Sequence) -> bool:
  """Whether an object returns several samples for an array of indices."""
  if isinstance(values, np.ndarray):
    return True
  try:
    rows: Any = np.zeros(2, np.int64)
    found = np.asarray(values[rows])
  except (IndexError, KeyError, TypeError, ValueError):
    return False
  return found.ndim > 0 and len(found) == 2
