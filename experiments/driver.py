"""Runs the outer loop in chunks: logs, checkpoints, signals, time left."""

import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from build import Run
from tqdm import tqdm
from workdir import MetricsLog

from distill_jax.checkpoint import Checkpoints
from distill_jax.outer_loop import State, distill
from distill_jax.runs.console import say
from distill_jax.types import Distilled, PyTree

_ATTEMPTS = 2**30  # apart from the outer steps, which are below it


class NonFinite(Exception):
  """The loss stopped being a number, or a reasonable one."""


class Interrupted(Exception):
  """The process was asked to stop, and what it had is saved."""


class Outcome(NamedTuple):
  """Attributes:
    distilled: to evaluate and save.
    objective: state of the objective after the last step.
    seconds: of distilling, over all the times the run was resumed.
    measured: what the report says of distilling besides.
    provenance: what the set says of it.
  """

  distilled: Distilled
  objective: PyTree
  seconds: float
  measured: dict
  provenance: dict


def train(run: Run, config, folder: Path) -> Outcome:
  """Distils until `num_steps`, from the last checkpoint if there is one.

  A chunk of steps in which the loss is not finite, or beyond `spike` where the
  configuration has one, is thrown away and drawn anew, `rollbacks` times in a
  run; none by default.

  Raises:
    Interrupted: on SIGTERM or Ctrl-C, after a checkpoint.
    NonFinite: the loss or its gradient is not finite, or beyond `spike`.
  """
  checkpoints = Checkpoints(folder / "checkpoints")
  state, attempt = run.state, 0
  latest = checkpoints.latest_step()
  if latest is not None:
    state = checkpoints.restore(latest, state)
    attempt = checkpoints.extra(int(state.step)).get("attempt", 0)
    say(f"resumed at step {int(state.step)} of {config.num_steps}")
  log = MetricsLog(folder, int(state.step))
  stop = _Stop()
  chunks = _Chunks(run)
  seconds = log.seconds
  started = time.perf_counter() - seconds
  bar = tqdm(
      total=config.num_steps, initial=int(state.step), unit="step",
      disable=not sys.stderr.isatty(), dynamic_ncols=True,
  )
  try:
    while (step := int(state.step)) < config.num_steps:
      # Chunk borders are multiples of `log_every` whenever a run was resumed.
      size = min(config.log_every - step % config.log_every,
                 config.num_steps - step)
      following, info = chunks(state, size, attempt)
      info = jax.device_get(info)
      seconds = round(time.perf_counter() - started, 3)
      trouble = _trouble(info, step, config.get("spike", 0))
      if trouble:
        if attempt == config.get("rollbacks", 0):
          raise NonFinite(_gave_up(trouble, attempt, checkpoints))
        attempt += 1
        say(f"{trouble}: back to step {step}, with other draws "
            f"({attempt} of {config.rollbacks} times)")
        continue
      state, step = following, step + size
      rolled = dict(rollbacks=attempt) if "rollbacks" in config else {}
      log.write(**_summary(step, seconds, info), **rolled)
      last = step >= config.num_steps
      if last or stop.asked or step % config.checkpoint_every == 0:
        checkpoints.save(step, state, dict(attempt=attempt))
      bar.update(size)
      _report(bar, step, config.num_steps, chunks.seconds_per_step, info)
      if stop.asked:
        raise Interrupted(
            f"stopped at step {step} of {config.num_steps}; the same command "
            "goes on from there"
        )
  finally:
    if run.feed is not None:
      run.feed.close()
    bar.close()
    checkpoints.close()
    stop.forget()
  distilled = run.distiller.result(state)
  if run.finish is not None:
    distilled = run.finish(distilled)
  return Outcome(
      distilled, state.objective, seconds, dict(run.measured), {}
  )


class _Chunks:
  """`distill` compiled per chunk size, with its memory told beforehand."""

  def __init__(self, run: Run):
    self._run = run
    self._compiled = {}
    self.seconds_per_step = float("nan")

  def __call__(self, state: State, size: int, attempt: int = 0):
    key, data, fed = self._run.key, self._run.data, None
    if attempt:
      key = jax.random.fold_in(key, _ATTEMPTS + attempt)
    if self._run.feed is not None:
      data, fed = (), self._run.feed(int(state.step), size, attempt)
    args = key, state, data
    if size not in self._compiled:
      lowered = distill.lower(
          *args, step=self._run.distiller.step, num_steps=size, fed=fed
      )
      compiled = lowered.compile()
      if not self._compiled:
        say(_memory(compiled.memory_analysis()))
      self._compiled[size] = compiled
    begin = time.perf_counter()
    result = jax.block_until_ready(self._compiled[size](*args, fed=fed))
    self.seconds_per_step = (time.perf_counter() - begin) / size
    return result


class _Stop:
  """Remembers SIGTERM and SIGINT; a second SIGINT stops at once."""

  def __init__(self):
    self.asked = False
    self._before = {
        name: signal.signal(name, self._ask)
        for name in (signal.SIGTERM, signal.SIGINT)
    }

  def forget(self) -> None:
    """Leaves signals to whoever had them before."""
    for name, handler in self._before.items():
      signal.signal(name, handler)

  def _ask(self, number, frame):
    del frame
    if self.asked and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.asked = True
    say("stopping after the steps under way; a checkpoint will be written")


def _memory(analysis) -> str:
  total = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes
  stats = jax.local_devices()[0].memory_stats() or {}
  limit = stats.get("bytes_limit")
  of = f" of {_bytes(limit)}" if limit else ""
  return f"device memory needed: about {_bytes(total)}{of}"


def _bytes(number: int) -> str:
  mebibytes = number / 2**20
  if mebibytes < 1000:
    return f"{mebibytes:.1f} MiB"
  return f"{mebibytes / 1024:.1f} GiB"


def _trouble(info, step: int, spike: float) -> str:
  """What is wrong with the first bad step of a chunk, if any is."""
  good = info.finite & ~(info.loss > spike) if spike else info.finite
  good = good | ~_taken(info)
  if good.all():
    return ""
  bad = int(np.argmin(good))
  what = "not finite"
  if info.finite[bad]:
    what = f"{info.loss[bad]:.3g}, beyond `spike`,"
  return f"the loss is {what} at step {step + bad + 1}"


def _taken(info) -> np.ndarray:
  """[steps] bool, those that were not skipped."""
  return np.asarray(info.metrics.get("skipped", np.zeros(len(info.loss)))) == 0


def _gave_up(trouble: str, attempts: int, checkpoints: Checkpoints) -> str:
  latest = checkpoints.latest_step()
  where = f"step {latest}" if latest is not None else "the start"
  again = f", after {attempts} rollbacks" * bool(attempts)
  return (
      f"{trouble}{again}; the last good checkpoint is {where}. Lower the "
      "learning rates or set `clip_norm`, in a new workdir"
  )


def _summary(step: int, seconds: float, info) -> dict:
  return dict(
      step=step,
      seconds=seconds,
      loss=_mean_loss(info),
      grad_norm=float(np.median(info.grad_norm)),
      **{name: float(values.mean()) for name, values in info.metrics.items()},
  )


def _mean_loss(info) -> float:
  """Over the steps that were taken, where there are any."""
  taken = _taken(info)
  return float((info.loss[taken] if taken.any() else info.loss).mean())


def _report(bar, step, num_steps, seconds_per_step, info) -> None:
  loss, left = _mean_loss(info), (num_steps - step) * seconds_per_step
  if bar.disable:
    say(f"step {step}/{num_steps}  loss {loss:.4f}  "
         f"{1000 * seconds_per_step:.0f} ms/step  {_duration(left)} left")
  else:
    bar.set_postfix(loss=f"{loss:.4f}")


def _duration(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{seconds:02}"
