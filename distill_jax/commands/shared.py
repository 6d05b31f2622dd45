"""Options that several commands have, each declared once."""

import click

VALIDATION_FRACTION = 0.1  # by default, for networks
DATA_DIR = click.option(
    "--data-dir",
    metavar="DIR",
    help="Another folder where DATA is looked for.")
SEED = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Seed of the random numbers; 0 by default.")
BASELINES = click.option(
    "--baselines",
    metavar="NAMES",
    help="Baselines, with commas; 'all', or '' for none.")
FULL_DATA = click.option(
    "--full-data",
    is_flag=True,
    help="Train networks on all data, too, to compare.")
COLUMNS = click.option(
    "--columns",
    default="",
    metavar="NAMES",
    help="More to measure: attacks,calibration.")


def validation(default: float | None = VALIDATION_FRACTION):
  """The option of the validation part's share; `default` where it is absent."""
  return click.option(
      "--validation",
      "validation_fraction",
      type=click.FloatRange(0, 1, max_open=True),
      default=default,
      metavar="SHARE",
      help="Share of the training samples to choose settings on.")
