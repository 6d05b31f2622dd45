"""`distill-jax data`: describes the data that a SPEC stands for."""

import click

from distill_jax.commands import completion, shared
from distill_jax.commands.computing import reading


@click.command(short_help="Says what DATA reads as, without training.")
@click.argument("data", shell_complete=completion.data)
@shared.DATA_DIR
@shared.validation()
@reading
def data(data, data_dir, validation_fraction) -> None:
  """Says what DATA reads as: classes, counts, shape and range of values.

  Nothing is trained.

  Example: distill-jax data csv:table.csv?label=kind
  """
  from distill_jax import data as data_sets
  from distill_jax import methods, models
  from distill_jax.commands import words
  from distill_jax.data.description import described
  from distill_jax.errors import counted
  from distill_jax.runs.sizes import per_class_of

  spec, guessed = words.spec_of(data, data_dir)
  if guessed:
    print(guessed)
  # As `distill` reads it.
  source = data_sets.read(
      spec, data_dir=data_dir, validation_fraction=validation_fraction)
  print(described(source))
  per_class, fewer = per_class_of(source)
  method, network = methods.usual(source).name, models.default(source)["name"]
  rows = f"{counted(per_class, 'label row')} of each class"
  print(f"  by default    {method}, {rows}, evaluated on {network}")
  if fewer:
    print(f"  note          {fewer}")
