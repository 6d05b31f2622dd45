"""How a program that computes ends: one line and an exit code, no traceback.

Exit codes: 0 done; 1 a fault of the program; 2 a mistake in the arguments or
the data; 3 the loss was not finite; 128 and the signal's number, stopped.
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
  """SIGTERM or Ctrl-C outside the steps of a run.

  Attributes:
    signal: its number.
  """

  def __init__(self, number: int):
    super().__init__()
    self.signal = number


def run(
    action: Callable[[], None],
    *,
    debug: bool = False,
    mistakes: tuple[type[Exception], ...] = (),
    worded: Callable[[str], str] = str) -> int:
  """Calls `action` and returns the exit code.

  A `ValueError` is what the library raises for a user's mistake; it becomes
  one line, as do a full disk and its like, and, with the exit code 1, a fault
  of the program itself.

  Args:
    action: what is done.
    debug: lets faults and mistakes through, to show where they came from.
    mistakes: other errors that a user's mistake raises.
    worded: takes the line of a mistake to the words of the program.
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
    print(interrupts.LINE, file=sys.stderr)
    return 128 + getattr(stopped, "signal", signal.SIGINT)
  except BrokenPipeError:  # whoever read the output has read enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
  except NonFinite as error:
    return _fail(error, NOT_FINITE, worded)
  # All others, so that a fault of the program is one line and exit code 1 too.
  # What files and users can cause has a typed error where it is read.
  except Exception as error:
    if debug:
      raise
    known = isinstance(error, (ValueError, OSError, *mistakes))
    return _fail(error, MISTAKE if known else FAULT, worded)
  return 0


def end(code: int) -> NoReturn:
  """Ends the process.

  An interrupted computation may still run on XLA's threads; a normal
  interpreter exit would crash them.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  if code > 128 or (code and processes.joined()):  # others may never end
    os._exit(code)
  sys.exit(code)


def widen(*specs: Mapping[str, Any]) -> None:
  """Gives this process float64 where a kernel's ridge solve needs it."""
  if any(map(models.is_kernel, specs)):
    jax.config.update("jax_enable_x64", True)


def seconds_left(minutes: float | None) -> float | None:
  """Of a time limit that counts from the start of the program.

  Args:
    minutes: the limit, or None for none.

  Returns:
    At least one second: one chunk of steps is taken in any case.
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
  """Shares work over devices and processes; the first process alone prints.

  Args:
    devices: their number, or "all".
    coordinator: see `processes.join`, as the others.
    num_processes: how many there are.
    process_id: which one this is.
    together: whether JAX finds the others.

  Raises:
    ConfigError: some devices of several processes, or no number of devices.
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
  """Unwinds; a signal more than a second later ends the process."""
  del frame
  began = time.monotonic()

  def again(number, frame):
    del frame
    if time.monotonic() > began + 1:
      os._exit(128 + number)

  interrupts.handle(again)
  raise Stopped(number)


# What JAX and its collectives say when another process cannot be reached.
_LOST = re.compile(
    "gloo|nccl|heartbeat|unavailable|deadline_exceeded|connection",
    re.IGNORECASE)


def _is_of_another(error: BaseException) -> bool:
  return isinstance(error, jax.errors.JaxRuntimeError) and bool(
      _LOST.search(str(error)))


def _fail(error: BaseException, code: int, worded: Callable[[str], str]) -> int:
  text = worded(plain(error, 1000))
  if processes.joined() and _is_of_another(error):
    text = (
        "another process of this run stopped, or cannot be reached. The same "
        "commands go on from the last checkpoint; --debug shows more.")
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
