"""The picture of sets among real data."""

import json

import launch
import launching
import numpy as np
import pytest

from distill_jax import artifact, data


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
  """(folder, results) of a picture and of two mistakes."""
  home = tmp_path_factory.mktemp("embed")
  source = data.read("digits")
  rows = np.concatenate([
      np.flatnonzero(np.asarray(source.train.labels) == c)[:4]
      for c in range(10)
  ])
  segments = dict(segment_of_sample=[0, 0, 1, 1] * 10)
  mlp, kernel = dict(name="mlp", widths=[8]), dict(name="kernel_ridge")
  for name, provenance, network in (("plain", {}, mlp), ("segmented", segments,
                                                         mlp), ("kernel", {},
                                                                kernel)):
    artifact.save(
        artifact.from_samples(
            source.train.encode(source.train.inputs[rows]),
            source.train.labels[rows],
            class_names=source.class_names,
            preprocessing=source.preprocessing,
            network=network,
            provenance=provenance), home / f"{name}.safetensors")
  sets = f"--sets=one={home}/plain.safetensors,two={home}/segmented.safetensors"
  common = sets, "--data=digits", "--num_real=100", "--num_epochs=1"
  return home, launching.elsewhere(
      "embed", (*common, f"--out={home / 'tsne.png'}"),
      (*common, f"--sets={home}/plain.safetensors", f"--out={home / 'a.png'}"),
      (*common, f"--out={home / 'none' / 'a.png'}"),
      (*common, f"--out={home / 'a.json'}"), (
          *common, f"--sets=K={home}/kernel.safetensors",
          f"--out={home / 'kernel.png'}"),
      cache=home / "cache")


def test_picture_and_distances(embedded):
  home, (result, *_) = embedded
  assert result.code == 0, result.err
  assert (home / "tsne.png").read_bytes().startswith(b"\x89PNG")
  distances = json.loads((home / "tsne.json").read_text())
  distances = distances["distance_to_nearest"]
  assert distances["one"] == distances["two"] > 0  # the same samples


@pytest.mark.parametrize(
    "i, message", [(1, "`sets` must be NAME=FILE"),
                   (2, "`out` must be in an existing"),
                   (3, "`out` must end in .png")])
def test_mistakes(embedded, i, message):
  result = embedded[1][i]
  assert result.code == launch.MISTAKE and message in result.err


def test_sets_of_kernels_are_drawn_by_the_usual_network(embedded):
  home, results = embedded
  assert results[-1].code == 0, results[-1].err
  document = json.loads((home / "kernel.json").read_text())
  assert document["network"]["name"] == "convnet"
