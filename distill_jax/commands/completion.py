"""What a shell completes: data, methods and networks; and its script."""

import click
from click.shell_completion import CompletionItem, get_completion_class

from distill_jax.commands.words import EXAMPLES

SHELLS = "bash", "zsh", "fish"


def data(context, parameter, typed: str) -> list[CompletionItem]:
  """Kinds of data, and paths."""
  del context, parameter
  kinds = [CompletionItem(e) for e in EXAMPLES if e.startswith(typed)]
  return [*kinds, CompletionItem(typed, type="file")]


def methods(context, parameter, typed: str) -> list[CompletionItem]:
  """Names of methods, with a line on each."""
  del context, parameter
  from distill_jax.methods import ENTRIES

  return [
      CompletionItem(name, help=entry.summary)
      for name, entry in sorted(ENTRIES.items())
      if name.startswith(typed)
  ]


def networks(context, parameter, typed: str) -> list[CompletionItem]:
  """Names of networks and kernels; of several with commas the last."""
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
