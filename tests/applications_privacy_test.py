"""The audit against hand values, simulated leaks and what must not leak."""

import sys
import tempfile

import jax
import jax.flatten_util
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized
from scipy import stats

import distill_jax as dd
from distill_jax import models, neighbours
from distill_jax.applications import (
    Cells,
    accounting,
    maker,
    makers,
    membership,
    noised_means,
    outputs,
    privacy,
    privacy_report,
    privacy_rows,
    programs,
    small_sets,
)
from distill_jax.data import from_arrays
from distill_jax.errors import ConfigError, DataError
from distill_jax.evaluation import fitting, recipes
from distill_jax.evaluation.private import capacity
from distill_jax.labels import classes_of

KEY = jax.random.key(0)
NETWORK = dict(name="mlp", widths=[16])
RECIPE = dict(name="converged", num_steps=60, batch_size=16)
DM = dict(name="dm", num_steps=3, batch_size=4)


def _source(num=160, num_classes=3, seed=0):
  generator = np.random.RandomState(seed)
  y = np.arange(num) % num_classes
  x = generator.normal(size=(num, 12)) + 0.7 * y[:, None]
  return from_arrays(x.astype(np.float32), y, test_fraction=0.2)


def _audit(source, **settings):
  given = dict(
      arms=["all_real", "random_real",
            dict(DM, start="real")],
      num_candidates=72,
      num_pipelines=6,
      per_class=2,
      num_canaries=6,
      network=NETWORK,
      recipe=RECIPE,
      early_steps=(),
      epsilons=())
  return privacy.run(source, **given | settings)


class MembershipTest(parameterized.TestCase):

  def test_each_candidate_is_in_half_of_the_pipelines(self):
    classes = np.repeat([0, 1, 2], (4, 6, 10))
    keep = membership.keep_matrix(KEY, 8, classes)
    np.testing.assert_array_equal(keep.sum(0), np.full(20, 4))
    np.testing.assert_array_equal(keep[::2], ~keep[1::2])
    for c, half in enumerate((2, 3, 5)):
      np.testing.assert_array_equal(keep[:, classes == c].sum(1), [half] * 8)
    assert len(np.unique(keep[::2], axis=0)) == 4

  @parameterized.parameters(([[2.0, 0.0, 0.0]], [0], 2 - np.log(2)),
                            ([[2.0, 0.0, 0.0]], [1], -np.log(np.exp(2) + 1)),
                            ([[800.0, 0.0, -800.0]], [0], 800.0),
                            ([[1.5]], [1], 1.5), ([[1.5]], [0], -1.5),
                            ([[np.nan, 0.0, 1.0]], [1], 0.0))
  def test_statistic(self, logits, label, wanted):
    found = membership.statistic(logits, label)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [wanted], atol=1e-6)

  def test_scores_are_likelihood_ratios(self):
    generator = np.random.RandomState(3)
    keep = membership.keep_matrix(KEY, 8, np.zeros(6, int))
    phi = generator.normal(size=keep.shape) * (1 + keep)
    found = membership.scores(phi, keep)
    m, others = 5, [0, 1, 2, 3, 6, 7]
    values = {
        side:
            np.array(
                [phi[others, z][keep[others, z] == side] for z in range(6)])
        for side in (True, False)
    }
    mu = {side: np.median(v, 1) for side, v in values.items()}
    own = {side: v.std(1, ddof=1) for side, v in values.items()}
    pooled = {s: np.sqrt(v.var(1, ddof=1).mean()) for s, v in values.items()}
    for name, sd in (("online", own), ("online_fixed", pooled)):
      ratio = (
          stats.norm.logpdf(phi[m], mu[True], sd[True]) -
          stats.norm.logpdf(phi[m], mu[False], sd[False]))
      np.testing.assert_allclose(found[name][m], ratio, rtol=1e-9)
    for name, sd in (("offline", own), ("offline_fixed", pooled)):
      np.testing.assert_allclose(
          found[name][m], (phi[m] - mu[False]) / sd[False], rtol=1e-9)

  def test_scores_do_not_know_the_attacked_pair(self):
    keep = membership.keep_matrix(KEY, 6, np.zeros(10, int))
    phi = np.random.RandomState(1).normal(size=keep.shape)
    other = keep.copy()
    other[2:4] = ~other[2:4]
    for name in membership.ATTACKS:
      np.testing.assert_array_equal(
          membership.scores(phi, keep)[name][2:4],
          membership.scores(phi, other)[name][2:4])

  def test_a_shift_of_one_standard_deviation(self):
    generator = np.random.RandomState(0)
    classes = np.repeat(np.arange(10), 200)
    keep = membership.keep_matrix(KEY, 64, classes)
    level = 3 * generator.normal(size=(1, 2000))
    phi = generator.normal(size=keep.shape) + keep + level
    areas = {
        name: membership.Curve(score, keep).auc()
        for name, score in membership.scores(phi, keep).items()
    }
    wanted = stats.norm.cdf(1 / np.sqrt(2))  # 0.7602
    for name in ("online_fixed", "offline_fixed"):
      assert abs(areas[name] - wanted) < 0.01, areas
    assert areas["threshold"] < 0.65  # levels hide it
    nothing = membership.permuted(KEY, phi, classes, num=3)
    np.testing.assert_allclose(nothing, 0.5, atol=0.01)

  def test_curve_by_hand(self):
    score = np.array([[3.0, 2.0], [2.0, 1.0]])
    member = np.array([[True, False], [True, False]])
    curve = membership.Curve(score, member)
    np.testing.assert_allclose(curve.fpr, [0, 0, 0.5, 1])
    np.testing.assert_allclose(curve.tpr, [0, 0.5, 1, 1])
    assert curve.auc() == 0.875
    assert curve.at(0.4) == (0.0, 0.5)
    assert curve.at(0.5) == (0.5, 1.0)
    few = membership.Curve(score, member, np.array([[1, 1], [0, 0]], bool))
    assert few.auc() == 1.0

  def test_resampling_is_repetition(self):
    generator = np.random.RandomState(2)
    keep = membership.keep_matrix(KEY, 6, np.zeros(8, int))
    score = generator.normal(size=keep.shape).round(1) + keep
    found = membership.Curve(score, keep).resampled(KEY, 3)
    drawn = np.asarray(jax.random.randint(KEY, (3, 3), 0, 3))
    for row, auc in zip(drawn, found["auc"], strict=True):
      rows = np.stack([2 * row, 2 * row + 1], 1).ravel()
      again = membership.Curve(score[rows], keep[rows])
      np.testing.assert_allclose(auc, again.auc(), rtol=1e-9)

  @parameterized.parameters((0, 20), (20, 20), (3, 10), (1, 2000))
  def test_clopper_pearson(self, hits, trials):
    interval = stats.binomtest(hits, trials).proportion_ci(0.95, "exact")
    found = membership.clopper_pearson(hits, trials)
    np.testing.assert_allclose(found, interval, atol=1e-9)
    if hits == 0:
      np.testing.assert_allclose(found, [0, 1 - 0.025**(1 / trials)])
    if hits == trials:
      np.testing.assert_allclose(found, [0.025**(1 / trials), 1])

  def test_precision(self):
    np.testing.assert_allclose(
        membership.precision(0.5, 0.01, 0.01), 0.33557, 1e-4)
    assert membership.precision(0.0, 0.0, 0.1) is None

  def test_pairs_are_needed(self):
    phi, keep = np.zeros((6, 4)), np.ones((6, 4), bool)
    with pytest.raises(ConfigError, match="complementary pairs"):
      membership.scores(phi, keep)
    with pytest.raises(ConfigError, match="`num_pipelines` must be even"):
      membership.keep_matrix(KEY, 7, np.zeros(4, int))


class CandidatesTest(parameterized.TestCase):

  @parameterized.parameters((0, 0), (2, 2), (7, 6))
  def test_classes_stay_equal_and_canaries_are_wrong(self, asked, given):
    source = _source()
    found = privacy.draw_candidates(KEY, source, 72, asked)
    np.testing.assert_array_equal(found.source.train.counts, [24, 24, 24])
    assert found.canary.sum() == given
    true = np.asarray(source.train.labels)[found.rows]
    np.testing.assert_array_equal(found.classes != true, found.canary)
    np.testing.assert_array_equal(
        found.source.train.inputs, source.train.inputs[found.rows])
    assert len(np.unique(found.rows)) == 72

  def test_all_that_classes_have_are_taken_where_more_are_asked_for(self):
    source = _source()
    found = privacy.draw_candidates(KEY, source, 500, 0)
    np.testing.assert_array_equal(
        found.source.train.counts, source.train.counts // 2 * 2)

  def test_nearest(self):
    found = privacy.nearest([[0.0, 0.0], [3.0, 4.0]], [[0.0, 1.0], [3.0, 4.0]])
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-12)


class MakersTest(parameterized.TestCase):

  def test_a_label_is_the_name_in_tables(self):
    given = dict(DM, label="dm_again")
    for spec in (given, dict(method=DM, network=NETWORK, label="dm_again")):
      made = maker(spec)
      assert (made.name, made.method.name,
              made.spec) == ("dm_again", "dm", spec)
    assert [one.name for one in makers.makers(["dm", given])
           ] == ["dm", "dm_again"]
    with pytest.raises(ConfigError, match="letters, digits"):
      makers.makers(["dm", dict(given, label="dm again")])
    with pytest.raises(ConfigError, match="`maker` must be one of"):
      maker(dict(method=DM, name="dm_again"))

  def test_a_set_knows_its_seconds(self):
    source = _source()
    made = small_sets.timed(maker("random_real"), KEY, source, 3, NETWORK)
    assert small_sets.seconds_of(made) == made.provenance["seconds_made"] >= 0
    assert small_sets.seconds_of(made._replace(provenance=dict(seconds=2))) == 2
    # Twelve float32 and a class of one byte.
    each = small_sets.bytes_of_sample(source)
    assert each * 3 == small_sets.stored_bytes(made, True)


class OutputsTest(parameterized.TestCase):

  @parameterized.parameters(2, 3)
  def test_outputs_of_learners_of_their_own(self, num_classes):
    """The largest is what is predicted, and neighbours say probabilities."""
    source = _source(num_classes=num_classes)
    made = maker("random_real").make(KEY, source, 2 * num_classes, None)
    for name, settings in (("soft_neighbours", dict(k=2)), ("linear_probe",
                                                            {})):
      spec = dict(name=name, **settings)
      own = made._replace(network=spec)
      found = outputs.fit(KEY, own, network=NETWORK, recipe=RECIPE)
      assert found.untrained is None
      said = found.outputs(source.test)
      predict = fitting.own_learner(spec).fit(KEY, own.training_set)
      inputs = source.test.encode(source.test.inputs)
      np.testing.assert_array_equal(classes_of(said), predict(inputs))
      if name == "soft_neighbours":
        p = 1 / (1 + np.exp(-said)) if num_classes == 2 else np.exp(said)
        wanted = neighbours.soft_predictions(
            inputs, *own.training_set.samples[:2], 2)
        np.testing.assert_allclose(p, wanted, atol=1e-5)


class NoisedMeansTest(parameterized.TestCase):

  @parameterized.product(epsilon=(0.5, 1.0, 8.0), sensitivity=(1.0, 1.3))
  def test_noise_is_that_of_the_analytic_mechanism(self, epsilon, sensitivity):
    pytest.importorskip("dp_accounting")
    scale = accounting.noise_scale(epsilon, 1e-5, sensitivity)
    # Balle & Wang, 2018, arXiv 1805.06530, theorem 8.
    a, b = sensitivity / (2 * scale), epsilon * scale / sensitivity
    delta = stats.norm.cdf(a - b) - np.exp(epsilon) * stats.norm.cdf(-a - b)
    np.testing.assert_allclose(delta, 1e-5, rtol=1e-3)

  def test_one_sample_moves_the_release_by_no_more_than_the_sensitivity(self):
    source = _source()
    network = dd.models.from_spec(NETWORK, 3)
    public = noised_means._public(
        KEY, source.example, network=network, num_networks=2, num_features=5)

    def released(rows, scale):
      return noised_means.release(
          KEY, source.take(rows).train, public, scale, 0.5, network=network)

    sums, counts = released(np.arange(20), 0.0)
    fewer, counted = released(np.arange(19), 0.0)
    change = np.append(np.ravel(sums - fewer), 0.5 * (counts - counted))
    np.testing.assert_allclose(
        np.linalg.norm(change), np.hypot(1.0, 0.5), rtol=1e-4)
    assert np.count_nonzero(np.abs(sums - fewer).sum(1) > 1e-4) == 1
    noised, counted = released(np.arange(20), 3.0)
    noise = np.append(np.ravel(noised - sums), 0.5 * (counted - counts))
    np.testing.assert_allclose(noise.std(), 3.0, rtol=0.4)
    np.testing.assert_allclose(0.5 * (counted - counts), noise[-3:])
    assert np.abs(counted - counts).min() > 0

  def test_a_set_says_what_it_guarantees(self):
    pytest.importorskip("dp_accounting")
    made = noised_means.maker(
        2.0, 1e-4, num_steps=2).make(KEY, _source(), 6, NETWORK)
    guarantee = made.provenance["privacy"]
    assert (guarantee["epsilon"], guarantee["delta"]) == (2.0, 1e-4)
    assert guarantee["neighbours"] == "add or remove one sample"
    assert "fingerprint" not in made.provenance  # which depends on the data
    assert made.num_samples == 6 and np.isfinite(made.inputs).all()

  def test_without_the_library_there_is_a_remedy(self):
    absent = dict.fromkeys(("dp_accounting", "dp_accounting.pld"))
    with absltest.mock.patch.dict(sys.modules, absent):
      with pytest.raises(ConfigError, match="pip install 'distill_jax.privacy"):
        _audit(_source(), epsilons=(1.0,))

  def test_a_rate_of_few_non_members_is_left_out(self):
    found = dict(tpr={"0.001": dict(rate=0.02)})
    assert privacy_report._rare(dict(found, others=999)) == "-"
    assert privacy_report._rare(dict(found, others=1000)) == "2.00"

  def test_limit(self):
    found = privacy_rows.limit(2.0)  # mu = 1
    np.testing.assert_allclose(found["auc"], 0.7602, atol=1e-4)
    np.testing.assert_allclose(
        found["tpr"]["0.01"], stats.norm.sf(2.3263 - 1), atol=1e-4)
    assert privacy_rows.limit(float("nan")) is None
    found = privacy_rows.limit(float("nan"), (0.5, 1e-3))
    # One sample removed and one added: (1, 1e-3 + e^0.5 1e-3).
    wanted = np.e * 0.01 + (1 + np.exp(0.5)) * 1e-3
    np.testing.assert_allclose(found["tpr"]["0.01"], wanted, rtol=1e-6)
    # Two straight lines that meet on the other diagonal: area by hand.
    extra = wanted - np.e * 0.01
    meet = (1 - extra) / (1 + np.e)
    below = meet * (extra + 1 - meet) / 2
    np.testing.assert_allclose(
        found["auc"],
        below + (1 - extra - meet) * (2 - meet) / 2 + extra,
        atol=1e-6)


class PrivateTrainingTest(parameterized.TestCase):
  """The recipe `dp_sgd`."""

  def setUp(self):
    super().setUp()
    self.network = models.from_spec(NETWORK, 3)
    self.variables = self.network.init(KEY, np.zeros((1, 12), np.float32))

  def _step(self, num=9, **settings):
    """What one step takes from all weights, as one vector."""
    source = _source()
    made = maker("all_real").make(KEY, source.take(np.arange(num)), num, None)
    given = dict(
        num_steps=1, noise_multiplier=1e-9, batch_size=num, step_size=1.0)
    recipe = recipes.from_spec({"name": "dp_sgd", **given, **settings})
    after = jax.jit(
        lambda training_set: recipe.train(
            jax.random.key(3), self.network, self.variables, training_set))(
                made.training_set)
    change = jax.tree.map(
        lambda a, b: a - b, self.variables["params"], after["params"])
    return np.asarray(jax.flatten_util.ravel_pytree(change)[0])

  def test_all_samples_without_noise_are_plain_gradient_descent(self):
    step = self._step(clip_norm=1e6, noise_multiplier=1e-12)
    train = _source().take(np.arange(9)).train
    rows = jax.nn.one_hot(train.labels, 3)

    def loss(params):
      logits, _ = self.network.apply({"params": params},
                                     train.encode(train.inputs))
      return optax.softmax_cross_entropy(logits, rows).mean()

    wanted = jax.grad(loss)(self.variables["params"])
    wanted = jax.flatten_util.ravel_pytree(wanted)[0]
    np.testing.assert_allclose(step, wanted, atol=2e-6)

  def test_one_sample_moves_the_sum_by_no_more_than_the_clipping_norm(self):
    more, fewer = (num * self._step(num, clip_norm=0.01) for num in (9, 8))
    np.testing.assert_allclose(np.linalg.norm(more - fewer), 0.01, rtol=1e-3)

  def test_noise_is_so_much_of_the_clipping_norm(self):
    noise = 9 * self._step(clip_norm=0.01, noise_multiplier=30.0)
    np.testing.assert_allclose(noise.std(), 0.3, rtol=0.1)

  def test_samples_are_taken_independently_and_all_fit(self):
    sizes = [capacity(size, 0.2) for size in (1, 10, 1000)]
    assert sizes[:2] == [1, 10] and 290 < sizes[2] < 320, sizes
    assert stats.binom.sf(sizes[2], 1000, 0.2) < 1e-15
    # A sum over a random part of the samples, each of which counts once.
    sums = [num * self._step(num, clip_norm=0.01) for num in range(1, 5)]
    each = np.diff([np.zeros_like(sums[0]), *sums], axis=0)
    part = 2 * self._step(4, batch_size=2, clip_norm=0.01)
    shares = np.linalg.lstsq(each.T, part)[0]
    np.testing.assert_allclose(shares, shares.round(), atol=1e-2)
    assert set(shares.round()) == {0.0, 1.0}, shares

  def test_statistics_of_a_batch_are_refused(self):
    self.variables = {**self.variables, "batch_stats": {"mean": np.zeros(3)}}
    with pytest.raises(ValueError, match="must keep no statistics"):
      self._step()

  def test_an_audit_has_an_arm_of_it(self):
    pytest.importorskip("dp_accounting")
    found = _audit(
        _source(),
        arms=["all_real"],
        epsilons=(1.0,),
        noised=dict(num_steps=2),
        dp_sgd=dict(num_steps=3, batch_size=8))
    rows = {row["arm"]: row for row in found["rows"]}
    assert list(rows) == ["all_real", "noised_means_eps1", "dp_sgd_eps1"]
    assert rows["dp_sgd_eps1"]["guarantee"] == [1.0, 1e-5]
    assert 0.07 < rows["dp_sgd_eps1"]["limit"]["tpr"]["0.01"] < 0.08
    assert rows["all_real"]["limit"] is None
    assert rows["dp_sgd_eps1"]["pixels"] is None  # no set is given away


class AuditTest(parameterized.TestCase):

  def test_audit_finds_copies_and_passes_its_checks(self):
    found = _audit(_source())
    rows = {row["arm"]: row for row in found["rows"]}
    assert list(rows) == ["all_real", "random_real", "dm_real"]
    for row in rows.values():
      assert all(c is None or c["passed"] for c in row["checks"].values()), row
      assert row["canaries"]["members"] == 6 * 3
    everything = rows["all_real"]
    assert everything["pixels"]["threshold"]["auc"] == 1.0
    assert everything["seen"] is None and everything["num_samples"] == 36
    # Six of 36 samples of each of six pipelines are in the set, or its start.
    for name in ("random_real", "dm_real"):
      assert rows[name]["seen"]["members"] == 36
      assert rows[name]["seen"]["others"] == 6 * 36
    assert rows["random_real"]["checks"]["inside"]["auc"] > 0.6
    assert rows["dm_real"]["checks"]["inside"] is None
    text = repr(found)
    assert "proves nothing" in text and "FAILED" not in text
    assert "must be 0.5 within 4 standard errors" in text.replace("\n", " ")
    assert "were asked for" not in text
    found["settings"]["num_candidates_asked"] = 500
    assert "500 candidates were asked for" in repr(found)
    assert found.figure().axes

  def test_a_stopped_audit_goes_on_to_the_same(self):
    source = _source()
    arms = [maker("random_real")]
    whole = _audit(source, arms=arms)
    calls = []

    def failing(*args):
      calls.append(args)
      if len(calls) == 3:
        raise KeyboardInterrupt
      return arms[0].make(*args)

    folder = tempfile.TemporaryDirectory()
    self.enter_context(folder)
    cells = Cells(f"{folder.name}/audit", {"seed": 0})
    with pytest.raises(KeyboardInterrupt), cells.held():
      _audit(source, cells=cells, arms=[arms[0]._replace(make=failing)])
    with cells.held():
      again = _audit(source, cells=cells, arms=[arms[0]._replace(make=failing)])
    assert len(calls) == 2 + 1 + 4
    for one, other in zip(whole["rows"], again["rows"], strict=True):
      assert one | dict(seconds=0) == other | dict(seconds=0)

  def test_networks_are_those_of_the_evaluator(self):
    source = _source()
    made = maker("random_real").make(KEY, source, 9, None)
    fitted = outputs.fit(KEY, made, network=NETWORK, recipe=RECIPE)
    predicted = fitted.outputs(source.test).argmax(1)
    report = dd.evaluate_set(
        KEY,
        made._replace(recipe=RECIPE),
        source.test,
        network=dd.models.from_spec(NETWORK, 3),
        num_networks=1)
    right = (predicted == np.asarray(source.test.labels)).mean()
    np.testing.assert_allclose(right, report.mean)
    assert np.abs(fitted.untrained(source.test) -
                  fitted.outputs(source.test)).max() > 0.1

  @pytest.mark.slow
  def test_sets_of_kernels_and_two_classes(self):
    source = _source(num=60, num_classes=2)
    found = _audit(
        source,
        arms=[dict(name="kip", num_steps=2)],
        num_candidates=24,
        per_class=1,
        num_canaries=2)
    (row,) = found["rows"]
    assert row["checks"]["untrained"] is None
    assert row["attacks"]["online"]["members"] == 6 * 12

  @parameterized.parameters(
      (dict(num_pipelines=5), "`num_pipelines` must be even"),
      (dict(num_candidates=4), "`num_candidates` must be at least two of each"),
      (dict(num_canaries=40), "`num_canaries` must be 0, or 2 to a quarter"),
      (dict(per_class=20), "`per_class` must be at most half of"),
      (dict(arms=["dmm"]), "Did you mean 'dm'"),
      (dict(arms="random_real"), "`arms` must be a list"),
      (dict(arms=[], early_steps=(), epsilons=()), "`arms` must name at least"),
      (dict(arms=["random_real", "random_real"]), "must have different names"),
      (dict(arms=["dm", dict(DM, label="dm")]), "got dm twice"),
      (dict(recipe=None, early_steps=(3,)), "`early_steps` must be empty"), (
          dict(epsilons=(1.0,), noised={}, dp_sgd=dict(noise_multiplier=0.1)),
          "`dp_sgd` must leave `noise_multiplier`|pip install"))
  def test_refuses(self, settings, message):
    with pytest.raises(ConfigError, match=message):
      _audit(_source(), **settings)

  def test_refuses_data_without_a_test_split(self):
    with pytest.raises(DataError, match="`source` must have a test part"):
      _audit(_source()._replace(test=None))


def test_equal_programs_are_compiled_once():
  before = jax.config.jax_compilation_cache_dir
  jax.config.update("jax_compilation_cache_dir", None)
  try:
    with programs.compiled_once():
      folder = jax.config.jax_compilation_cache_dir
      assert folder
      with programs.compiled_once():
        assert jax.config.jax_compilation_cache_dir == folder
    assert jax.config.jax_compilation_cache_dir is None
  finally:
    jax.config.update("jax_compilation_cache_dir", before)
