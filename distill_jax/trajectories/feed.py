"""Reads segments of experts' trajectories ahead and moves them to the device.

Expert and epoch of an outer step depend only on a seed and the step, so a
resumed run uses the same segments. While the device computes one chunk of
steps, a thread reads the next one.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from distill_jax.objectives.datm import StartEpochs, check_span
from distill_jax.objectives.mtt import Segment
from distill_jax.trajectories.buffer import Buffer


class Chunk(NamedTuple):
  """A chunk of outer steps.

  Attributes:
    step: the first outer step.
    size: number of steps.
    attempt: how often the chunk was drawn anew.
  """

  step: int
  size: int
  attempt: int


class Feed:
  """`feed(step, size) -> Segment` with vectors [size, n], on the device.

  Memory: two chunks of `size` segments, with 8 n bytes per segment.
  """

  def __init__(
      self, buffer: Buffer, *, seed: int, span: int, epochs: StartEpochs):
    """Chooses which segments are drawn.

    Args:
      buffer: the experts.
      seed: seed of the draws.
      span: M, epochs from the start of a segment to its target.
      epochs: the range of start epochs.

    Raises:
      ValueError: a segment may end after the experts' last epoch.
    """
    check_span(epochs, span, buffer.num_epochs)
    self._buffer, self._seed = buffer, seed
    self._span, self._epochs = span, epochs
    self._thread = ThreadPoolExecutor(1)
    self._ahead = None, None

  def __call__(self, step: int, size: int, attempt: int = 0) -> Segment:
    """Returns the segments of `size` steps; read ahead, if that was possible.

    Args:
      step: the first outer step.
      size: number of steps.
      attempt: each number gives other segments.
    """
    wanted = Chunk(step, size, attempt)
    foreseen, reading = self._ahead
    staged = reading.result() if foreseen == wanted else self._stage(wanted)
    following = wanted._replace(step=step + size)
    self._ahead = following, self._thread.submit(self._stage, following)
    return staged

  def draw(self, step: int, attempt: int = 0) -> tuple[int, int]:
    """Expert and epoch of an outer step."""
    generator = np.random.default_rng((self._seed, step, attempt))
    expert = int(generator.integers(self._buffer.num_experts))
    return expert, int(generator.integers(*self._epochs.bounds(step)))

  def close(self) -> None:
    """Ends the thread."""
    self._thread.shutdown(cancel_futures=True)

  def _stage(self, chunk: Chunk) -> Segment:
    drawn = [
        self._buffer.segment(*self.draw(step, chunk.attempt), self._span)
        for step in range(chunk.step, chunk.step + chunk.size)
    ]
    return jax.device_put(Segment(*map(np.stack, zip(*drawn, strict=True))))
