"""The rows of docs/results.md: what is measured, by which command.

`rows.json` holds them in the page's order, a line each.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import ml_collections
from absl import flags
from ml_collections import config_flags

from distill_jax.errors import ConfigError

_FILE = Path(__file__).with_name("rows.json")


class Row(NamedTuple):
  """Attributes:
    group: the file below docs/results.
    program: the launcher, of `launched.PROGRAMS`.
    arguments: of the program, without places of files.
    published: accuracy in percent, or None.
    accelerator: whether it is meant for one.
    sets: the rows whose sets it takes, by what it calls them.
    over: the rows that it is compared with, on the same networks.
  """

  group: str
  program: str
  arguments: tuple[str, ...]
  published: float | None = None
  accelerator: bool = False
  sets: Mapping[str, str] = MappingProxyType({})
  over: tuple[str, ...] = ()


def table() -> dict[str, Row]:
  """Every row by name, in the page's order."""
  return {
      row.pop("row"): Row(**row | dict(arguments=row["arguments"].split()))
      for row in json.loads(_FILE.read_text())
  }


def chosen(wanted: list[str], known: dict[str, Row]) -> list[str]:
  """The rows meant: by name, or all that begin so and go on with `_`."""
  names = []
  for text in wanted:
    begun = [n for n in known if n == text or n.startswith(f"{text}_")]
    if not begun:
      raise ConfigError(f"`--rows` must name rows of --list; got {text}.")
    names += [text] if text in known else begun
  return [name for name in known if name in names]


def configuration(row: Row) -> ml_collections.ConfigDict:
  """The configuration of a row of `distill.py`, with what it sets."""
  file, *fields = row.arguments
  argv = ["", file.replace("=", f"={_FILE.parent.parent}/", 1), *fields]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
  values(argv)
  return values.config
