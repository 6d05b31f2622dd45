"""EDD from the command line: its segments, its report, going on."""

import json
import shutil

import launching
import numpy as np
import pytest

from distill_jax import artifact

COMMAND = (
    f"--config={launching.CONFIGS / 'edd.py'}:quick,ipc=2,network=mlp,"
    "parameterization.name=multi_formation", "--config.method.strategy=",
    *launching.FEW, "--config.method.batch_size=8",
    "--config.method.num_steps=4", "--config.method.batches_between=1",
    "--config.method.mix=0", "--config.method.recipe.num_epochs=2",
    "--config.method.recipe.mix=0", "--config.method.recipe.strategy=",
    "--config.method.segments.at_least=8",
    "--config.method.segments.recipe.num_epochs=2",
    "--config.method.segments.recipe.mix=0",
    "--config.method.segments.recipe.strategy=")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
  folder = tmp_path_factory.mktemp("segments") / "run"
  return folder, launching.distil(*COMMAND, f"--workdir={folder}")


def _steps(folder):
  lines = (folder / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line)["step"] for line in lines]


def test_two_segments(done):
  folder, result = done
  assert result.code == 0, result.err
  two = artifact.load(folder / "distilled.safetensors")
  report = json.loads((folder / "report.json").read_text())
  assert two.num_rows == 20 and two.inputs.shape == (80, 8, 8, 1)
  assert two.method == "edd"
  # Two rows a class, one of each segment; each row is four samples, tile-major.
  assert two.provenance["segment_of_sample"] == [0, 1] * 10 * 4
  measured = report["segments"]
  assert len(measured["forgotten"]) == 1 and len(measured["correct"]) == 2
  counts = np.array(measured["real_samples"])
  assert counts.shape == (2, 10) and (counts[1] <= counts[0]).all()
  assert counts[1].sum() < counts[0].sum() and counts.min() >= 8
  assert -1 <= report["updates"]["cosine"] <= 1
  assert report["updates"]["norm"] > 0
  assert _steps(folder) == [2, 4]
  for number in ("1", "2"):  # half of the steps each
    assert _steps(folder / "parts" / number) == [2]


def test_goes_on_after_a_segment(done):
  folder, _ = done
  before = artifact.load(folder / "distilled.safetensors")
  shutil.rmtree(folder / "parts" / "2")
  (folder / "report.json").unlink()  # as before the end
  again = launching.distil(*COMMAND, f"--workdir={folder}")
  assert again.code == 0, again.err
  assert again.err.count("resumed at step 2 of 2") == 1
  after = artifact.load(folder / "distilled.safetensors")
  np.testing.assert_array_equal(before.codes, after.codes)


def test_segments_that_do_not_divide_the_rows(tmp_path):
  result = launching.distil(
      *COMMAND, f"--workdir={tmp_path}/run", "--config.per_class=3")
  assert result.code == 2
  assert "`segments.num` must divide the rows of each class" in result.err
  assert not (tmp_path / "run").exists()
