"""Runs a launcher's main: one line and an exit code instead of a traceback."""

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import begin
import jax
from absl import app, flags

from distill_jax import models, processes
from distill_jax.devices import on_devices
from distill_jax.errors import ConfigError, plain
from distill_jax.methods import NonFinite
from distill_jax.runs import Interrupted

FAULT, MISTAKE, NOT_FINITE = 1, 2, 3
QUOTES = "'\""


class Stopped(KeyboardInterrupt):
  """SIGTERM or Ctrl-C outside the steps of a run.

  Attributes:
    signal: its number.
  """

  def __init__(self, number: int):
    super().__init__()
    self.signal = number


def start(
    main: Callable, config: Path | None = None, computes: bool = True) -> None:
  """Runs `main` and ends the process; see `run`.

  An interrupted computation may still run on XLA's threads; a normal
  interpreter exit would crash them.
  """
  code = run(main, config=config, computes=computes)
  sys.stdout.flush()
  sys.stderr.flush()
  if code > 128 or (code and processes.joined()):  # others may never end
    os._exit(code)
  sys.exit(code)


def run(
    main: Callable,
    argv: list[str] | None = None,
    config: Path | None = None,
    computes: bool = True) -> int:
  """Parses the flags, runs `main(rest)` and returns the exit code.

  A `ValueError` is what the library raises for a user's mistake; it becomes
  one line, as do a full disk and its like, and, with the exit code 1, a fault
  of the program itself. `--debug` shows where it came from. `config` is the
  file of `--config` where nobody gives one. A launcher that starts others, and
  does not compute itself, leaves the devices to them.
  """
  argv = sys.argv if argv is None else argv
  if threading.current_thread() is threading.main_thread():
    begin.handle(_stop)
  try:
    rest = _parse(argv, config)
    with _sharing(computes):
      main(rest)
  except Interrupted as stopped:
    begin.handle(lambda *second: None)
    print(stopped, file=sys.stderr)
    return 128 + stopped.signal
  except KeyboardInterrupt as stopped:
    print(begin.LINE, file=sys.stderr)
    return 128 + getattr(stopped, "signal", signal.SIGINT)
  except NonFinite as error:
    return _fail(error, NOT_FINITE)
  # All others, so that a fault of the program is one line and exit code 1 too.
  # What files and users can cause has a typed error where it is read.
  except Exception as error:
    if "--debug" in argv:
      raise
    known = isinstance(error, ValueError | OSError | flags.Error)
    return _fail(error, MISTAKE if known else FAULT)
  return 0


def _stop(number, frame):
  """Unwinds; a signal more than a second later ends the process."""
  del frame
  began = time.monotonic()

  def again(number, frame):
    del frame
    if time.monotonic() > began + 1:
      os._exit(128 + number)

  begin.handle(again)
  raise Stopped(number)


def widen(*specs) -> None:
  """Gives this process float64 where a kernel's ridge solve needs it."""
  if any(map(models.is_kernel, specs)):
    jax.config.update("jax_enable_x64", True)


def missing(flag: str, what: str) -> ConfigError:
  """The error for a flag that must be given."""
  return ConfigError(f"`--{flag}` must be given: {what}. See --help.")


flags.DEFINE_bool("debug", False, "Show the traceback of a mistake.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.DEFINE_string(
    "devices", "all", "Over how many devices independent work is shared out.")

flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of the first of several processes.")
flags.DEFINE_integer("num_processes", None, "How many there are.")
flags.DEFINE_integer("process_id", None, "Which one this is, from 0.")
flags.DEFINE_bool(
    "together", False, "Join the processes that a pod of TPUs or MPI started "
    "beside this one; those of srun are joined without it.")
_OF_PROCESSES = "coordinator", "num_processes", "process_id"


def _refuse_devices() -> None:
  """Refuses flags that belong to the programs which a launcher starts."""
  given = flags.FLAGS
  if given.devices != "all" or given.together or any(
      given[name].value is not None for name in _OF_PROCESSES):
    raise ConfigError(
        "`--devices` and the flags of processes must be left out here: each "
        "program that this one starts uses all devices of the machine.")


@contextlib.contextmanager
def _sharing(computes: bool):
  """The devices and processes of the flags, for a launcher that computes.

  Of several processes the first one alone prints.
  """
  given = flags.FLAGS
  if not computes:
    _refuse_devices()
    yield
    return
  processes.join(
      given.coordinator,
      given.num_processes,
      given.process_id,
      together=given.together)
  if processes.joined() and given.devices != "all":
    raise ConfigError(
        "`--devices` must be all where several processes run together; got "
        f"{given.devices}.")
  number = int(given.devices) if given.devices.isdecimal() else given.devices
  with contextlib.ExitStack() as stack:
    if not processes.is_first():
      nowhere = stack.enter_context(open(os.devnull, "w"))
      stack.enter_context(contextlib.redirect_stdout(nowhere))
    stack.enter_context(on_devices(number))
    yield


def _parse(argv, config):
  app.define_help_flags()
  named = any(a.lstrip("-").split("=")[0] == "config" for a in argv)
  if config and not named:
    argv = [argv[0], f"--config={config}", *argv[1:]]
  try:
    rest = flags.FLAGS(argv)
    if "config" in flags.FLAGS:
      flags.FLAGS.config.keys()  # fails now if the file could not be read
  except flags.Error as error:
    raise ConfigError(_flag_error(error)) from error
  except (AttributeError, KeyError) as error:
    raise ConfigError(
        "`--config` must have every field that is set; got "
        f"{_plain(error)}. " + (
            _UNNAMED if config and not named else
            f"{_sections(argv[0])}; --print_config lists them.")) from error
  except (OSError, SyntaxError) as error:
    raise ConfigError(
        "`--config` must name a configuration file; got "
        f"{str(error).splitlines()[-1].strip()}. See experiments/configs."
    ) from error
  if rest[1:]:
    raise ConfigError(
        f"arguments must begin with --; got {rest[1]!r}. See --help.")
  return rest


_UNNAMED = (
    "Without --config these are the fields of images; "
    "--config=experiments/configs/METHOD.py has those of another method.")


def _sections(program: str) -> str:
  """How the names of fields begin in configurations of this launcher."""
  if Path(program).stem == "apply":
    return "Settings of the application begin with settings."
  return (
      "Settings of the method begin with method., of the evaluation with "
      "evaluation.")


def _plain(error: Exception) -> str:
  """What ml_collections says of an unknown field, without its quoting."""
  while error.args and isinstance(error.args[0], Exception):
    error = error.args[0]
  name, _, hint = str(error.args[0] if error.args else "").partition("\n")
  meant = re.search(r'"([^"]+)" instead of', hint)
  return name.strip(QUOTES).rstrip("?. ") + (
      f", not `{meant[1]}`" if meant else "")


# What Python and absl say of a text that is no value of a flag.
_KINDS = {
    "invalid literal for int": "a whole number",
    "could not convert string to float": "a number",
    "Non-boolean argument": "true or false"
}


def _flag_error(error: flags.Error) -> str:
  """The mistake; where a configuration names it, without the traceback that
  ml_collections puts around it."""
  inner, message = error, f"{str(error).rstrip('.')}. See --help."
  wrong = re.fullmatch(r"flag --([\w.\[\]]+)=(.*?): (.*)", str(error))
  for said, kind in _KINDS.items():
    if wrong and said in wrong[3]:
      message = f"`--{wrong[1]}` must be {kind}; got {wrong[2]!r}."
  while inner is not None:
    if isinstance(inner, ConfigError):
      message = str(inner)
    inner = inner.__context__
  return message


# What JAX and its collectives say when another process cannot be reached.
_LOST = re.compile(
    "gloo|nccl|heartbeat|unavailable|deadline_exceeded|connection",
    re.IGNORECASE)


def _is_of_another(error: BaseException) -> bool:
  return isinstance(error, jax.errors.JaxRuntimeError) and bool(
      _LOST.search(str(error)))


def _fail(error: BaseException, code: int) -> int:
  text = plain(error, 1000)
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
