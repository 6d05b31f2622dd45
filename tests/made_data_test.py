"""Data sets that are made for the results."""

import made_data
import numpy as np
from PIL import Image

from distill_jax import data


def test_tissue_is_a_folder_of_two_classes(tmp_path):
  counts = dict(train=dict(glands=5, crowded=3), test=dict(glands=2, crowded=2))
  folder = made_data.tissue(tmp_path, counts)
  first = {f: f.read_bytes() for f in folder.rglob("*.png")}
  source = data.read(f"folder:{folder}")
  assert source.class_names == ("crowded", "glands")
  assert source.train.inputs.shape == (8, 32, 32, 3)
  assert np.bincount(source.train.labels).tolist() == [3, 5]
  assert source.test.num_samples == 4
  made_data.tissue(tmp_path, counts)
  assert first == {f: f.read_bytes() for f in folder.rglob("*.png")}
  assert len(set(first.values())) == len(first)


def test_thirty_has_the_classes_of_three_data_sets(tmp_path):
  rng = np.random.default_rng(0)
  for title, shape in ("a", (28, 28)), ("b", (28, 28)), ("c", (32, 32, 3)):
    images = rng.integers(0, 256, (4, *shape), np.uint8)
    labels = [0, 1, 0, 1]
    np.savez(
        tmp_path / f"{title}.npz",
        x_train=images,
        y_train=labels,
        x_test=images[:2],
        y_test=labels[:2],
        class_names=["x", "y"])
  file = made_data.thirty(
      tmp_path, {f"npz:{title}.npz": title for title in "abc"})
  source = data.read(f"npz:{file}")
  assert source.class_names == ("a x", "a y", "b x", "b y", "c x", "c y")
  assert np.asarray(
      source.train.labels).tolist() == [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5]
  assert np.asarray(source.test.labels).tolist() == [0, 1, 2, 3, 4, 5]
  with np.load(tmp_path / "c.npz") as kept:
    wanted = Image.fromarray(kept["x_train"][3]).convert("L").resize((28, 28))
  np.testing.assert_array_equal(source.train.inputs[11, ..., 0], wanted)
