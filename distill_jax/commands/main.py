"""The program `distill-jax`. Its help does not load JAX."""

import difflib
import sys

import click

from distill_jax._version import __version__
from distill_jax.commands import interrupts
from distill_jax.commands.completion import completion
from distill_jax.commands.data import data
from distill_jax.commands.distill import distill
from distill_jax.commands.evaluate import evaluate
from distill_jax.commands.methods import methods
from distill_jax.commands.report import report

_OF_TABLES = ("delimiter", "features", "label", "text", "tokens")  # of a SPEC
_MISTAKE = 2  # as `process.MISTAKE`, whose module imports JAX


class Program(click.Group):
  """A group that prints a mistake in one line, as the library does."""

  def main(self, args=None, prog_name=None, standalone_mode=True, **extra):
    del standalone_mode
    try:
      code = super().main(args, prog_name, standalone_mode=False, **extra)
    except click.exceptions.NoArgsIsHelpError as error:
      click.echo(error.ctx.get_help())
      code = _MISTAKE
    except click.ClickException as error:
      code = _refused(error)
    sys.exit(code or 0)


@click.group(
    cls=Program,
    context_settings=dict(
        help_option_names=["-h", "--help"], max_content_width=80))
@click.version_option(__version__, prog_name="distill-jax")
def program() -> None:
  """Dataset distillation: a few learned samples in place of a data set.

  Example: distill-jax distill digits --per-class 1
  """


for _command in completion, data, distill, evaluate, methods, report:
  program.add_command(_command)


def main() -> None:
  """Runs the command line and ends the process."""
  interrupts.leave_at_once()
  try:
    program(prog_name="distill-jax")
  except SystemExit as ended:
    if "jax" not in sys.modules:  # no computation can be running
      raise
    from distill_jax.commands import process

    process.end(ended.code if isinstance(ended.code, int) else 0)


def _refused(error: click.ClickException) -> int:
  """Prints an error of click in one line."""
  context = getattr(error, "ctx", None)
  told = _of_other_place(error) or " ".join(error.format_message().split())
  told = told.rstrip(".?")
  told += "?" if "Did you mean" in told or "did you mean" in told else "."
  where = context.command_path if context else "distill-jax"
  click.echo(f"error: {told} See {where} --help.", err=True)
  return _MISTAKE


def _of_other_place(error: click.ClickException) -> str:
  """The message for an option that is given in another place; else ""."""
  if not isinstance(error, click.NoSuchOption) or not error.ctx:
    return ""
  option, command = error.option_name, error.ctx.command
  if option.lstrip("-") in _OF_TABLES:
    return f"{option} stands behind a table: FILE.csv?{option[2:]}=VALUE"
  if all(parameter.name != "settings" for parameter in command.params):
    return ""
  if difflib.get_close_matches(option, error.possibilities or (), cutoff=0.8):
    return ""  # a misspelt option, for which JAX need not be imported
  from distill_jax.methods import ENTRIES

  name = option.lstrip("-").replace("-", "_")
  if not any(name in entry.defaults for entry in ENTRIES.values()):
    return ""
  return f"{option} is a setting of methods: write --set {name}=VALUE"


if __name__ == "__main__":
  main()
