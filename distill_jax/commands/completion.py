"""Shell completion of data, methods and networks."""

import click
from click.shell_completion import CompletionItem, get_completion_class

from distill_jax.kinds import PLACES

SHELLS = "bash", "zsh", "fish"


def data(context, parameter, typed: str) -> list[CompletionItem]:
  """Completes kinds of data, and paths."""
  del context, parameter
  begun = (f"{kind}:" if place else kind for kind, place in PLACES.items())
  kinds = [CompletionItem(text) for text in begun if text.startswith(typed)]
  return [*kinds, CompletionItem(typed, type="file")]


def methods(context, parameter, typed: str) -> list[CompletionItem]:
  """Completes names of methods, with one line about each."""
  del context, parameter
  from distill_jax.methods import ENTRIES

  return [
      CompletionItem(name, help=entry.summary)
      for name, entry in sorted(ENTRIES.items())
      if name.startswith(typed)
  ]


def networks(context, parameter, typed: str) -> list[CompletionItem]:
  """Completes the last of several comma-separated networks or kernels."""
  del context, parameter
  from distill_jax.models import NAMES

  before, comma, last = typed.rpartition(",")
  return [
      CompletionItem(f"{before}{comma}{name}")
      for name in sorted(NAMES)
      if name.startswith(last)
  ]


@click.command(short_help="Prints a script that completes this command.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context, shell: str) -> None:
  """Prints the script that completes this command in a shell.

  \b
  Example, for ~/.bashrc:  eval "$(distill-jax completion bash)"
  """
  program = context.find_root()
  name = program.info_name
  variable = f"_{name}_COMPLETE".replace("-", "_").upper()
  script = get_completion_class(shell)
  click.echo(script(program.command, {}, name, variable).source())
