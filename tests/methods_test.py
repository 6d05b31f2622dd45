"""What every method must do, in its smallest form: a 2-layer net, 4x4 images.

A new method is tested by its entry in the registry alone; `SMALL` has what
keeps it small.
"""

import inspect
import json
import shutil
import zlib
from unittest import mock

import jax
import numpy as np
import pytest

import distill_jax as dd
from distill_jax import methods
from distill_jax.artifact import load, save
from distill_jax.data import from_arrays
from distill_jax.errors import ConfigError, DataError
from distill_jax.evaluation import evaluate_set
from distill_jax.evaluation.fitting import from_spec as learner_of
from distill_jax.evaluation.recipes import from_spec as recipe_of
from distill_jax.methods.meanings import MEANINGS, docstring
from distill_jax.methods.method import Keys, Store, plan
from distill_jax.methods.steps import carry_out
from distill_jax.runs.driver import FolderWatch, Interrupted, Watched, train

CLASSES, STEPS = 3, 4
NETWORK = {"name": "mlp", "widths": [8]}
_REGRESSION = dict(network_pool=dict(size=2))
_TAUGHT = dict(
    teacher=dict(num_epochs=1, batch_size=8), recipe=dict(num_epochs=2))
_CHOSEN = _TAUGHT | dict(candidates=4, num_crops=2)
# Settings that keep a method small, and its network where it is another.
SMALL = {
    "cafe": dict(max_epochs=2, watched=4),
    "cim":
        _CHOSEN |
        dict(stage=0, parameterization=dict(name="multi_formation", factor=2)),
    "datm":
        dict(
            experts=dict(num=1, num_epochs=2, batch_size=8),
            segment=dict(lowest=0, first=1, highest=1),
            student=dict(num_steps=2),
            learning_rate=0.1),
    "dc": dict(steps_per_network=2, epochs_between=1),
    "dd": dict(epochs=2),
    "dsa": dict(steps_per_network=2, epochs_between=1),
    "edd": dict(batches_between=1, segments=dict(recipe=dict(num_epochs=2))),
    "exclusive":
        dict(
            of=dict(name="dm", num_steps=STEPS, batch_size=8),
            segments=dict(recipe=dict(num_epochs=2))),
    "frepo": _REGRESSION,
    "hybrid": dict(steps_per_network=2, epochs_between=1),
    "idc": dict(batches_between=1),
    "ncfm": dict(pool=dict(num_networks=2, num_epochs=1), num_frequencies=8),
    "rat_bptt": dict(student=dict(window=2, num_steps=3)),
    "rcig": _REGRESSION | dict(solver=dict(num_steps=3)),
    "rded": _CHOSEN | dict(parameterization=dict(name="pixels")),
    "rfad": dict(num_initialisations=1),
    "sldd": dict(epochs=2, fixed=True),
    "sre2l":
        _TAUGHT | dict(
            teacher=_TAUGHT["teacher"] |
            dict(network=dict(name="convnet", depth=1, width=4, norm="batch"))),
    "tdd": dict(snap=1, snap_steps=2),
    "tgdd": dict(experts=dict(num=1, num_epochs=2, batch_size=8)),
    "weighted": dict(parts=[dict(name="dm", num_steps=STEPS)], weights=[1.0])
}
for _name in ("mtt", "ftd", "tesla"):
  SMALL[_name] = SMALL["datm"]
# Each method is tested with one of these, chosen by its name.
STORED = (
    dict(name="pixels"), dict(name="multi_formation",
                              factor=2), dict(name="linear_bases", num_bases=4),
    dict(name="hallucinator", num_styles=2))
PLAIN = dict(parameterization=dict(name="pixels"))
# Whose work is not one loop of outer steps.
PARTS = ("edd", "exclusive", "tdd")
CLOSED = ("frozen_features", "label_solve", "rded")
# Whose sets are stored as they are, or keep the classes of their codes apart.
PIXELS = ("edd", "label_solve", "tdd")


def small(name: str, **more) -> methods.Method:
  """A method in its smallest form."""
  entry = methods.ENTRIES[name]
  settings = dict(num_steps=STEPS, batch_size=8)
  stored = STORED[zlib.crc32(name.encode()) % len(STORED)]
  if name not in PIXELS:
    settings["parameterization"] = stored
  settings = {k: v for k, v in settings.items() if k in entry.defaults}
  return entry.make(**settings | SMALL.get(name, {}) | more)


@pytest.fixture(scope="module")
def images():
  rng = np.random.default_rng(0)
  y = np.arange(60) % CLASSES
  x = rng.uniform(size=(60, 4, 4, 1)) + np.eye(4)[y][:, :, None, None]
  x = (x / 2).astype(np.float32)
  return from_arrays(x, y, x[:12], y[:12])


@pytest.fixture(scope="module")
def table(images):
  x = np.asarray(images.train.inputs).reshape(-1, 16)
  y = np.asarray(images.train.labels)
  return from_arrays(x, y, x[:12], y[:12])


@pytest.fixture(scope="module")
def texts():
  from distill_jax.data.corpus import from_texts
  from distill_jax.text.vectors import Vectors

  words = [f"w{i}" for i in range(9)]
  table = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
  y = np.arange(30) % CLASSES
  x = [
      " ".join(words[3 * c + (i + j) % 3]
               for j in range(4))
      for i, c in enumerate(y)
  ]
  return from_texts(x, y, x[:6], y[:6], vectors=Vectors(words, table, "test"))


def setting_of(name: str, images, table, texts):
  """Data and network of a method's smallest form."""
  kind = methods.ENTRIES[name].make().model
  if name == "frozen_features":
    return table, None
  if name == "tdd":
    return texts, dict(name="text_convnet", width=4, windows=[2])
  return images, NETWORK if kind == "network" else None


@pytest.mark.parametrize("name", sorted(methods.ENTRIES))
def test_method(name, images, table, texts, tmp_path):
  """Round trip, two halves equal one, frozen leaves, file, evaluation."""
  method = small(name)
  again = methods.from_spec(json.loads(json.dumps(method.spec)))
  assert again.spec == method.spec

  source, network = setting_of(name, images, table, texts)

  def planned(method, folder):
    folder.mkdir(exist_ok=True)
    return plan(
        source,
        method,
        network,
        per_class=2,
        keys=Keys.of(jax.random.key(0)),
        store=Store(folder, folder))

  whole = planned(again, tmp_path / "whole")
  outcome = train(whole, tmp_path / "whole", Watched(2, 2))
  made = whole.artifact(outcome)
  assert made.method == name
  assert np.isfinite(made.inputs).all()

  if name not in CLOSED + PARTS:
    halves = shutil.copytree(tmp_path / "whole", tmp_path / "halves")
    middle, end = sorted((halves / "checkpoints").iterdir())
    assert middle.stem.endswith("2") and end.stem.endswith("4")
    end.unlink()  # as if the run had been killed
    resumed = planned(method, halves)
    outcome = train(resumed, halves, Watched(2, 2))
    for one, other in zip(jax.tree.leaves(made[:6]),
                          jax.tree.leaves(resumed.artifact(outcome)[:6]),
                          strict=True):
      np.testing.assert_array_equal(one, other)
    settings = dict(method.settings)
    if not settings.get("learn_labels") and method.label_space != "logits":
      np.testing.assert_array_equal(
          outcome.distilled.labels, whole.start.labels)

  if name in PARTS:
    stopped = tmp_path / "stopped"
    chunk = _stopping(FolderWatch.chunk)
    with mock.patch.object(FolderWatch, "chunk", chunk):
      with pytest.raises(Interrupted):
        train(planned(again, stopped), stopped, Watched(2))
    resumed = planned(again, stopped)
    outcome = train(resumed, stopped, Watched(2))
    for one, other in zip(jax.tree.leaves(made[:6]),
                          jax.tree.leaves(resumed.artifact(outcome)[:6]),
                          strict=True):
      np.testing.assert_array_equal(one, other)

  save(made, tmp_path / "set.safetensors")
  loaded = load(tmp_path / "set.safetensors")
  recipe = {k: v for k, v in loaded.recipe.items()}
  for field in ("num_epochs", "num_steps"):
    if field in recipe:
      recipe[field] = 2
  report = evaluate_set(
      jax.random.key(0),
      loaded,
      source.test,
      num_networks=1,
      learner=learner_of(loaded.network, recipe_of(recipe), CLASSES))
  assert 0 <= report.mean <= 1


def _stopping(chunk):
  """Asked to stop after each chunk."""

  def stopping(watch, plan, progress):
    watch._stop.asked = True
    chunk(watch, plan, progress)

  return stopping


def _lost(one, two):
  one.unlink()


def _damaged(one, two):
  two.write_bytes(two.read_bytes()[:-1])


def _renamed(one, two):
  two.rename(two.with_name("step_000000009.safetensors"))


def _exchanged(one, two):
  content = one.read_bytes()
  one.write_bytes(two.read_bytes())
  two.write_bytes(content)


@pytest.mark.parametrize("harm", [_lost, _damaged, _renamed, _exchanged])
def test_a_pool_is_mended(harm, images, tmp_path):
  said = []

  def pool():
    return plan(
        images,
        small("ncfm"),
        NETWORK,
        per_class=1,
        keys=Keys.of(jax.random.key(0)),
        store=Store(tmp_path, tmp_path, None, said.append)).prepared.data.pool

  first = pool()
  harm(*sorted((tmp_path / "pool").glob("step_*")))
  said.clear()
  again = pool()
  jax.tree.map(np.testing.assert_array_equal, first, again)
  assert len(said) == (2 if harm is _exchanged else 1)
  said.clear()
  jax.tree.map(np.testing.assert_array_equal, first, pool())
  assert not said


def test_experts_of_whitened_data_are_found_again(images, tmp_path):
  x, y = np.asarray(images.train.inputs), np.asarray(images.train.labels)
  source = from_arrays(x, y, x[:12], y[:12], preprocessing="zca")
  for _ in range(2):  # trained, then read
    made = plan(
        source,
        small("mtt", **PLAIN),
        NETWORK,
        per_class=1,
        keys=Keys.of(jax.random.key(0)),
        store=Store(tmp_path, tmp_path))
    assert made.prepared.measured["experts"]["num"] == 1
    made.prepared.feed.close()


def test_usual_methods_by_the_kind_of_data():
  rng, labels = np.random.default_rng(0), np.arange(12) % 3
  words = ["red", "green", "blue"]
  sources = dict(
      dm=from_arrays(rng.uniform(size=(12, 4, 4, 1)), labels),
      sldd=from_arrays(rng.normal(size=(12, 5)), labels),
      tdd=dd.from_texts([f"it is {words[i]}" for i in labels], labels))
  for name, source in sources.items():
    assert methods.usual(source).name == name
  series = from_arrays(rng.normal(size=(12, 6, 2)), labels, kind="series")
  assert methods.usual(series).spec == methods.usual(sources["sldd"]).spec
  with pytest.raises(DataError, match="from_arrays"):
    methods.usual(labels)


def test_condense_and_runs_take_the_usual_method(images, tmp_path):
  wanted = small("dm", **PLAIN)
  with mock.patch("distill_jax.methods.condensing.usual",
                  return_value=wanted) as usual:
    made = dd.condense(images, network=NETWORK, per_class=1)
  usual.assert_called_once_with(images)
  again = dd.condense(images, wanted, NETWORK, per_class=1)
  np.testing.assert_array_equal(made.inputs, again.inputs)
  run = dd.Run(tmp_path / "run", images, per_class=1)
  assert run.method.spec == methods.usual(images).spec


def test_what_does_not_go_together_is_refused(images):
  wrong = (
      lambda: methods.exclusive(methods.kip()),
      lambda: methods.exclusive(methods.mtt()),
      lambda: methods.exclusive(methods.cafe()),  # matches no anchor
      lambda: methods.weighted(
          methods.dm(), methods.ncfm(), weights=(0.5, 0.5)),
      lambda: methods.weighted(methods.edd(), methods.dm(), weights=(0.5, 0.5)),
      lambda: dd.condense(images, methods.dm, per_class=1),
      lambda: dd.condense(images, methods.dm(), dd.mlp(7), per_class=1),
      lambda: dd.condense(images, methods.dm(), per_class=2.5),
      lambda: dd.condense(
          images, methods.dm(recipe=dict(num_epoch=3)), NETWORK, per_class=1),
      lambda: dd.Run("nowhere", images, per_class=1, evaluation=dict(nets=1)),
      lambda: dd.Run("nowhere", images),
  )
  for call in wrong:
    with pytest.raises(ValueError, match="must"):
      call()


@pytest.mark.parametrize("name", ("cafe", "dc", "dm", "kip", "ncfm", "sldd"))
def test_a_shard_that_lacks_a_class(name, images, tmp_path):
  shard = images.take(np.flatnonzero(np.asarray(images.train.labels) != 1))
  network = NETWORK if methods.ENTRIES[name].make().model == "network" else None
  made = plan(
      shard,
      small(name, num_steps=2, **PLAIN),
      network,
      per_class=2,
      keys=Keys.of(jax.random.key(0)),
      store=Store(tmp_path, tmp_path))
  artifact = made.artifact(carry_out(made))
  assert artifact.num_samples == 4 and artifact.num_classes == CLASSES
  classes = np.asarray(made.task.layout.classes)
  np.testing.assert_array_equal(np.unique(classes), [0, 2])


def test_clients_distil_and_the_union_is_evaluated(images):
  """One-shot federated distillation, one client without one of the classes."""
  labels = np.asarray(images.train.labels)
  rows = np.arange(len(labels))
  shards = rows[:30][labels[:30] != 0], rows[30:]
  of_kernels = small("kip", ridge=1e-3, **PLAIN)
  for method, network in [(small("dm", **PLAIN), NETWORK), (of_kernels, None)]:
    sets = [
        dd.condense(images.take(rows), method, network, per_class=1)
        for rows in shards
    ]
    assert min(a.num_samples for a in sets) < CLASSES
    union = dd.merge(sets)
    report = dd.evaluate(union, images, num_networks=1, baselines="")
    assert union.num_samples == sum(a.num_samples for a in sets)
    assert 0 <= report.mean <= 1


def test_misspelt_settings_are_refused_with_the_nearest_name():
  with pytest.raises(ConfigError, match="Did you mean 'learning_rate'"):
    methods.dm(learning_rat=0.1)
  with pytest.raises(ConfigError, match="Did you mean 'dsa'"):
    methods.from_spec(dict(name="dsaa"))
  with pytest.raises(ConfigError, match="`experts.num` must be at least 1"):
    methods.mtt(experts=dict(num=0))
  with pytest.raises(ConfigError, match="of type float"):
    methods.dm(learning_rate="fast")


def _own(s):
  """Does as it is told.

  Slowly.

  Args:
    here: where it does so,
      or there.
    k: another meaning.

  Raises:
    ConfigError: never.
  """


def test_help_of_a_users_method_is_what_they_wrote(monkeypatch):
  monkeypatch.setattr(_own, "__module__", "package.mine")
  text = docstring(
      _own, "own", "None", "nothing", dict(here=1.0, k=2, l2_rate=0.0, left=3))
  start, _, rest = text.partition("\nArgs:\n")
  assert start.startswith("Does as it is told.\n\nSlowly.\n")
  assert "Raises:\n  ConfigError: never." in start
  assert rest.startswith(
      "  here: where it does so, or there. Default: 1.0.\n"
      "  k: another meaning. Default: 2.\n"
      f"  l2_rate: {MEANINGS['l2_rate']} Default: 0.0.\n"
      "  left: Default: 3.\n\nExample:\n"
      "  from package.mine import _own\n\n"
      "  made = dd.condense(source, _own(), per_class=1)\n\nCost")
  monkeypatch.setattr(_own, "__module__", "__main__")
  monkeypatch.setattr(_own, "__doc__", None)
  text = docstring(_own, "own", "None", "nothing", {})
  assert text.startswith("The method own.\n\nArgs:\n\nExample:\n  made = ")


def test_help_explains_every_setting():
  settings = {name for e in methods.ENTRIES.values() for name in e.defaults}
  assert settings == set(MEANINGS)
  for name, entry in methods.ENTRIES.items():
    text = inspect.getdoc(entry.make)
    assert f"dd.methods.{name}()" in text and entry.paper in text.replace(
        "\n  ", " ")
    for setting in entry.defaults:
      assert f"\n  {setting}: " in text, (name, setting)
