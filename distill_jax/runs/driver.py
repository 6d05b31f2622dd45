"""Carries out a plan in a folder: log, checkpoints, signals, time limit."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from distill_jax import devices, processes
from distill_jax.checkpoint import Checkpoints
from distill_jax.environment import in_bytes
from distill_jax.methods.method import Outcome, Plan
from distill_jax.methods.steps import Progress, Watch, carry_out, mean_loss
from distill_jax.runs import sinks
from distill_jax.runs.console import duration, say
from distill_jax.runs.files import MetricsLog


class Interrupted(Exception):
  """Raised when the process was asked to stop, after a checkpoint was saved.

  Attributes:
    signal: number of the signal.
  """

  def __init__(self, message: str, signal: int = signal.SIGINT):
    super().__init__(message)
    self.signal = signal


class Watched(NamedTuple):
  """What is logged and saved while outer steps are taken.

  Attributes:
    log_every: outer steps between two lines of the log; by default a tenth of
      all, at most 100.
    checkpoint_every: outer steps between two checkpoints, a multiple of
      `log_every`; by default the same.
    deadline: time of `time.monotonic` before which the steps should end; None
      for no limit.
    profile: number of outer steps to trace. Whole chunks are traced until this
      number is reached; compilation is left out.
    metrics: names of `sinks.NAMES`.
  """

  log_every: int | None = None
  checkpoint_every: int | None = None
  deadline: float | None = None
  profile: int = 0
  metrics: tuple[str, ...] = ()


def train(plan: Plan, folder: Path, watched: Watched | None = None) -> Outcome:
  """Carries out a plan, starting from the last checkpoint if there is one.

  Args:
    plan: the plan.
    folder: an existing folder. It holds `metrics.jsonl` and `checkpoints/`, and
      the same below `parts/` for each part of a method that has several plans.
    watched: what is logged and saved; by default the log and checkpoints only.

  Raises:
    Interrupted: on SIGTERM or Ctrl-C, or shortly before the deadline, after a
      checkpoint was saved.
    NonFinite: the loss or its gradient is not finite, or exceeds the method's
      `spike`.
  """
  watch = FolderWatch(folder, watched or Watched())
  outcome = carry_out(plan, watch)
  if watch.parts:
    _join_logs(folder, watch.parts)
  return outcome


class FolderWatch(Watch):
  """Logs and saves the chunks of a plan, and stops when it is asked to."""

  def __init__(self, folder: Path, watched: Watched):
    self.log_every = watched.log_every
    self.parts: list[Path] = []
    self._folder, self._watched = folder, watched
    self._to_profile = watched.profile

  def part(self, name: str) -> "FolderWatch":
    folder = self._folder / "parts" / name
    folder.mkdir(parents=True, exist_ok=True)
    self.parts.append(folder)
    return FolderWatch(folder, self._watched)

  def begin(self, plan: Plan):
    from tqdm import tqdm  # not needed to import the package

    self._checkpoints = Checkpoints(self._folder / "checkpoints")
    state, attempt, total = plan.state, 0, plan.method.num_steps
    latest = self._checkpoints.latest_step()
    if latest is not None:
      state = self._checkpoints.restore(latest, state)
      attempt = self._checkpoints.extra(int(state.step)).get("attempt", 0)
      say(f"resumed at step {int(state.step)} of {total}")
    self._log = MetricsLog(self._folder, int(state.step))
    self._sinks = sinks.opened(self._watched.metrics, self._folder)
    self._saver, self._saving = ThreadPoolExecutor(1), None
    self._bar = tqdm(
        total=total,
        initial=int(state.step),
        unit="step",
        disable=not (sys.stderr.isatty() and processes.is_first()),
        dynamic_ncols=True)
    self._stop, self._latest = _Stop(), time.monotonic()  # handles signals now
    return state, attempt, self._log.seconds

  def compiling(self) -> None:
    say("compiling the first steps ...")

  def compiled(self, memory, shares: Mapping[str, int]) -> None:
    if devices.num_shards() > 1:
      say(devices.line(shares))
    self._memory = _needed(memory)
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    of = f" of {in_bytes(limit)}" if limit else ""
    say(f"device memory needed: about {in_bytes(self._memory)}{of}")

  def again(self, line: str) -> None:
    say(line)

  def gave_up(self, line: str) -> str:
    self._saved()
    latest = self._checkpoints.latest_step()
    where = f"step {latest}" if latest is not None else "the start"
    return (
        f"{line}; the last good checkpoint is {where}. Lower the learning "
        "rates or set `clip_norm`, in a new workdir")

  def chunk(self, plan: Plan, progress: Progress) -> None:
    method, state = plan.method, progress.state
    step, total = int(state.step), method.num_steps
    rolled = dict(rollbacks=progress.attempt) if method.rollbacks else {}
    values = _summary(step, progress.seconds, progress.info) | rolled
    values["memory_bytes"] = _used() or self._memory
    self._log.write(**values)
    for sink in self._sinks:
      sink.write(step, {k: v for k, v in values.items() if k != "step"})
    late = self._is_late() if step < total else 0
    asked = processes.largest(self._stop.asked or late)
    every = self._watched.checkpoint_every or step
    if step >= total or asked or step % every == 0:
      self._save(step, state, dict(attempt=progress.attempt))
    self._bar.update(len(progress.info.loss))
    self._report(step, total, progress)
    if asked:
      self._saved()
      raise Interrupted(
          f"stopped at step {step} of {total}; the same command goes on from "
          "there", asked)

  def running(self, size: int):
    if self._to_profile <= 0 or not processes.is_first():
      return contextlib.nullcontext()
    self._to_profile -= size
    say(f"tracing {size} steps into {self._folder / 'profile'}")
    return jax.profiler.trace(self._folder / "profile")

  def end(self) -> None:
    try:
      self._saved()
    finally:
      self._saver.shutdown()
      for sink in self._sinks:
        sink.close()
      self._bar.close()
      self._stop.forget()

  def _save(self, step: int, state, extra: dict) -> None:
    """Starts to write a checkpoint, after the previous one is written."""
    self._saved()
    self._saving = self._saver.submit(
        self._checkpoints.save, step, state, extra)

  def _saved(self) -> None:
    """Waits for the checkpoint that is being written; raises its errors."""
    saving, self._saving = self._saving, None
    if saving is not None:
      saving.result()

  def _is_late(self) -> int:
    """The signal to stop with if two more chunks would pass the deadline."""
    now = time.monotonic()
    took, self._latest = now - self._latest, now
    late = self._watched.deadline and now + 2 * took > self._watched.deadline
    if late:
      say("stopping: the time limit would be passed")
    return signal.SIGTERM if late else 0

  def _report(self, step: int, total: int, progress: Progress) -> None:
    loss = mean_loss(progress.info)
    left = (total - step) * progress.seconds_per_step
    if self._bar.disable:
      say(
          f"step {step}/{total}  loss {loss:.4f}  "
          f"{1000 * progress.seconds_per_step:.0f} ms/step  "
          f"{duration(left)} of distilling left")
    else:
      self._bar.set_postfix(loss=f"{loss:.4f}")


class _Stop:
  """Remembers SIGTERM and SIGINT; a second SIGINT stops at once."""

  def __init__(self):
    self.asked, self._before = 0, {}  # no signal yet
    if threading.current_thread() is threading.main_thread():
      self._before = {
          name: signal.signal(name, self._ask)
          for name in (signal.SIGTERM, signal.SIGINT)
      }

  def forget(self) -> None:
    """Restores the earlier signal handlers."""
    for name, handler in self._before.items():
      signal.signal(name, handler)

  def _ask(self, number, frame):
    del frame
    if self.asked:
      if number == signal.SIGINT and time.monotonic() > self._began + 1:
        raise KeyboardInterrupt
      return
    self.asked, self._began = number, time.monotonic()
    say("stopping after the steps under way; a checkpoint will be written")


def _needed(analysis) -> int:
  """Bytes of a compiled program on one device, as XLA counts them."""
  return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes


def _used() -> int:
  """Peak bytes in use so far, if the device reports them; else 0."""
  stats = jax.local_devices()[0].memory_stats() or {}
  return stats.get("peak_bytes_in_use", 0)


def _summary(step: int, seconds: float, info) -> dict:
  return dict(
      step=step,
      seconds=seconds,
      loss=mean_loss(info),
      grad_norm=float(np.median(info.grad_norm)),
      **{
          name: float(values.mean()) for name, values in info.metrics.items()
      })


def _join_logs(folder: Path, parts: list[Path]) -> None:
  """Joins the logs of all parts; steps and seconds continue."""
  log, steps, seconds = MetricsLog(folder, 0), 0, 0.0
  for part in parts:
    lines = MetricsLog.read(part)
    for line in lines:
      log.write(
          **line | dict(
              step=line["step"] + steps,
              seconds=round(line["seconds"] + seconds, 3)))
    if lines:
      steps, seconds = steps + lines[-1]["step"], seconds + lines[-1]["seconds"]
