"""The code of docs/extending.md runs, from a package of its own."""

import importlib
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from methods_test import test_method as contract

import distill_jax as dd
from distill_jax import methods, models, parameterization
from distill_jax.commands.main import program
from distill_jax.data import from_arrays
from distill_jax.evaluation import recipes

pytestmark = pytest.mark.docs  # runs with `make docs`
PAGE = Path(__file__).parent.parent / "docs/extending.md"
REGISTRIES = (
    methods.ENTRIES, models.NETWORKS, parameterization.FACTORIES,
    recipes.RECIPES)


def blocks(marker: str) -> list[tuple[str, str]]:
  """What follows a marker, and the code below it."""
  return re.findall(
      rf"<!-- {marker}:? ?(\S*) -->\n```python\n(.*?)```", PAGE.read_text(),
      re.S)


@pytest.fixture
def package(tmp_path, monkeypatch):
  """The folder of the page's files, importable; registries as before."""
  for name, text in blocks("file"):
    (tmp_path / name).write_text(text)
  before = [dict(registry) for registry in REGISTRIES]
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.chdir(tmp_path)
  yield tmp_path
  sys.modules.pop("mmd", None)
  for registry, entries in zip(REGISTRIES, before, strict=True):
    registry.clear()
    registry.update(entries)


def test_code_of_the_page_runs_in_its_order(package):
  (package / "page.py").write_text(
      "\n\n".join(text for _, text in blocks("run")))
  runpy.run_path(str(package / "page.py"))


def test_its_method_passes_what_every_method_must(package):
  importlib.import_module("mmd")
  rng = np.random.default_rng(0)
  y = np.arange(60) % 3
  x = rng.uniform(size=(60, 4, 4, 1)) + np.eye(4)[y][:, :, None, None]
  x = (x / 2).astype(np.float32)
  contract("mmd", from_arrays(x, y, x[:12], y[:12]), None, None, package)
  assert "mmd  " in methods.table()


def test_its_method_is_one_of_the_command(package):

  def call(*arguments):
    return CliRunner().invoke(program, [*map(str, arguments)])

  told = call("methods", "mmd", "--import", "mmd")
  assert told.exit_code == 0 and "\n  scale: width of " in told.output
  assert "\n  from mmd import mmd\n" in told.output
  done = call(
      "distill", "digits", "--import", "mmd", "--method", "mmd", "--per-class",
      1, "--set", "num_steps=2", "--set", "scale=2.0", "--set", "batch_size=4",
      "--set", "recipe.num_epochs=2", "--network", "mlp:widths=[4]",
      "--num-networks", 1, "--baselines", "", "--out", "run")
  assert done.exit_code == 0, done.output
  made = dd.load(package / "run")
  assert made.method == "mmd"
  assert made.provenance["method"]["scale"] == 2.0


@pytest.mark.parametrize(
    "name, said", [("mdm", "No module named 'mdm'"),
                   (
                       "mmd.py", "`--import` must be as in an import; got "
                       "'mmd.py'. Write mmd,"),
                   ("wrong", "NameError: name 'this' is not defined")])
def test_a_module_that_cannot_be_imported_is_a_mistake(package, name, said):
  (package / "wrong.py").write_text("print(this)")
  done = CliRunner().invoke(program, ["methods", "--import", name])
  assert done.exit_code == 2 and said in done.output
  assert "`--import` must be" in done.output


def test_its_method_has_a_configuration_and_a_test_of_its_own(package):
  importlib.import_module("mmd")
  get_config = runpy.run_path(str(package / "config.py"))["get_config"]
  config = get_config("data=digits,quick,scale=2")
  assert config.method.scale == 2.0
  methods.from_spec(config.method.to_dict())
  for name, test in runpy.run_path(str(package / "mmd_test.py")).items():
    if name.startswith("test_"):
      test()
  with pytest.raises(ValueError, match="`scale` must be positive"):
    methods.from_spec(dict(name="mmd", scale=0.0))


def test_a_method_takes_four_files_and_few_lines():
  section = PAGE.read_text().partition("change these four files")[2]
  rows = re.findall(r"^\| `(\S+)` \|", section.partition("\n\n`")[0], re.M)
  assert len(rows) == 4
  code = dict(blocks("file"))
  lines = code["mmd.py"].count("\n") + code["config.py"].count("\n")
  assert lines + 2 <= 120  # and a line in each of two lists
  assert max(map(len, "".join(code.values()).splitlines())) <= 80


def test_every_field_of_a_method_is_explained():
  table = PAGE.read_text().partition("### The fields of `Method`")[2]
  named = re.findall(
      r"`(\w+)`",
      "".join(row.split("|")[1] for row in re.findall(r"^\|.*$", table, re.M)))
  assert sorted(named) == sorted(methods.Method._fields)
