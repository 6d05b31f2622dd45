"""The examples of README and docs run, word for word."""

import configparser
import doctest
import re
import subprocess

import documented
import numpy as np
import pytest
from click.testing import CliRunner
from documented import DOCS, ROOT
from launching import CONFIGS, distil
from launching import FEW as FEW_OF_CONFIG

from distill_jax.commands.main import program

README = ROOT / "README.md"
COMMANDS = documented.commands(README)
PAGES = [README] + [
    DOCS / f"{name}.md" for name in (
        "start", "applications", "own_data", "own_networks", "condense",
        "trajectories", "kernels", "text", "parameterizations", "use_elsewhere")
]
FIRST = ("README", "start", "own_data")  # others run with `make docs`
# Packages that a page shows and the library does not need.
NEEDS = {"use_elsewhere": ("datasets", "imblearn", "keras")}


class Frame:
  """As much of a pandas or polars data frame as pages use."""

  def __init__(self, columns):
    self.columns = list(columns)
    self._columns = columns

  def __getitem__(self, name):
    if isinstance(name, list):
      return Frame({column: self._columns[column] for column in name})
    return self._columns[name]

  def to_numpy(self):
    return np.stack(list(self._columns.values()), 1)


@pytest.fixture
def frame():
  generator = np.random.default_rng(0)
  return Frame({
      "age": generator.integers(18, 90, 60),
      "height": generator.normal(size=60),
      "kind": np.array(["cat", "dog", "fox"] * 20)
  })


@pytest.mark.parametrize(
    "page", [
        pytest.param(
            page,
            id=page.stem,
            marks=[] if page.stem in FIRST else pytest.mark.docs)
        for page in PAGES
    ])
def test_library_example(page, frame):
  for package in NEEDS.get(page.stem, ()):
    pytest.importorskip(package)
  text = page.read_text()
  found = re.findall(r"<!-- doctest -->\n```python\n(.*?)```", text, re.S)
  test = doctest.DocTestParser().get_doctest(
      "".join(found), {"frame": frame}, page.stem, str(page), 0)
  assert len(test.examples) > 5
  outcome = doctest.DocTestRunner().run(test)
  assert not outcome.failed


# In place of minutes: what each program of README is given besides.
FEW = {
    "distill": [
        "--set", "num_steps=2", "--network", "convnet:width=4,depth=1",
        "--num-networks", "1", "--baselines", ""
    ],
    "data": [],
    "report": []
}


def test_readme_is_short():
  assert len(README.read_text().splitlines()) <= 150


def test_every_command_of_readme_is_one_that_tests_know():
  assert {tuple(words[:2]) for words in COMMANDS
         } == {("pip", "install"), ("make", "quickstart"), ("make", "test"),
               ("distill-jax", "data"), ("distill-jax", "distill"),
               ("distill-jax", "report"), ("python", "experiments/distill.py")}


def test_installations_of_readme():
  known = configparser.ConfigParser()
  known.read(README.parent / "setup.cfg")
  found = [words[2] for words in COMMANDS if words[0] == "pip"]
  assert found
  for what in found:
    folder, extras = re.fullmatch(r"(\.)(?:\[([\w,]+)\])?", what).groups()
    assert folder == "."
    assert {*extras.split(",")} <= {*known["options.extras_require"]}


def test_make_targets_of_readme_end_with_programs_that_exist():
  for _, target in [words for words in COMMANDS if words[0] == "make"]:
    plan = subprocess.run(["make", "-n", "--no-print-directory", target],
                          cwd=README.parent,
                          capture_output=True,
                          text=True,
                          check=True).stdout
    program = plan.replace("\\\n", " ").splitlines()[-1]
    assert re.search(r"-m pytest|experiments/distill\.py", program), plan


def test_programs_of_readme_run(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for words in COMMANDS:
    if words[0] == "distill-jax":
      done = CliRunner().invoke(program, [*words[1:], *FEW[words[1]]])
      assert done.exit_code == 0, done.output
    if words[0] == "python":
      flags = [w.replace("experiments/configs", str(CONFIGS)) for w in words]
      done = distil(*flags[2:], "--config.method.num_steps=2", *FEW_OF_CONFIG)
      assert done.code == 0, done.err
  assert (tmp_path / "runs/digits/report.html").exists()
