"""Rows that coming outer steps will ask for, read before they ask.

What a step draws is a pure function of its key, so the rows of the next steps
are known before these run. A thread reads them in order of the steps, a few
steps ahead; a step that asks for others reads them itself. Staging therefore
changes when samples are read and nothing else.
"""

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.data.host import HostRows, recording
from distill_jax.types import Array, LazyInputs

_DEPTH = 2  # steps that are read ahead, and
_MOST = 2**29  # bytes of them, at most


def drawn(
    sample: Callable[[Array, Any], Any]
) -> Callable[[Array, Any], list[tuple[HostRows, np.ndarray]]]:
  """`(keys [n], data) -> [(host rows, [n, rows] int)]`, what samples will read.

  Nothing is said of a sampler that reads within a loop or a `vmap` of its own.

  Args:
    sample: of an objective, `(key, data) -> batch`.
  """
  owners: list[HostRows] = []

  def one(key, data):
    with recording() as asked:
      batch = sample(key, data)
    lazy = [
        node for node in jax.tree.leaves(
            batch, is_leaf=lambda node: isinstance(node, LazyInputs))
        if isinstance(node, LazyInputs) and
        isinstance(node.split.inputs, HostRows)
    ]
    asked += [(node.split.inputs, node.rows) for node in lazy]
    owners[:] = {id(rows): rows for rows, _ in asked}.values()
    return [
        jnp.concatenate(
            [index.ravel()
             for rows, index in asked
             if rows is owner])
        for owner in owners
    ]

  program = jax.jit(
      lambda keys, data: jax.lax.map(lambda key: one(key, data), keys))

  def draw(keys, data):
    try:
      found = program(keys, data)
    except jax.errors.UnexpectedTracerError:
      return []
    return list(zip(owners, map(np.asarray, found), strict=True))

  return draw


@contextlib.contextmanager
def staged(draws: Sequence[tuple[HostRows, np.ndarray]],
           depth: int = _DEPTH) -> Iterator[None]:
  """Context in which rows are read ahead.

  Args:
    draws: pairs of a `HostRows` and the rows [steps, n] that coming steps read
      from it.
    depth: steps read ahead, at least 1; fewer where these are more than half a
      gigabyte, and none where one is.
  """
  readers = []
  for rows, steps in draws:
    each = max(steps.shape[1] * rows.nbytes // len(rows), 1)
    if allowed := min(depth, _MOST // each):
      readers.append(_Reader(rows, steps, allowed))
  try:
    yield
  finally:
    for reader in readers:
      reader.close()


class _Reader:
  """Reads the rows of each step in a thread; stands in `HostRows.ahead`."""

  def __init__(self, rows: HostRows, steps: np.ndarray, depth: int):
    self._rows, self._steps, self._depth = rows, steps, depth
    # Sorted rows and samples of steps; the first is in use once it was found.
    self._blocks: collections.deque = collections.deque()
    self._in_use = 0
    self._pending: np.ndarray | None = None
    self._closed = False
    self._changed = threading.Condition()
    self._thread = threading.Thread(target=self._run, daemon=True)
    rows.ahead = self.find
    self._thread.start()

  def close(self) -> None:
    """Ends the thread; rows are read as they are asked for."""
    with self._changed:
      self._closed = True
      self._changed.notify_all()
    self._thread.join()
    self._rows.ahead = None

  def find(self, index: np.ndarray) -> np.ndarray | None:
    """Samples of some rows [n] of one step; None if they are not ahead."""
    with self._changed:
      while True:
        for place, (known, values) in enumerate(self._blocks):
          if (where := _places(known, index)) is not None:
            for _ in range(place):  # of steps that are over
              self._blocks.popleft()
            self._in_use = 1
            self._changed.notify_all()
            return values[where]
        if self._closed or self._pending is None or _places(self._pending,
                                                            index) is None:
          return None
        self._blocks.clear()  # steps come in order: these are over
        self._in_use = 0
        self._changed.notify_all()
        self._changed.wait()

  def _run(self) -> None:
    for step in self._steps:
      known = np.unique(step)
      with self._changed:
        self._pending = known
        self._changed.wait_for(
            lambda: self._closed or len(self._blocks) - self._in_use < self.
            _depth)
        if self._closed:
          return
      try:
        values = self._rows.load(known)
      except Exception:  # the step reads it itself, and says what is wrong
        values = None
      with self._changed:
        self._pending = None
        if values is not None:
          self._blocks.append((known, values))
        self._changed.notify_all()
        if values is None:
          return


def _places(known: np.ndarray, index: np.ndarray) -> np.ndarray | None:
  """Where rows stand among sorted ones; None if some do not."""
  where = np.minimum(np.searchsorted(known, index), len(known) - 1)
  return where if np.array_equal(known[where], index) else None
