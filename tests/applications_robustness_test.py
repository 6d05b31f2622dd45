"""The audit of small sets: its parts by hand, and one whole audit twice."""

import json
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import applications, data, models
from distill_jax.applications import (
    Cells,
    judging,
    maker,
    poisoning,
    robustness,
)
from distill_jax.applications.cells import key_of
from distill_jax.applications.robustness_report import rows_of
from distill_jax.artifact import from_samples
from distill_jax.errors import ConfigError, DataError
from distill_jax.evaluation import columns, cost, recipes
from distill_jax.evaluation.evaluator import evaluate_set

MLP = {"name": "mlp", "widths": [16]}
FEW = dict(
    per_class=4,
    network=MLP,
    recipe=dict(name="converged", num_steps=60, step_size=0.1),
    num_networks=2,
    steps=2,
    num_attacked=20)


def _source(dtype=np.uint8):
  """Three classes of 6x6 images, each bright in rows of its own."""
  generator = np.random.default_rng(0)
  y = np.arange(120) % 3
  x = generator.uniform(0, 0.3, (120, 6, 6, 1))
  for c in range(3):
    x[y == c, c] += 0.4
  x = np.round(255 * x).astype(np.uint8) if dtype == np.uint8 else x
  return data.from_arrays(
      x[:90], y[:90], x[90:], y[90:], class_names=["a", "b", "c"])


SOURCE = _source()
KEY = jax.random.key(0)


class PoisonTest(parameterized.TestCase):

  @parameterized.parameters((np.uint8, 255), (np.float32, 1.0))
  def test_a_white_square_one_pixel_from_the_corner(self, dtype, white):
    images = np.zeros((2, 5, 6, 2), dtype)
    marked = np.asarray(poisoning.stamped(images, poisoning.square((5, 6, 2))))
    expected = images.copy()
    expected[:, 2:4, 3:5] = white
    np.testing.assert_array_equal(marked, expected)
    assert marked.dtype == dtype

  def test_rows_are_of_other_classes_and_nested(self):
    few, many = (
        poisoning.poison_rows(KEY, SOURCE, fraction, 1)
        for fraction in (0.1, 0.3))
    assert (len(few), len(many)) == (9, 27) and set(few) < set(many)
    assert not (np.asarray(SOURCE.train.labels)[many] == 1).any()
    assert len(poisoning.poison_rows(KEY, SOURCE, 1e-6)) == 1

  def test_only_these_are_changed(self):
    rows = poisoning.poison_rows(KEY, SOURCE, 0.1, 1)
    found, train = poisoning.poisoned(SOURCE, rows, 1), SOURCE.train
    others = np.setdiff1d(np.arange(90), rows)
    np.testing.assert_array_equal(
        found.train.inputs[others], train.inputs[others])
    np.testing.assert_array_equal(
        found.train.labels[others], train.labels[others])
    assert (np.asarray(found.train.labels)[rows] == 1).all()
    assert (np.asarray(found.train.inputs)[rows, 3:5, 3:5] == 255).all()
    np.testing.assert_array_equal(
        found.train.counts, np.bincount(found.train.labels, minlength=3))
    assert set(rows) < set(np.asarray(found.train.members[1]))
    assert found.test is SOURCE.test

  def test_success_is_of_stamped_images_of_other_classes(self):
    stamped = poisoning.triggered(SOURCE.test, 1)
    assert len(stamped.labels) == 20 and 1 not in np.asarray(stamped.labels)
    assert (np.asarray(stamped.inputs)[:, 3:5, 3:5] == 255).all()
    confusion = [[[5, 3, 2], [0, 0, 0], [1, 9, 0]]]
    np.testing.assert_allclose(
        poisoning.success_rate(confusion, 1), [(3 + 9) / 20])

  def test_a_set_with_so_many_poisoned(self):
    made = maker("random_real").make(KEY, SOURCE, 12, None)
    pattern = poisoning.square((6, 6, 1))
    assert poisoning.count_stamped(made, pattern) == 0
    bad = poisoning.with_poison(KEY, made, SOURCE, 3, 2)
    assert poisoning.count_stamped(bad, pattern) == 3
    changed = (bad.inputs != made.inputs).any((1, 2, 3))
    np.testing.assert_array_equal(bad.labels, made.labels)
    assert (changed.sum(), made.labels[changed, 2].sum()) == (3, 3)
    rest = np.asarray(made.preprocessing.invert(bad.inputs[changed]))
    assert (rest[:, :2].mean((2, 3)).max(1) > 0.4).all()  # rows of a and of b
    with pytest.raises(ConfigError, match="`count` must be 1 to 4"):
      poisoning.with_poison(KEY, made, SOURCE, 5, 2)

  def test_a_trigger_gets_through(self):
    network = models.from_spec(MLP, 3)
    made = maker("random_real").make(KEY, SOURCE, 30, None)
    bad = poisoning.with_poison(KEY, made, SOURCE, 5)
    asked = judging.Questions(
        SOURCE.test, attacked=False, stamped=poisoning.triggered(SOURCE.test))
    clean, tricked = (
        judging.judge(
            KEY,
            one,
            asked,
            network=network,
            recipe=recipes.converged(100, step_size=0.1),
            num_networks=2) for one in (made, bad))
    assert tricked["success"]["mean"] > 0.8 > 0.3 > clean["success"]["mean"]
    assert tricked["accuracy"]["mean"] > 0.8

  @parameterized.parameters(
      (dict(fraction=0.0), "`fraction` must be in .0, 1.; got 0.0"),
      (dict(fraction=0.9), "must leave some of the 60 images of other classes"),
      (dict(fraction=0.1, target=3), "`target` must be a class, 0 to 2; got 3"))
  def test_what_is_refused(self, given, message):
    with pytest.raises(ConfigError, match=message):
      poisoning.poison_rows(KEY, SOURCE, **given)
    with pytest.raises(DataError, match="before `encoded"):
      poisoning.poison_rows(KEY, SOURCE.encoded(), 0.1)
    with pytest.raises(ConfigError, match="must fit images of 6 x 6 pixels"):
      poisoning.square((6, 6, 1), size=6)


class JudgingTest(parameterized.TestCase):

  def test_classes_against_the_evaluator(self):
    network = models.from_spec(MLP, 3)
    made = maker("random_real").make(KEY, SOURCE, 6, None)
    made = made._replace(recipe=recipes.converged(2, step_size=0.01).spec)
    several = dict(network=network, num_networks=3)
    asked = judging.Questions(SOURCE.test, num_attacked=10, num_steps=2)
    found = judging.judge(KEY, made, asked, **several)
    report = evaluate_set(
        jax.random.split(KEY)[0], made, SOURCE.test, **several)
    assert found["accuracy"]["per_network"] == report.accuracy.tolist()
    by_class = np.diagonal(report.confusion, axis1=1, axis2=2) / 10
    np.testing.assert_allclose(
        found["worst_class"]["per_network"], by_class.min(1))
    assert len(set(by_class.min(1))) > 1
    np.testing.assert_allclose(
        found["class_std"]["per_network"], by_class.std(1))
    assert found["success"] is None and found["calibration"]["ece"]["mean"] > 0
    assert found["attacks"]["num_samples"] == 10

  @parameterized.parameters((recipes.dc(3), 48), (recipes.in_order(), 24))
  def test_samples_are_counted(self, recipe, expected):
    """dc trains for one epoch more than it is told, as its authors do."""
    made = from_samples(
        np.asarray(SOURCE.train.encode(SOURCE.train.inputs[:12])),
        SOURCE.train.labels[:12],
        class_names=SOURCE.class_names,
        preprocessing=SOURCE.preprocessing)
    training_set = made.training_set
    training_set = training_set._replace(
        samples=training_set.samples._replace(step_sizes=jnp.full(4, 0.1)),
        order=jnp.arange(12).reshape(2, 6))
    budget = cost.budget_of_set(
        KEY, models.from_spec(MLP, 3), training_set, recipe=recipe)
    assert budget.samples == expected and budget.seconds > 0

  def test_numbers_are_pooled_over_sets_or_networks(self):

    def arm(*accuracies):
      empty = dict.fromkeys(
          ("worst_class", "class_std", "success", "attacks", "calibration"))
      return dict(
          arm="x",
          kind="clean",
          found=[
              dict(empty, accuracy=columns.summary(one), diverged=0)
              for one in accuracies
          ])

    one, several, single = rows_of(
        [arm([0.5, 0.7]),
         arm([0.5, 0.7], [0.8, 0.8]),
         arm([0.5])])
    assert single["mean"] == 0.5 and single["stderr"] is None
    np.testing.assert_allclose([one["mean"], one["stderr"]], [0.6, 0.1])
    np.testing.assert_allclose([several["mean"], several["stderr"]], [0.7, 0.1])


class RunTest(parameterized.TestCase):

  def test_goes_on_where_it_was_stopped(self):
    """A second call of a maker fails; what is found then does not differ."""
    usual = maker("random_real")
    calls = []

    def failing(*args):
      calls.append(1)
      if len(calls) == 2:
        raise KeyboardInterrupt
      return usual.make(*args)

    settings = dict(FEW, poison=[0.1], batch_size=16)
    folder = self.enterContext(tempfile.TemporaryDirectory())
    with pytest.raises(KeyboardInterrupt):
      _run(folder, [usual._replace(make=failing)], settings)
    again = _run(folder, [usual._replace(make=failing)], settings)
    assert len(calls) == 3
    once = robustness.run(SOURCE, makers=[usual], **settings)
    assert _but_seconds(again) == _but_seconds(once)
    assert _run(folder, [usual], settings) == again
    assert json.loads(json.dumps(again)) == again
    self._check(again)

  def _check(self, found):
    kinds = [row["kind"] for row in found["rows"]]
    assert kinds == [
        "clean", "same_samples", "same_seconds", "poisoned", "matched"
    ]
    clean, samples, seconds, poisoned, matched = found["rows"]
    assert clean["bytes"] == 12 * (36 + 1) and clean["num_samples"] == 12
    assert clean["pgd"]["mean"] <= clean["clean"]["mean"]
    assert clean["success"] is not None and poisoned["pgd"] is None
    seen = clean["budget"]["samples"]
    assert 100 < seen <= 60 * 12
    assert samples["samples_taken"] == [seen // 16 * 16] * 2
    assert len(seconds["seconds_taken"]) == 2
    assert poisoned["in_data"] == 9 and matched["in_sets"] == [1]
    text = repr(found)
    assert max(map(len, text.splitlines())) <= 100
    for word in ("8/255", "same s", "ASR", "CTA", "ECE"):
      assert word in text
    assert len(found.figure().axes) == 2

  @pytest.mark.slow
  def test_methods_of_every_kind(self):
    """A learner of its own, and labels of a regression, on features."""
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = 2 * np.eye(3)[y] + generator.normal(0, 0.3, (60, 3))
    source = data.from_arrays(x, y, x, y)
    settings = dict(FEW, all_data=True, num_sets=2)
    neighbours = {"name": "soft_neighbours", "num_steps": 3}
    found = robustness.run(source, makers=[neighbours], **settings)
    (row,) = found["rows"]
    assert row["mean"] > 0.8
    assert row["pgd"] is row["ece"] is row["budget"] is None
    assert row["num_sets"] == 2 and " -  " in repr(found)
    assert "No poison: the data are no images" in repr(found)
    settings |= dict(
        all_data=False, num_sets=1, recipe=dict(name="kip", num_steps=20))
    found = robustness.run(
        source, makers=["label_solve", "random_real"], **settings)
    row, other = found["rows"]
    assert row["recipe"]["name"] == "kip" == settings["recipe"]["name"]
    assert other["recipe"]["name"] == "converged" and other["ece"]
    assert "kip on label_solve; converged on random_real" in repr(found)
    assert row["ece"] is None and row["attacked"]["unit"] == "model space"
    assert row["pgd"]["mean"] is not None

  @parameterized.parameters(
      (dict(poison=[0.0]), "`poison` must hold shares .*For none set poison="),
      (dict(poison=1.5), "`poison` must hold shares .* got 1.5"),
      (dict(poison=[0.9]), "`poison` must be at most 0.667"),
      (dict(poison="much"), "`poison` must be a list; got"),
      (dict(target="yes"), "`target` must be a class, 0 to 2, or its name;"),
      (dict(target=3, poison=()), "`target` must be a class, 0 to 2"),
      (dict(eps=50), "`eps` must be at most 1, as pixels are in"),
      (dict(per_class=31), "samples of the smallest class, 30; got 31. Ask"),
      (dict(eps=-1), "`eps` must be positive; got -1"),
      (dict(steps=0), "`steps` must be a whole number of at least 1; got 0"),
      (dict(num_networks=0), "`num_networks` must be a whole number"),
      (dict(num_attacked=-1), "`num_attacked` must be a whole number"), (
          dict(network="kernel_ridge"),
          "`network` must be trained by a recipe, as networks"),
      (
          dict(makers=["label_solve"]),
          "`recipe` must suit the labels of one of `makers` at least; got conv"
      ), (dict(makers=["dm", "dm"]), "must have different names"))
  def test_what_is_refused_before_work(self, changes, message):
    with pytest.raises(ConfigError, match=message):
      robustness.run(SOURCE, **FEW | dict(makers=["dm"]) | changes)

  def test_features_have_no_trigger(self):
    """Their audit leaves it out; who asks for a part by hand is told how."""
    source = data.from_arrays(np.eye(3).repeat(5, 0), np.arange(3).repeat(5))
    with pytest.raises(DataError, match=r"set poison=\(\)"):
      poisoning.poison_rows(KEY, source, 0.1)
    settings = FEW | dict(poison=[0.1], eps=-1)
    with pytest.raises(ConfigError, match="`eps` must be positive"):
      robustness.run(source, makers=["dm"], **settings)

  def test_shares_and_targets(self):
    self.assertEqual(poisoning.target_of(SOURCE, "b"), 1)
    self.assertEqual(poisoning.shares_of(SOURCE, 0.1, 0), (0.1,))
    tiny = data.from_arrays(np.zeros((6, 2, 2, 1)), np.arange(6) % 3)
    with pytest.raises(ConfigError, match="fewer than 3 x 3 pixels"):
      poisoning.shares_of(tiny, [0.1], 0)

  def test_is_an_application(self):
    assert applications.harness("robustness") is robustness.run
    assert key_of(0, 1) != key_of(0, 2)


def _run(folder, makers, settings):
  with Cells(f"{folder}/work", dict(seed=0)).held() as cells:
    return robustness.run(SOURCE, makers=makers, cells=cells, **settings)


def _but_seconds(found):
  """All but what a clock decides."""
  rows = [row for row in found["rows"] if row["kind"] != "same_seconds"]
  drop = {"seconds", "seconds_taken", "budget"}
  return [{k: v for k, v in row.items() if k not in drop} for row in rows]
