"""`distill-jax methods`: lists all methods, or the settings of one."""

import inspect

import click

from distill_jax.commands import completion
from distill_jax.commands.computing import reading


@click.command(short_help="Lists methods, or the settings of one.")
@click.argument("name", required=False, shell_complete=completion.methods)
@reading
def methods(name) -> None:
  """Lists all methods, or every setting of the one that is NAMEd.

  Example: distill-jax methods dm
  """
  from distill_jax import methods as all_methods
  from distill_jax.commands import words

  if name is None:
    print(all_methods.table())
    return
  entry = words.entry_of(name, "name")
  print(f"{entry.title} ({name}): labels {entry.labels}\n")
  print(inspect.getdoc(entry.make))
