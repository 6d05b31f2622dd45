"""`distill-jax evaluate`: how good a distilled set is, whoever made it."""

from pathlib import Path

import click

from distill_jax.commands import completion
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
    help="With commas; by default the set's own.")
@click.option(
    "--num-networks",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="Trained on the set, of each; 20 by default.")
@click.option(
    "--recipe",
    metavar="NAME",
    help="How they are trained; or NAME:num_epochs=300,...")
@click.option(
    "--baselines",
    metavar="NAMES",
    help="Of real samples, with commas; 'all', or '' for none.")
@click.option(
    "--num-sets",
    type=_ANY,
    default=0,
    metavar="N",
    help="Of each baseline; by default as many as suit.")
@click.option(
    "--networks-per-set",
    type=_ANY,
    default=0,
    metavar="N",
    help="Trained on each; by default as many as suit.")
@click.option(
    "--full-data",
    is_flag=True,
    help="Train networks on all data, too, to compare.")
@click.option(
    "--bits",
    type=click.Choice(["8", "4", "2"]),
    help="Quantise the set first, to so many bits a value.")
@click.option(
    "--columns",
    default="",
    metavar="NAMES",
    help="More to measure: attacks,calibration.")
@click.option(
    "--eps",
    type=float,
    metavar="E",
    help="Size of attacks, of pixels in [0, 1].")
@click.option(
    "--num-attacked",
    type=_ANY,
    metavar="N",
    help="Test samples that are attacked; 0 for all.")
@click.option(
    "--seed",
    type=int,
    default=0,
    metavar="N",
    help="Of the networks; 0 by default.")
@click.option(
    "--data-dir",
    metavar="DIR",
    help="Another folder where DATA is looked for.")
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="For what evaluations can share; by default that of --out.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The report; by default evaluation.json beside SET.")
@computing
def evaluate(
    set, data, networks, recipe, bits, seed, data_dir, cache_dir, out,
    **measured):
  """Trains networks on a distilled SET, and on real samples of DATA.

  SET is a file, or the folder of a run; DATA is what `distill` takes.

  Example: distill-jax evaluate runs/digits_dm_1 digits --networks convnet,mlp
  """
  from distill_jax.commands import options, process, words
  from distill_jax.runs.assess import Settings
  from distill_jax.runs.console import say
  from distill_jax.runs.file_evaluation import evaluate_file

  file = Path(set)
  if file.is_dir():
    file /= "distilled.safetensors"
  spec, guessed = words.spec_of(data, data_dir)
  if guessed:
    say(guessed)
  report, made = evaluate_file(
      file,
      spec,
      out=out or file.with_name("evaluation.json"),
      settings=Settings.of({
          name: value for name, value in measured.items() if value is not None
      }),
      networks=[name for name in networks.split(",") if name],
      recipe=options.recipe(recipe) if recipe else None,
      bits=int(bits or 0),
      seed=seed,
      data_dir=data_dir,
      cache_dir=cache_dir,
      widen=process.widen)
  print(report)
  print("\nwritten to", ", ".join(map(str, made)))
