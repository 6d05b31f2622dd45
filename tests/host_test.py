"""Samples that stay on the host: the same draws, and files that hold them."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import distill_jax as dd
from distill_jax import data
from distill_jax.data import ahead, pack, packed
from distill_jax.data.host import HostRows
from distill_jax.errors import DataError
from distill_jax.evaluation import student
from distill_jax.evaluation.recipes import converged

SIZE, CLASSES = 60, 3
X = np.random.default_rng(0).integers(0, 256, (SIZE, 8, 8, 3), np.uint8)
Y = np.arange(SIZE) % CLASSES


class _Singly:
  """Gives one sample at a time, as data sets of other libraries do."""

  def __len__(self):
    return SIZE

  def __getitem__(self, index):
    return X[index.__index__()]


def _mapped(folder):
  np.save(folder / "x.npy", X)
  return np.load(folder / "x.npy", mmap_mode="r")


def _both(values):
  return dd.from_arrays(X, Y), data.from_host(values, Y)


def test_rows_are_fetched(tmp_path):
  for values in (_mapped(tmp_path), _Singly(), X):
    rows = HostRows(values).take(np.arange(1, SIZE))
    assert rows.shape == (SIZE - 1, 8, 8, 3) and rows.dtype == np.uint8
    index = np.array([[3, 0], [7, 7]])
    np.testing.assert_array_equal(rows[index], X[index + 1])
    np.testing.assert_array_equal(rows[2:4], X[3:5])
    np.testing.assert_array_equal(np.concatenate([*rows.pieces()]), X[1:])
    traced = jax.jit(
        jax.vmap(lambda i, rows=rows: rows[i].astype(jnp.int32).sum()))
    np.testing.assert_array_equal(
        traced(index), X[index + 1].sum((1, 2, 3, 4), np.int32))
    assert rows.fetched > 0


def test_all_at_once_is_refused():
  _, source = _both(X)
  for ask in (np.asarray, jnp.asarray):
    with pytest.raises(DataError, match="48 samples are .* MiB and stay"):
      ask(source.train.inputs)
  with pytest.raises(DataError, match="choose a method that draws batches"):
    source.encoded()


def test_a_source_is_that_of_arrays(tmp_path):
  one, other = _both(_mapped(tmp_path))
  assert one.fingerprint() == other.fingerprint()
  assert one.take([5, 2]).fingerprint() == other.take([5, 2]).fingerprint()
  for field in ("mean", "std"):
    np.testing.assert_array_equal(
        getattr(one.preprocessing, field), getattr(other.preprocessing, field))
  for sample in (dd.per_class(4), dd.mixed(8), data.per_class(2, lazy=True)):
    drawn = [jax.jit(sample)(jax.random.key(1), s.train) for s in (one, other)]
    np.testing.assert_array_equal(drawn[0].labels, drawn[1].labels)
    inputs = [
        d.inputs.gather(d.inputs.rows)
        if hasattr(d.inputs, "rows") else d.inputs for d in drawn
    ]
    np.testing.assert_array_equal(*inputs)


@pytest.mark.parametrize("name", ("dm", "sldd"))
def test_a_set_is_that_of_arrays(name):
  method = dd.methods.from_spec({"name": name, **SMALL[name]})
  made = [
      dd.condense(source, method, {
          "name": "mlp",
          "widths": (4,)
      }, per_class=2) for source in _both(X)
  ]
  np.testing.assert_array_equal(made[0].inputs, made[1].inputs)
  learner = student(dd.mlp(CLASSES, widths=(4,)), converged())
  reports = [
      dd.evaluate_set(
          jax.random.key(0),
          made[0],
          source.test,
          learner=learner,
          num_networks=2) for source in _both(X)
  ]
  np.testing.assert_array_equal(*(r.confusion for r in reports))


SMALL = {
    "dm": dict(num_steps=2, batch_size=4, recipe=None),
    "sldd": dict(num_steps=2, batch_size=8)
}


@pytest.mark.parametrize(
    "values, message",
    ((X.astype(np.int64), "uint8 or float32 .* got int64"),
     (X[:0], "must hold samples; got none"),
     (X[..., 0], "Grey images have one channel"),
     (X.transpose(0, 3, 1, 2), "looks like .N, C, H, W."),
     (X.astype(np.float32), "must be images in .0, 1."),
     (np.full((SIZE, 4), np.nan, np.float32), "finite float32"),
     (np.array([["a"]] * SIZE), "integers or floats"),
     (X[1:], "equal length; got 59 and 60")))
def test_errors(values, message):
  with pytest.raises(DataError, match=message):
    data.from_host(values, Y)


def _folder(root):
  """Ten images of two classes and one file that is none."""
  for part, each in (("train", 4), ("test", 1)):
    for number in range(2 * each):
      file = root / part / "ab"[number % 2] / f"{number}.png"
      file.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(X[number]).save(file)
  (root / "train" / "a" / "notes.txt").write_text("none")
  return root


def test_a_packed_folder_reads_as_the_folder(tmp_path, capsys):
  place = f"folder:{_folder(tmp_path / 'photos')}"
  pack.main([place, str(tmp_path / "packed"), "--size=4"])
  said = capsys.readouterr().out
  assert "left out of the folder: 1 .txt" in said and "10 images in" in said
  source = dd.read(f"npy:{tmp_path / 'packed'}")
  whole = dd.read(f"{place}?size=4")
  assert source.class_names == whole.class_names == ("a", "b")
  for part in ("train", "test"):
    one, other = getattr(source, part), getattr(whole, part)
    np.testing.assert_array_equal(one.inputs[:], other.inputs)
    np.testing.assert_array_equal(one.labels, other.labels)
  assert source.fingerprint() == whole.fingerprint()


def test_other_data_are_packed_too(tmp_path):
  pack.pack("digits", tmp_path / "digits")
  source, whole = dd.read(f"npy:{tmp_path / 'digits'}"), dd.read("digits")
  assert source.fingerprint() == whole.fingerprint()
  held = dd.read(f"npy:{tmp_path / 'digits'}", validation_fraction=0.5)
  assert held.validation.num_samples > 500
  for name in ("x_test.npy", "y_test.npy"):
    (tmp_path / "digits" / name).unlink()
  seeded = [dd.read(f"npy:{tmp_path / 'digits'}", seed=s) for s in (0, 1)]
  assert seeded[0].fingerprint() == seeded[1].fingerprint()
  assert "a fifth of every class became" in seeded[0].facts["test_part"]


def test_what_pack_refuses(tmp_path):
  place = f"folder:{_folder(tmp_path / 'photos')}"
  out = tmp_path / "packed"
  for options, message in (([], "`size` must be given"), (["--size=0"],
                                                          "must be 32 or HxW"),
                           (["--size=4", "--ground=no"], "a colour")):
    run = subprocess.run(
        [sys.executable, "-m", "distill_jax.data.pack", place, out, *options],
        capture_output=True,
        text=True)
    assert run.returncode == 2 and message in run.stderr, run.stderr
    assert [*tmp_path.iterdir()] == [tmp_path / "photos"]
  out.mkdir()
  with pytest.raises(DataError, match="exists already"):
    pack.pack(place, out, size=(4, 4))


def test_damaged_files_are_named(tmp_path):
  pack.pack("digits", tmp_path / "own")
  file = tmp_path / "own" / "x_train.npy"
  file.write_bytes(file.read_bytes()[:-1])
  with pytest.raises(DataError, match="readable files; .*x_train.npy"):
    dd.read(f"npy:{tmp_path / 'own'}")
  os.remove(file)
  os.mkfifo(file)
  with pytest.raises(DataError, match="x_train.npy .*a pipe"):
    dd.read(f"npy:{tmp_path / 'own'}")
  file.unlink()
  with pytest.raises(DataError, match="x_train.npy"):
    dd.read(f"npy:{tmp_path / 'own'}")


@pytest.mark.parametrize("names", [[], {}, ["a", ["b"]], [None, "a"]])
def test_damaged_names_are_refused(tmp_path, names):
  pack.pack("digits", tmp_path / "own")
  (tmp_path / "own" / packed.NAMES).write_text(json.dumps(names))
  with pytest.raises(DataError, match="list in names.json"):
    dd.read(f"npy:{tmp_path / 'own'}")


def test_parts_of_arrays_in_files_have_their_usual_names(tmp_path):
  x = np.arange(96, dtype=np.uint8).reshape(6, 4, 4, 1)
  for part in ("train", "Val", "TEST"):
    np.save(tmp_path / f"x_{part}.npy", x)
    np.save(tmp_path / f"y_{part}.npy", np.arange(6) % 2)
  source = dd.read(f"npy:{tmp_path}")
  assert source.validation.num_samples == source.test.num_samples == 6
  np.save(tmp_path / "x_dev.npy", x)
  with pytest.raises(DataError, match="one validation part"):
    dd.read(f"npy:{tmp_path}")


def _encoded(image) -> bytes:
  content = io.BytesIO()
  Image.fromarray(image).save(content, "PNG")
  return content.getvalue()


def test_tables_of_paths_and_parquet_files_read_as_the_folder(tmp_path):
  pyarrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  photos = _folder(tmp_path / "photos")
  (photos / "train" / "a" / "notes.txt").unlink()
  whole = dd.read(f"folder:{photos}?size=4")
  tables, columns = tmp_path / "tables", tmp_path / "columns"
  known = {"info": {"features": {"label": {"names": ["b", "a"]}}}}
  for folder in (tables, columns):
    folder.mkdir()
  for part in ("train", "test"):
    files = sorted((photos / part).rglob("*.png"))
    kinds = [file.parent.name for file in files]
    lines = [f"{file},{kind}" for file, kind in zip(files, kinds, strict=True)]
    (tables / f"{part}.csv").write_text("\n".join(["path,kind", *lines]))
    rows = [dict(bytes=file.read_bytes(), path=file.name) for file in files]
    table = pyarrow.table({
        "image": rows,
        "label": [["b", "a"].index(kind) for kind in kinds]
    }).replace_schema_metadata({"huggingface": json.dumps(known)})
    half = len(files) // 2
    for i, piece in enumerate((table[:half], table[half:])):
      parquet.write_table(piece, columns / f"{part}-0000{i}-of-2.parquet")
  specs = (f"csv:{tables}?image=path&label=kind", f"parquet:{columns}")
  for spec, names in zip(specs, (("a", "b"), ("b", "a")), strict=True):
    out = tmp_path / f"of_{spec[:3]}"
    assert pack.pack(spec, out, size=(4, 4)) == 10
    source = dd.read(f"npy:{out}")
    assert source.class_names == names
    for part in ("train", "test"):
      one, other = getattr(source, part), getattr(whole, part)
      np.testing.assert_array_equal(one.inputs[:], other.inputs)
      assert [names[c] for c in np.asarray(one.labels)
             ] == [whole.class_names[c] for c in np.asarray(other.labels)]

  for numbers in (list(range(12)), [1, 2, 3]):
    images = [_encoded(X[i]) for i in range(len(numbers))]
    table = pyarrow.table({"img": images, "label": numbers})
    parquet.write_table(table, tmp_path / "numbers.parquet")
    out = tmp_path / f"numbers_{len(numbers)}"
    pack.pack(f"parquet:{tmp_path / 'numbers.parquet'}", out, size=(4, 4))
    source = dd.read(f"npy:{out}?test=0")
    assert source.class_names == tuple(map(str, numbers))
    np.testing.assert_array_equal(source.train.labels, np.arange(len(numbers)))
  parted = tmp_path / "parted"
  (parted / "data").mkdir(parents=True)
  for i, name in enumerate(("train_0", "Test.1", ".hidden")):
    table = pyarrow.table({"image": images, "label": [i] + numbers[1:]})
    parquet.write_table(table, parted / "data" / f"{name}.parquet")
  with pytest.raises(DataError, match="one of the classes.*got '?1"):
    pack.pack(f"parquet:{parted}", tmp_path / "parted_out", size=(4, 4))
  (parted / "data" / "Test.1.parquet").rename(parted / "data" / "x.parquet")
  with pytest.raises(DataError, match="begin with a part; got x.parquet"):
    pack.pack(f"parquet:{parted}", tmp_path / "parted_out", size=(4, 4))
  out = tmp_path / "none"
  broken = pyarrow.table({"image": [b"no image"], "label": [0]})
  parquet.write_table(broken, tmp_path / "broken.parquet")
  empty = pyarrow.table({"image": [_encoded(X[0])], "label": [None]})
  parquet.write_table(empty, tmp_path / "empty.parquet")
  for spec, message in ((f"parquet:{tmp_path / 'broken.parquet'}",
                         "row 0"), (f"parquet:{tmp_path / 'empty.parquet'}",
                                    "label in every row; row 0"),
                        (f"parquet:{columns}?label=kind",
                         "image, label. Write"), (f"parquet:{tables}",
                                                  "train-0.parquet"),
                        (f"csv:{tables}?image=path&labels=kind",
                         "label=COLUMN"), (f"folder:{photos}?size=4",
                                           "--size")):
    with pytest.raises(DataError, match=message):
      pack.pack(spec, out, size=(4, 4))
    assert not out.exists()


def test_values_that_change_from_row_to_row_are_refused(tmp_path):

  class Values:

    def __init__(self, odd):
      self.odd = odd

    def __len__(self):
      return len(X)

    def __getitem__(self, row):
      return self.odd if row == 7 else X[int(row)]

  for odd, message in ((X[7] / np.float32(255), "one type and shape.*row 7"),
                       (X[7][:2], "one type and shape.*row 7"),
                       ((X[7], Y[7]), "row 7 is not")):
    with pytest.raises(DataError, match=message):
      data.from_host(Values(odd), Y)
  with pytest.raises(DataError, match="have a length"):
    data.from_host(iter(X), Y)
  np.save(tmp_path / "x.npy", X)
  changed = np.load(tmp_path / "x.npy", mmap_mode="c")
  changed[0] += 1  # in memory alone
  source = data.from_host(changed, Y, test_fraction=0)
  np.testing.assert_array_equal(source.train.inputs.read([0]), X[:1] + 1)


def test_samples_decoded_on_the_fly_by_grain():
  grain = pytest.importorskip("grain")
  raw = [image.tobytes() for image in X]
  decoded = grain.MapDataset.source(raw).map(
      lambda one: np.frombuffer(one, X.dtype).reshape(X.shape[1:]))
  source = data.from_host(decoded, Y)
  np.testing.assert_array_equal(
      source.train.inputs[:],
      data.from_host(X, Y).train.inputs[:])


class _Counted:
  """Samples that say which rows are read, and by which thread."""

  def __init__(self, values):
    self.values, self.read = values, []

  def __len__(self):
    return len(self.values)

  def __getitem__(self, index):
    self.read.append((threading.current_thread(), np.size(index)))
    return self.values[index]


@pytest.mark.parametrize("lazy", [True, False])
def test_rows_of_coming_steps_are_read_ahead_by_a_thread(lazy):
  values = _Counted(X)
  split = data.from_host(values, Y, test_fraction=0).train
  plain = data.from_arrays(X, Y, test_fraction=0).train
  sample = data.per_class(4, lazy=lazy)

  def inputs(key, split):
    found = sample(key, split).inputs
    return found.gather(found.rows) if lazy else found

  keys = jax.random.split(jax.random.key(0), 3)
  draws = ahead.drawn(sample)(keys, split)
  assert [rows.shape for _, rows in draws] == [(3, 4 * len(set(Y)))]
  run = jax.jit(
      lambda keys, split: jax.lax.map(lambda k: inputs(k, split), keys))
  values.read.clear()
  with ahead.staged(draws):
    found = jax.block_until_ready(run(keys, split))
  np.testing.assert_array_equal(found, run(keys, plain))
  main = threading.main_thread()
  assert len(values.read) == 3
  assert all(thread is not main for thread, _ in values.read)
  assert split.inputs.ahead is None
  np.testing.assert_array_equal(run(keys, split), found)  # and without
  assert len(values.read) > 3


def test_what_is_not_known_before_is_not_read_ahead():
  rows = data.from_host(_Counted(X), Y, test_fraction=0).train

  def within(key, split):
    keys = jax.random.split(key, 2)
    return jax.vmap(lambda k: split.inputs[jax.random.randint(k, (2,), 0, 9)])(
        keys)

  keys = jax.random.split(jax.random.key(0), 2)
  assert ahead.drawn(within)(keys, rows) == []

  def twice(key, split):
    return data.mixed(3)(key, split), data.mixed(2)(key, split)

  (owner, steps), = ahead.drawn(twice)(keys, rows)
  assert owner is rows.inputs and steps.shape == (2, 5)


def test_steps_are_read_ahead_of_the_one_in_use():
  values = _Counted(X)
  rows = data.from_host(values, Y, test_fraction=0).train.inputs
  values.read.clear()
  steps = np.arange(12).reshape(6, 2)

  def wait_for(number):
    for _ in range(200):
      if len(values.read) >= number:
        break
      time.sleep(0.01)
    time.sleep(0.05)
    assert len(values.read) == number

  with ahead.staged([(rows, steps)], depth=2):
    wait_for(2)
    rows[steps[0]]
    wait_for(3)  # one in use, two ahead
    rows[steps[1]]
    wait_for(4)
  with mock.patch.object(ahead, "_MOST", 1), ahead.staged([(rows, steps)]):
    assert rows.ahead is None  # too large


def test_what_cannot_be_read_ahead_is_read_by_the_step():
  rows = data.from_host(_Counted(X), Y, test_fraction=0).train.inputs
  with ahead.staged([(rows, np.array([[0, 10**6], [1, 2]]))]):
    np.testing.assert_array_equal(rows[np.array([5, 3])], X[[5, 3]])
  with ahead.staged([(rows, np.array([[1, 2], [3, 4], [5, 6], [7, 8]]))]):
    np.testing.assert_array_equal(rows[np.array([4, 3, 4])], X[[4, 3, 4]])
    np.testing.assert_array_equal(rows[np.array([1])], X[[1]])  # it is over


@pytest.mark.parametrize("name", ["zca", "relative_zca"])
def test_whitening_is_fitted_in_pieces(name, tmp_path):
  there = data.from_host(_mapped(tmp_path), Y, preprocessing=name)
  here = dd.from_arrays(X, Y, preprocessing=name)
  for one, other in zip(there.preprocessing, here.preprocessing, strict=True):
    np.testing.assert_array_equal(one, other)


def test_what_goes_wrong_ahead_is_raised_where_rows_are_asked_for():
  rows = data.from_host(_Counted(X), Y, test_fraction=0).train.inputs
  with ahead.staged([(rows, np.array([[0, 1], [2, 10**6]]))]):
    np.testing.assert_array_equal(rows[np.array([0, 1])], X[:2])
    with pytest.raises(IndexError):
      rows[np.array([2, 10**6])]
    np.testing.assert_array_equal(rows[np.array([7])], X[[7]])
