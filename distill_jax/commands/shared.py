"""Options that several commands have, each declared once."""

import click

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
