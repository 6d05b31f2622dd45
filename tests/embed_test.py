"""The picture of sets among real data."""

import json

import launching
import numpy as np
import pytest

from distill_jax import artifact, data
from distill_jax.commands.process import MISTAKE
from distill_jax.errors import ConfigError, DataError
from distill_jax.runs.embedding import embed

MLP, KERNEL = dict(name="mlp", widths=[8]), dict(name="kernel_ridge")


@pytest.fixture(scope="module")
def arrays():
  """Forty images of four classes to train on, twenty to test on."""
  generator, y = np.random.default_rng(0), np.arange(60) % 4
  x = generator.integers(0, 90, (60, 8, 8, 1)) + 50 * y[:, None, None, None]
  x = x.astype(np.uint8)
  return dict(x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])


@pytest.fixture(scope="module")
def source(arrays):
  return data.from_arrays(**arrays)


@pytest.fixture(scope="module")
def made(source):
  """A set of real samples, for networks of some kind."""

  def of(network, **provenance):
    rows = slice(0, 16)
    return artifact.from_samples(
        source.train.encode(source.train.inputs[rows]),
        source.train.labels[rows],
        class_names=source.class_names,
        preprocessing=source.preprocessing,
        network=network,
        provenance=provenance)

  return of


def test_same_samples_are_as_near(source, made):
  segmented = made(MLP, segment_of_sample=[0] * 8 + [1] * 8)
  found = embed({"one": made(MLP), "two": segmented}, source, num_epochs=1)
  distances = found.document["distance_to_nearest"]
  assert distances["one"] == distances["two"] > 0
  assert found.document["num_real"] == 20
  assert len(found.figure.axes) == 2


def test_sets_of_another_preprocessing_lie_where_their_pixels_do(source, made):
  one = made(MLP)
  record = source.preprocessing
  other = record._replace(mean=record.mean + 0.1, std=2 * record.std)
  two = one._replace(
      preprocessing=other, inputs=other.apply(record.invert(one.inputs)))
  distances = embed({"one": one, "two": two}, source, num_epochs=1)
  distances = distances.document["distance_to_nearest"]
  assert distances["two"] == pytest.approx(distances["one"], rel=1e-4)


def test_sets_of_kernels_are_drawn_by_the_usual_network(source, made):
  found = embed({"K": made(KERNEL)}, source, num_real=10, num_epochs=1)
  assert found.document["network"]["name"] == "convnet"
  assert found.document["num_real"] == 10


def test_refuses_sets_that_lie_apart_and_data_without_test(source, made):
  other = made(MLP)._replace(class_names=("a", "b", "c", "d"))
  with pytest.raises(ConfigError,
                     match="two has a, b, c, d and .* the first one 0"):
    embed({"one": made(MLP), "two": other}, source)
  with pytest.raises(DataError, match="must have the classes of the set"):
    embed({"one": other}, source)
  with pytest.raises(DataError, match="`source` must have a test part"):
    embed({"one": made(MLP)}, source._replace(test=None))


@pytest.fixture(scope="module")
def launched(tmp_path_factory, arrays, made):
  """(folder, results) of a picture and of five mistakes."""
  home = tmp_path_factory.mktemp("embed")
  np.savez(home / "small.npz", **arrays)
  artifact.save(made(MLP), home / "set.safetensors")
  common = (
      f"--sets=one={home}/set.safetensors", f"--data=npz:{home}/small.npz",
      "--num_epochs=1")
  return home, launching.elsewhere(
      "embed", (*common, f"--out={home / 'tsne.png'}"),
      (*common, f"--sets={home}/set.safetensors", f"--out={home / 'a.png'}"),
      (*common, f"--out={home / 'small.npz' / 'a.png'}"),
      (*common, f"--out={home / 'a.json'}"),
      (common[1], "--sets=", f"--out={home / 'a.png'}"),
      (common[1], f"--sets=={home}/set.safetensors", f"--out={home / 'a.png'}"))


def test_picture_and_numbers_are_written(launched):
  home, (result, *_) = launched
  assert result.code == 0, result.err
  assert (home / "tsne.png").read_bytes().startswith(b"\x89PNG")
  document = json.loads((home / "tsne.json").read_text())
  assert document["distance_to_nearest"]["one"] > 0 and document["command"]


@pytest.mark.parametrize(
    "i, message", [(1, "`--sets` must be NAME=FILE"),
                   (2, "`out` must be in a folder"),
                   (3, "`out` must end in .png"),
                   (4, "`--sets` must name at least one set"),
                   (5, "`--sets` must be NAME=FILE")])
def test_mistakes(launched, i, message):
  result = launched[1][i]
  assert result.code == MISTAKE and message in result.err
