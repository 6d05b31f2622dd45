"""The tfds adapter on mocked data: nothing is downloaded or prepared."""

import json
import os
from unittest import mock

import numpy as np
import pytest

from distill_jax.data import read, tfds
from distill_jax.errors import DataError

tensorflow_datasets = pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def mocked(tmp_path):
  """MNIST with a train and a test split of 60 random images each."""
  folder = tmp_path / "metadata" / "mnist" / "3.0.1"
  folder.mkdir(parents=True)
  splits = [{
      "name": name,
      "shardLengths": ["60"],
      "numBytes": "1"
  } for name in ("train", "test")]
  info = {
      "name": "mnist",
      "version": "3.0.1",
      "fileFormat": "array_record",
      "splits": splits
  }
  (folder / "dataset_info.json").write_text(json.dumps(info))
  with tensorflow_datasets.testing.mock_data(num_examples=60, data_dir=str(
      tmp_path / "metadata")):
    yield tmp_path / "data"


def test_reads_once_then_from_the_cache(mocked):
  classes = [str(digit) for digit in range(10)]
  arrays = tfds.arrays("mnist", mocked)
  assert arrays["x_train"].shape == (60, 28, 28, 1)
  assert arrays["x_test"].dtype == np.uint8
  assert arrays["y_train"].shape == arrays["y_test"].shape == (60,)
  assert arrays["class_names"].tolist() == classes
  assert [path.name for path in mocked.iterdir()] == ["mnist.npz"]
  with mock.patch.object(tfds, "_builder", side_effect=AssertionError):
    again = tfds.arrays("mnist", mocked)
  np.testing.assert_array_equal(again["x_train"], arrays["x_train"])
  try:
    source = read("tfds:mnist", data_dir=mocked)
  except DataError as error:  # random labels may miss a class
    assert "empty class" in str(error)
  else:
    assert source.name == "tfds:mnist" and source.test.num_samples == 60


def test_interrupted_write_leaves_nothing(mocked):
  with mock.patch.object(os, "fsync", side_effect=OSError("disk full")):
    with pytest.raises(OSError, match="disk full"):
      tfds.arrays("mnist", mocked)
  assert not list(mocked.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and so on"])
def test_a_damaged_cache_is_named(tmp_path, content):
  (tmp_path / "mnist.npz").write_bytes(content)
  with pytest.raises(DataError, match="mnist.npz"):
    tfds.arrays("mnist", tmp_path)
  whole = dict.fromkeys(("x_train", "y_train", "class_names"), np.zeros(3))
  for arrays in dict(x_train=np.zeros(3)), whole | dict(x_tset=np.zeros(3)):
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DataError, match="class_names; .*Delete it"):
      tfds.arrays("mnist", tmp_path)


def test_refused(tmp_path):
  with pytest.raises(DataError, match="got 'no_such_set': .*not found") as e:
    read("tfds:no_such_set", data_dir=tmp_path)
  assert "\n" not in str(e.value)
  with pytest.raises(DataError, match="images with one class label each"):
    tfds.arrays("imdb_reviews", tmp_path)
  with mock.patch.dict("sys.modules", {"tensorflow_datasets": None}):
    with pytest.raises(DataError, match="pip install"):
      tfds.arrays("mnist", tmp_path)


def test_unprepared(tmp_path):
  prepare = "download_and_prepare"
  with mock.patch.object(tensorflow_datasets.core.DatasetBuilder, prepare,
                         side_effect=ConnectionError("no network\nat all")):
    with pytest.raises(DataError, match="no network at all. Prep.*manual"):
      tfds.arrays("mnist", tmp_path)
