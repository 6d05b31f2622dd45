"""What commands that load JAX have in common: options, errors, exit codes."""

import functools
import re
from collections.abc import Callable

import click

_SHARING = (
    click.option(
        "--devices",
        default="all",
        metavar="N",
        help="How many devices share the work; by default all."),
    click.option(
        "--coordinator",
        metavar="HOST:PORT",
        help="Of the first, where several processes run together."),
    click.option(
        "--num-processes",
        type=int,
        metavar="N",
        help="How many processes there are."),
    click.option(
        "--process-id",
        type=int,
        metavar="N",
        help="Which process this is, from 0."),
    click.option(
        "--together",
        is_flag=True,
        help="Join the processes of a TPU pod or of MPI."))
_DEBUG = click.option(
    "--debug", is_flag=True, help="Show the traceback of a mistake.")
# What the library calls things that have another name here.
_CALLED = {
    "path": "--out",
    "source": "DATA",
    "spec": "DATA",
    "workdir": "--out"
}


def computing(body: Callable[..., None]) -> Callable:
  """A command body that computes, on the devices and processes of options.

  What goes wrong is said in one line, in terms of the command's options.
  """
  return _ending(body, _SHARING)


def reading(body: Callable[..., None]) -> Callable:
  """A command body that computes little; errors are as of `computing`."""
  return _ending(body, ())


def _ending(body, sharing) -> Callable:

  @click.pass_context
  @functools.wraps(body)
  def command(context, debug: bool, **given):
    from distill_jax.commands import process

    names = ("devices", "coordinator", "num_processes", "process_id")

    def action():
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
            worded=functools.partial(worded, context.command)))

  for option in (_DEBUG, *reversed(sharing)):
    command = option(command)
  return command


def worded(command: click.Command, text: str) -> str:
  """An error of the library in terms of a command's options.

  Args:
    command: whose options they are.
    text: the error, with arguments as `name`.
  """
  called = dict(_CALLED)
  for parameter in command.params:
    if isinstance(parameter, click.Option):
      called[parameter.name] = parameter.opts[0]
      text = text.replace(f"--{parameter.name} ", f"{parameter.opts[0]} ")
    else:
      called[parameter.name] = parameter.metavar or parameter.name.upper()
  return re.sub(
      r"`(\w+)`", lambda found: f"`{called.get(found[1], found[1])}`", text)
