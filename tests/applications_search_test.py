"""A search: its space, what it trains on, and what it says of choices."""

import itertools
from collections import Counter

import chex
import jax
import numpy as np
import pytest
from absl.testing import parameterized

import distill_jax as dd
from distill_jax import models
from distill_jax.applications import (
    Cells,
    maker,
    search,
    search_arms,
    search_report,
    search_training,
)
from distill_jax.data import from_arrays
from distill_jax.evaluation import evaluate_set, ranking, recipes
from distill_jax.evaluation.learners import student

KEY = jax.random.key(0)
MLPS = [dict(name="mlp", widths=[w]) for w in (2, 6, 16)]
RECIPE = dict(name="rat_bptt", num_steps=12, batch_size=6, step_size=0.02)
SMALL = dict(
    space=MLPS,
    arms=["random_real", "early_stopping", "byte_matched_real"],
    per_class=2,
    recipe=RECIPE,
    num_networks=2,
    num_truth_samples=30,
    truth_epochs=2,
    num_resamples=20)


def _source(**parts):
  """8x8 images of three classes: a bright third, and noise."""
  generator = np.random.RandomState(0)
  y = np.arange(150) % 3
  x = generator.uniform(0, 90, size=(150, 8, 8))
  x[np.arange(150), 2 * y] += 100
  x = x.astype(np.uint8)
  parts = {
      **dict(x_validation=x[60:105], y_validation=y[60:105]),
      **dict(x_test=x[105:], y_test=y[105:]),
      **parts
  }
  return from_arrays(x[:60], y[:60], **parts)


class Spaces(parameterized.TestCase):

  def test_the_whole_grid(self):
    space = search.conv_grid()
    assert len(space) == len({str(s) for s in space}) == 720
    for spec in search.sampled(space, 12, seed=1):
      network = models.from_spec(spec, 10)
      shapes = jax.eval_shape(network.init, KEY, np.zeros((1, 16, 16, 3)))
      chex.assert_equal(
          sum("Conv" in name for name in str(shapes).split("'")) > 0, True)
      assert dict(network.spec)["pool"] == spec["pool"]
      assert dict(network.spec)["norm"] == spec["norm"]

  def test_a_sample_is_balanced(self):
    space = search.conv_grid()
    chosen = search.sampled(space, 60, seed=3)
    assert chosen == sorted(chosen, key=space.index)
    for field, values in (("width", 4), ("depth", 4), ("norm", 5),
                          ("activation", 3), ("pool", 3)):
      counts = Counter(one[field] for one in chosen)
      assert len(counts) == values
      assert max(counts.values()) - min(counts.values()) <= 2, counts
    pairs = Counter((one["norm"], one["pool"]) for one in chosen)
    assert len(pairs) == 15 and max(pairs.values()) <= 6
    assert search.sampled(space, 60, seed=3) == chosen
    assert search.sampled(space, 60, seed=4) != chosen
    assert search.sampled(space, 800) == space

  def test_fields_of_networks_and_recipes_are_crossed(self):
    made = search.candidates(
        dict(width=[8, 16], step_size=[0.01, 0.1, 1.0]), RECIPE)
    assert len(made) == 6
    assert search.labels(made)[1] == "width=8 step_size=0.1"
    assert made[0].network["depth"] == 3
    recipes_alone = search.candidates(
        [recipes.rat_bptt(step_size=s) for s in (0.1, 0.2)], RECIPE)
    assert [one.network for one in recipes_alone] == [None, None]
    assert search.labels(recipes_alone) == ["step_size=0.1", "step_size=0.2"]

  def test_networks_of_ones_own(self):
    made = search.candidates([dd.mlp(3)._replace(spec=()), "lenet"], RECIPE)
    assert search.labels(made) == ["network 1", "name=lenet"
                                  ] or (len(set(search.labels(made))) == 2)

  @parameterized.parameters(
      (dict(norm=["batch", "bach"]), "`norm` must be one of"),
      (dict(width=8), "`width` must be a list"),
      (dict(rate=[1, 2]), "here of rat_bptt: .* got 'rate'"),
      (["lenet"], "at least two candidates; got 1"),
      (["lenet", "lenet"], "each candidate once"),
      (["lenet", "lenett"], "Did you mean 'lenet'"),
      (["lenet", dict(name="adam")], "recipes of the name 'rat_bptt'"),
      ([1, 2], "must hold networks, settings"), ("convnet", "`space` must be"))
  def test_refuses(self, space, message):
    with pytest.raises(ValueError, match=message):
      search.candidates(space, RECIPE)


class Arms(parameterized.TestCase):

  @parameterized.parameters(
      (dict(name="rat_bptt", num_steps=7, batch_size=4), 28, 1),
      (dict(name="rat_bptt", num_steps=50, batch_size=100), 500, 1),
      (dict(name="adam", num_epochs=40, batch_size=4), 400, 10),
      (dict(name="dsa", num_epochs=39, batch_size=100), 400, 10))
  def test_early_stopping_processes_as_many_samples(
      self, recipe, processed, passes):
    """A set of 10 samples; of dsa E + 1 epochs, of adam E."""
    source = from_arrays(
        np.arange(2000.0).reshape(1000, 2),
        np.arange(1000) % 2,
        test_fraction=0)
    arm = search_arms.early_stopping(KEY, source, 10, recipe)
    assert arm.num_images == processed // passes
    inputs = np.asarray(arm.training_set.samples.inputs)
    assert len(np.unique(inputs, axis=0)) == arm.num_images
    made = recipes.from_spec(arm.adapt(recipe)).spec
    assert made["batch_size"] == min(10, recipe["batch_size"])
    if "num_steps" in made:
      assert made["num_steps"] * made["batch_size"] == processed
    else:
      epochs = made["num_epochs"] + (made["name"] == "dsa")
      assert epochs * arm.num_images == processed

  def test_early_stopping_repeats_few_samples(self):
    arm = search_arms.early_stopping(
        KEY, _source(), 10, dict(name="adam", num_epochs=120, batch_size=10))
    made = arm.adapt(dict(name="adam", num_epochs=120, batch_size=10))
    assert (arm.num_images, made["num_epochs"]) == (60, 20)

  def test_the_truth_has_so_many_epochs(self):
    arm = search_arms.truth(
        KEY, _source(), RECIPE, num_samples=50, num_epochs=3)
    assert arm.num_images == len(arm.training_set.samples.inputs) == 50
    assert arm.num_bytes == 50 * 65
    # Nine batches of six; a candidate of twice the length has twice as many.
    assert arm.adapt(RECIPE)["num_steps"] == 27
    assert arm.adapt({**RECIPE, "num_steps": 24})["num_steps"] == 54
    assert arm.adapt({**RECIPE, "batch_size": 25})["num_steps"] == 6

  def test_bytes_are_matched_class_by_class(self):
    source = _source()
    arm = search_arms.byte_matched(KEY, source, 65 * 21 + 5)
    assert (arm.num_images, arm.num_bytes) == (21, 65 * 21)
    counts = np.asarray(arm.training_set.samples.labels).sum(0)
    np.testing.assert_array_equal(counts, [7, 7, 7])

  def test_centred_labels_become_those_of_cross_entropy(self):
    labels = np.eye(3, dtype=np.float32) - 1 / 3
    made = dd.from_samples(
        np.zeros((3, 4), np.float32),
        labels,
        class_names=("a", "b", "c"),
        label_space="centred",
        recipe=dict(name="kip"))
    arm = search_arms.of_artifact("kip", made)
    np.testing.assert_allclose(
        arm.training_set.samples.labels, np.eye(3), atol=1e-6)

  @parameterized.parameters(
      (dict(recipe=dict(name="kip")), "must be of cross-entropy"),
      (dict(recipe=dict(name="in_order")), "must count updates or epochs"),
      (dict(arms=["early_stopping"]), "must have a maker"),
      (dict(arms=[dict(name="dd", fixed=True)]), "initialisation of dd is"),
      (dict(arms="dm"), "`arms` must be a list; got 'dm'"),
      (dict(arms=[]), "`arms` must name at least one"),
      (dict(per_class=21), "samples of the smallest class, 20; got 21"),
      (dict(num_truth_samples=-3), "`num_truth_samples` must be a whole"),
      (dict(network=dd.mlp(3)._replace(spec=())), "must have a specification"))
  def test_refuses(self, settings, message):
    with pytest.raises(ValueError, match=message):
      search.run(_source(), **{**SMALL, **settings})

  def test_searches_step_sizes_of_what_are_no_images(self):
    x, y = np.zeros((30, 2)), np.arange(30) % 3
    source = from_arrays(x, y, x, y, x_validation=x, y_validation=y)
    settings = dict(
        SMALL,
        space="auto",
        network=dict(name="convnet", width=8),
        num_candidates=2,
        arms=["random_real"],
        num_networks=1)
    found = search.run(source, **settings)
    assert found["settings"]["space"] == "step_sizes"
    assert found["settings"]["network"]["name"] == "mlp"
    assert search.fits_images_alone("convnets")
    assert not search.fits_images_alone(MLPS)

  @parameterized.parameters("validation", "test")
  def test_refuses_to_choose_without(self, part):
    with pytest.raises(ValueError, match=f"must have a {part} part"):
      search.run(_source()._replace(**{part: None}), **SMALL)


class Findings(parameterized.TestCase):

  def _found(self, topk_by="full"):
    """Five candidates, two arms and the truth, as if they had been trained."""
    given = dict(
        bad=(0.9, 0.8, 0.7, 0.6, 0.5),
        good=(0.5, 0.6, 0.8, 0.7, 0.9),
        all_data=(0.55, 0.65, 0.75, 0.85, 0.95))
    arms = [
        search_arms.Arm(name, None, dict, 10 * i, 1000 * i, 6.0 * i)
        for i, name in enumerate(given)
    ]

    def net(accuracy, seconds=1.5):
      return dict(
          accuracy=accuracy, diverged=0, seconds=seconds, compile_seconds=2.0)

    found = [[[net(row[i] - 0.1), net(row[i] + 0.1)]
              for row in given.values()]
             for i in range(5)]
    asked = []

    def test(few, names):
      asked.extend(names)
      return [[[net(0.2), net(0.6)]] for _ in few]

    chosen = search.candidates(dict(depth=[1, 2, 3, 4, 5]), RECIPE)
    report = search_report.findings(
        chosen,
        arms,
        found,
        test,
        lambda *a: ranking.agreement(*a, topk_by=topk_by, num_resamples=99),
        0,
        settings=dict(
            num_networks=2,
            num_candidates=5,
            num_validation=100,
            num_truth_samples=50,
            num_train=60,
            truth_epochs=3))
    return report, asked

  def test_of_a_known_table(self):
    found, asked = self._found()
    bad, good, truth = found["rows"]
    assert bad["spearman"]["value"] == bad["kendall"]["value"] == -1
    # Ranks 1 2 4 3 5: sum of squares 2, rho = 1 - 12 / 120; one of ten pairs
    # disagrees.
    assert good["spearman"]["value"] == pytest.approx(0.9)
    assert good["kendall"]["value"] == pytest.approx(0.8)
    assert truth["spearman"] == dict(value=1, low=1, high=1)
    assert bad["regret"] == pytest.approx(0.4)
    assert good["regret"] == bad["regret_at_5"] == 0
    assert (bad["chosen"], good["chosen"]) == ("depth=1", "depth=5")
    assert asked == ["depth=1", "depth=5"]  # and no other meets the test
    assert bad["mean"] == pytest.approx(0.4)
    # std of (.2, .6) is .4 / sqrt(2), over sqrt(2).
    assert bad["stderr"] == pytest.approx(0.2)
    assert bad["full_accuracy"] == pytest.approx(0.55)
    assert (good["seconds"], good["seconds_compiling"]) == (21.0, 10.0)
    assert (good["images"], good["bytes"],
            good["num_networks"]) == (10, 1000, 2)
    assert (bad["num_best"], good["num_best"]) == (1, 1)
    bad["num_best"] = 3
    text = " ".join(str(found).split())
    assert "depth=1, the first of 3 that are equally good there" in text
    assert text.count("equally good") == 1

  def test_prints_and_draws(self):
    found, _ = self._found()
    text = str(found)
    sentences = " ".join(text.split())
    assert "0.90 [" in text and "reduced all data, 50 of 60" in sentences
    assert "bad chose depth=1" in text and max(map(len, text.split("\n"))) < 101
    panels = [axes for axes in found.figure().axes if axes.get_visible()]
    assert [axes.get_title().split("\n")[0] for axes in panels
           ] == ["bad", "good"]
    offsets = panels[1].collections[0].get_offsets()
    np.testing.assert_allclose(offsets[2], [80, 75])

  def test_batch_norm_is_listed_apart(self):
    chosen = search.candidates(
        dict(norm=["none", "batch"], width=[4, 8]), RECIPE)
    arms = [search_arms.Arm(n, None, dict, 1, 1) for n in ("set", "all_data")]
    net = dict(diverged=0, seconds=0.0, compile_seconds=0.0)
    found = [[[dict(net, accuracy=a)], [dict(net, accuracy=b)]]
             for a, b in ((0.1, 0.1), (0.2, 0.2), (0.3, 0.05), (0.4, 0.01))]
    report = search_report.findings(
        chosen,
        arms,
        found,
        lambda few, names: [[[dict(net, accuracy=0.5)]] for _ in few],
        lambda *a: ranking.agreement(*a, num_resamples=9),
        0,
        settings={})
    row = report["rows"][0]
    assert row["spearman"]["value"] < 0
    assert row["spearman_without_batch_norm"]["value"] is None  # of two alone


class Runs(parameterized.TestCase):

  def test_goes_on_to_an_equal_result(self):
    source = _source()
    whole = search.run(source, seed=1, **SMALL)
    cells = Cells()
    kept = cells.json
    calls = itertools.count()

    def stopped(name, make):
      if next(calls) == 9:
        raise KeyboardInterrupt
      return kept(name, make)

    cells.json = stopped
    with pytest.raises(KeyboardInterrupt):
      search.run(source, seed=1, cells=cells, **SMALL)
    again = search.run(source, seed=1, cells=cells, **SMALL)
    assert again["table"] == whole["table"]
    for ours, theirs in zip(again["rows"], whole["rows"], strict=True):
      timed = [k for k in ours if k.startswith("seconds")]
      assert {
          k: v for k, v in ours.items() if k not in timed
      } == {
          k: v for k, v in theirs.items() if k not in timed
      }
    names = list(cells._memory)
    assert sum(n.startswith("scores/") for n in names) == 3 * 4 * 2
    tested = {n.split("/")[2] for n in names if n.startswith("test/")}
    assert tested == {
        row["chosen"].replace("[", "_").replace("]", "_")
        for row in whole["rows"]
    }
    rows = {row["arm"]: row for row in whole["rows"]}
    assert rows["random_real"]["bytes"] == 6 * 65
    assert rows["byte_matched_real"]["images"] == 6
    assert rows["early_stopping"]["images"] == 60
    assert rows["all_data"]["regret"] == 0

  def test_scores_are_those_of_the_evaluator(self):
    source = _source()
    made = maker("random_real").make(KEY, source, 6, None)
    recipe = {**RECIPE, "num_steps": 2}
    given = dict(num_networks=3)
    found = search.scores(
        KEY, MLPS[:2], made, source.validation, recipe=recipe, **given)
    learner = student(models.from_spec(MLPS[1], 3), recipes.from_spec(recipe))
    wanted = evaluate_set(
        KEY, made, source.validation, learner=learner, **given).accuracy
    assert len(set(wanted)) > 1
    np.testing.assert_allclose(found[1], wanted)

  def test_long_labels_have_cells_of_their_own(self):
    cells = Cells()
    arm = search_arms.of_artifact(
        "set",
        maker("random_real").make(KEY, _source(), 6, None))
    cells.json = lambda name, make: {"name": name}
    found = search_training.trained([KEY],
                                    search.candidates(MLPS[:2], RECIPE), [arm],
                                    _source().validation,
                                    recipe=RECIPE,
                                    network={},
                                    cells=cells,
                                    names=["a" * 200 + "b", "a" * 200 + "c"])
    first, second = (one[0][0]["name"] for one in found)
    assert first != second and len(first) < 160

  def test_equal_shapes_share_a_program_which_is_then_freed(self):
    source = _source()
    arms = [
        search_arms.of_artifact(name,
                                maker(name).make(KEY, source, 6, None))
        for name in ("random_real", "class_mean", "herding")
    ]
    programs = {}
    learner = student(models.from_spec(MLPS[0], 3), recipes.rat_bptt(3))
    client = jax.devices()[0].client
    for arm in arms:
      found = search_training.fit_and_test(
          KEY, learner, arm.training_set, source.validation, programs)
      assert set(found) == {
          "accuracy", "diverged", "seconds", "compile_seconds"
      }
    assert len(programs) == 1
    before = len(client.live_executables())
    programs.clear()
    assert len(client.live_executables()) == before - 1
