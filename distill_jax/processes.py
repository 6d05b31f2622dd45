"""Several processes that carry out one run, on one machine or on many.

Every process runs the same program and holds the data. Work that is shared over
devices is shared over those of all processes (by JAX: `jit` over a mesh). Only
the first process writes files and prints.
"""

import contextlib
import os

import jax
import numpy as np
from jax.experimental import multihost_utils

from distill_jax import storage
from distill_jax.errors import ConfigError

_HEARTBEAT = 25  # seconds of silence after which a process counts as lost


class _Own:
  """Whether this process has joined others."""

  joined = False


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    together: bool = False) -> bool:
  """Joins the other processes of a run; call it before any computation.

  Without arguments, it joins the processes that Slurm (`srun`) started together
  with this one, if there are any.

  Args:
    coordinator: HOST:PORT, where the first process can be reached.
    num_processes: number of processes.
    process_id: number of this process, 0 for the first.
    together: whether JAX finds the other processes, as on a TPU pod.

  Returns:
    Whether there are other processes.

  Raises:
    ConfigError: only some of the arguments are given, or a number is out of
      its range.
  """
  given = coordinator, num_processes, process_id
  if given == (None, None, None) and not (together or _by_srun()):
    return False
  if given != (None, None, None):
    _check(*given)
    if num_processes == 1:
      return False
  jax.distributed.initialize(*given, heartbeat_timeout_seconds=_HEARTBEAT)
  _Own.joined = True
  if jax.process_index():
    storage.only_read()
  return True


def joined() -> bool:
  """Whether this process is one of several."""
  return _Own.joined


def is_first() -> bool:
  """Whether this process writes files and prints."""
  return not _Own.joined or jax.process_index() == 0


def largest(value: int) -> int:
  """The largest of the processes' numbers; every process must call it."""
  if not _Own.joined:
    return value
  return int(np.max(multihost_utils.process_allgather(np.array(value))))


@contextlib.contextmanager
def in_turn():
  """A context that the first process runs first, then all others."""
  if not is_first():
    wait()
  yield
  if is_first():
    wait()


def wait() -> None:
  """Waits for the other processes, for example until the first has written."""
  if _Own.joined:
    multihost_utils.sync_global_devices("files")


def _by_srun() -> bool:
  return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def _check(coordinator, num_processes, process_id):
  if None in (coordinator, num_processes, process_id):
    raise ConfigError(
        "`coordinator`, `num_processes` and `process_id` must be given "
        f"together; got {coordinator}, {num_processes} and {process_id}.")
  host, _, port = coordinator.rpartition(":")
  if not host or not port.isdecimal():
    raise ConfigError(
        f"`coordinator` must be HOST:PORT, such as localhost:1234; got "
        f"{coordinator}.")
  if not 0 <= process_id < num_processes:
    raise ConfigError(
        "`process_id` must be at least 0 and below `num_processes`; got "
        f"{process_id} of {num_processes}.")
