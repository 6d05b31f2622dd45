"""Results of a run that are not its last iterate."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from distill_jax.constants import learnable, with_constants
from distill_jax.types import Array, Distilled, PyTree


class Tracker(NamedTuple):
  """How the result of a run is tracked.

  Attributes:
    init: `(distilled) -> state`.
    update: `(state, step, distilled, loss) -> state`, called after each outer
      update with the updated set and the loss before the update.
    value: `(state) -> Distilled`, the set to evaluate and save.
  """

  init: Callable[[Distilled], PyTree]
  update: Callable[[PyTree, Array, Distilled, Array], PyTree]
  value: Callable[[PyTree], Distilled]


class Average(NamedTuple):
  """A running average, stored as a shift, so that what never moves stays equal.

  Attributes:
    value: the average.
    start: the set at which averaging began.
    state: state of the averaging transformation.
  """

  value: Distilled
  start: Distilled
  state: PyTree


def running_average(decay: float) -> Tracker:
  """The exponential average of samples and labels, with bias correction.

  Step sizes are the last ones, as in FTD (Du et al., 2023, arXiv 2211.11004),
  whose average has no bias correction.

  Args:
    decay: in [0, 1).
  """
  average = optax.ema(decay)

  def init(distilled):
    still = jax.tree.map(jnp.zeros_like, learnable(distilled))
    return Average(distilled, distilled, average.init(still))

  def update(before: Average, step, distilled, loss):
    del step, loss
    start = learnable(before.start)
    shift = jax.tree.map(jnp.subtract, learnable(distilled), start)
    shift, state = average.update(shift, before.state)
    value = with_constants(jax.tree.map(jnp.add, start, shift), distilled)
    value = value._replace(raw_step_sizes=distilled.raw_step_sizes)
    return Average(value, before.start, state)

  return Tracker(init, update, lambda state: state.value)


class Lowest(NamedTuple):
  """State of `lowest_loss`.

  Attributes:
    value: the set with the lowest average loss so far.
    loss: [] the average loss of `value`.
    average: [] the running average.
    count: [] int32, number of losses in the average.
  """

  value: Distilled
  loss: Array
  average: Array
  count: Array


def lowest_loss(num_steps: int, *, start: int = 0) -> Tracker:
  """The iterate at which the running average of the loss was lowest.

  The loss is the training loss; a test set has no part in the choice. Until the
  average has seen `num_steps` losses, the value is the last iterate.

  Args:
    num_steps: number of steps that the average covers, at least 1.
    start: outer step at which averaging begins.
  """
  if num_steps < 1:
    raise ValueError(f"`num_steps` must be at least 1; got {num_steps}.")

  def init(distilled):
    zero = jnp.zeros((), jnp.result_type(float))
    return Lowest(distilled, zero, zero, jnp.zeros((), jnp.int32))

  def update(before: Lowest, step, distilled, loss):
    begun = step >= start
    count = before.count + begun
    # A plain mean of the first `num_steps` losses, then an exponential one.
    weight = begun / jnp.clip(count, 1, num_steps)
    average = before.average + weight * (loss - before.average)
    better = (count <= num_steps) | (average < before.loss)
    value = jax.tree.map(
        lambda new, old: jnp.where(better, new, old), distilled, before.value)
    lowest = jnp.where(better, average, before.loss)
    cast = before.average.dtype
    return Lowest(value, lowest.astype(cast), average.astype(cast), count)

  return Tracker(init, update, lambda state: state.value)
