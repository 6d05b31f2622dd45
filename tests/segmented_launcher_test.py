"""EDD from the command line: its segments, its report, and its limit IDC."""

import json
from types import SimpleNamespace

import build
import jax.numpy as jnp
import launching
import numpy as np
import pytest
import segmented
from configs.matching import matching
from methods import Rows

from distill_jax import artifact
from distill_jax.segments import Segment
from distill_jax.types import Distilled, Samples

COMMAND = (
    "--data=digits", "--config.batch_size=8", "--config.num_steps=4",
    "--config.log_every=2", "--config.checkpoint_every=2",
    "--config.network.depth=1", "--config.batches_between=1",
    "--config.mix=0.0", "--config.augmentation.strategy=",
    "--config.recipe.num_epochs=2", "--config.recipe.mix=0.0",
    "--config.recipe.strategy=", "--config.evaluation.num_networks=1",
    "--config.evaluation.baselines=", "--config.figures=false",
)


def _distil(folder, method, *more):
  config = launching.CONFIGS / f"{method}_mnist.py"
  return launching.distil(
      f"--config={config}:quick,ipc=2,width=4", *COMMAND,
      f"--workdir={folder}", *more,
  )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """EDD of two segments, and the same command once more."""
  folder = tmp_path_factory.mktemp("segments")
  with launching.compiling_once(folder / "cache"):
    done = _distil(folder / "two", "edd", *_segments(2))
    first = artifact.load(folder / "two" / "distilled.safetensors")
    again = _distil(folder / "two", "edd", *_segments(2))
    yield folder / "two", done, (again, first)


def _segments(number):
  rate = 1e-4 * 0.2 / 0.3081**2  # of two samples a class
  return (
      f"--config.segments.num={number}", f"--config.learning_rate={rate}",
      "--config.segments.at_least=8", "--config.segments.recipe.num_epochs=2",
      "--config.segments.recipe.mix=0.0", "--config.segments.recipe.strategy=",
  )


def _read(folder):
  made = artifact.load(folder / "distilled.safetensors")
  return made, json.loads((folder / "report.json").read_text())


def test_two_segments(runs):
  folder, done, _ = runs
  assert done.code == 0, done.err
  two, report = _read(folder)
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
  for number in (1, 2):  # half of the steps each
    assert _steps(folder / "segments" / str(number)) == [2]


def test_a_finished_run_is_read(runs):
  folder, _, (again, before) = runs
  assert again.code == 0, again.err
  assert again.err.count("resumed at step 2 of 2") == 2
  np.testing.assert_array_equal(_read(folder)[0].codes, before.codes)


def test_segments_take_their_rows_and_put_them_back():
  config = matching("edd", "mnist")("quick,ipc=4,width=4")
  config.data, config.segments.num = "digits", 2
  source = build.source(config)
  codes = jnp.arange(40.0)[:, None]
  whole = Distilled(codes, jnp.eye(10).repeat(4, 0), jnp.zeros((0,)))
  shares = segmented._shares(config, source)
  np.testing.assert_array_equal(shares[0][:4], [0, 1, 4, 5])
  parts = [segmented._take(whole, rows) for rows in shares]
  for part in parts:  # two samples of each class
    np.testing.assert_array_equal(part.labels.sum(0), np.full(10, 2))
  made = [Segment(p._replace(codes=-p.codes), None, None, None) for p in parts]
  joined = segmented._joined(whole, made, shares)
  np.testing.assert_array_equal(joined.codes, -codes)
  np.testing.assert_array_equal(joined.labels, whole.labels)


def test_earlier_segments_are_an_anchor():
  def segment(offset):
    inputs = offset + jnp.arange(4.0)[:, None]
    return Segment(
        None, Samples(inputs, jnp.eye(2)[jnp.array([0, 0, 1, 1])], ()), None,
        None,
    )

  run = SimpleNamespace(rows=Rows(None, np.array([[0, 1], [2, 3]])))
  assert segmented._anchor([], [], 0.1) is None
  assert segmented._anchor([segment(0)], [run], 0.0) is None
  anchor = segmented._anchor([segment(0), segment(10)], [run], 0.1)
  np.testing.assert_array_equal(
      anchor.inputs[..., 0], [[0, 1, 10, 11], [2, 3, 12, 13]]
  )
  np.testing.assert_array_equal(anchor.labels.argmax(-1), [[0] * 4, [1] * 4])
  assert anchor.weight == 0.1


@pytest.mark.slow
def test_one_segment_is_idc(tmp_path):
  for name, method, more in (("idc", "idc", ()), ("one", "edd", _segments(1))):
    result = _distil(tmp_path / name, method, *more)
    assert result.code == 0, result.err
  idc, one = _read(tmp_path / "idc")[0], _read(tmp_path / "one")[0]
  np.testing.assert_array_equal(idc.codes, one.codes)
  np.testing.assert_array_equal(idc.order, one.order)


def _steps(folder):
  lines = (folder / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line)["step"] for line in lines]


def test_what_is_refused(tmp_path):
  for changes, message in (
      (_segments(3), "`segments.num` must divide `samples_per_class`"),
      ((*_segments(2), "--config.segments.at_least=4"), "`segments.at_least`"),
      ((*_segments(2), "--config.segments.anchor_weight=-1"), "anchor_weight"),
      ((*_segments(2), "--config.parameterization.name=hallucinator",
        "--config.clamp=False"),
       "`parameterization` must keep classes apart"),
  ):
    result = _distil(tmp_path / "run", "edd", *changes)
    assert result.code == 2 and message in result.err, result.err
    assert not (tmp_path / "run").exists()
