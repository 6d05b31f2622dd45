"""Several processes that do one run together, on one machine or on many.

Every process runs the same program and holds the data; what is shared out over
devices is shared out over those of all processes (JAX's own runtime, `jit` over
a mesh). The first process alone writes files and speaks.
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
  """What this process knows of the others."""

  joined = False


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    together: bool = False) -> bool:
  """Joins the other processes of a run; call it before any computation.

  Without arguments it joins those that Slurm (`srun`) started beside this one,
  if there are any.

  Args:
    coordinator: HOST:PORT, where the first process can be reached.
    num_processes: how many there are.
    process_id: 0 for the first.
    together: leaves it to JAX to find the others, as on a pod of TPUs.

  Returns:
    Whether there are others.

  Raises:
    ConfigError: some of the arguments without the others, or a number out of
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
  """Whether this process writes files and speaks."""
  return not _Own.joined or jax.process_index() == 0


def largest(value: int) -> int:
  """The largest of the numbers that the processes give; all must call it."""
  if not _Own.joined:
    return value
  return int(np.max(multihost_utils.process_allgather(np.array(value))))


@contextlib.contextmanager
def in_turn():
  """The first process does what is within, then all others do."""
  if not is_first():
    wait()
  yield
  if is_first():
    wait()


def wait() -> None:
  """Waits for the other processes: what the first wrote can be read now."""
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
