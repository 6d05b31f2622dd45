"""Sets that earlier versions saved are read as those versions read them.

`goldens/artifacts` has the files, and how they were made.
"""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from distill_jax.artifact import load, save
from distill_jax.schema.document import VERSION

FOLDER = Path(__file__).parent / "goldens" / "artifacts"
FILES = sorted(FOLDER.glob("*.safetensors"))
values = runpy.run_path(str(FOLDER / "make_sets.py"))["values"]


def _version(path):
  with safe_open(path, "numpy") as file:
    return json.loads(file.metadata()["distill_jax"])["schema_version"]


def test_there_is_a_file_of_every_schema():
  assert {_version(path) for path in FILES} == {*range(1, VERSION + 1)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_values_are_those_of_the_version_that_saved_them(path, tmp_path):
  made = load(path)
  save(made, tmp_path / "again.safetensors")
  assert _version(tmp_path / "again.safetensors") == _version(path)
  with np.load(path.with_suffix(".npz")) as stored:
    expected = dict(stored)
  facts = json.loads(str(expected.pop("facts")))
  for artifact in (made, load(tmp_path / "again.safetensors")):
    found = values(artifact)
    assert facts.items() <= json.loads(str(found.pop("facts"))).items()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
      computed = name in ("applied", "inverted")
      np.testing.assert_allclose(
          found[name],
          value,
          rtol=1e-5 if computed else 0,
          atol=1e-6 if computed else 0,
          err_msg=name)
      assert found[name].dtype == value.dtype, name
