"""Every method in every application, as small as can be."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from methods_test import setting_of, small

from distill_jax import methods
from distill_jax.applications import (
    Cells,
    continual,
    federated,
    privacy,
    search,
)
from distill_jax.applications import cells as kept
from distill_jax.applications.makers import makers
from distill_jax.data import from_arrays
from distill_jax.errors import ConfigError, WorkdirError

CLASSES = 4
FEW = {"name": "adam", "num_epochs": 1, "batch_size": 8}
# Of networks, of kernels, with learners of their own, with a fixed theta_0.
TESTED = (("dm", "federated"), ("dm", "privacy"))
# Whose usual settings make sets that cannot be joined.
JOINED = {"frozen_features": dict(kind="class_means_and_covariance")}
KINDS = ("dm", "kip", "soft_neighbours", "frozen_features", "sldd")


@pytest.fixture(scope="module")
def images():
  rng = np.random.default_rng(0)
  y = np.arange(64) % CLASSES
  x = rng.uniform(size=(64, 4, 4, 1)) + np.eye(4)[y][:, :, None, None]
  x = (x / 2).astype(np.float32)
  return from_arrays(
      x, y, x[:8], y[:8], x_validation=x[8:16], y_validation=y[8:16])


@pytest.fixture(scope="module")
def table(images):
  x, y = (
      np.asarray(images.train.inputs).reshape(-1, 16),
      np.asarray(images.train.labels))
  return from_arrays(
      x, y, x[:8], y[:8], x_validation=x[8:16], y_validation=y[8:16])


@pytest.fixture(scope="module")
def texts():
  from distill_jax.data.corpus import from_texts
  from distill_jax.text.vectors import Vectors

  words = [f"w{i}" for i in range(2 * CLASSES)]
  vectors = np.random.default_rng(0).normal(size=(len(words), 6))
  y = np.arange(64) % CLASSES
  x = [f"w{2 * c} w{2 * c + i // 4 % 2} w{i % 8}" for i, c in enumerate(y)]
  return from_texts(
      x,
      y,
      x[:8],
      y[:8],
      x_validation=x[8:16],
      y_validation=y[8:16],
      vectors=Vectors(words, np.float32(vectors), "test"))


def _cases():
  """Of each kind of method one by default, all by `make test-all`.

  A search trains on sets alone, so one kind will do; and federated and privacy
  have tests of dm of their own.
  """
  for name in sorted(methods.ENTRIES):
    for application in ("continual", "federated", "privacy", "search"):
      usual = name in KINDS and (name, application) not in TESTED and (
          application != "search" or name == "frozen_features")
      yield pytest.param(
          name,
          application,
          marks=() if usual else pytest.mark.slow,
          id=f"{name}-{application}")


@pytest.mark.parametrize(("name", "application"), [*_cases()])
def test_method(name, application, images, table, texts):
  """Two clients, two tasks, six shadows, three settings: finite, or refused."""
  source, network = setting_of(name, images, table, texts)
  method, run = small(name, **JOINED.get(name, {})), RUNS[application]
  if message := REFUSED.get((name, application)):
    with pytest.raises(ConfigError, match=message):
      run(source, method, network)
    return
  found = run(source, method, network)
  row = found["rows"][0]
  assert np.isfinite(row["mean"]) and repr(found)
  if application == "federated":
    assert row["num_samples"] >= 2 * CLASSES


def _federated(source, method, network):
  labels = np.asarray(source.train.labels)
  clients = [np.flatnonzero(labels < 2), np.flatnonzero(labels >= 1)]
  return federated.compare(
      source, [method],
      clients=clients,
      samples_per_class=2,
      client_network=network,
      network=network,
      recipe=FEW,
      num_networks=1,
      same_bytes=False,
      rounds=(),
      full_data=False)


def _continual(source, method, network):
  return continual.compare(
      continual.Scenario.class_incremental(source, 2, preprocessing="given"),
      [method],
      per_class=2,
      networks=None if network is None else [network],
      num_networks=1,
      recipe=FEW,
      equal_bytes=False,
      joint_steps=0,
      fine_tune_steps=0)


def _search(source, method, network):
  space = [FEW | {"step_size": size} for size in (0.1, 0.01, 0.001)]
  return search.run(
      source,
      space=space,
      num_candidates=3,
      arms=[method],
      per_class=2,
      network=network,
      recipe=FEW,
      num_truth_samples=16,
      truth_epochs=1,
      topk=(2,),
      num_resamples=10)


def _privacy(source, method, network):
  return privacy.run(
      source,
      arms=[method],
      num_candidates=32,
      num_pipelines=6,
      per_class=2,
      num_canaries=0,
      network=network,
      recipe=FEW,
      early_steps=(),
      epsilons=())


@pytest.mark.parametrize(
    ("given", "message"),
    (([], "`makers` must name at least one; got none"),
     ("random_real", "`makers` must be a list; got 'random_real'. Write"),
     (dict(name="dm"), "`makers` must be a list"),
     ([methods.dm], "random_real, or one of .* Call it: methods.dm()"),
     (["random_reel"], "all_real, .* Did you mean 'random_real'"),
     (["dm", "dm"], '{"method": "dm", "label": "another_name"}'),
     ([1], "got 1.")))
def test_what_are_no_makers(given, message):
  with pytest.raises(ConfigError, match=message.replace("()", "..")) as caught:
    makers(given)
  assert len(str(caught.value)) < 300


def test_real_samples_are_never_repeated():
  """Of classes of 2, 6 and 6, eight rows are 2, 3 and 3; 15 are refused."""
  y = np.repeat([0, 1, 2], [2, 6, 6])
  x = np.arange(14.0)[:, None]
  source = from_arrays(x, y, x, y)
  for name in ("random_real", "herding", "kcentre", "kmeans"):
    made = makers([name])[0].make(jax.random.key(0), source, 8, None)
    assert made.labels.argmax(1).tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert len(np.unique(made.inputs)) == 8
    with pytest.raises(ConfigError, match="got 15 rows for 14 samples"):
      makers([name])[0].make(jax.random.key(0), source, 15, None)


def test_damaged_cells_and_settings_are_named(tmp_path):
  """A changed cell, an empty one, one without a checksum; no config.json."""

  def value(make=lambda: dict(a=(1.5, {1: float("nan")}))):
    with Cells(tmp_path, dict(seed=0)).held() as cells:
      return cells.json("b/c", make)

  file, settings = tmp_path / "cells/b/c.json", tmp_path / "config.json"
  made = value()
  assert [*made] == ["a"] and made["a"][0] == 1.5
  whole = file.read_text()
  assert value(None)["a"][0] == 1.5
  for text in ("{}", whole.replace("1.5", "1.6"), '{"sha256": "x"}'):
    file.write_text(text)
    with pytest.raises(WorkdirError, match="c.json must be sound.* Delete it"):
      value(None)
  file.write_text('{"a": 2}')
  with pytest.raises(WorkdirError, match="c.json must be sound.* Delete it"):
    value(None)
  file.write_text(whole)
  known = settings.read_text()
  settings.write_text("{")
  with pytest.raises(WorkdirError, match="config.json must be there and sound"):
    value(None)
  settings.unlink()
  with pytest.raises(WorkdirError, match="config.json must be there and sound"):
    value(None)
  settings.write_text(known)
  with pytest.raises(WorkdirError, match="differing: seed"):
    with Cells(tmp_path, dict(seed=1)).held():
      pass
  with Cells(tmp_path, dict(seed=0)).held() as cells:
    cells.arrays("d", lambda: dict(x=np.arange(3)))
    file = tmp_path / "cells/d.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(WorkdirError, match="its checksum .* Delete it"):
      cells.arrays("d", None)


def test_seconds_of_earlier_calls_count_also_if_they_were_stopped(
    tmp_path, monkeypatch):
  now = [0.0]
  clock = SimpleNamespace(perf_counter=lambda: now[0])
  monkeypatch.setattr(kept, "time", clock)
  with Cells().held() as cells:
    now[0] = 3.0
    assert cells.seconds == 3.0
  cells = Cells(tmp_path)
  with pytest.raises(KeyboardInterrupt):
    with cells.held():
      cells.json("a", lambda: now.__setitem__(0, 10.0) or {})
      raise KeyboardInterrupt
  now[0] = 50.0
  cells = Cells(tmp_path)
  with cells.held():
    now[0] = 51.0
    assert cells.seconds == 8.0


RUNS = dict(
    continual=_continual,
    federated=_federated,
    privacy=_privacy,
    search=_search)
# What cannot be, and why.
REFUSED = {("sldd", "continual"): "must not fix the initialisation"}
