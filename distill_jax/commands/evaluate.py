"""`distill-jax evaluate`: evaluates a distilled set, whoever made it."""

from pathlib import Path

import click

from distill_jax.commands import completion, shared
from distill_jax.commands.computing import computing

_ANY = click.IntRange(min=0)


@click.command(short_help="Trains networks on a distilled SET.")
@click.argument("set", type=click.Path())
@click.argument("data", shell_complete=completion.data)
@click.option(
    "--networks",
    default="",
    metavar="NAMES",
    shell_complete=completion.networks,
    help="Networks, with commas; by default the set's own.")
@click.option(
    "--num-networks",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="Number of networks of each kind; 20 by default.")
@click.option(
    "--recipe",
    metavar="NAME",
    help="Recipe of training; or NAME:num_epochs=300,...")
@shared.BASELINES
@click.option(
    "--num-sets",
    type=_ANY,
    default=0,
    metavar="N",
    help="Sets of each baseline; chosen by default.")
@click.option(
    "--networks-per-set",
    type=_ANY,
    default=0,
    metavar="N",
    help="Networks on each baseline set; chosen by default.")
@shared.FULL_DATA
@click.option(
    "--bits",
    type=click.Choice(["8", "4", "2"]),
    help="Quantise the set first, to this number of bits.")
@shared.COLUMNS
@click.option(
    "--eps",
    type=float,
    metavar="E",
    help="Largest change by attacks, of pixels in [0, 1].")
@click.option(
    "--num-attacked",
    type=_ANY,
    metavar="N",
    help="Test samples that are attacked; 0 for all.")
@shared.SEED
@shared.DATA_DIR
@shared.validation()
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Folder for files to share; by default that of --out.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The report; by default evaluation.json beside SET.")
@computing(resumes=True)
def evaluate(
    set, data, networks, recipe, bits, seed, data_dir, validation_fraction,
    cache_dir, out, **measured):
  """Trains networks on a distilled SET, and on real samples of DATA.

  SET is a file, or the folder of a run; DATA is what `distill` takes.

  Example: distill-jax evaluate runs/digits_dm_1 digits --networks convnet,mlp
  """
  from distill_jax.commands import options, process, words
  from distill_jax.runs.assess import Settings
  from distill_jax.runs.console import say
  from distill_jax.runs.file_evaluation import evaluate_file

  beside = Path(set) if Path(set).is_dir() else Path(set).parent
  spec, guessed = words.spec_of(data, data_dir)
  if guessed:
    say(guessed)
  report, made = evaluate_file(
      set,
      spec,
      out=out or beside / "evaluation.json",
      settings=Settings.of({
          name: value for name, value in measured.items() if value is not None
      }),
      networks=[name for name in networks.split(",") if name],
      recipe=options.recipe(recipe) if recipe else None,
      bits=int(bits or 0),
      seed=seed,
      data_dir=data_dir,
      validation_fraction=validation_fraction,
      cache_dir=cache_dir,
      widen=process.widen)
  print(report)
  print("\nwritten to", ", ".join(map(str, made)))
