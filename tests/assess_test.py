"""A set evaluated in one call, on networks named in every way."""

import json
from functools import partial

import chex
import jax
import numpy as np
import pytest

from distill_jax import artifact, data, methods, nn
from distill_jax.errors import ConfigError
from distill_jax.evaluation import evaluate_set, recipes
from distill_jax.evaluation.evaluator import Report
from distill_jax.quantising import quantise
from distill_jax.runs import assess as runs_assess
from distill_jax.runs import real_data
from distill_jax.runs.assess import Settings, assess, evaluate
from distill_jax.runs.file_evaluation import evaluate_file
from distill_jax.runs.kept import Unfinished
from distill_jax.runs.run import Run
from distill_jax.runs.students import students

FEW = dict(num_networks=2, num_sets=2, networks_per_set=1)
WORDS = "random real data of the same size"


def _source():
  generator = np.random.default_rng(0)
  labels = np.arange(60) % 3
  x = 2 * np.eye(3)[labels] + generator.normal(0, 0.3, (60, 3))
  return data.from_arrays(x, labels, x, labels)


def _set(source, **fields):
  return artifact.from_samples(
      source.train.encode(2 * np.eye(3, dtype=np.float32)),
      np.arange(3),
      class_names=source.class_names,
      preprocessing=source.preprocessing,
      recipe=recipes.converged(50, step_size=0.1).spec,
      **fields)


SOURCE = _source()
MADE = _set(SOURCE, network=dict(name="mlp", widths=[4]))


def test_says_how_the_set_compares_with_real_data(tmp_path):
  report = evaluate(MADE, SOURCE, **FEW, cache=tmp_path / "real.json")
  random_real = report["baselines"]["random_real"]
  assert report["network"] == "mlp" and report.mean > 0.9
  gain = 100 * (report.mean - random_real["mean"])
  what = "worse" if gain < 0 else "better"
  assert f"{abs(gain):.1f} points {what} than {WORDS}" in report["verdict"]
  assert report["data"]["spec"] == SOURCE.name
  assert json.loads(json.dumps(report)) == report
  again = evaluate(MADE, SOURCE, **FEW, key=jax.random.key(0))
  assert again["accuracy"] == report["accuracy"]
  assert again["baselines"] == report["baselines"]
  assert len(json.loads((tmp_path / "real.json").read_text())) == 2


def test_classes_are_matched_by_name():
  turned = SOURCE.in_classes(("2", "0", "1"))
  few = dict(num_networks=1, baselines="")
  found = evaluate(MADE, turned, **few)
  assert found["accuracy"] == evaluate(MADE, SOURCE, **few)["accuracy"]
  with pytest.raises(ValueError, match="they lack 2 and have owl besides"):
    evaluate(MADE, SOURCE._replace(class_names=("0", "1", "owl")))


def test_several_networks_on_real_data_beside_the_set():
  by_hand = nn.mlp(3, widths=(5,))._replace(spec=())
  report = evaluate(
      MADE,
      SOURCE,
      network=("mlp", by_hand),
      recipe="dc",
      baselines="",
      **FEW,
      full_data=True)
  assert report["recipe"]["name"] == "dc" and not report["baselines"]
  assert list(report["networks"]) == ["mlp", "network"]
  for block in report["networks"].values():
    assert "ratio" in block and "random_real" not in block


def test_each_network_is_compared_with_its_own_training_on_random_real_data():
  wide = nn.mlp(3, widths=(9,))
  report = evaluate(
      MADE, SOURCE, network=("mlp", wide), baselines="random_real", **FEW)
  first, other = report["networks"].values()
  assert first["random_real"] == report["baselines"]["random_real"]
  alone = evaluate(MADE, SOURCE, network=wide, baselines="random_real", **FEW)
  assert other["random_real"] == alone["baselines"]["random_real"]
  assert other["random_real"] != first["random_real"]


class _Trainings:
  """Counts calls of `evaluate_set`, and interrupts one after `most` of them."""

  def __init__(self, evaluate_set):
    self._evaluate_set = evaluate_set
    self.number, self.most = 0, 99

  def __call__(self, *args, **settings):
    if self.number == self.most:
      raise KeyboardInterrupt
    self.number += 1
    return self._evaluate_set(*args, **settings)

  def during(self, call, most=99):
    """The result of a call, None if it was interrupted, and how many it was."""
    self.number, self.most = 0, most
    try:
      return call(), self.number
    except KeyboardInterrupt:
      return None, self.number


@pytest.fixture
def trainings(monkeypatch):
  counter = _Trainings(runs_assess.evaluate_set)
  monkeypatch.setattr(runs_assess, "evaluate_set", counter)
  return counter


def _soft():
  labels = np.array([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]])
  return MADE._replace(
      labels=labels.astype(np.float32), label_regime="soft_fixed")


def _assessed(file=None, made=None, key=0, num_networks=2, recipe=None):
  report = assess(
      jax.random.key(key),
      _soft() if made is None else made,
      SOURCE,
      network=("mlp", dict(name="mlp", widths=[7])),
      settings=Settings(num_networks, "", 1, 1),
      recipe=recipe,
      unfinished=Unfinished(file))
  return {**report, "seconds": 0, "cost": 0}


def test_an_interrupted_evaluation_goes_on(tmp_path, trainings):
  call = partial(_assessed, tmp_path / "kept.json")
  whole, number = trainings.during(_assessed)
  assert number == 3  # two networks, and the first one with hard labels
  assert trainings.during(call, most=2) == (None, 2)
  assert trainings.during(call) == (whole, 1)
  assert trainings.during(call) == (whole, 0)
  assert trainings.during(partial(call, MADE))[1] == 1  # the first was there
  for change in (dict(key=1), dict(num_networks=1), dict(recipe="dc")):
    assert trainings.during(partial(call, **change))[1] == 3


def test_seconds_of_earlier_calls_count(tmp_path):
  file = tmp_path / "kept.json"
  first = Unfinished(file)
  assert first.once(lambda: dict(a=1), dict) == dict(a=1)
  assert first.once(lambda: 1 / 0, dict) == dict(a=1)
  assert first.seconds == 0  # they are in the time of this call
  later = Unfinished(file)
  for _ in range(2):
    assert later.once(lambda: 1 / 0, dict) == dict(a=1)
  kept, = json.loads(file.read_text()).values()
  assert later.seconds == kept["found"]["seconds"] > 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"{}": 7}'])
def test_damaged_parts_are_measured_anew(tmp_path, content):
  file = tmp_path / "kept.json"
  file.write_text(content)
  assert Unfinished(file).once(lambda: dict(a=1), dict) == dict(a=1)
  assert Unfinished(file).once(lambda: 1 / 0, dict) == dict(a=1)


def test_parts_that_cannot_be_kept_are_used(tmp_path, capsys):
  keeper = Unfinished(tmp_path / "none" / "kept.json")
  assert keeper.once(lambda: dict(a=1), dict) == dict(a=1)
  keeper = Unfinished(tmp_path / "kept.json")
  assert keeper.once(lambda: dict(a=np.nan), dict)["a"] is not None
  assert capsys.readouterr().err.count("not kept") == 2


def test_hard_labels_of_a_quantised_set_are_kept_apart(tmp_path):
  labels = np.array([[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.4, 0.3]])
  made = quantise(_soft()._replace(labels=labels.astype(np.float32)), 8)
  report = _assessed(tmp_path / "kept.json", made)
  assert report == _assessed(None, made)
  kept = json.loads((tmp_path / "kept.json").read_text())
  assert len(kept) == 3


def test_a_report_survives_json():
  report = evaluate_set(
      jax.random.key(0),
      MADE,
      SOURCE.test,
      network=nn.mlp(3, widths=(4,)),
      num_networks=3)
  again = Report.from_json(json.loads(json.dumps(report.to_json())))
  chex.assert_trees_all_equal(again, report)
  assert again.accuracy_on_set.dtype == report.accuracy_on_set.dtype


def test_an_interrupted_evaluation_of_a_file_goes_on(tmp_path, trainings):
  train = SOURCE.train
  x, y = np.asarray(train.inputs), np.asarray(train.labels)
  np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
  artifact.save(_soft(), tmp_path / "set.safetensors")
  call = partial(
      evaluate_file,
      tmp_path / "set.safetensors",
      f"npz:{tmp_path / 'data.npz'}",
      out=tmp_path / "report.json",
      settings=Settings(2, "", 1, 1),
      networks=["mlp"])
  kept = tmp_path / "report.unfinished.json"
  assert trainings.during(call, most=1) == (None, 1)
  assert kept.exists() and not (tmp_path / "report.json").exists()
  (report, _), number = trainings.during(call)
  assert number == 1 and not kept.exists()
  assert "hard_label_accuracy" in report


def test_an_interrupted_evaluation_of_a_run_goes_on(tmp_path, trainings):
  run = Run(
      tmp_path / "run",
      SOURCE,
      methods.dm(num_steps=2, batch_size=4),
      per_class=1,
      evaluation=dict(num_networks=1, num_sets=1, networks_per_set=1),
      figures=False)
  run.go()
  (tmp_path / "run" / "evaluation.json").write_text("{}")  # of `evaluate`
  again = partial(run.go, again=True)
  kept = tmp_path / "run" / "report.unfinished.json"
  assert trainings.during(again) == (run.go(), 1) and not kept.exists()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(real_data, "baselines", lambda *args, **given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      again()
  assert kept.exists()
  assert trainings.during(again)[1] == 0 and not kept.exists()
  assert trainings.during(again)[1] == 1  # anew
  assert (tmp_path / "run" / "evaluation.json").read_text() == "{}"


def test_the_names_of_networks():
  wide = dict(name="mlp", widths=[7])
  named = students(["mlp", wide, nn.mlp(3)], MADE, SOURCE)
  assert [student.name for student in named] == ["mlp 1", "mlp 2", "mlp 3"]
  assert [student.spec["widths"][0] for student in named[:2]] == [4, 7]
  (default,) = students(None, _set(SOURCE), SOURCE)
  assert default.name == "mlp" and default.spec["widths"] == [128]
  (kernel,) = students("kernel_ridge", MADE, SOURCE)
  assert not kernel.trained and kernel.learner().regression


def test_attacks_and_calibration_are_further_columns():
  few = dict(num_networks=3, baselines="")
  plain = evaluate(MADE, SOURCE, **few)
  more = evaluate(MADE, SOURCE, **few, columns="attacks,calibration", eps=0.5)
  attacks, calibration = more.pop("attacks"), more.pop("calibration")
  same = set(plain) - {"seconds", "cost"}  # which are measured anew
  assert {k: more[k] for k in same} == {k: plain[k] for k in same}
  assert attacks["clean"]["per_network"] == plain["accuracy"]["per_network"]
  assert attacks["pgd"]["mean"] < attacks["clean"]["mean"]
  assert attacks["eps"] == 0.5 and attacks["unit"] == "model space"
  assert 0 < calibration["ece"]["mean"] < 1
  text = repr(evaluate(MADE, SOURCE, **few, columns="calibration"))
  assert "ECE" in text and "PGD" not in text and "ECE" not in repr(plain)


def test_the_class_that_fares_worst():
  report = evaluate(MADE, SOURCE, num_networks=2, baselines="")
  assert 0 <= report["min_class"] <= report.mean
  alike = SOURCE.train.inputs[::3]  # all of one class, whatever they are called
  hard = SOURCE._replace(test=SOURCE.test._replace(inputs=alike.repeat(3, 0)))
  assert evaluate(MADE, hard, num_networks=1, baselines="")["min_class"] == 0


@pytest.mark.parametrize(
    "changes, message",
    [(dict(network="mpl"), "Did you mean 'mlp'"),
     (dict(baselines="kmean"), "`baselines` must be one of all, "),
     (dict(network="kernel_ridge", full_data=True), "`full_data` must be off"),
     (dict(columns="attack"), "`columns` must be one of attacks, "),
     (dict(columns="attacks", eps=0), "`eps` must be positive; got 0"),
     (
         dict(num_networks=0, num_sets=0,
              networks_per_set=0), "`num_networks` must be at least 1; got 0"),
     (dict(num_attacked=-1), "`num_attacked` must be at least 0; got -1"),
     (
         dict(network="kernel_ridge", columns="attacks"),
         "`columns` must be empty where no network is trained")])
def test_what_is_refused(changes, message):
  with pytest.raises(ConfigError, match=message):
    evaluate(MADE, SOURCE, **changes)


def test_needs_a_test_part():
  with pytest.raises(ValueError, match="`source` must have a test part"):
    evaluate(MADE, SOURCE._replace(test=None))


@pytest.mark.parametrize(
    "given, sizes", [((1, 0, 0), (1, 1)), ((2, 0, 0), (2, 1)),
                     ((7, 0, 0), (7, 1)), ((20, 0, 0), (5, 4)),
                     ((20, 10, 0), (10, 2)), ((20, 0, 5), (4, 5))])
def test_baselines_have_as_many_networks(given, sizes):
  total, sets, each = given
  settings = Settings(total, num_sets=sets, networks_per_set=each)
  found = settings.sized(chance=True)
  assert (found.num_sets, found.networks_per_set) == sizes


def test_without_chance_baselines_have_three_draws():
  settings = Settings(1, num_sets=0, networks_per_set=0).sized(chance=False)
  assert (settings.num_sets, settings.networks_per_set) == (3, 1)
