"""Readers: every kind of specification, and files that are not right."""

import configparser
import gzip
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from distill_jax import kinds
from distill_jax.data import digits, read, readers
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
  _fails(spec, packed, "ended before", "again")
  packed.write_bytes(b"<html>not found</html>")
  _fails(spec, packed, "00000803", "Download it again")


def test_npz(tmp_path):
  path = tmp_path / "set.npz"
  np.savez(path, x_train=X, y_train=Y, class_names=["a", "b", "c"])
  source = read(f"npz:{path}?test=0")
  assert source.class_names == ("a", "b", "c") and source.test is None
  np.savez(path, x_train=X, y_train=Y, x_test=X[:3], y_test=Y[:3])
  source = read(f"npz:{path}", preprocessing="zca")
  assert source.test.num_samples == 3 and source.preprocessing.whiten.size


def test_packing_is_seen_in_the_content(tmp_path):
  _write_idx(tmp_path)
  for name in IDX:
    new = f"{name}.gz".replace("-idx", ".idx")
    (tmp_path / name).rename(tmp_path / new)
  for file in tmp_path.glob("*labels*"):
    file.write_bytes(gzip.compress(file.read_bytes()))
  source = read(f"idx:{tmp_path}")
  np.testing.assert_array_equal(source.train.inputs[..., 0], X)
  assert source.test.num_samples == 3


def test_parts_of_npz_by_their_usual_names(tmp_path):
  path = tmp_path / "set.npz"
  np.savez(
      path,
      X_train=X,
      y_train=Y,
      x_dev=X,
      Y_dev=Y,
      x_testing=X,
      y_testing=Y,
      mean=np.array([{}]))
  source = read(f"npz:{path}")
  assert source.validation.num_samples == source.test.num_samples == 6
  assert source.facts["left_out"] == "arrays that were left out: mean"


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
  path = tmp_path / "set.npz"
  np.savez_compressed(path, x_train=np.zeros((6, 99, 99), np.uint8), y_train=Y)
  _write_idx(tmp_path, ".gz")
  monkeypatch.setenv("DISTILL_JAX_UNPACKED_BYTES", "100")
  _fails(f"npz:{path}", path, "100 bytes at most", "Set DISTILL_JAX_UNPACKED")
  _fails(f"idx:{tmp_path}", "100 bytes at most", "has 120")
  monkeypatch.setenv("DISTILL_JAX_UNPACKED_BYTES", "2e9")
  _fails(f"npz:{path}", "number of bytes", "'2e9'")
  monkeypatch.setenv("DISTILL_JAX_UNPACKED_BYTES", "2000000")
  assert read(f"npz:{path}").train.inputs.shape[1:] == (99, 99, 1)


@pytest.mark.parametrize(
    "spec, hint", [("a.csv?label=b", "'csv:a.csv?label=b'"),
                   ("A.NPZ", "'npz:A.NPZ'"), ("digit", "'digits'")])
def test_a_path_without_its_kind_is_told_the_spec(spec, hint):
  _fails(spec, "must be one of digits, idx:DIR", f"Did you mean {hint}?")


def test_a_folder_of_pictures_is_told_its_spec(tmp_path):
  folder = _write_folder(tmp_path / "images")
  _fails(f"{folder}", f"Did you mean 'folder:{folder}'?")


def test_labels_of_a_test_part_without_samples_are_refused(tmp_path):
  path = tmp_path / "set.npz"
  np.savez(path, x_train=X, y_train=Y, y_test=Y)
  _fails(f"npz:{path}", "`x_test` and `y_test` must be given together")


def test_names_say_what_the_labels_mean(tmp_path):
  path = tmp_path / "set.npz"
  np.savez(path, x_train=X, y_train=Y, class_names=[b"owl", b"cat", b"dog"])
  source = read(f"npz:{path}?test=0", class_names=("cat", "dog", "owl"))
  assert source.class_names == ("cat", "dog", "owl")
  np.testing.assert_array_equal(source.train.labels, (Y + 2) % 3)
  _fails(
      f"npz:{path}?test=0",
      "lack fox and have owl",
      class_names=("cat", "dog", "fox"))
  folder = _write_folder(tmp_path / "images")
  for old, new in zip("abc", ("10", "9", "1"), strict=True):
    (folder / old).rename(folder / new)
  assert read(f"folder:{folder}").class_names == ("1", "9", "10")


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
  for spec in (Path("a.npz"), None, 3):
    with pytest.raises(DataError, match="`spec` must be one text of digits"):
      read(spec)
  _fails("npz:" + 300 * "x/", "there is no x/x/")
  for query in ("?", "?size=0x4", "?size=4x", "?size=4,test=0", "?size",
                "?size=4&size=5", "?size=4&resize=4"):
    _fails(f"folder:{tmp_path}{query}", "?size=HxW", query)
  _fails(f"npz:{tmp_path}?size=4", "must end in ?test=0.2 where")
  for share in ("1", "-0.1", "a", ""):
    _fails(f"folder:{tmp_path}?test={share}", "test in [0, 1)", repr(share))
  file = tmp_path / "file"
  file.write_text("")
  _fails(f"idx:{file}", "folder", file)
  _fails(f"folder:{file}", "folder", file)
  _fails(f"npz:{tmp_path}", "regular file", tmp_path, "a folder")


def test_folder(tmp_path):
  source = read(f"folder:{_write_folder(tmp_path)}?test=0")
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
  _fails(spec, "5x4", tmp_path / "a" / "0.png", "3x7", "c/9.jpg", "?size=32")
  for query, shape in (("size=6", (6, 6)), ("size=6x2", (6, 2)), ("resize=6x2",
                                                                  (6, 2))):
    source = read(f"{spec}?{query}&test=0")
    assert source.train.inputs.shape == (7, *shape, 1)


def test_a_fifth_of_every_class_is_held_out(tmp_path):
  images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), np.uint8)
  labels = np.repeat(np.arange(3), 10)
  for i, (image, label) in enumerate(zip(images, labels, strict=True)):
    _write_image(tmp_path / "pictures" / "abc"[label] / f"{i}.png", image)
  np.savez(tmp_path / "set.npz", x_train=images, y_train=labels)
  source = read("folder:pictures", data_dir=tmp_path)
  assert np.bincount(source.test.labels).tolist() == [2, 2, 2]
  assert np.bincount(source.train.labels).tolist() == [8, 8, 8]
  assert source.facts["test_part"] == (
      "a fifth of every class became the test part: 6 of 30")
  # Other choices of validation samples, and other readers, test on the same.
  other = read("npz:set.npz", data_dir=tmp_path, seed=3)
  np.testing.assert_array_equal(source.test.inputs, other.test.inputs)
  source = read("npz:set.npz?test=0.3", data_dir=tmp_path)
  assert source.test.num_samples == 9
  assert source.facts["test_part"].startswith("0.3 of every class")
  source = read("npz:set.npz", data_dir=tmp_path, test_fraction=0)
  assert source.test is None and not source.facts
  source = read("npz:set.npz", data_dir=tmp_path, test_fraction=0.5)
  assert source.test.num_samples == 15


def test_a_share_is_refused_beside_a_test_part(tmp_path):
  _write_idx(tmp_path)
  _fails(f"idx:{tmp_path}?test=0.2", "where there is a test part", "0.2")
  for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
    (tmp_path / name).unlink()
  assert read(f"idx:{tmp_path}?test=0.2").test.num_samples == 3
  # A fifth of a class of fewer than five is less than a sample.
  assert read(f"idx:{tmp_path}").test is None


def test_folder_formats(tmp_path):
  from PIL import Image

  colour = Image.fromarray(np.stack([X[0], X[1], X[2]], -1))
  grey = Image.fromarray(X[0])
  deep = Image.fromarray(X[0].astype(np.uint16) * 257)
  veil = colour.convert("RGBA")
  veil.putalpha(0)
  palette = grey.convert("P")
  wide = Image.fromarray(np.rot90(X[0]).copy())
  turned = wide.getexif()
  turned[0x112] = 6  # shown turned by 90 degrees to the right
  (tmp_path / "a").mkdir()
  (tmp_path / "b").mkdir()
  white, black = np.full((5, 4), 255), np.zeros((5, 4))
  expected = []

  def add(name, image, pixels, **options):
    image.save(tmp_path / "a" / name, **options)
    expected.append((
        name,
        np.broadcast_to(
            pixels if np.ndim(pixels) == 3 else pixels[..., None], (5, 4, 3))))

  add("00.BMP", colour, np.asarray(colour))
  add("01.tif", colour, np.asarray(colour))
  add("02.tiff", deep, X[0])
  add("03.webp", colour, np.asarray(colour), lossless=True)
  add("04.ppm", colour, np.asarray(colour))
  add("05.pgm", deep, X[0])
  add("06.png", deep, X[0])
  add("07.png", veil, white)
  add("08.png", palette, X[0])
  add("09.png", Image.fromarray(black.astype(bool)), black)
  add("10.png", Image.fromarray(np.stack([X[0], 255 + 0 * X[0]], -1)), X[0])
  add("11.gif", grey, X[0], save_all=True, append_images=[veil])
  add("12.tif", colour.convert("CMYK"), np.asarray(colour))
  add("13.png", wide, X[0], exif=turned)
  grey.save(tmp_path / "b" / "0.png")
  for junk in ("a/._00.png", "a/.DS_Store", "b/Thumbs.db"):
    (tmp_path / junk).write_bytes(b"junk")
  (tmp_path / "__MACOSX" / "a").mkdir(parents=True)
  (tmp_path / "b" / "more.png").mkdir()
  source = read(f"folder:{tmp_path}?test=0")
  assert source.class_names == ("a", "b")
  assert source.train.num_samples == len(expected) + 1
  for image, (name, pixels) in zip(source.train.inputs, expected, strict=False):
    np.testing.assert_allclose(image, pixels, atol=1, err_msg=name)


def test_folder_refused(tmp_path):
  spec = f"folder:{tmp_path}"
  _fails(spec, "one folder of images per class", tmp_path)
  _write_folder(tmp_path)
  broken = tmp_path / "b" / "broken.png"
  whole = (tmp_path / "b" / "1.png").read_bytes()
  for content in (b"text", whole[:45], whole[:-30]):
    broken.write_bytes(content)
    _fails(spec, broken, "readable")
  broken.unlink()
  deep = broken.with_suffix(".tif")
  for dtype in (np.int32, np.float32):
    _write_image(deep, X[0].astype(dtype))
    _fails(spec, deep, "8 or 16 bits")
  deep.unlink()
  (tmp_path / "d").mkdir()
  _fails(spec, tmp_path / "d", "has none")


def test_a_class_called_train_and_a_part_called_val(tmp_path):
  _write_folder(tmp_path / "cars")
  (tmp_path / "cars" / "a").rename(tmp_path / "cars" / "train")
  source = read(f"folder:{tmp_path / 'cars'}?test=0")
  assert source.class_names == ("b", "c", "train")
  for part in ("train", "val", "test"):
    _write_folder(tmp_path / "parts" / part)
  source = read(f"folder:{tmp_path / 'parts'}", validation_fraction=0.5)
  assert source.validation.num_samples == source.train.num_samples == 6
  (tmp_path / "parts" / "valid").mkdir()
  _fails(f"folder:{tmp_path / 'parts'}", "one validation part", "val and valid")


@pytest.mark.parametrize(
    "names", [("training", "testing"), ("Train", "TEST"), ("train", "test")])
def test_parts_of_a_folder_in_other_words(tmp_path, names):
  for name in names:
    _write_folder(tmp_path / name)
  (tmp_path / "extra").mkdir()
  source = read(f"folder:{tmp_path}")
  assert source.class_names == ("a", "b", "c")
  assert source.test.num_samples == 6
  assert source.facts["left_out"] == (
      "left out of the folder: 1 beside the parts (extra)")


def test_parts_without_classes_are_no_classes(tmp_path):
  for part in ("train", "test"):
    _write_image(tmp_path / part / "0.png", X[0])
  _fails(f"folder:{tmp_path}", "in each part", tmp_path / "train", "Move")


def test_every_file_of_a_folder_is_accounted_for(tmp_path):
  from PIL import Image

  _write_folder(tmp_path)
  own = tmp_path / "a"
  Image.fromarray(X[0]).save(own / "photo.jfif", "JPEG")
  Image.fromarray(X[0]).save(own / "without", "PNG")
  Image.fromarray(X[0]).save(own / "old.tga")
  for name in ("notes.txt", "drawing.eps", "more.txt", ".hidden",
               "../list.csv"):
    (own / name).write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
  (own / "nested").mkdir()
  os.mkfifo(own / "pipe.png")
  source = read(f"folder:{tmp_path}?test=0")
  assert source.train.counts.tolist() == [5, 2, 2]
  assert source.facts["left_out"] == (
      "left out of the folder: 2 folders or pipes within classes, 2 .txt, 1 "
      "beside the classes, 1 .eps")
  (own / "drawing.eps").rename(own / "drawing.png")
  _fails(f"folder:{tmp_path}", own / "drawing.png", "readable images")


def test_transparent_pixels_show_the_ground(tmp_path):
  from PIL import Image

  _write_folder(tmp_path)
  ink = np.stack([X[0], 0 * X[0]], -1)
  Image.fromarray(ink).save(tmp_path / "a" / "0.png")
  deep = Image.fromarray(np.zeros((5, 4), np.uint16))
  deep.save(tmp_path / "a" / "1.png", transparency=0)
  for ground, shown in (("", 255), ("ground=black&", 0), ("ground=#808080&",
                                                          128)):
    source = read(f"folder:{tmp_path}?{ground}test=0")
    np.testing.assert_array_equal(source.train.inputs[:2], shown)
  source = read(f"folder:{tmp_path}?ground=red&test=0")
  assert source.train.inputs[0, 0, 0].tolist() == [255, 0, 0]
  _fails(f"folder:{tmp_path}?ground=paper", "ground", "'paper'", "white")


def test_large_images_are_refused_before_decoding(tmp_path):
  _write_folder(tmp_path)
  spec, file = f"folder:{tmp_path}", tmp_path / "a" / "0.png"
  file.write_bytes(_header(20_000, 20_000))
  _fails(f"{spec}?size=8", file, "smaller images", "400000000 pixels")
  file.write_bytes(_header(12_000, 12_000))
  _fails(f"{spec}?size=8", file, "576,000,000", "536,870,912 bytes at most")
  file.write_bytes(_header(6_000, 6_000, kind=6))  # with an alpha channel
  _fails(f"{spec}?size=8", file, "576,000,000", "536,870,912 bytes at most")
  file.write_bytes(_header(9_000, 9_000))
  _fails(spec, tmp_path, "1,458,000,000", "536,870,912 bytes at most")
  file.write_bytes(_header(5_000, 5_000))
  (tmp_path / "a" / "3.png").write_bytes(_header(5_000, 5_000))
  _fails(spec, "5000x5000", "5x4", "?size=32")
  _fails(f"{spec}?size=99999", tmp_path, "bytes at most")


def _header(width, height, kind=2):
  """A PNG, by default of RGB, without its pixels."""
  chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
  return (
      b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk +
      struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT" +
      struct.pack(">I", zlib.crc32(b"IDAT")))


def test_folder_names_that_are_no_text(tmp_path):
  _write_folder(tmp_path)
  (tmp_path / "a").rename(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
  _fails(f"folder:{tmp_path}", "UTF-8", r"b'caf\xe9'", "Rename")


def test_folder_test_class_unknown_to_train(tmp_path):
  _write_folder(tmp_path / "train")
  _write_image(tmp_path / "test" / "z" / "0.png", X[0])
  _fails(f"folder:{tmp_path}", "`y_test`", "'z'")


def test_folder_without_pillow(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "PIL", None)
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "0.png").write_bytes(b"")
  # The extra that the pages on pictures install, too.
  _fails(f"folder:{tmp_path}", "pip install 'distill_jax[experiments]'")
  root = Path(__file__).parent.parent
  for page in "start", "own_data":
    text = (root / "docs" / f"{page}.md").read_text()
    assert "pip install '.[experiments]'" in text
  extras = configparser.ConfigParser()
  extras.read(root / "setup.cfg")
  assert "pillow" in extras["options.extras_require"]["experiments"]


def test_kinds_are_explained_and_read(tmp_path):
  """The table of the module has all kinds, and each has a reader."""
  said = [line.split()[0] for line in readers.__doc__.splitlines() if line]
  told = {pattern.partition("?")[0] for pattern in said}
  assert told >= {*kinds.patterns()}
  for kind, place in kinds.PLACES.items():
    if place and kind != "tfds":
      with pytest.raises(DataError) as caught:
        read(f"{kind}:absent", data_dir=tmp_path)
      assert "must be one of" not in str(caught.value)
