"""Every notebook runs from top to bottom, and is fit to be read as it is."""

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted(
    (pathlib.Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
LARGEST = 500_000  # bytes, figures included
DEFAULT = "quickstart"  # the others run in `make test-all`


def test_there_are_notebooks():
  assert DEFAULT in [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize(
    "path", [
        pytest.param(
            path,
            id=path.stem,
            marks=() if path.stem == DEFAULT else pytest.mark.slow)
        for path in NOTEBOOKS
    ])
def test_runs(path, tmp_path, monkeypatch):
  # Notebooks run longer than they compile.
  monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
  # Files that it writes go to `tmp_path`; an error in a cell is raised here.
  notebook = nbformat.read(path, as_version=4)
  NotebookClient(
      notebook, timeout=600, resources={
          "metadata": {
              "path": str(tmp_path)
          }
      }).execute()


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
