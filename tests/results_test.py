"""The results page: its rows are commands that exist, and it is up to date."""

import json
import shlex
from pathlib import Path

import launched
import launching
import pytest
import results_page
import rows

from distill_jax.errors import ConfigError

ROOT = Path(__file__).parents[1]
TABLE = rows.table()
PREFIX = "--config=experiments/configs/"
DISTILLED = [row for row in TABLE.values() if row.program == "distill"]


@pytest.mark.parametrize("given", sorted({r.arguments[0] for r in DISTILLED}))
def test_rows_set_fields_of_their_configuration(given):
  file, _, options = given.removeprefix(PREFIX).partition(":")
  config = launching.configuration(file, options or None)
  for row in DISTILLED:
    if row.arguments[0] == given:
      for override in row.arguments[1:]:
        assert override.startswith("--config.")
        assert _has(config, override.removeprefix("--config.")), override


@pytest.mark.parametrize(
    "row", [row for row in TABLE.values() if row.program == "sweep"]
)
def test_sweeps_set_fields_of_their_configurations(row):
  given = launched.meaning(row.arguments)
  for method in given["--methods"].split(","):
    config = launching.configuration(
        f"{method}_{given['--dataset']}.py", f"ipc=1,{given['--options']}"
    )
    for setting in given["--set"]:
      of, _, field = setting.partition("=")[0].rpartition(":")
      if of in ("", method):
        assert _has(config, field), setting


def _has(config, setting: str) -> bool:
  """Whether a configuration has the field that FIELD[=VALUE] sets."""
  for name in setting.partition("=")[0].split("."):
    if name not in config:
      return False
    config = config[name]
  return True


def test_rows_take_the_sets_of_rows():
  of = [name for row in TABLE.values() for name in row.sets.values()]
  assert of
  assert all(TABLE[name].program == "distill" for name in of)


def test_rows_that_are_compared_are_rows():
  assert {name for pair in rows.PAIRS for name in pair} <= set(TABLE)


def test_a_row_is_meant_by_its_name_or_its_first_words():
  assert rows.chosen(["sldd_digits"], TABLE) == ["sldd_digits"]
  assert rows.chosen(["sldd_mnist_fixed_5"], TABLE) == [
      f"sldd_mnist_fixed_5_seed{i}" for i in range(3)
  ]
  assert rows.chosen(["dc_mnist_1"], TABLE) == ["dc_mnist_1"]
  with pytest.raises(ConfigError, match="rows of --list; got sldd_di"):
    rows.chosen(["sldd_di"], TABLE)


def test_the_page_is_that_of_its_records():
  records = results_page.read(ROOT / "docs" / "results", TABLE)
  page = results_page.render(TABLE, records)
  assert page == (ROOT / "docs" / "results.md").read_text()


def test_every_record_is_of_a_row():
  files = (ROOT / "docs" / "results").glob("*.json")
  of = {r["row"] for file in files for r in json.loads(file.read_text())}
  assert of <= set(TABLE)


def test_records_are_of_the_commands_of_their_rows():
  records = results_page.read(ROOT / "docs" / "results", TABLE)
  del records["sldd_mnist_fixed_5_seed1"]  # half of the steps, as it says
  for name, record in records.items():
    row, found = TABLE[name], shlex.split(record["command"])[2:]
    found = launched.meaning(found)
    wanted = launched.meaning(row.arguments)
    for place in ("--workdir", "--out"):
      found.pop(place, None)
    places = ("--artifact", "--sets", *(f"--config.{n}" for n in row.sets))
    taken = "".join(found.pop(place, "") for place in places)
    assert all(f"/{of}/" in taken for of in row.sets.values()), name
    if name.endswith("_rate01"):
      wanted.pop("--config.network_step_size")  # it was the default
    assert found == wanted, name


def test_without_records_every_row_is_absent(tmp_path):
  (tmp_path / "results").mkdir()
  results_page.write(tmp_path, TABLE)
  page = (tmp_path / "results.md").read_text()
  _, _, absent = page.partition("## Not measured")
  assert absent.count("`python experiments/reproduce.py") == len(TABLE)
  assert page.count("Not measured.") == 13  # every section
