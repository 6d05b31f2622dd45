"""A plan carried out in a folder: log, checkpoints, signals, time left."""

import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from distill_jax import devices, processes
from distill_jax.checkpoint import Checkpoints
from distill_jax.methods.method import Outcome, Plan
from distill_jax.methods.steps import Progress, Watch, carry_out, mean_loss
from distill_jax.runs.console import duration, say
from distill_jax.runs.files import MetricsLog


class Interrupted(Exception):
  """The process was asked to stop, and what it had is saved.

  Attributes:
    signal: its number.
  """

  def __init__(self, message: str, signal: int = signal.SIGINT):
    super().__init__(message)
    self.signal = signal


def train(
    plan: Plan,
    folder: Path,
    *,
    log_every: int | None = None,
    checkpoint_every: int | None = None) -> Outcome:
  """Carries out a plan, from the last checkpoint if there is one.

  Args:
    plan: what to do.
    folder: exists; holds `metrics.jsonl`, `checkpoints/` and, for methods made
      of several plans, the same of each below `parts/`.
    log_every: outer steps between two lines of the log; by default a tenth of
      all, at most 100.
    checkpoint_every: a multiple of it; the same by default.

  Raises:
    Interrupted: on SIGTERM or Ctrl-C, after a checkpoint.
    NonFinite: the loss or its gradient is not finite, or beyond the method's
      `spike`.
  """
  watch = FolderWatch(folder, log_every, checkpoint_every)
  outcome = carry_out(plan, watch)
  if watch.parts:
    _join_logs(folder, watch.parts)
  return outcome


class FolderWatch(Watch):
  """Logs and saves the chunks of a plan, and stops when asked to."""

  def __init__(
      self, folder: Path, log_every: int | None, checkpoint_every: int | None):
    self.log_every = log_every
    self.parts: list[Path] = []
    self._folder, self._checkpoint_every = folder, checkpoint_every

  def part(self, name: str) -> "FolderWatch":
    folder = self._folder / "parts" / name
    folder.mkdir(parents=True, exist_ok=True)
    self.parts.append(folder)
    return FolderWatch(folder, self.log_every, self._checkpoint_every)

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
    self._stop = _Stop()
    self._bar = tqdm(
        total=total,
        initial=int(state.step),
        unit="step",
        disable=not (sys.stderr.isatty() and processes.is_first()),
        dynamic_ncols=True)
    return state, attempt, self._log.seconds

  def compiled(self, memory, shares: Mapping[str, int]) -> None:
    if devices.num_shards() > 1:
      say(devices.line(shares))
    say(_memory(memory))

  def again(self, line: str) -> None:
    say(line)

  def gave_up(self, line: str) -> str:
    latest = self._checkpoints.latest_step()
    where = f"step {latest}" if latest is not None else "the start"
    return (
        f"{line}; the last good checkpoint is {where}. Lower the learning "
        "rates or set `clip_norm`, in a new workdir")

  def chunk(self, plan: Plan, progress: Progress) -> None:
    method, state = plan.method, progress.state
    step, total = int(state.step), method.num_steps
    rolled = dict(rollbacks=progress.attempt) if method.rollbacks else {}
    self._log.write(**_summary(step, progress.seconds, progress.info), **rolled)
    asked = processes.largest(self._stop.asked)
    if (step >= total or asked or step % (self._checkpoint_every or step) == 0):
      self._checkpoints.save(step, state, dict(attempt=progress.attempt))
    self._bar.update(len(progress.info.loss))
    self._report(step, total, progress)
    if asked:
      raise Interrupted(
          f"stopped at step {step} of {total}; the same command goes on from "
          "there", asked)

  def end(self) -> None:
    self._bar.close()
    self._stop.forget()

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
  """Remembers SIGTERM and SIGINT; SIGINT a second later stops at once."""

  def __init__(self):
    self.asked, self._before = 0, {}  # no signal yet
    if threading.current_thread() is threading.main_thread():
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
    if self.asked:
      if number == signal.SIGINT and time.monotonic() > self._began + 1:
        raise KeyboardInterrupt
      return
    self.asked, self._began = number, time.monotonic()
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
  """One log of all parts, their steps and seconds counted on."""
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
