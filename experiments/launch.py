"""Runs a launcher's `main`: parses flags, and prints errors in one line."""

import contextlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags

from distill_jax.commands import process
from distill_jax.errors import ConfigError

QUOTES = "'\""


def start(
    main: Callable,
    config: Path | None = None,
    computes: bool = True,
    resumes: bool = False) -> None:
  """Runs `main` and ends the process; see `run`."""
  process.end(run(main, config=config, computes=computes, resumes=resumes))


def run(
    main: Callable,
    argv: list[str] | None = None,
    config: Path | None = None,
    computes: bool = True,
    resumes: bool = False) -> int:
  """Parses the flags, runs `main(rest)` and returns the exit code.

  `--debug` shows where an error came from. `config` is the configuration file
  if `--config` is not given. A launcher that starts other programs, and does
  not compute itself (`computes` is False), leaves the devices to them. For
  `resumes` see `process.run`.
  """
  argv = sys.argv if argv is None else argv

  def action():
    rest = _parse(argv, config)
    with _sharing(computes):
      main(rest)

  return process.run(
      action, debug="--debug" in argv, resumes=resumes, mistakes=(flags.Error,))


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
  """Raises an error for flags that belong to the programs it starts."""
  given = flags.FLAGS
  if given.devices != "all" or given.together or any(
      given[name].value is not None for name in _OF_PROCESSES):
    raise ConfigError(
        "`--devices` and the flags of processes must be left out here: each "
        "program that this one starts uses all devices of the machine.")


def _sharing(computes: bool) -> contextlib.AbstractContextManager:
  """A context that uses the flags' devices and processes, if it computes."""
  given = flags.FLAGS
  if not computes:
    _refuse_devices()
    return contextlib.nullcontext()
  return process.sharing(
      given.devices,
      given.coordinator,
      given.num_processes,
      given.process_id,
      together=given.together)


def _parse(argv, config):
  app.define_help_flags()
  named = any(a.lstrip("-").split("=")[0] == "config" for a in argv)
  if config and not named:
    argv = [argv[0], f"--config={config}", *argv[1:]]
  try:
    rest = flags.FLAGS(argv)
    if "config" in flags.FLAGS:
      flags.FLAGS.config.keys()  # raises now if the file could not be read
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
  """How names of fields begin in configurations of a launcher."""
  if Path(program).stem == "apply":
    return "Settings of the application begin with settings."
  return (
      "Settings of the method begin with method., of the evaluation with "
      "evaluation.")


def _plain(error: Exception) -> str:
  """The error of ml_collections for an unknown field, without its quoting."""
  while error.args and isinstance(error.args[0], Exception):
    error = error.args[0]
  name, _, hint = str(error.args[0] if error.args else "").partition("\n")
  meant = re.search(r'"([^"]+)" instead of', hint)
  return name.strip(QUOTES).rstrip("?. ") + (
      f", not `{meant[1]}`" if meant else "")


# How Python and absl describe a text that is not a value of a flag.
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
