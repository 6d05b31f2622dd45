"""The usual jobs, each a short script of `tests/jobs`, on data of all kinds.

A script says in its first line which names it is given. It may have six
statements after its imports.
"""

import ast
import runpy
from pathlib import Path

import flax.linen as nn
import numpy as np
import pytest
from flax import nnx

import distill_jax as dd
from distill_jax.labels import num_outputs

JOBS = Path(__file__).parent / "jobs"
PER_CLASS = 20


def _data(num_classes, dtype="float32", shape=(6,)):
  """Classes that differ in their means, in [0, 1] or 0..255."""
  rng = np.random.default_rng(num_classes)
  y = np.arange(PER_CLASS * num_classes) % num_classes
  means = rng.integers(0, 2, (num_classes, *shape))
  means.reshape(num_classes, -1)[np.arange(num_classes), :4] = (
      np.arange(num_classes)[:, None] >> np.arange(4)) % 2
  x = np.clip(
      0.2 + 0.6 * means[y] + rng.normal(0, 0.05, (len(y), *shape)), 0, 1)
  x = np.round(255 * x).astype(
      np.uint8) if dtype == "uint8" else (x.astype(np.float32))
  return dict(x=x, y=y, num_outputs=num_outputs(num_classes))


def _run(job, **given):
  return runpy.run_path(str(JOBS / f"{job}.py"), init_globals=given)


def _set(num_classes, **kind):
  """A set of real samples, and its source."""
  given = _data(num_classes, **kind)
  source = dd.from_arrays(given["x"], given["y"])
  made = dd.from_samples(
      given["x"][:num_classes],
      given["y"][:num_classes],
      raw=True,
      class_names=source.class_names,
      preprocessing=source.preprocessing)
  return dict(given, made=made, source=source)


IMAGES = dict(shape=(8, 8, 1))
KINDS = [(k, d) for k in (2, 3, 10) for d in ("uint8", "float32")]
# Both types, and with two classes a single output. Jobs that take a second or
# more to compile have one kind of data each.
PAIRS = [(2, "uint8"), (3, "float32"), (10, "uint8")]


@pytest.mark.parametrize("job", sorted(file.stem for file in JOBS.glob("*.py")))
def test_is_short(job):
  body = ast.parse((JOBS / f"{job}.py").read_text()).body
  work = [n for n in body[1:] if not isinstance(n, ast.Import | ast.ImportFrom)]
  assert 0 < len(work) <= 6


@pytest.mark.parametrize("num_classes, dtype", PAIRS)
def test_arrays_by_dm(num_classes, dtype):
  given = _data(num_classes, dtype)
  job = _run("arrays_by_dm", **given)
  x, y = job["made"].to_numpy()
  assert y.tolist() == list(range(num_classes))
  assert 0 <= x.min() and x.max() <= (300 if dtype == "uint8" else 1.2)
  assert job["report"].mean > 0.9


def test_arrays_by_dsa():
  job = _run("arrays_by_dsa", **_data(2, "uint8", **IMAGES))
  x, _ = job["made"].to_numpy()
  assert x.dtype == "uint8" and x.shape == (2, 8, 8, 1)
  assert job["report"].mean > 0.9


@pytest.mark.parametrize("num_classes", (2, 10))
def test_against_random_real(num_classes, capsys):
  job = _run("against_random_real", **_set(num_classes))
  assert abs(job["gain"]) < 0.3
  assert "Verdict: " in capsys.readouterr().out


@pytest.mark.parametrize("num_classes, dtype", KINDS)
def test_save_load_view(num_classes, dtype, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  given = _set(num_classes, dtype=dtype, **IMAGES)
  job = _run("save_load_view", **given)
  assert (tmp_path / "set.png").stat().st_size > 100
  np.testing.assert_allclose(
      job["pictures"], given["x"][:num_classes], atol=1e-4)
  assert job["pictures"].dtype == dtype


@pytest.mark.parametrize("num_classes, dtype", KINDS)
def test_in_pytorch(num_classes, dtype):
  pytest.importorskip("torch")
  given = _set(num_classes, dtype=dtype, **IMAGES)
  job = _run("in_pytorch", made=given["made"], x_test=given["x"])
  assert (job["predicted"] == given["y"]).mean() > 0.9


def test_other_network():
  given = _set(3, dtype="uint8", **IMAGES)
  job = _run("other_network", **given)
  assert set(job["found"]) == {"mlp", "convnet"}
  assert min(job["found"].values()) > 0.5


@pytest.mark.parametrize(
    "job, num_classes, dtype", [("own_linen", 2, "float32"),
                                ("own_nnx", 3, "uint8")])
def test_own_network(job, num_classes, dtype):
  done = _run(job, **_data(num_classes, dtype), nn=nn, nnx=nnx)
  assert done["report"].mean > 0.9


@pytest.mark.parametrize("num_classes, dtype", [KINDS[0], KINDS[3]])
def test_soft_labels(num_classes, dtype):
  job = _run("soft_labels", **_data(num_classes, dtype))
  assert job["soft"].shape == (num_classes, num_outputs(num_classes))
  assert job["report"].mean > 0.6


def test_texts():
  texts = ["who wrote this book", "how many songs are there"] * 12
  kinds = ["person", "number"] * 12
  job = _run("texts", texts=texts, y=kinds)
  names = job["made"].class_names
  for sentence, c in zip(job["sentences"], job["classes"], strict=True):
    whole = texts[kinds.index(names[c])].split()
    assert set(sentence.split()) & set(whole)
  assert job["report"].mean > 0.9


class Frame:
  """As much of a pandas data frame as the job uses."""

  def __init__(self, columns):
    self._columns, self.columns = columns, list(columns)

  def __getitem__(self, name):
    return self._columns[name]

  def drop(self, columns):
    return Frame({k: v for k, v in self._columns.items() if k != columns})

  def to_numpy(self):
    return np.stack(list(self._columns.values()), 1)


@pytest.mark.parametrize("num_classes, dtype", [KINDS[0], KINDS[3]])
def test_data_frame(num_classes, dtype):
  given = _data(num_classes, dtype)
  kinds = np.array(["ash", "birch", "cedar"])[given["y"]]
  columns = dict(zip("abcdef", given["x"].T, strict=True))
  job = _run("data_frame", frame=Frame(columns | dict(kind=kinds)))
  assert job["made"].class_names == ("ash", "birch", "cedar")[:num_classes]
  means = [given["x"][given["y"] == c].mean(0) for c in job["classes"]]
  scale = 255 if dtype == "uint8" else 1
  np.testing.assert_allclose(job["rows"], means, atol=0.25 * scale)
  assert job["report"].mean > 0.9


def test_series():
  job = _run("series", **_data(3, "float32", shape=(12, 2)))
  assert job["waves"].shape == (3, 12, 2)
  assert job["report"].mean > 0.9


def test_regression_refused():
  given = _data(3)
  job = _run("regression_refused", x=given["x"], y=given["x"][:, 0])
  assert "class" in job["message"] and "\n" not in job["message"]


def test_devices():
  job = _run("devices", **_set(3))
  assert job["report"].num_networks == 3 and job["report"].mean > 0.9
