"""What commands that load JAX share: options, errors, exit codes."""

import functools
import re
from collections.abc import Callable

import click

_SHARING = (
    click.option(
        "--devices",
        default="all",
        metavar="N",
        help="Devices that share the work; all by default."),
    click.option(
        "--coordinator",
        metavar="HOST:PORT",
        help="Address of the first of several processes."),
    click.option(
        "--num-processes", type=int, metavar="N", help="Number of processes."),
    click.option(
        "--process-id",
        type=int,
        metavar="N",
        help="Number of this process, from 0."),
    click.option(
        "--together",
        is_flag=True,
        help="Join the processes of a TPU pod or of MPI."))
_IMPORT = click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="A module with methods or networks of your own.")
_DEBUG = click.option(
    "--debug", is_flag=True, help="Show the traceback of a mistake.")
# Arguments of the library that have another name in commands.
_CALLED = {"source": "DATA", "spec": "DATA", "workdir": "--out"}
_CALLED_BY = {
    "evaluate": {
        "path": "SET"
    },
    "distill": {
        "path": "--out"
    },
    "compare": {
        "path": "--out",
        "folder": "RUN"
    },
    "RUN": {
        "folder": "RUN"
    }
}


def computing(*, resumes: bool = False) -> Callable:
  """Decorates a command that computes, with options for devices and processes.

  As `reading` does, it also adds --import and --debug. Errors are printed in
  one line, in terms of the command's options.

  Args:
    resumes: whether the same command goes on where this one was stopped.
  """
  return functools.partial(_ending, sharing=_SHARING, resumes=resumes)


def reading(body: Callable[..., None]) -> Callable:
  """Decorates a command that computes little, on one device.

  It adds --import and --debug. Errors are as in `computing`.
  """
  return _ending(body, (), resumes=False)


def _ending(body, sharing, resumes) -> Callable:

  @click.pass_context
  @functools.wraps(body)
  def command(context, debug: bool, modules, **given):
    from distill_jax.commands import process, words

    names = ("devices", "coordinator", "num_processes", "process_id")

    def action():
      words.imported(modules)
      if not sharing:
        body(**given)
        return
      where = [given.pop(name) for name in names]
      with process.sharing(*where, together=given.pop("together")):
        body(**given)

    context.exit(
        process.run(
            action,
            debug=debug,
            resumes=resumes,
            worded=functools.partial(worded, context.command)))

  for option in (_DEBUG, *reversed(sharing), _IMPORT):
    command = option(command)
  return command


def worded(command: click.Command, text: str) -> str:
  """Rewrites an error of the library in terms of a command's options.

  Args:
    command: the command.
    text: the error, with arguments as `name`.
  """
  called = {**_CALLED, **_CALLED_BY.get(command.name or "", {})}
  for parameter in command.params:
    if isinstance(parameter, click.Option):
      called[parameter.name] = parameter.opts[0]
      text = text.replace(f"--{parameter.name} ", f"{parameter.opts[0]} ")
    else:
      called[parameter.name] = parameter.metavar or parameter.name.upper()
  return re.sub(
      r"`(\w+)`", lambda found: f"`{called.get(found[1], found[1])}`", text)
