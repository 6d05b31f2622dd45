"""Mistakes a user makes, end to end: one line that helps, nothing damaged.

Each table reads: name, the mistake, what the message must contain (argument,
rule, value or place, remedy where there is one).
"""

import errno
import gzip
import io
import json
import os
import re
import zipfile
from pathlib import Path
from unittest import mock

import launching
import numpy as np
import pytest
import safetensors.numpy
from launching import DIGITS, TINY

from distill_jax import artifact, data, nn, storage
from distill_jax.errors import ArtifactError, DataError
from distill_jax.runs import workdir

X = np.random.default_rng(0).integers(0, 256, (8, 8, 8)).astype(np.uint8)
Y = np.arange(8) % 2
# Short, in case it is not refused.
RUN = (DIGITS, *TINY, "--config.method.num_steps=2")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _with(value, row=3):
  x = X / np.float32(255)
  x[row, 2, 2] = value
  return x[..., None]


ARRAYS = [
    ("no samples", (X[:0], Y[:0]), ["`x_train`", "must hold", "(0, 8, 8)"]),
    ("one class", (X, 0 * Y), ["`y_train`", "at least two", "only 0"]),
    ("empty class", (X, 2 * Y), ["`y_train`", "every class", "'1'", "number"]),
    ("negative label", (X, Y - 1), ["`y_train`", "0..", "-1", "row 0"]),
    (
        "test label out of range", (X, Y, X, Y + 5),
        ["`y_test`", "0..1", "5", "row 0"]),
    (
        "several labels", (X, np.eye(2)[Y]),
        ["`y_train`", "one class per sample", "(8, 2)", "argmax"]),
    ("regression", (X, Y + 0.5), ["`y_train`", "classes", "0.5", "Regression"]),
    ("NaN", (_with(np.nan), Y), ["`x_train`", "finite", "row 3", "Drop"]),
    ("infinite", (_with(np.inf, 5), Y), ["`x_train`", "finite", "row 5"]),
    (
        "rank", (X[..., None,
                   None], Y), ["`x_train`", "[N, H, W, C]", "8, 1, 1)"]),
    ("complex", (X * 1j, Y), ["`x_train`", "floats", "complex128"]),
    ("text", (X.astype(str), Y), ["`x_train`", "floats", "<U", "Convert"]),
    (
        "pixels over 255", (X.astype(int) * 9, Y),
        ["`x_train`", "0..255", "Rescale"]),
    ("lengths", (X, Y[:7]), ["`x_train`", "`y_train`", "8", "7"]),
    ("half a test part", (X, Y, X), ["`x_test`", "`y_test`", "together"]),
    (
        "test images of another size", (X, Y, X[:, :4], Y),
        ["`x_test`", "(8, 8, 1)", "(4, 8, 1)"]),
    (
        "masked label", (X, np.ma.array(Y, mask=Y)),
        ["`y_train`", "row 1", "Drop"]),
    (
        "masked pixel", (X, Y, np.ma.masked_equal(X, X[2, 1, 1]), Y),
        ["`x_test`", "no missing", "Drop"]),
    (
        "masked image in a list", ([np.ma.array(x, mask=x > 250) for x in X],
                                   Y), ["`x_train`", "no missing", "Drop"]),
    (
        "NaN among names", (X, ["a", "b", np.nan, "b"] * 2),
        ["`y_train`", "2, the first in row 2", "rename the class nan"]),
    (
        "a word for missing", (X, ["a", "b", "b", " N/A "] * 2),
        ["`y_train`", "no missing", "row 3", "rename the class N/A"]),
    (
        "None among numbers", (X, [0, 1, None, 1] * 2),
        ["`y_train`", "no missing", "row 2", "Drop"]),
    (
        "no time among labels", (X, [np.datetime64("NaT"), *Y[1:]]),
        ["`y_train`", "no missing", "row 0"]),
    (
        "None among pixels", (np.where(X == X[5, 0, 0], None, X), Y),
        ["`x_train`", "no missing", "Drop or fill"]),
    (
        "one label spelt twice", (X, ["0", "1"] * 3 + ["0.0", "1"]),
        ["`y_train`", "one way", "'0' and '0.0'", "Choose"]),
    (
        "names in Latin-1", (X, [b"\xe9t\xe9", b"a"] * 4),
        ["`y_train`", "UTF-8", "xe9t", "Decode"]),
    (
        "prices", (np.eye(21), 7 * np.arange(21)),
        ["`y_train`", "classes", "21 different numbers up to 140", "ranges"]),
    (
        "channels first", (np.zeros((8, 3, 16, 9)), Y), [
            "`x_train`", "[N, H, W, C]", "(8, 3, 16, 9)",
            "x.transpose(0, 2, 3, 1)"
        ]),
    (
        "images of two shapes", ([*X[:7], X[7, :5]], Y), [
            "`x_train`", "one shape", "(8, 8) in row 0", "(5, 8) in row 7",
            "Resi"
        ]),
    (
        "float pixels up to 255", (X[..., None] / 1.0, Y),
        ["`x_train`", "[0, 1]", "0..255", "Divide", "uint8"]),
    ("one feature", (Y, Y), ["`x_train`", "[N, D]", "(8,)", "x[:, None]"]),
    (
        "tiny features", (np.eye(8) * 1e-39, Y),
        ["`preprocessing`", "at least 1.2e-38", "Multiply `x_train`"]),
    (
        "integers beyond float64", (2**62 + np.arange(16).reshape(8, 2), Y),
        ["`x_train`", "float64", "4611686018427387904 in col", "Subtract"]),
    (
        "no variation but an offset", (1.7e9 + 50 + np.eye(8) / 1e3, Y),
        ["`x_train`", "billionth", "1.7e+09", "Subtract"])
]


@pytest.mark.parametrize(
    "arrays, parts", [case[1:] for case in ARRAYS], ids=[c[0] for c in ARRAYS])
def test_arrays(arrays, parts):
  with pytest.raises(DataError) as caught:
    data.from_arrays(*arrays)
  _check(caught.value, parts)


# ------------------------------------------------------ files and launching


def _image(path, size=8):
  from PIL import Image

  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.zeros((size, size), np.uint8)).save(path)


def _folder(place):
  for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
    _image(place / name)
  return f"folder:{place}"


def _folder_of_two_sizes(place):
  _folder(place)
  _image(place / "dog" / "odd.png", 9)
  return f"folder:{place}"


def _folder_with_text(place):
  _folder(place)
  (place / "dog" / "broken.png").write_text("not an image")
  return f"folder:{place}"


def _idx(place, cut=None, magic=b"\0\0\x08\x03"):
  place.mkdir()
  for part in ("train", "t10k"):
    images = magic + np.array(X.shape, ">u4").tobytes() + X.tobytes()
    (place / f"{part}-images-idx3-ubyte").write_bytes(images[:cut])
    labels = b"\0\0\x08\x01" + np.array([8], ">u4").tobytes()
    (place / f"{part}-labels-idx1-ubyte"
    ).write_bytes(labels + Y.astype(np.uint8).tobytes())
  return f"idx:{place}"


def _truncated_idx(place):
  return _idx(place, cut=100)


def _foreign_idx(place):
  return _idx(place, magic=b"\x89PNG")


def _npz(place, **arrays):
  place.mkdir()
  np.savez(place / "set.npz", **arrays)
  return f"npz:{place / 'set.npz'}"


def _pickle(place):
  return _npz(place, x_train=np.array([{}, {}]), y_train=Y[:2])


def _no_labels(place):
  return _npz(place, x_train=X)


def _no_test_part(place):
  return _npz(place, x_train=X, y_train=Y) + "?test=0"


def _not_a_number(place):
  return _npz(place, x_train=_with(np.nan), y_train=Y, x_test=X, y_test=Y)


def _edited(local, central, value):
  """An archive with other bytes at these places of both its headers."""

  def make(place):
    spec = _npz(place, x_train=X, y_train=Y)
    file = place / "set.npz"
    content = bytearray(file.read_bytes())
    for magic, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
      start = content.index(magic) + offset
      content[start:start + len(value)] = value
    file.write_bytes(content)
    return spec

  return make


def _zip(header):
  """An archive of arrays that begin with this header and hold nothing."""

  def make(place):
    spec = _npz(place)
    with zipfile.ZipFile(place / "set.npz", "w") as archive:
      for name in ("x_train", "y_train"):
        archive.writestr(f"{name}.npy", header)
    return spec

  return make


def _npy(shape, kind="|u1"):
  file = io.BytesIO()
  np.lib.format.write_array_header_1_0(
      file, dict(descr=kind, fortran_order=False, shape=shape))
  return file.getvalue()


def _one_name_twice(place):
  spec = _npz(place, x_train=X, x_trail=X)
  file = place / "set.npz"
  file.write_bytes(file.read_bytes().replace(b"x_trail", b"x_train"))
  return spec


def _one_name_lost(place):
  spec = _npz(place, x_train=X, y_train=Y, class_names=["even", "odd"])
  file = place / "set.npz"
  begin, end = file.read_bytes().rsplit(b"class_names", 1)
  file.write_bytes(begin + b"Class_names" + end)
  return spec


def _two_validation_parts(place):
  return _npz(place, x_train=X, y_train=Y, x_val=X, x_valid=X)


def _absurd_idx(place):
  _idx(place)
  (place /
   "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\xff" * 12)
  return f"idx:{place}"


def _longer_than_it_says(place):
  spec = _idx(place)
  file = place / "train-labels-idx1-ubyte"
  file.write_bytes(gzip.compress(file.read_bytes() + bytes(10**6)))
  return spec


def _pipe(kind, name):

  def make(place):
    place.mkdir()
    os.mkfifo(place / name)
    return f"{kind}:{place / name}" if kind == "npz" else f"{kind}:{place}"

  return make


def _one_long_line(place):
  place.mkdir()
  (place / "train.csv.gz").write_bytes(
      gzip.compress(b"a,label\n" + bytes(2**24 + 9)))
  return f"csv:{place}"


def _csv(name, content):

  def make(place):
    place.mkdir()
    (place / "train.csv").write_text("a,b,label\n" + "1,2,x\n3,5,y\n" * 5)
    (place / name).write_bytes(content)
    return f"csv:{place}"

  return make


def _picture_of(content):

  def make(place):
    spec = _folder(place)
    (place / "dog" / "2.png").write_bytes(content)
    return spec

  return make


def _folder_in_latin_1(place):
  spec = _folder(place)
  os.rename(place / "dog", os.fsdecode(bytes(place) + b"/\xe9t\xe9"))
  return spec


DATA = [
    (
        "empty cell", _csv("train.csv", b"a,label\n1,x\n,y\n"),
        ["missing", "'a'", "train.csv", "line 3", "fill the cell."]),
    (
        "empty label", _csv("train.csv", b"a,label\n1,x\n2,\n"),
        ["missing", "'label'", "line 3", "class needs another name"]),
    (
        "infinite cell", _csv("train.csv", b"a,label\n1,x\n1e999,y\n"),
        ["finite", "'a'", "'1e999'", "line 3"]),
    (
        "decimal commas", _csv("train.csv", b"a;label\n1,5;x\n2;y\n"),
        ["numbers", "'1,5'", "line 2", "point"]),
    (
        "two separators", _csv("train.csv", b"a;label,c\n1;x,2\n"),
        ["'label'", "delimiters ','", "delimiter="]),
    (
        "comments", _csv("train.csv", b"# of mine, see\na,label\n1,x\n"),
        ["'label'", "train.csv", "comment", "delete"]),
    (
        "columns of one name", _csv("train.csv", b"a,a,label\n1,2,x\n"),
        ["different names", "2 called 'a'", "Rename"]),
    (
        "table in Latin-1", _csv("train.csv", b"a,label\n1,\xe9\n2,b\n"),
        ["UTF-8", "train.csv", "line 2", "Convert"]),
    (
        "open quote", _csv("train.csv", b'a,label\n1,"x\n2,y\n'),
        ["well-formed", "line 2", "quote"]),
    (
        "test part without labels", _csv("test.csv", b"a,b\n1,2\n"),
        ["test.csv", "'label'", "Move"]),
    (
        "label unknown to train", _csv("test.csv", b"a,b,label\n1,2,z\n"),
        ["labels of the training part", "'z'", "line 2", "Drop"]),
    (
        "400 columns", _csv("train.csv", b"c," * 400 + b"d\n" + b"1," * 401),
        ["'label'", "train.csv", "387 more", "label="]),
    (
        "PostScript as png", _picture_of(b"%!PS-Adobe-3.0 EPSF-3.0\nquit\n"),
        ["readable images", "2.png", "again"]),
    ("folder in Latin-1", _folder_in_latin_1, ["UTF-8", "xe9t", "Rename"]),
    ("a device as npz", lambda place: "npz:/dev/zero", ["regular", "zero"]),
    ("encrypted npz", _edited(6, 8, b"\1"), ["x_train", "encrypted", "again"]),
    (
        "npz of unknown compression", _edited(8, 10, b"\x63"),
        ["x_train", "compression", "set.npz"]),
    (
        "npz that unpacks to 4 GB", _edited(22, 24, b"\xfe\xff\xff\xff"),
        ["536,870,912 bytes at most", "set.npz", "DISTILL_JAX_UNPACKED_BYTES"]),
    (
        "npz of an absurd shape", _zip(_npy(
            (10**15, 8))), ["x_train", "shape takes 8000000000000000",
                            "has 0"]),
    (
        "npz of values without bytes", _zip(_npy(
            (10**15,), "<U0")), ["x_train", "<U0, take no bytes", "again"]),
    ("npz of a negative shape", _zip(_npy((-1, 8))), ["x_train", "takes -8"]),
    ("npz without headers", _zip(b"\x93NUMPY\7\0"), ["x_train", "again"]),
    (
        "npz of one name lost", _one_name_lost,
        ["Class_names", "differ", "again"]),
    ("npz of one name twice", _one_name_twice, ["one name twice"]),
    (
        "two validation parts", _two_validation_parts,
        ["one validation part", "x_val and x_valid", "Move"]),
    ("absurd idx", _absurd_idx, ["train-images", "bytes at most", "or more"]),
    ("idx that goes on", _longer_than_it_says, ["train-labels", "got more"]),
    ("a pipe as npz", _pipe("npz", "p"), ["regular file", "a pipe", "Write"]),
    ("a pipe as csv", _pipe("csv", "train.csv"), ["regular file", "train.csv"]),
    (
        "a pipe as idx", _pipe("idx", "train-images-idx3-ubyte"),
        ["regular file", "train-images"]),
    ("one long line", _one_long_line, ["16,777,216 bytes", "train.csv.gz"]),
    (
        "images of two sizes", _folder_of_two_sizes,
        ["9x9", "odd.png", "?size=32"]),
    ("unreadable image", _folder_with_text, ["readable", "broken.png"]),
    ("truncated idx", _truncated_idx, ["train-images", "528", "100", "again"]),
    ("foreign idx", _foreign_idx, ["train-images", "00000803", "89504e47"]),
    ("npz with a pickle", _pickle, ["x_train", "pickle", "set.npz", "Save"]),
    ("npz without labels", _no_labels, ["must hold y_train", "x_train"]),
    ("no test part", _no_test_part, ["`source`", "test part", "x_test"]),
    ("NaN pixels", _not_a_number, ["`x_train`", "finite", "row 3"]),
    ("unknown kind", lambda place: f"hdf5:{place}", ["`spec`", "npz:", "hdf5"]),
    ("nothing there", lambda place: f"npz:{place}", ["exists", "--data_dir"])
]


@pytest.mark.parametrize(
    "make, parts", [case[1:] for case in DATA], ids=[case[0] for case in DATA])
def test_data(tmp_path, make, parts):
  spec = make(tmp_path / "data")
  _refused(
      tmp_path, [*RUN, f"--workdir={tmp_path / 'run'}", f"--data={spec}"],
      parts)


FIELDS = [
    ("num_rows=2000", ["`num_rows`", "2,000", "1,299", "Ask for fewer"]),
    ("method.steps=3", ["`num_samples`", "multiple", "10", "3"]),
    ("checkpoint_every=15", ["multiple", "`log_every`", "15", "2"]),
    ("method.learning_rate=-0.1", ["`learning_rate`", "positive", "-0.1"]),
    ("seed=-1", ["`seed`", "at least 0", "-1"]),
    ("validation_fraction=1.0", ["`validation_fraction`", "[0, 1)", "1.0"]),
    ("preprocessing=none", ["`preprocessing`", "standardise, zca", "'none'"]),
    ("network.name=resnet", ["`network`", "lenet", "'resnet'"]),
    ("network.depth=4", ["16 pixels", "(1, 8, 8, 1)"]),
    ("evaluation.baselines=median", ["`baselines`", "kmeans", "median"]),
    (
        "method.num_steps=1.5",
        ["--config.method.num_steps", "whole number", "'1.5'"]),
    ("nofield=1", ["`--config`", "nofield", "begin with method."]),
    ("method.learning_rat=1", ["got learning_rat, not `learning_rate`"]),
    ("method.start=nosie", ["`start`", "Did you mean 'noise'"])
]


@pytest.mark.parametrize(
    "change, parts", FIELDS, ids=[case[0] for case in FIELDS])
def test_fields(tmp_path, change, parts):
  more = ["--config.per_class=0"] if "num_rows" in change else []
  _refused(
      tmp_path,
      [*RUN, f"--workdir={tmp_path / 'run'}", f"--config.{change}", *more],
      parts)


COMMANDS = [
    (
        "unknown option", [f"{DIGITS},step=2",
                           "--workdir=W"], ["'step'", "Did you mean 'steps'"]),
    (
        "option of another type", [f"{DIGITS},rows=few", "--workdir=W"],
        ["'rows'", "int", "'few'", "rows=0"]),
    (
        "no such configuration", ["--config=W/none.py", "--workdir=W"],
        ["`--config`", "none.py", "experiments/configs"]),
    (
        "configuration in prose",
        [f"--config={Path(__file__).parents[1] / 'LICENSE'}",
         "--workdir=W"], ["`--config`", "LICENSE", "experiments/configs"]),
    ("no configuration", ["--workdir=W"], ["`--config`", "must be given"]),
    ("no workdir", [DIGITS], ["`--workdir`", "must be given", "--help"]),
    (
        "unknown field", [DIGITS, "--workdir=W", "--config.per_clas=3"],
        ["`--config`", "got per_clas, not `per_class`."]),
    ("unknown flag", [DIGITS, "--workdir=W", "--fast"], ["fast", "--help"]),
    ("stray word", [DIGITS, "--workdir=W", "fast"], ["--", "'fast'", "--help"]),
    (
        "LeNet on 8x8",
        [f"{DIGITS},data=mnist", "--data=digits",
         "--workdir=W"], ["28 pixels", "LeNet", "(1, 8, 8, 1)", "ConvNet"])
]


@pytest.mark.parametrize(
    "arguments, parts", [c[1:] for c in COMMANDS], ids=[c[0] for c in COMMANDS])
def test_commands(tmp_path, arguments, parts):
  arguments = [a.replace("=W", f"={tmp_path / 'run'}") for a in arguments]
  _refused(tmp_path, arguments, parts)


# ---------------------------------------------------------------- artifacts


def _artifact(**changes):
  """A set of four 8x8 images that LeNet cannot take."""
  arrays = dict(inputs=X[:4, ..., None] / np.float32(255), labels=Y[:4])
  return artifact.from_samples(
      **{
          **arrays, "class_names": ("even", "odd"),
          "network": {
              "name": "mlp"
          },
          **changes
      })  # fmt: skip


def _saved(path):
  artifact.save(_artifact(), path)
  return path


def _missing(path):
  pass


def _truncated(path):
  path.write_bytes(_saved(path).read_bytes()[:-40])


def _tampered(path):
  content = bytearray(_saved(path).read_bytes())
  content[-3] ^= 64
  path.write_bytes(content)


def _from_the_future(path):
  tensors, document = storage.read(_saved(path))
  storage.write(path, tensors, {**document, "schema_version": 4})


def _bare(path):
  safetensors.numpy.save_file({"x": X}, path)


def _picture(path):
  path.write_bytes(b"\x89PNG\r\n\x1a\n")


def _claiming(**changes):

  def make(path):
    tensors, document = storage.read(_saved(path))
    del document["sha256"]
    storage.write(path, tensors, document | changes)

  return make


def _nested(path):
  text = json.dumps({"x": 1}).replace("1", "[" * 600 + "]" * 600)
  safetensors.numpy.save_file({"x": X}, path, {storage.KEY: text})


ARTIFACTS = [
    ("missing", _missing, ["there is no"]),
    ("a pipe", os.mkfifo, ["regular file", "set.safetensors"]),
    ("nested", _nested, ["nested more than 64", "set.safetensors"]),
    (
        "classes without names", _claiming(class_names=[1, 2]),
        ["`class_names`", "different texts", "(1, 2)"]),
    (
        "a name that is no text", _claiming(class_names=["a", "\ud800"]),
        ["`class_names`", "UTF-8"]),
    (
        "a name of 9,999 letters", _claiming(modality="x" * 9_999),
        ["`modality`", "one of image", "xxx"]),
    (
        "a network of 1e9", _claiming(network=dict(name="mlp", widths=[10**9])),
        ["`widths` of `network`", "16,384", "1000000000"]),
    (
        "a recipe of 1e12 steps",
        _claiming(recipe=dict(name="converged", num_steps=10**12)),
        ["`num_steps` of `recipe`", "1000000000000"]),
    ("truncated", _truncated, ["cut short", "again"]),
    ("tampered", _tampered, ["checksum", "set.safetensors"]),
    (
        "future", _from_the_future,
        ["`schema_version`", "at most 3", "4", "Upgr"]),
    ("no metadata", _bare, ["metadata", "from_samples"]),
    ("another format", _picture, ["not a safetensors file", "again"])
]


@pytest.mark.parametrize(
    "make, parts", [c[1:] for c in ARTIFACTS], ids=[c[0] for c in ARTIFACTS])
def test_artifacts(tmp_path, make, parts):
  path = tmp_path / "set.safetensors"
  make(path)
  with pytest.raises(ArtifactError) as caught:
    artifact.load(path)
  _check(caught.value, parts)


@pytest.mark.parametrize(
    "changes, parts", [
        (dict(labels=np.array([0, 1, 2, 0])), ["`labels`", "0..1", "0..2"]),
        (dict(class_names=("a", "a ")), ["`class_names`", "different"]),
        (dict(class_names="ab"), ["`class_names`", "list of names", "'ab'"]),
        (dict(class_names=("a\ud800", "b")), ["`class_names`", "UTF-8"]),
        (dict(labels=np.ma.array(Y[:4], mask=Y[:4])), ["`labels`", "row 1"]),
        (dict(labels=["even", "odd", "even", "two"]), ["`labels`", "'two'"]),
        (
            dict(inputs=[*X[:3], X[3, :5]]),
            ["`inputs`", "(8, 8) in row 0", "(5, 8) in row 3"]),
        (dict(inputs=_with(np.nan)[:4]), ["`inputs`", "finite"]),
        (dict(order=np.array([[0, 4]])), ["`order`", "0..3", "0..4"])
    ])  # fmt: skip
def test_samples_from_elsewhere(changes, parts):
  with pytest.raises(ArtifactError) as caught:
    _artifact(**changes)
  _check(caught.value, parts)


def test_full_disk_keeps_the_older_artifact(tmp_path):
  path = _saved(tmp_path / "set.safetensors")
  before = launching.contents(tmp_path)
  for name in ("replace", "fsync"):
    with mock.patch.object(os, name, side_effect=FULL):
      with pytest.raises(ArtifactError) as caught:
        artifact.save(_artifact(method="other"), path)
    _check(caught.value, ["`path`", str(path), "No space left", "Free"])
    assert launching.contents(tmp_path) == before


def test_evaluate_launcher(tmp_path):
  _saved(tmp_path / "good")
  _truncated(tmp_path / "cut")
  np.savez(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)
  good, spec = f"--artifact={tmp_path / 'good'}", f"npz:{tmp_path / 'set.npz'}"
  np.savez(
      tmp_path / "other.npz", x_train=X, y_train=Y, class_names=["odd", "fox"])
  out = tmp_path / "report.json"
  out.write_text("precious")
  cases = [([good, f"--data=npz:{tmp_path}/other.npz"],
            ["classes of the set", "lack even", "have fox", "class_names"]),
           ([f"--artifact={tmp_path / 'cut'}"], ["`path`", "cut short"]),
           ([f"--artifact={tmp_path / 'none'}"], ["`path`", "there is no"]),
           ([good, "--data=digits"], ["classes of the set", "lack even, odd"]),
           ([good, "--networks=resnet"], ["`network`", "lenet", "'resnet'"]),
           ([good, "--networks=lenet"], ["28 pixels", "LeNet", "(1, 8, 8, 1)"]),
           ([good, "--recipe=magic"], ["`recipe`", "in_order", "'magic'"]),
           ([good, "--baselines=median"], ["`baselines`", "kmeans", "median"]),
           ([good,
             "--num_networks=0"], ["num_networks=0", "positive", "--help"]),
           ([good, f"--out={tmp_path}/x.png"], ["`out`", "x.png", ".json"]),
           ([good, f"--out={tmp_path}/cut/report.json"], ["`out`", "folder"]),
           ([], ["--artifact", "None"])]
  before = launching.contents(tmp_path)
  commands = [[f"--data={spec}", f"--out={out}", "--num_networks=1", *case]
              for case, _ in cases]
  results = launching.elsewhere("evaluate", *commands)
  assert len(results) == len(cases)
  for (case, parts), result in zip(cases, results, strict=True):
    print(case)  # shown with a failure
    _mistake(result, parts)
  assert launching.contents(tmp_path) == before


# ------------------------------------------------------------------ folders


def test_workdir_of_another_run(tmp_path):
  workdir.open_workdir(tmp_path, dict(fingerprint="another"), {}, num_steps=2)
  _refused(
      tmp_path, [*RUN, f"--workdir={tmp_path}"], [
          "`workdir`", "another run", "fingerprint (another there",
          " more. Choose another folder"
      ])


def test_workdir_of_an_earlier_version(tmp_path):
  (tmp_path / "config.json").write_text(
      json.dumps(
          dict(
              config=dict(method="sldd", num_samples=10), data="digits",
              seed=0)))
  _refused(
      tmp_path, [*RUN, f"--workdir={tmp_path}"],
      ["`workdir`", "earlier version",
       str(tmp_path), "Choose another folder"])


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"identity": 3}', "[" * 100_000, "null", "\0"])
def test_workdir_of_a_damaged_run(tmp_path, content):
  (tmp_path / "config.json").write_text(content)
  _refused(
      tmp_path, [*RUN, f"--workdir={tmp_path}"],
      ["`workdir`", "unreadable", "config.json", "Choose another"])


def test_workdir_with_other_files(tmp_path):
  (tmp_path / "thesis.tex").write_text("precious")
  _refused(
      tmp_path, [*RUN, f"--workdir={tmp_path}"],
      ["`workdir`", "other files",
       str(tmp_path), "Choose another"])


@pytest.mark.parametrize("below", ["", "run"])
def test_workdir_where_a_file_is(tmp_path, below):
  (tmp_path / "file").write_text("precious")
  place = tmp_path / "file" / below
  _refused(
      tmp_path, [*RUN, f"--workdir={place}"],
      ["`workdir`", "writable",
       str(place), "Choose another"])


def test_full_disk(tmp_path):
  run = tmp_path / "run"
  run.mkdir()
  with mock.patch.object(os, "replace", side_effect=FULL):
    _refused(
        tmp_path, [*RUN, f"--workdir={run}"],
        ["`workdir`", "No space left", str(run)])


def test_lenet_on_small_images():
  import jax

  with pytest.raises(ValueError) as caught:
    nn.lenet(10).init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
  _check(caught.value, ["28 pixels", "(1, 8, 8, 1)", "ConvNet"])


def _refused(folder, arguments, parts) -> str:
  """Runs `distill.py`: exit code 2, one line, nothing changed in `folder`."""
  before = launching.contents(folder)
  result = launching.distil(*arguments)
  assert launching.contents(folder) == before
  return _mistake(result, parts)


def _mistake(result, parts) -> str:
  """Checks what a shell sees: exit code 2 and one line, no traceback."""
  assert result.code == 2 and result.out == ""
  assert result.err.startswith("error: ") and result.err.count("\n") == 1
  assert "Traceback" not in result.err
  _check(ValueError(result.err.strip()), parts)
  return result.err


def _check(error, parts):
  """One short line that names an argument, a flag or a file, and `parts`."""
  message = str(error)
  assert message.isprintable() and len(message) <= 300, message
  assert re.search("`|--|arguments|the d", message) and len(parts), message
  for part in parts:
    assert part in message, message
