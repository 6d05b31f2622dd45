"""A set evaluated in one call, on networks named in every way."""

import json

import jax
import numpy as np
import pytest

from distill_jax import artifact, data, nn
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.runs import assess as runs_assess
from distill_jax.runs.assess import Settings, assess, evaluate
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
  assert all("ratio" in block for block in report["networks"].values())


def test_an_interrupted_evaluation_goes_on(tmp_path, monkeypatch):
  trained, most = [], [9]
  evaluate_set = runs_assess.evaluate_set

  def counted(*args, **settings):
    if len(trained) == most[0]:
      raise KeyboardInterrupt
    trained.append(settings["learner"])
    return evaluate_set(*args, **settings)

  monkeypatch.setattr(runs_assess, "evaluate_set", counted)
  labels = np.array([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]])
  soft = MADE._replace(
      labels=labels.astype(np.float32), label_regime="soft_fixed")

  def measured(file, made=soft, key=0):
    del trained[:]
    report = assess(
        jax.random.key(key),
        made,
        SOURCE,
        network=("mlp", dict(name="mlp", widths=[7])),
        settings=Settings(2, "", 1, 1),
        finished=file and tmp_path / file)
    return {**report, "seconds": 0, "cost": 0}, len(trained)

  whole, number = measured(None)
  assert number == 3  # two networks, and the first one with hard labels
  most[0] = 2
  with pytest.raises(KeyboardInterrupt):
    measured("kept.json")
  most[0] = 9
  assert measured("kept.json") == (whole, 1)
  assert measured("kept.json") == (whole, 0)
  assert measured("kept.json", key=1)[1] == 3
  assert measured("kept.json", MADE)[1] == 2


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
