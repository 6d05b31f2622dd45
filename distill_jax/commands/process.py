"""Ends programs that compute with one line and an exit code, no traceback.

Exit codes: 0 finished; 1 a fault of the program; 2 a mistake in the arguments
or the data; 3 the loss was not finite; 128 plus the number of the signal that
stopped it.
"""

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import jax

from distill_jax import models, processes
from distill_jax.commands import interrupts
from distill_jax.devices import on_devices
from distill_jax.errors import ConfigError, plain
from distill_jax.methods import NonFinite
from distill_jax.runs import Interrupted

FAULT, MISTAKE, NOT_FINITE = 1, 2, 3


class Stopped(KeyboardInterrupt):
  """Raised by SIGTERM or Ctrl-C outside the steps of a run.

  Attributes:
    signal: number of the signal.
  """

  def __init__(self, number: int):
    super().__init__()
    self.signal = number


def run(
    action: Callable[[], None],
    *,
    debug: bool = False,
    resumes: bool = False,
    mistakes: tuple[type[Exception], ...] = (),
    worded: Callable[[str], str] = str) -> int:
  """Calls `action` and returns the exit code.

  The library raises a `ValueError` for a user's mistake. It is printed in one
  line, and so are errors of files, such as a full disk, and, with exit code 1,
  faults of the program itself.

  Args:
    action: what is done.
    debug: whether to raise faults and mistakes, to show where they came from.
    resumes: whether the same command goes on where this one was stopped.
    mistakes: further errors that a user's mistake raises.
    worded: rewrites the line of a mistake in the words of the program.
  """
  if threading.current_thread() is threading.main_thread():
    interrupts.handle(_stop)
  try:
    action()
  except Interrupted as stopped:
    interrupts.handle(lambda *second: None)
    print(stopped, file=sys.stderr)
    return 128 + stopped.signal
  except KeyboardInterrupt as stopped:
    goes_on = "; the same command goes on" * resumes
    print(f"{interrupts.LINE}{goes_on}", file=sys.stderr)
    return 128 + getattr(stopped, "signal", signal.SIGINT)
  except BrokenPipeError:  # the reader of the output has closed it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
  except NonFinite as error:
    return _fail(error, NOT_FINITE, worded, resumes)
  # All other errors, so that a fault of the program also ends with one line and
  # exit code 1. Errors that files and users can cause are typed where they are
  # read.
  except Exception as error:
    if debug:
      raise
    known = isinstance(error, (ValueError, OSError, *mistakes))
    return _fail(error, MISTAKE if known else FAULT, worded, resumes)
  return 0


def end(code: int) -> NoReturn:
  """Ends the process.

  An interrupted computation may still run on XLA's threads, and a normal exit
  of the interpreter would crash them.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  # After an error, the other processes may never end.
  if code > 128 or (code and processes.joined()):
    os._exit(code)
  sys.exit(code)


def widen(*specs: Mapping[str, Any]) -> None:
  """Switches float64 on if the ridge solve of a kernel needs it.

  Args:
    *specs: specifications of networks or kernels.
  """
  if any(map(models.is_kernel, specs)):
    jax.config.update("jax_enable_x64", True)


def seconds_left(minutes: float | None) -> float | None:
  """Seconds left of a time limit that counts from the start of the program.

  Args:
    minutes: the limit, or None for none.

  Returns:
    Seconds, at least one, so that one chunk of steps is always taken; or None.
  """
  if minutes is None:
    return None
  return max(60 * minutes - (time.monotonic() - interrupts.STARTED), 1.0)


@contextlib.contextmanager
def sharing(
    devices: str = "all",
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    together: bool = False) -> Iterator[None]:
  """Shares work over devices and processes; only the first process prints.

  Args:
    devices: number of devices, or "all".
    coordinator: see `processes.join`.
    num_processes: number of processes.
    process_id: number of this process, from 0.
    together: whether JAX finds the other processes.

  Raises:
    ConfigError: only some devices of several processes, or not a number of
      devices.
  """
  processes.join(coordinator, num_processes, process_id, together=together)
  if processes.joined() and devices != "all":
    raise ConfigError(
        "`--devices` must be all where several processes run together; got "
        f"{devices}.")
  number = int(devices) if devices.isdecimal() else devices
  with contextlib.ExitStack() as stack:
    if not processes.is_first():
      nowhere = stack.enter_context(open(os.devnull, "w"))
      stack.enter_context(contextlib.redirect_stdout(nowhere))
    stack.enter_context(on_devices(number))
    yield


def _stop(number, frame):
  """Raises `Stopped`; another signal over a second later ends the process."""
  del frame
  began = time.monotonic()

  def again(number, frame):
    del frame
    if time.monotonic() > began + 1:
      os._exit(128 + number)

  interrupts.handle(again)
  raise Stopped(number)


# Words in errors of JAX and its collectives if a process cannot be reached.
_LOST = re.compile(
    "gloo|nccl|heartbeat|unavailable|deadline_exceeded|connection",
    re.IGNORECASE)


def _is_of_another(error: BaseException) -> bool:
  return isinstance(error, jax.errors.JaxRuntimeError) and bool(
      _LOST.search(str(error)))


def _fail(
    error: BaseException, code: int, worded: Callable[[str], str],
    resumes: bool) -> int:
  text = worded(plain(error, 1000))
  if processes.joined() and _is_of_another(error):
    text = (
        "another process of this run stopped, or cannot be reached. "
        f"{'The same commands go on from what is finished; ' * resumes}"
        "--debug shows more.")
  elif code == FAULT:
    text = (
        f"{type(error).__name__}: {plain(error, 170)}. This is a fault of the "
        "program, unless memory ran out; --debug shows where.")
  elif isinstance(error, OSError) and error.filename:
    text = (
        f"{error.filename} must be a file or folder that can be used; "
        f"{error.strerror}. Mend that, or choose another place.")
  print(f"error: {text}", file=sys.stderr)
  return code
