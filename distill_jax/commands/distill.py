"""`distill-jax distill`: distils a data set into a folder."""

import re
from pathlib import Path
from typing import Any

import click

from distill_jax.commands import completion, shared
from distill_jax.commands.computing import computing

_COUNT = click.IntRange(min=1)


@click.command(short_help="Learns a few samples in place of DATA.")
@click.argument("data", shell_complete=completion.data)
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=completion.methods,
    help="Method; by default one that suits the data.")
@click.option(
    "--per-class",
    type=_COUNT,
    metavar="N",
    help="Samples of each class; by default 10.")
@click.option(
    "--rows",
    type=_COUNT,
    metavar="N",
    help="Samples in all, instead of --per-class.")
@click.option(
    "--network",
    metavar="NAME",
    shell_complete=completion.networks,
    help="Network to train on the set; or NAME:width=32,...")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the method; repeat it for more.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder; by default runs/DATA_METHOD_PERCLASS.")
@shared.SEED
@shared.DATA_DIR
@shared.validation(default=None)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Folder for files that runs share; by default --out.")
@click.option(
    "--experts",
    metavar="DIR",
    help="Folder of experts that were trained before.")
@click.option(
    "--num-networks",
    type=_COUNT,
    default=5,
    metavar="N",
    help="Networks to evaluate the set with; 5 by default.")
@shared.BASELINES
@shared.FULL_DATA
@shared.COLUMNS
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Stop with a checkpoint before this time is over.")
@click.option(
    "--again", is_flag=True, help="Evaluate a run that is finished anew.")
@computing(resumes=True)
def distill(
    data, method, per_class, rows, network, settings, out, seed, data_dir,
    validation_fraction, cache_dir, experts, num_networks, baselines, full_data,
    columns, time_limit, again):
  """Learns a few samples that a network trains on in place of DATA.

  DATA is digits, a folder of class folders, a .csv or .npz file, or a SPEC such
  as csv:FILE?label=COLUMN. The same command goes on where it was stopped.

  Example: distill-jax distill digits --per-class 1
  """
  from distill_jax import data as data_sets
  from distill_jax import methods
  from distill_jax.commands import options, process, words
  from distill_jax.errors import ConfigError
  from distill_jax.runs import Run, reading
  from distill_jax.runs.console import say
  from distill_jax.runs.sizes import per_class_of

  if per_class and rows:
    raise ConfigError(
        "one of `per_class` and `rows` must be left out; got both.")
  chosen = None if method is None else words.method_of(method, settings)
  spec, guessed = words.spec_of(data, data_dir)
  student = None if network is None else words.network_of(network)
  kernel = chosen is not None and chosen.model == "kernel"
  if kernel:
    process.widen({"name": "kernel_ridge"})
  if guessed:
    say(guessed)
  if validation_fraction is None:
    # Kernel regression is solved exactly: no setting is chosen on validation.
    validation_fraction = 0.0 if kernel else shared.VALIDATION_FRACTION
  held: dict[str, Any] = dict(
      data_dir=data_dir, seed=seed, validation_fraction=validation_fraction)
  fitted = reading.preprocessing_of(spec, "kernel" if kernel else "network")
  source = data_sets.read(spec, preprocessing=fitted, **held)
  if chosen is None:
    chosen = methods.with_settings(
        methods.usual(source), options.settings(settings))
    say(f"method: {chosen.name}, which suits data of this kind")
  if rows is None and per_class is None:
    per_class, fewer = per_class_of(source)
    if fewer:
      say(f"{fewer}; --per-class N sets another number")
  evaluation = dict(
      num_networks=num_networks, full_data=full_data, columns=columns)
  if baselines is not None:
    evaluation["baselines"] = baselines
  Run(
      out or _folder(spec, chosen.name, per_class or rows),
      source,
      chosen,
      student,
      per_class=per_class,
      num_rows=rows,
      seed=seed,
      evaluation=evaluation,
      cache_dir=cache_dir,
      experts=experts,
      time_limit=process.seconds_left(time_limit),
      data=spec,
      reading=held).go(again=again)


def _folder(spec: str, method: str, size: int | None) -> Path:
  """The default folder of a run, such as runs/digits_dm_10."""
  from distill_jax.figures.titles import data_name

  name = re.sub(r"[^\w.-]", "_", Path(data_name(spec)).stem) or "data"
  return Path("runs") / f"{name}_{method}_{size}"
