"""The rows of docs/results.md: what is measured, and by which command.

`rows.json` holds them in the order of the page, one line each.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import ml_collections
import own_data
from absl import flags
from ml_collections import config_flags

from distill_jax.commands import options
from distill_jax.errors import ConfigError

_FILE = Path(__file__).with_name("rows.json")


class Row(NamedTuple):
  """A row of the results.

  Attributes:
    group: name of its file in docs/results.
    program: the launcher, one of `launched.PROGRAMS`.
    arguments: arguments of the program, without places of files.
    published: published accuracy in percent, or None.
    accelerator: whether the row is meant for an accelerator.
    sets: the rows whose sets it reads, by its name for them.
    over: the rows that it is compared with, on the same networks.
    line: the line of the first tables that it is in; "" for none.
    trial_of: the row whose distance from its published accuracy it explains:
      the same with other steps, width or recipe; "" for none.
    repeats: the row that it repeats with another seed; "" for none.
    needs: what measuring it would take, for the list of rows not measured;
      "" for unknown.
    figure: a figure in its folder that the page shows; "" for that beside its
      report, if there is one.
  """

  group: str
  program: str
  arguments: tuple[str, ...]
  published: float | None = None
  accelerator: bool = False
  sets: Mapping[str, str] = MappingProxyType({})
  over: tuple[str, ...] = ()
  line: str = ""
  trial_of: str = ""
  repeats: str = ""
  needs: str = ""
  figure: str = ""


def table() -> dict[str, Row]:
  """All rows by name, in the order of the page."""
  return {
      row.pop("row"): Row(**row | dict(arguments=row["arguments"].split()))
      for row in json.loads(_FILE.read_text())
  }


def chosen(wanted: list[str], known: dict[str, Row]) -> list[str]:
  """The rows of the given names, or whose names begin with one and `_`."""
  names = []
  for text in wanted:
    begun = [n for n in known if n == text or n.startswith(f"{text}_")]
    if not begun:
      raise ConfigError(f"`--rows` must name rows of --list; got {text}.")
    names += [text] if text in known else begun
  return [name for name in known if name in names]


def configuration(
    row: Row,
    known: Mapping[str, Row] | None = None) -> ml_collections.ConfigDict:
  """The configuration of a row of `distill.py`, adapted to the row's data.

  That of a row of `evaluate.py` is the one of its set, with the row's recipe if
  it names one.

  Args:
    row: the row.
    known: all rows by name, for the set of a row of `evaluate.py`.
  """
  if row.program == "evaluate":
    of, = row.sets.values()
    config = configuration((known or table())[of])
    given = dict(a.partition("=")[::2] for a in row.arguments)
    if "--recipe" in given:
      recipe = options.recipe(given["--recipe"])
      if recipe["name"] != config.method.recipe.name:
        del config.method.recipe
        config.method.recipe = {}
      config.method.recipe.update(recipe)
    return config
  file, *fields = row.arguments
  argv = ["", file.replace("=", f"={_FILE.parent.parent}/", 1), *fields]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
  flags.DEFINE_string("data", None, "SPEC.", flag_values=values)
  values(argv)
  return own_data.settled(values["config"], values.data)[0]
