"""Every notebook runs from top to bottom, and is fit to be read as it is."""

import configparser
import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 500_000  # bytes, figures included
DEFAULT = "quickstart"  # runs in `make docs`, the others in `make test-all`
OWN = [path for path in NOTEBOOKS if path.stem != "text"]
# Two classes of fifty pictures in place of the cell "YOUR DATA".
TWO_CLASSES = """
import numpy as np
y = np.array(["cat", "dog"])[np.arange(100) % 2]
x = np.random.default_rng(0).uniform(0, 0.6, (100, 8, 8, 1))
x[y == "dog", :4] += 0.3
"""


def test_there_are_notebooks():
  assert DEFAULT in [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize(
    "path", [
        pytest.param(
            path,
            id=path.stem,
            marks=pytest.mark.docs
            if path.stem == DEFAULT else pytest.mark.slow) for path in NOTEBOOKS
    ])
def test_runs(path, tmp_path, monkeypatch):
  _execute(nbformat.read(path, as_version=4), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_runs_on_two_classes_of_own_arrays(path, tmp_path, monkeypatch):
  notebook = nbformat.read(path, as_version=4)
  (cell,) = _tagged(notebook, "your-data")
  cell.source = TWO_CLASSES
  _execute(notebook, tmp_path, monkeypatch)
  shown = "".join(
      output.get("text", "") + output.get("data", {}).get("text/plain", "")
      for cell in notebook.cells
      for output in cell.get("outputs", ()))
  assert "of 2 classes" in shown


def test_set_up_is_the_same_everywhere():
  cells = [_set_up(path) for path in NOTEBOOKS]
  assert len(cells[0]) == 2
  assert all(own == cells[0] for own in cells)


def test_set_up_installs_the_jax_of_the_package():
  settings = configparser.ConfigParser()
  settings.read(ROOT / "setup.cfg")
  (needed,) = re.findall(
      r"^jax([<>=]\S+)$", settings["options"]["install_requires"], re.MULTILINE)
  for source in _set_up(NOTEBOOKS[0]):
    assert re.findall(r"jax\{plugin\}([^\"' ]+)", source) == [needed]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_with_its_outputs(path):
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  assert path.stat().st_size < LARGEST
  outputs = [
      output for cell in notebook.cells for output in cell.get("outputs", ())
  ]
  kinds = {kind for output in outputs for kind in output.get("data", ())}
  assert "image/png" in kinds
  assert not any(
      output.output_type == "error" or output.get("name") == "stderr"
      for output in outputs)


def _set_up(path):
  notebook = nbformat.read(path, as_version=4)
  return [cell.source for cell in _tagged(notebook, "set-up")]


def _tagged(notebook, tag):
  return [
      cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())
  ]


def _execute(notebook, folder, monkeypatch):
  """Files go to `folder`; an error in a cell is raised here."""
  # Notebooks run longer than they compile.
  monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
  NotebookClient(
      notebook, timeout=600, resources={
          "metadata": {
              "path": str(folder)
          }
      }).execute()
