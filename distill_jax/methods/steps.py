"""Carries out a plan: runs its outer steps in compiled chunks.

Sets in memory, runs in folders and launchers all use this one path. They differ
in the `Watch` that they pass: it decides where a run begins, is told of every
chunk, and saves what should be kept.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import processes
from distill_jax.compilation import make_room
from distill_jax.data import ahead
from distill_jax.data.host import is_host
from distill_jax.devices import num_shards, watching_shares
from distill_jax.environment import free_memory, in_bytes, platform
from distill_jax.errors import ConfigError
from distill_jax.methods.findings import findings
from distill_jax.methods.method import Outcome, Plan
from distill_jax.outer_loop import Info, State, distill, step_keys


def chunk_size(num_steps: int) -> int:
  """The default number of outer steps per chunk: a tenth, at most 100.
  """
  return min(max(num_steps // 10, 1), 100)


class NonFinite(Exception):
  """The loss became NaN, infinite or unreasonably large."""


class Progress(NamedTuple):
  """A finished chunk of outer steps.

  Attributes:
    state: state after the chunk.
    info: information on its steps, on the host.
    attempt: how often chunks of this run have been repeated so far.
    seconds: duration of the run so far, including earlier parts of a resumed
      run.
    seconds_per_step: mean duration of a step of this chunk, without
      compilation.
  """

  state: State
  info: Info
  attempt: int
  seconds: float
  seconds_per_step: float


class Watch:
  """Begins a run and is told of its chunks; this base class keeps nothing.

  Attributes:
    log_every: outer steps per chunk; None for `chunk_size`.
  """

  log_every: int | None = None

  def begin(self, plan: Plan) -> tuple[State, int, float]:
    """Returns the state, attempts and seconds from which a run continues."""
    state: Any = plan.state  # it has outer steps
    return state, 0, 0.0

  def compiling(self) -> None:
    """Called before the first chunk is compiled."""

  def compiled(self, memory, shares: Mapping[str, int]) -> None:
    """Called when the first chunk has been compiled.

    Args:
      memory: the memory that it needs, as analysed by XLA.
      shares: numbers of items that the devices share, by what the items are.
    """

  def running(self, size: int):
    """The context in which a compiled chunk of `size` steps runs."""
    del size
    return contextlib.nullcontext()

  def chunk(self, plan: Plan, progress: Progress) -> None:
    """Called after each chunk of steps."""

  def again(self, line: str) -> None:
    """Called when a chunk is repeated, with the reason."""

  def gave_up(self, line: str) -> str:
    """Returns the message of `NonFinite`."""
    return f"{line}. Lower the learning rates or set `clip_norm`"

  def end(self) -> None:
    """Called when the run has ended or was interrupted."""

  def part(self, name: str) -> "Watch":
    """Returns the watch for one part of a method that has several plans."""
    del name
    return self


def carry_out(plan: Plan, watch: Watch | None = None) -> Outcome:
  """Takes all outer steps of a plan, or carries out its parts.

  If the loss in a chunk is not finite, or exceeds the method's `spike`, the
  chunk is discarded and repeated with other draws, up to `rollbacks` times.

  Args:
    plan: the plan.
    watch: who is told of the run's progress; by default nobody.

  Raises:
    NonFinite: the loss or its gradient is not finite, or exceeds `spike`.
  """
  make_room()
  watch, method = watch or Watch(), plan.method
  if method.parts is not None:
    return method.parts(
        plan, lambda name, part: carry_out(part, watch.part(name)))
  state, attempt, seconds = watch.begin(plan)
  most = watch.log_every or chunk_size(method.num_steps)
  chunks, started = _Chunks(plan, watch), time.perf_counter() - seconds
  try:
    while (step := int(state.step)) < method.num_steps:
      # Chunks end at multiples of `log_every`, also in a resumed run.
      size = min(most - step % most, method.num_steps - step)
      following, info = chunks(state, size, attempt)
      info = jax.device_get(info)
      seconds = round(time.perf_counter() - started, 3)
      trouble = _trouble(info, step, method.spike)
      if not trouble:
        state = following
        watch.chunk(
            plan,
            Progress(state, info, attempt, seconds, chunks.seconds_per_step))
        continue
      if attempt == method.rollbacks:
        again = f", after {attempt} rollbacks" * bool(attempt)
        raise NonFinite(watch.gave_up(f"{trouble}{again}"))
      attempt += 1
      watch.again(
          f"{trouble}: back to step {step}, with other draws "
          f"({attempt} of {method.rollbacks} times)")
  finally:
    if plan.prepared.feed is not None:
      plan.prepared.feed.close()
    watch.end()
  result = plan.outer.result(state)
  if num_shards() > 1:  # later computations need not use all devices
    result = jax.device_get(result)
  distilled = plan.prepared.finish(result)
  found = findings(plan, distilled)
  return Outcome(
      distilled,
      state.objective,
      seconds,
      dict(plan.prepared.measured),
      provenance=dict(findings=found) if found else {})


class _Chunks:
  """`distill`, compiled once for each size of a chunk."""

  def __init__(self, plan: Plan, watch: Watch):
    self._plan, self._watch = plan, watch
    self._compiled: dict[int, Callable[..., Any]] = {}
    self._draw: Callable | None = None
    self.seconds_per_step = float("nan")

  def __call__(self, state: State, size: int, attempt: int):
    prepared, key = self._plan.prepared, self._plan.keys.run
    if attempt:
      key = jax.random.fold_in(self._plan.keys.retry, attempt)
    data, per_step = prepared.data, None
    if prepared.feed is not None:
      data, per_step = (), prepared.feed(int(state.step), size, attempt)
    elif data is None:
      data = self._plan.task.source.train
    args = key, state, data
    if size not in self._compiled:
      if not self._compiled:
        self._watch.compiling()
      with watching_shares() as shares:
        lowered = distill.lower(  # pyright: ignore[reportAttributeAccessIssue]
            *args,
            step=self._plan.outer.step,
            num_steps=size,
            per_step=per_step)
      compiled = lowered.compile()
      _check_room(compiled.memory_analysis())
      if not self._compiled:
        self._watch.compiled(compiled.memory_analysis(), shares)
      self._compiled[size] = compiled
    reading_ahead = self._ahead(key, state, size, data)
    begin = time.perf_counter()
    with self._watch.running(size), reading_ahead:
      result = self._compiled[size](*args, per_step=per_step)
      result = jax.block_until_ready(result)
    self.seconds_per_step = (time.perf_counter() - begin) / size
    return result

  def _ahead(self, key, state: State, size: int, data):
    """A context in which rows that stay on the host are read ahead."""
    if not any(map(is_host, jax.tree.leaves(data, is_leaf=is_host))):
      return contextlib.nullcontext()
    if self._draw is None:
      self._draw = ahead.drawn(self._plan.estimator.sample)
    steps = int(state.step) + jnp.arange(size)
    keys = jax.vmap(lambda step: step_keys(key, step)[0])(steps)
    return ahead.staged(self._draw(keys, data))


def _check_room(analysis) -> None:
  """Refuses steps whose intermediate values do not fit into memory.

  Raises:
    ConfigError: the message says what is needed, what is free, and what to
      change.
  """
  needed, free = analysis.temp_size_in_bytes, free_memory()
  lacking = free is not None and needed > free
  if processes.largest(lacking):  # all processes stop, or none does
    where = "the host" if platform() == "cpu" else "the device"
    raise ConfigError(
        "a step must fit into memory; it needs "
        f"{in_bytes(needed)} beside the data, and {in_bytes(free or 0)} of "
        f"{where} are free. Lower `batch_size`, the number of samples or the "
        "width of the network, or share the work over more devices.")


def taken(info: Info) -> np.ndarray:
  """[steps] bool, the steps that were not skipped."""
  return np.asarray(info.metrics.get("skipped", np.zeros(len(info.loss)))) == 0


def mean_loss(info: Info) -> float:
  """Mean loss of the steps that were not skipped; of all if all were."""
  rows = taken(info)
  return float((info.loss[rows] if rows.any() else info.loss).mean())


def _trouble(info: Info, step: int, spike: float) -> str:
  """What is wrong with the first bad step of a chunk; "" if none is bad."""
  good = info.finite & ~(info.loss > spike) if spike else info.finite
  good = good | ~taken(info)
  if good.all():
    return ""
  bad = int(np.argmin(good))
  what = "not finite"
  if info.finite[bad]:
    what = f"{info.loss[bad]:.3g}, beyond `spike`,"
  return f"the loss is {what} at step {step + bad + 1}"
