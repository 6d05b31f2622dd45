"""Cost against a hand count; all data; the report's schema and its table."""

import itertools
import json
from functools import cache, partial
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import artifact
from distill_jax.data import from_arrays
from distill_jax.evaluation import cost, full_data, points, recipe
from distill_jax.evaluation.baselines import Baseline
from distill_jax.evaluation.evaluator import Report
from distill_jax.evaluation.full_data import FullData, train_on_all, trainer
from distill_jax.evaluation.report import (
    Measurements,
    Transfer,
    report_dict,
    table,
    transfer_table,
    verdict,
)
from distill_jax.nn import mlp
from distill_jax.types import Samples, TrainingSet

SCHEMA = {
    "schema_version", "accuracy", "student_init", "num_networks", "network",
    "recipe", "label_regime", "selection", "baselines", "macro_f1",
    "majority_rate", "accuracy_on_set", "num_samples", "storage_bytes",
    "compressed_bytes", "bits_per_class", "seconds", "data", "seed", "device",
    "versions", "command"
}


def _set(n=16, num_steps=2, epochs=3, width=64, num_classes=10):
  size = n * num_steps
  return TrainingSet(
      Samples(
          jnp.ones((size, width)), jnp.ones((size, num_classes)),
          jnp.full(epochs * num_steps, 0.1)),
      jnp.arange(size).reshape(num_steps, n))


def _artifact():
  training_set = _set()
  return artifact.from_samples(
      training_set.samples.inputs,
      training_set.samples.labels / 10,
      class_names=[str(i) for i in range(10)],
      order=training_set.order,
      step_sizes=training_set.samples.step_sizes,
      provenance={"seed": 0})


class CostTest(parameterized.TestCase):

  @parameterized.parameters((1,), (5,))
  def test_set_against_a_hand_count(self, epochs):
    network = mlp(10, widths=(128,))
    result = cost.cost_of_set(jax.random.key(0), network, _set(epochs=epochs))
    # Products of each layer: forward, weights' gradient, and inputs' gradient
    # for the second one.
    step = 2 * 16 * (2 * 64 * 128 + 3 * 128 * 10)
    np.testing.assert_allclose(result.flops, 2 * epochs * step, rtol=0.05)
    assert result.flops >= 2 * epochs * step and result.seconds > 0

  @parameterized.parameters((10, 3.0), (20, 3.0), (100, 15.0))
  def test_seconds_of_many_epochs_are_those_of_twenty(self, epochs, seconds):
    """The clock says that whatever is timed takes three seconds."""
    network, asked = mlp(10, widths=(4,)), []

    def train(num_epochs, key, network, variables, training_set):
      asked.append(num_epochs)
      return variables

    @cache
    def build(num_epochs=300):
      return recipe.Recipe(
          "dc", partial(train, num_epochs), (("num_epochs", num_epochs),))

    with mock.patch.dict(cost.RECIPES,
                         dc=build), mock.patch.object(cost.time, "perf_counter",
                                                      side_effect=[5.0, 8.0]):
      found = cost.cost_of_set(
          jax.random.key(0), network, _set(), recipe=build(num_epochs=epochs))
    assert asked == [min(epochs, 20)]
    assert found == (None, seconds)


class FullDataTest(parameterized.TestCase):

  def test_learns_what_can_be_learned(self):
    generator = np.random.default_rng(0)
    labels = np.arange(70) % 3
    x = np.eye(3)[labels] + generator.normal(0, 0.1, (70, 3))
    source = from_arrays(x, labels, x, labels)
    network = mlp(3, widths=(16,))
    result = train_on_all(
        jax.random.key(0),
        network,
        source,
        num_epochs=20,
        batch_size=16,
        learning_rate=0.01)
    assert result.accuracy > 0.95
    # 4 whole batches an epoch.
    each = cost.step_flops(network, jnp.zeros((16, 3)), 3)
    np.testing.assert_allclose(result.cost.flops, 20 * 4 * each)

  @parameterized.parameters((90, 5, 16), (64, 4, 16), (7, 1, 7))
  def test_for_so_many_samples(self, samples, steps, batch_size):
    """64 samples make a pass of 4 batches of 16."""
    labels = np.arange(70) % 3
    source = from_arrays(np.eye(3)[labels], labels, np.eye(3), np.arange(3))
    train = trainer(
        mlp(3, widths=(4,)), source, max_samples=samples, batch_size=16)
    found = train(jax.random.key(0))
    assert (found.num_steps, found.batch_size) == (steps, batch_size)
    again = train(jax.random.key(0))
    chex.assert_trees_all_equal(again.variables, found.variables)

  def test_a_whole_number_of_passes_is_that_many_epochs(self):
    labels = np.arange(70) % 3
    source = from_arrays(np.eye(3)[labels], labels, np.eye(3), np.arange(3))
    one, other = (
        trainer(mlp(3, widths=(4,)), source, batch_size=16,
                **limit)(jax.random.key(0)).variables
        for limit in (dict(max_samples=128), dict(num_epochs=2)))
    chex.assert_trees_all_equal(one, other)

  def test_for_so_many_seconds(self):
    labels = np.arange(70) % 3
    source = from_arrays(np.eye(3)[labels], labels, np.eye(3), np.arange(3))
    network = mlp(3, widths=(4,))
    clock = itertools.count(0.0, 0.01)  # seconds; every look takes some
    self.enter_context(
        mock.patch.object(full_data.time, "perf_counter", clock.__next__))
    short, long = (
        trainer(network, source, max_seconds=seconds)(jax.random.key(0))
        for seconds in (1e-9, 0.5))
    assert short.num_steps == 1 and 10 < long.num_steps <= 50
    assert 0.5 <= long.seconds < 0.6
    result = train_on_all(jax.random.key(0), network, source, max_seconds=20.0)
    assert result.accuracy == 1.0

  @parameterized.parameters(
      (dict(max_samples=5, max_seconds=1.0), "must be given alone"),
      (dict(max_samples=0), "`max_samples` must be at least 1; got 256 and 0"),
      (dict(max_seconds=0.0), "`max_seconds` must be positive; got 0.0"))
  def test_limits_that_are_refused(self, limits, message):
    source = from_arrays(np.eye(3), np.arange(3), np.eye(3), np.arange(3))
    with pytest.raises(ValueError, match=message):
      train_on_all(jax.random.key(0), mlp(3), source, **limits)

  def test_needs_a_test_split(self):
    source = from_arrays(np.eye(3), np.arange(3), test_fraction=0)
    with pytest.raises(ValueError, match="`source` must have a test split"):
      train_on_all(jax.random.key(0), mlp(3), source)


class ReportTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    confusion = np.array([[[8, 2], [1, 9]], [[9, 1], [1, 9]]])
    self.report = Report(
        confusion, np.array([1.0, 0.5]), "random", "student, in_order", {
            "name": "in_order",
            "momentum": 0.0
        })
    self.plain = Measurements(self.report, "lenet")
    self.pieces = dict(
        data={
            "spec": "digits",
            "fingerprint": "0" * 16
        },
        seconds={
            "distill": 1.0,
            "evaluate": 2.0
        },
        command="python distill.py")

  def _report(self, measured):
    return report_dict(measured, _artifact(), **self.pieces)

  def _full(self):
    accuracy = np.array([[0.5, 0.6], [0.7, 0.8]])
    random_real = Baseline(
        accuracy, 10, 10, "student, in_order", 0.03, "validation")
    full_data = FullData(0.95, cost.Cost(1e9, 3.0))
    return self._report(
        self.plain._replace(
            baselines={
                "random_real": random_real,
                "random_real_converged":
                    Baseline(
                        accuracy[:1, :1], 10, 10, "student, converged", 0.01),
                "knn_random": Baseline(accuracy[:, :1], 10, 10, "1 nearest")
            },
            hard_labels=self.report,
            full_data=full_data,
            cost=cost.Cost(1e6, 0.1),
            networks={"mlp": Transfer(self.report, random_real, full_data)}))

  def test_schema(self):
    plain = self._report(self.plain)
    assert SCHEMA - set(plain) == set()
    assert set(plain) - SCHEMA == {
        "confusion", "min_class", "num_inner_steps", "num_test_samples",
        "verdict"
    }
    assert plain["confusion"] == [[17, 3], [2, 18]]
    assert plain["baselines"] == {}
    full = json.loads(json.dumps(self._full(), allow_nan=False))
    np.testing.assert_allclose(full["accuracy"]["mean"], 0.875)
    np.testing.assert_allclose(full["accuracy"]["per_network"], [0.85, 0.9])
    np.testing.assert_allclose(full["accuracy"]["std"], 0.05 / np.sqrt(2))
    np.testing.assert_allclose(full["accuracy"]["stderr"], 0.025)
    np.testing.assert_allclose(full["ratio"], 100 * 0.875 / 0.95)
    random = full["baselines"]["random_real"]
    assert random["per_network"] == [0.5, 0.6, 0.7, 0.8]
    # Sets are the units: their means are 0.55 and 0.75.
    np.testing.assert_allclose(random["stderr"], 0.1)
    np.testing.assert_allclose(random["std"], np.std([5, 6, 7, 8], ddof=1) / 10)
    assert full["networks"]["mlp"]["accuracy"] == full["accuracy"]
    mlp = full["networks"]["mlp"]
    assert mlp["random_real"] == random and mlp["ratio"] == full["ratio"]
    # Gains [[35, 30], [15, 10]]: of sets 32.5 and 12.5, of networks 25 and 20.
    gain = random["gain"]
    np.testing.assert_allclose(gain["mean"], 0.225)
    np.testing.assert_allclose(gain["stderr"], np.hypot(0.1, 0.025), rtol=1e-9)
    assert full["num_test_samples"] == 20
    assert full["cost"]["set"] == {"flops": 1e6, "seconds": 0.1}

  def test_networks_that_diverged_are_counted_and_said(self):
    diverged = self.report._replace(diverged=1)
    random_real = Baseline(np.eye(2), 10, 10, "student", diverged=3)
    full_data = FullData(0.95, cost.Cost(1e9, 3.0), diverged=1)
    report = self._report(
        Measurements(
            diverged,
            "lenet", {"random_real": random_real},
            hard_labels=diverged,
            full_data=full_data,
            networks={"mlp": Transfer(diverged, random_real)}))
    assert report["accuracy"]["diverged"] == 1
    assert report["baselines"]["random_real"]["diverged"] == 3
    said = " ".join(repr(report).split())
    assert (
        "DIVERGED networks: 1 of 2 of distilled set, 1 of 2 of with hard "
        "labels, 3 of 4 of random real, 1 of 1 of all data. Their weights or "
        "outputs are not finite; they count as always saying the first class."
    ) in said
    assert "1 of 2 of mlp on the set, 3 of 4 of mlp on random real." in said
    assert "DIVERGED" not in repr(self._full())

  def test_confusion_is_of_few_classes(self):
    many = self.report._replace(confusion=np.eye(101, dtype=int)[None])
    assert "confusion" not in self._report(Measurements(many, "lenet"))

  def test_table(self):
    text = table(self._full())
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    for part in ("digits", "lenet", "random init", "6 inner steps"):
      assert part in lines[0] + lines[1]
    rows = {line[:22].strip(): line[22:].split() for line in lines}
    assert rows["distilled set"][:3] == ["87.50", "3.54", "2.50"]
    assert rows["with hard labels"][-1] == "+0.00"
    assert rows["random real"] == (
        "65.00 12.91 10.00 - 2 x 2 0.03 +22.50".split())
    assert rows["kNN on random real"][-2:] == ["-", "+27.50"]
    assert rows["random real, converged"][1:3] == ["-", "-"]  # one number
    ends = {len(line) for line in lines if line.endswith(".50")}
    assert len(ends) == 1  # aligned

  def test_transfer_table(self):
    lines = transfer_table(self._full()).splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = (line for line in lines if line.startswith("mlp"))
    assert row.split() == (
        "mlp 87.50 ± 3.54 65.00 ± 12.91 22.50 ± 10.31 95.00 92.1".split())

  def test_networks_without_random_real_data(self):
    whole = self._full()
    report = self._report(
        Measurements(
            self.report,
            "mlp", {"class_mean": Baseline(np.eye(2), 10, 10, "student")},
            networks={"mlp": Transfer(self.report)}))
    assert "random_real" not in report["networks"]["mlp"]
    assert "not compared with random real data" in report["verdict"]
    text = transfer_table(report)
    assert "random real" not in text and "gain" not in text
    report["networks"]["lenet"] = whole["networks"]["mlp"]
    rows = {
        line.split()[0]: line for line in transfer_table(report).split("\n")
    }
    assert rows["mlp"].split() == "mlp 87.50 ± 3.54 - -".split()
    assert rows["lenet"].split()[-2:] == ["95.00", "92.1"]

  def test_prints_tables_and_a_line_in_words(self):
    report = self._full()
    assert (report.mean, report.std) == (self.report.mean, self.report.std)
    assert str(report) == "\n\n".join([
        table(report),
        transfer_table(report),
        "Verdict: 22.5 points better than random real data of the same size, "
        "within the\nnoise (standard error 10.3 from networks and sets, at "
        "most 12.9 from 20 test\nsamples). More networks, sets and test "
        "samples measure it better."
    ])
    alone = " ".join(str(self._report(self.plain)).split())
    assert alone.endswith(
        "not compared with random real data; add the baseline random_real. "
        "Tested on 20 test samples.")

  @parameterized.parameters(
      (0.1, 0.02, 0.04, "10.0 points better than", False, False),
      (0.03, 0.02, 0.04, "3.0 points better than", True, False),
      (-0.011, 0.02, 0.04, "1.1 points worse than", True, False),
      (-0.3, None, 0.04, "30.0 points worse than", False, True),
      (-0.3, None, 0.31, "30.0 points worse than", True, False),
      (0.0, 0.02, 0.04, "no difference", False, False))
  def test_verdict(self, mean, stderr, margin, words, unclear, advice):
    report = self._full()
    report["baselines"]["random_real"]["gain"] = dict(
        mean=mean, stderr=stderr, test_stderr=0.012, margin=margin)
    line = verdict(report)
    assert words in line and "1.2 from 20 test samples" in line
    assert ("within the noise" in line) == unclear
    assert ("num_steps" in line) == advice

  @parameterized.parameters((-0.02, 0.01, True), (-0.02, 0.04, False),
                            (0.02, 0.01, False))
  def test_verdict_says_where_class_means_are_better(self, mean, margin, said):
    report = self._full()
    report["baselines"]["class_mean"] = dict(
        gain=dict(mean=mean, margin=margin))
    line = verdict(report)
    assert line.startswith("Verdict: 22.5 points better than random real data")
    assert ("means of the classes are 2.0 points better" in line) == said
    assert ("start=class_mean" in line) == said
    report["baselines"]["random_real"]["gain"] |= dict(mean=0.0)
    assert ("start=class_mean" in verdict(report)) == said

  def test_findings_come_before_the_verdict(self):
    report = self._full()
    report["findings"] = ["The samples did not move."]
    assert "\n\nThe samples did not move.\nVerdict: " in str(report)

  def test_long_names_stay_in_the_table(self):
    self.pieces["data"] = {"spec": "folder:" + "x" * 90, "fingerprint": ""}
    lines = table(self._report(self.plain)).splitlines()
    assert max(map(len, lines)) <= 80


def test_a_gain_that_rounds_to_zero_is_no_loss():
  assert points.gain(dict(mean=-1e-6, stderr=None)) == "+0.00"
  assert points.gain(dict(mean=-0.02, stderr=0.001)) == "-2.00 ± 0.10"
