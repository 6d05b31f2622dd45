"""Reads the rows of the next outer steps before the steps ask for them.

What a step draws is a pure function of its key, so the rows of the next steps
are known before these steps run. A thread reads these rows in the order of the
steps, a few steps ahead. If a step asks for other rows, it reads them itself.
Reading ahead therefore changes when samples are read, and nothing else.
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

_DEPTH = 2  # steps that are read ahead
_MOST = 2**29  # bytes that may be read ahead


def drawn(
    sample: Callable[[Array, Any], Any]
) -> Callable[[Array, Any], list[tuple[HostRows, np.ndarray]]]:
  """Returns a function that says which rows a sampler will read.

  The function is `(keys [n], data) -> [(host rows, [n, rows] int)]`. It returns
  an empty list for a sampler that reads within a loop or a `vmap` of its own,
  because those rows cannot be recorded.

  Args:
    sample: the sampler of an objective, `(key, data) -> batch`.
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
  """A context in which the given rows are read ahead.

  Args:
    draws: pairs of a `HostRows` and the rows [steps, n] that the next steps
      will read from it.
    depth: number of steps that are read ahead, at least 1. It is lowered so
      that at most half a gigabyte is read ahead; where one step alone needs
      more, nothing is read ahead.
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
  """Reads the rows of each step in a thread; its `find` is `HostRows.ahead`."""

  def __init__(self, rows: HostRows, steps: np.ndarray, depth: int):
    self._rows, self._steps, self._depth = rows, iter(steps), depth
    # For the current step and those after it: sorted rows, future samples.
    self._blocks: collections.deque = collections.deque()
    self._pool, self._alone = ThreadPoolExecutor(1), threading.Lock()
    self._begin_until(depth)
    rows.ahead = self.find

  def close(self) -> None:
    """Ends the thread; from then on, rows are read when they are asked for."""
    self._rows.ahead = None
    self._pool.shutdown(cancel_futures=True)

  def find(self, index: np.ndarray) -> np.ndarray | None:
    """Returns the samples of rows [n] of one step, or None if not read ahead.

    An error that occurred in the thread while reading is raised here.
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
      for _ in range(place):  # drops the steps that are over
        self._blocks.popleft()
      self._begin_until(1 + self._depth)
    return values.result()[where]

  def _begin_until(self, size: int) -> None:
    """Starts reading steps until `size` steps are held."""
    missing = size - len(self._blocks)
    for step in itertools.islice(self._steps, missing):
      known = np.unique(step)
      self._blocks.append((known, self._pool.submit(self._rows.load, known)))


def _places(known: np.ndarray, index: np.ndarray) -> np.ndarray | None:
  """Returns the positions of rows among sorted ones; None if one is missing."""
  where = np.minimum(np.searchsorted(known, index), len(known) - 1)
  return where if np.array_equal(known[where], index) else None
