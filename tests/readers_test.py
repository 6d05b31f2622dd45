"""Readers: every kind of specification, and files that are not right."""

import gzip
import sys

import numpy as np
import pytest

from distill_jax.data import digits, read
from distill_jax.errors import DataError

Y = np.array([0, 1, 2, 0, 1, 2], np.uint8)
X = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)
IDX = {
    "train-images-idx3-ubyte": X,
    "train-labels-idx1-ubyte": Y,
    "t10k-images-idx3-ubyte": X[:3],
    "t10k-labels-idx1-ubyte": Y[:3]
}


def _fails(spec, *parts, **options):
  """Asserts one line with all parts."""
  with pytest.raises(DataError) as caught:
    read(spec, **options)
  message = str(caught.value)
  assert "\n" not in message
  for part in parts:
    assert str(part) in message, message


def _write_idx(folder, suffix=""):
  folder.mkdir(parents=True, exist_ok=True)
  for name, array in IDX.items():
    header = bytes([0, 0, 8, array.ndim])
    content = header + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    content = gzip.compress(content) if suffix else content
    (folder / (name + suffix)).write_bytes(content)
  return folder


def _write_image(path, image):
  from PIL import Image

  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(image).save(path)


def _write_folder(root, images=X):
  for i, (image, label) in enumerate(zip(images, Y, strict=True)):
    _write_image(root / "abc"[label] / f"{i}.png", image)
  return root


def test_digits():
  source = read("digits", validation_fraction=0.1)
  assert source.name == "digits" and source.num_classes == 10
  assert source.test.num_samples == 355
  assert source.train.num_samples + source.validation.num_samples == 1442
  x_train, y_train, x_test, y_test = digits()
  assert x_train.dtype == np.uint8 and x_train.max() == 255
  assert x_train.shape[1:] == (8, 8, 1)
  assert np.bincount(y_test).min() >= 34
  assert len(np.unique(np.concatenate([x_train, x_test]))) == 17


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx(tmp_path, suffix):
  source = read(f"idx:{_write_idx(tmp_path, suffix)}")
  np.testing.assert_array_equal(source.train.inputs[..., 0], X)
  np.testing.assert_array_equal(source.train.labels, Y)
  np.testing.assert_array_equal(source.test.inputs[..., 0], X[:3])


def test_idx_refused(tmp_path):
  images = _write_idx(tmp_path) / "train-images-idx3-ubyte"
  whole = images.read_bytes()
  spec = f"idx:{tmp_path}"
  images.write_bytes(whole[:-7])
  _fails(spec, images, "136 bytes", "got 129")
  images.write_bytes(whole[:9])
  _fails(spec, images, "got 9")
  images.write_bytes(b"\0\0\x08\x01" + whole[4:])
  _fails(spec, images, "00000803", "00000801")
  images.write_bytes(b"")
  _fails(spec, images, "got none")
  images.unlink()
  _fails(spec, "train-images-idx3-ubyte", tmp_path)
  packed = images.with_name(images.name + ".gz")
  packed.write_bytes(gzip.compress(whole)[:-20])
  _fails(spec, packed, "bytes")
  packed.write_bytes(b"<html>not found</html>")
  _fails(spec, packed, "Fetch it again")


def test_npz(tmp_path):
  path = tmp_path / "set.npz"
  np.savez(path, x_train=X, y_train=Y, class_names=["a", "b", "c"])
  source = read(f"npz:{path}")
  assert source.class_names == ("a", "b", "c") and source.test is None
  np.savez(path, x_train=X, y_train=Y, x_test=X[:3], y_test=Y[:3])
  source = read(f"npz:{path}", preprocessing="zca")
  assert source.test.num_samples == 3 and source.preprocessing.whiten.size


def test_npz_refused(tmp_path):
  path = tmp_path / "set.npz"
  spec = f"npz:{path}"
  np.savez(path, x_train=X, labels=Y)
  _fails(spec, path, "y_train", "x_train, labels")
  np.savez(path, x_train=X, y_train=np.array([{}] * 6))
  _fails(spec, path, "y_train", "pickle")
  np.savez(path, x_train=X, y_train=Y)
  content = bytearray(path.read_bytes())
  content[200] ^= 255
  path.write_bytes(content)
  _fails(spec, path, "x_train", "CRC")
  path.write_bytes(b"nothing")
  _fails(spec, path, ".npz file")


def test_relative_paths(tmp_path, monkeypatch):
  monkeypatch.delenv("DISTILL_JAX_DATA", raising=False)
  _write_idx(tmp_path / "mine")
  assert read("idx:mine", data_dir=tmp_path).name == "idx:mine"
  _fails("idx:mine", "'idx:mine'", "no mine.")
  monkeypatch.setenv("DISTILL_JAX_DATA", str(tmp_path))
  assert read("idx:mine").num_classes == 3
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("DISTILL_JAX_DATA", "/nowhere")
  assert read("idx:mine").num_classes == 3
  _fails("idx:yours", "no yours or /nowhere/yours")


def test_specifications_refused(tmp_path):
  for spec in ("zip:a", "mnist", "idx", "npz:", "digits:3", ""):
    _fails(spec, "folder:DIR, csv:PLACE, tfds:NAME", repr(spec))
  for size in ("?", "?resize=0x4", "?resize=4", "?size=4x4"):
    _fails(f"folder:{tmp_path}{size}", "?resize=HxW", size)
  file = tmp_path / "file"
  file.write_text("")
  _fails(f"idx:{file}", "folder", file)
  _fails(f"folder:{file}", "folder", file)
  _fails(f"npz:{tmp_path}", ".npz file", tmp_path)


def test_folder(tmp_path):
  source = read(f"folder:{_write_folder(tmp_path)}")
  order = np.argsort(Y, kind="stable")
  assert source.class_names == ("a", "b", "c") and source.test is None
  np.testing.assert_array_equal(source.train.inputs[..., 0], X[order])
  np.testing.assert_array_equal(source.train.labels, Y[order])


def test_folder_with_parts_and_colour(tmp_path):
  _write_folder(tmp_path / "train")
  colour = np.stack([X[0], X[1], X[2]], -1)
  _write_image(tmp_path / "test" / "b" / "x.PNG", colour)
  (tmp_path / "test" / "b" / "notes.txt").write_text("ignored")
  (tmp_path / "test" / ".hidden").mkdir()
  source = read(f"folder:{tmp_path}")
  np.testing.assert_array_equal(source.test.inputs[0], colour)
  np.testing.assert_array_equal(source.test.labels, [1])
  np.testing.assert_array_equal(
      source.train.inputs[0], np.repeat(X[0][..., None], 3, -1))


def test_folder_sizes(tmp_path):
  _write_folder(tmp_path)
  other = tmp_path / "c" / "9.jpg"
  _write_image(other, np.zeros((3, 7), np.uint8))
  spec = f"folder:{tmp_path}"
  _fails(spec, "5x4", tmp_path / "a" / "0.png", "3x7", other, "?resize=HxW")
  source = read(f"{spec}?resize=6x2")
  assert source.train.inputs.shape == (7, 6, 2, 1)


def test_folder_refused(tmp_path):
  spec = f"folder:{tmp_path}"
  _fails(spec, "one folder of images per class", tmp_path)
  _write_folder(tmp_path)
  broken = tmp_path / "b" / "broken.png"
  whole = (tmp_path / "b" / "1.png").read_bytes()
  for content in (b"text", whole[:45], whole[:-30]):
    broken.write_bytes(content)
    _fails(spec, broken, "readable")
  _write_image(broken, X[0].astype(np.uint16))
  _fails(spec, broken, "8 bits")
  broken.unlink()
  (tmp_path / "d").mkdir()
  _fails(spec, tmp_path / "d", "has none")


def test_folder_test_class_unknown_to_train(tmp_path):
  _write_folder(tmp_path / "train")
  _write_image(tmp_path / "test" / "z" / "0.png", X[0])
  _fails(f"folder:{tmp_path}", "`y_test`", "'z'")


def test_folder_without_pillow(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "PIL", None)
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "0.png").write_bytes(b"")
  _fails(f"folder:{tmp_path}", "pip install")
