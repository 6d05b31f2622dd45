"""Rows that coming outer steps will ask for, read before they ask.

What a step draws is a pure function of its key, so the rows of the next steps
are known before these run. A thread reads them in order of the steps, a few
steps ahead; a step that asks for others reads them itself. Staging therefore
changes when samples are read and nothing else.
"""

import collections
import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    self._rows, self._steps, self._depth = rows, iter(steps), depth
    # Sorted rows and samples of the step in use and of those after it.
    self._blocks: collections.deque = collections.deque()
    self._pool, self._alone = ThreadPoolExecutor(1), threading.Lock()
    self._begin_until(depth)
    rows.ahead = self.find

  def close(self) -> None:
    """Ends the thread; rows are read as they are asked for."""
    self._rows.ahead = None
    self._pool.shutdown(cancel_futures=True)

  def find(self, index: np.ndarray) -> np.ndarray | None:
    """Samples of some rows [n] of one step; None if they are not ahead.

    What went wrong when they were read is raised here.
    """
    with self._alone:  # several devices may ask at once
      found = None
      for place, (known, values) in enumerate(self._blocks):
        if (where := _places(known, index)) is not None:
          found = place, values, where
          break
      if found is None:
        return None
      place, values, where = found
      for _ in range(place):  # of steps that are over
        self._blocks.popleft()
      self._begin_until(1 + self._depth)
    return values.result()[where]

  def _begin_until(self, size: int) -> None:
    """Begins to read steps until there are so many."""
    missing = size - len(self._blocks)
    for step in itertools.islice(self._steps, missing):
      known = np.unique(step)
      self._blocks.append((known, self._pool.submit(self._rows.load, known)))


def _places(known: np.ndarray, index: np.ndarray) -> np.ndarray | None:
  """Where rows stand among sorted ones; None if some do not."""
  where = np.minimum(np.searchsorted(known, index), len(known) - 1)
  return where if np.array_equal(known[where], index) else None
