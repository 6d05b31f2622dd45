"""Learners, recipes and the evaluator on a toy of four separable classes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from distill_jax.data import from_arrays
from distill_jax.evaluation import recipes
from distill_jax.evaluation.evaluator import evaluate_set, evaluate_sets
from distill_jax.evaluation.learners import (
    Learner,
    nearest_neighbours,
    student,
)
from distill_jax.inner_loop import train_in_order
from distill_jax.labels import classes_of, cross_entropy
from distill_jax.nn import convnet, mlp
from distill_jax.types import Samples, TrainingSet

NETWORK = mlp(4, widths=(8,))
CENTRES = 2 * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)


def _source():
  generator = np.random.default_rng(0)
  labels = np.arange(37) % 4
  x = CENTRES[labels] + generator.normal(0, 0.2, (37, 2)).astype(np.float32)
  return from_arrays(x, labels, x, labels, preprocessing="standardise")


SOURCE = _source()


def _set(step_size=0.5, initial=()):
  samples = Samples(
      inputs=jnp.asarray(CENTRES / 2),
      labels=jnp.eye(4),
      step_sizes=jnp.full((10,), step_size))
  return TrainingSet(samples, jnp.arange(4).reshape(2, 2), initial)


class EvaluateTest(parameterized.TestCase):

  def test_equals_training_by_hand(self):
    key = jax.random.key(1)
    report = evaluate_set(
        key, _set(), SOURCE.test, network=NETWORK, num_networks=3)
    x = SOURCE.test.encode(SOURCE.test.inputs)
    expected = []
    for i in range(3):
      k_init, k_train = jax.random.split(jax.random.fold_in(key, i))
      samples = _set().samples
      trained = train_in_order(
          k_train, NETWORK, NETWORK.init(k_init, samples.inputs[:1]), samples,
          _set().order)
      said = classes_of(NETWORK.apply(trained, x)[0])
      expected.append(float((said == SOURCE.test.labels).mean()))
    np.testing.assert_allclose(report.accuracy, expected, atol=1e-6)
    assert report.num_networks == 3 and report.student_init == "random"
    assert report.recipe == {"name": "in_order", "momentum": 0.0}
    np.testing.assert_allclose(report.std, np.std(expected, ddof=1), atol=1e-6)
    np.testing.assert_allclose(report.stderr, report.std / np.sqrt(3))
    np.testing.assert_allclose(report.majority_rate, 10 / 37)

  def test_refuses_data_of_other_classes(self):
    labels = np.arange(37) % 3
    x = CENTRES[labels]
    other = from_arrays(x, labels, x, labels)
    with pytest.raises(ValueError, match="4 columns; got 3 classes"):
      evaluate_set(jax.random.key(0), _set(), other.test, network=NETWORK)

  def test_any_number_of_rows_at_once(self):

    def run(rows):
      return evaluate_set(
          jax.random.key(1),
          _set(),
          SOURCE.test,
          learner=student(NETWORK),
          num_networks=2,
          rows=rows)

    chex.assert_trees_all_equal(run(5).confusion, run(64).confusion)
    assert (run(5).confusion.sum((1, 2)) == 37).all()

  def test_traces_once(self):
    traces = []

    def fit(key, training_set):
      traces.append(key)
      return nearest_neighbours().fit(key, training_set)

    learner = Learner(fit, "counted", False)
    for step_size in (0.1, 0.2):
      evaluate_set(
          jax.random.key(0), _set(step_size), SOURCE.test, learner=learner)
    assert len(traces) == 1
    assert student(NETWORK) is student(NETWORK)

  def test_untrained_networks_are_the_same_networks(self):
    key = jax.random.key(2)
    untrained = evaluate_set(
        key,
        _set(),
        SOURCE.test,
        num_networks=2,
        learner=student(NETWORK, recipes.untrained()))
    still = evaluate_set(
        key, _set(0.0), SOURCE.test, num_networks=2, network=NETWORK)
    chex.assert_trees_all_equal(untrained.confusion, still.confusion)

  def test_sets_meet_the_same_networks(self):
    sets = _set()._replace(
        samples=jax.tree.map(
            lambda *leaves: jnp.stack(leaves),
            _set(0.5).samples,
            _set(0.01).samples))
    key = jax.random.key(3)
    confusion = evaluate_sets(
        key, sets, SOURCE.test, learner=student(NETWORK), num_networks=2)
    assert confusion.shape[:2] == (2, 2)
    for row, step_size in zip(confusion, (0.5, 0.01), strict=True):
      one = evaluate_set(
          key,
          _set(step_size),
          SOURCE.test,
          learner=student(NETWORK),
          num_networks=2)
      np.testing.assert_array_equal(row, one.confusion)
      assert one.diverged == 0

  def test_an_artifact_brings_its_recipe(self):

    class Artifact:
      training_set = _set()
      recipe = {"name": "untrained"}

    report = evaluate_set(
        jax.random.key(0),
        Artifact(),
        SOURCE.test,
        network=NETWORK,
        num_networks=2)
    assert report.learner == "student, untrained"

  def test_networks_that_diverge_are_counted(self):
    report = evaluate_set(
        jax.random.key(0),
        _set(step_size=jnp.inf),
        SOURCE.test,
        network=NETWORK,
        num_networks=2)
    first = float((np.asarray(SOURCE.test.labels) == 0).mean())
    assert report.diverged == report.summary()["diverged"] == 2
    np.testing.assert_allclose(report.accuracy, first)
    assert report.accuracy_on_set.tolist() == [0, 0]

  def test_what_is_refused(self):
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="one of `learner` and `network`"):
      evaluate_set(key, _set(), SOURCE.test)
    with pytest.raises(ValueError, match="`num_networks` must be at least 1"):
      evaluate_set(key, _set(), SOURCE.test, network=NETWORK, num_networks=0)
    with pytest.raises(ValueError, match=r"`split` must hold .* got \(3,\)"):
      other = from_arrays(np.eye(4)[:, :3], np.arange(4), test_fraction=0).train
      evaluate_set(key, _set(), other, network=NETWORK)


class StudentTest(parameterized.TestCase):

  def test_fixed_initialisation_is_one_network(self):
    initial = NETWORK.init(jax.random.key(5), jnp.zeros((1, 2)))
    fixed = evaluate_set(
        jax.random.key(0), _set(0.0, initial), SOURCE.test, network=NETWORK)
    assert fixed.num_networks == 1 and fixed.student_init == "fixed"
    x = SOURCE.test.encode(SOURCE.test.inputs)
    said = classes_of(NETWORK.apply(initial, x)[0])
    np.testing.assert_allclose(
        fixed.mean, float((said == SOURCE.test.labels).mean()), atol=1e-6)
    assert fixed.std == 0

  def test_initialisation_of_another_network(self):
    initial = mlp(4, widths=(9,)).init(jax.random.key(5), jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="belongs to another network"):
      evaluate_set(
          jax.random.key(0), _set(0.0, initial), SOURCE.test, network=NETWORK)


class NeighboursTest(parameterized.TestCase):

  def _predict(self, inputs, classes, queries, k=1):
    samples = Samples(
        jnp.asarray(inputs, jnp.float32),
        jnp.eye(3)[jnp.array(classes)], jnp.ones(1))
    learner = nearest_neighbours(k)
    fitted = learner.fit(jax.random.key(0), TrainingSet(samples, jnp.zeros(1)))
    return fitted(jnp.asarray(queries, jnp.float32)).tolist()

  def test_nearest(self):
    x = [[0.0, 0], [4, 0], [0, 4]]
    assert self._predict(x, [2, 0, 1], [[1, 0], [3, 0], [0, 9]]) == [2, 0, 1]

  def test_ties_go_to_the_lowest_class(self):
    assert self._predict([[-1.0], [1.0]], [2, 1], [[0.0]]) == [1]
    x = [[0.0], [1.0], [2.0], [3.0]]
    assert self._predict(x, [2, 2, 0, 0], [[1.5]], k=4) == [0]

  def test_votes(self):
    x = [[0.0], [2.0], [2.1]]
    assert self._predict(x, [0, 1, 1], [[0.5]], k=3) == [1]

  def test_too_many(self):
    with pytest.raises(ValueError, match="`k` must be at most the 2 samples"):
      self._predict([[0.0], [1.0]], [0, 1], [[0.0]], k=3)


class RecipesTest(parameterized.TestCase):

  def test_converged_fits_the_set(self):
    report = evaluate_set(
        jax.random.key(0),
        _set(0.0),
        SOURCE.test,
        num_networks=2,
        learner=student(NETWORK, recipes.converged(step_size=0.1)))
    assert (report.accuracy_on_set == 1).all() and report.mean > 0.9

  def test_converged_stops_early(self):
    variables = NETWORK.init(jax.random.key(0), jnp.zeros((1, 2)))

    def train(recipe):
      return recipe.train(jax.random.key(1), NETWORK, variables, _set())

    at_once = recipes.converged(50, tolerance=1e6)
    one = recipes.converged(1)
    chex.assert_trees_all_close(train(at_once), train(one))

  @parameterized.parameters(1, 2, 5)
  def test_dc_equals_the_published_loop(self, num_epochs):
    """Epochs 0..E; a tenth of the rate and a new optimizer after E // 2 + 1."""
    rate, momentum, decay = 0.1, 0.9, 5e-4
    variables = NETWORK.init(jax.random.key(0), jnp.zeros((1, 2)))
    recipe = recipes.dc(num_epochs, step_size=rate)
    trained = recipe.train(jax.random.key(1), NETWORK, variables, _set())

    samples = _set().samples
    gradient = jax.grad(
        lambda params: cross_entropy(
            NETWORK.apply({"params": params}, samples.inputs)[0], samples.labels
        ))
    params = variables["params"]
    velocity = jax.tree.map(jnp.zeros_like, params)
    for epoch in range(num_epochs + 1):
      velocity = jax.tree.map(
          lambda v, g, p: momentum * v + g + decay * p, velocity,
          gradient(params), params)
      params = jax.tree.map(lambda p, v, r=rate: p - r * v, params, velocity)
      if epoch == num_epochs // 2 + 1:
        rate *= 0.1
        velocity = jax.tree.map(jnp.zeros_like, params)
    chex.assert_trees_all_close(trained["params"], params, rtol=1e-5, atol=1e-6)

  def test_idc_lowers_its_step_size_twice_and_keeps_its_momentum(self):
    rate, momentum, decay, num_epochs = 0.1, 0.9, 5e-4, 6
    variables = NETWORK.init(jax.random.key(0), jnp.zeros((1, 2)))
    recipe = recipes.idc(num_epochs, strategy="", mix=0.0, step_size=rate)
    trained = recipe.train(jax.random.key(1), NETWORK, variables, _set())

    samples = _set().samples
    gradient = jax.grad(
        lambda params: cross_entropy(
            NETWORK.apply({"params": params}, samples.inputs)[0], samples.labels
        ))
    params = variables["params"]
    velocity = jax.tree.map(jnp.zeros_like, params)
    for own in (1, 1, 1, 1, 0.2, 0.04):
      velocity = jax.tree.map(
          lambda v, g, p: momentum * v + g + decay * p, velocity,
          gradient(params), params)
      params = jax.tree.map(
          lambda p, v, r=own * rate: p - r * v, params, velocity)
    chex.assert_trees_all_close(trained["params"], params, rtol=1e-5, atol=1e-6)

  def test_adam_by_hand(self):
    """Full batches: Kingma & Ba, 2014, with decay in the gradient."""
    network, key = mlp(3, widths=()), jax.random.key(0)
    samples = Samples(
        jax.random.normal(key, (6, 2)),
        jnp.eye(3)[jnp.arange(6) % 3], jnp.zeros((0,)))
    variables = network.init(key, samples.inputs)
    rate, decay = 0.1, 0.01
    trained = recipes.adam(
        4, step_size=rate, weight_decay=decay).train(
            key, network, variables, TrainingSet(samples,
                                                 jnp.arange(6)[None]))

    def loss(params):
      logits = network.apply({"params": params}, samples.inputs)[0]
      return cross_entropy(logits, samples.labels)

    params = variables["params"]
    m = v = jax.tree.map(jnp.zeros_like, params)
    for t in range(1, 5):
      g = jax.tree.map(
          lambda g, p: g + decay * p,
          jax.grad(loss)(params), params)
      m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
      v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
      params = jax.tree.map(
          lambda p, m, v, t=t: p - rate * (m / (1 - 0.9**t)) /
          (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8),
          params,
          m,
          v)
    chex.assert_trees_all_close(trained["params"], params, atol=1e-4)

  def test_augmented_recipes_change_what_is_learned(self):
    self._check_augmented(
        recipes.dc(3), [recipes.dsa(3, strategy=""),
                        recipes.cafe(3)], [
                            recipes.dsa(3, strategy="rotate"),
                            recipes.dc(3, strategy="rotate"),
                            recipes.idc(3),
                            recipes.idc(3, strategy="", mix=1.0)
                        ])

  def _check_augmented(self, plain, same, different):
    network, key = convnet(3, depth=1, width=2), jax.random.key(0)
    samples = Samples(
        jax.random.normal(key, (3, 8, 8, 1)), jnp.eye(3), jnp.zeros((0,)))
    training_set = TrainingSet(samples, jnp.arange(3)[None])
    variables = network.init(key, samples.inputs)

    def train(recipe):
      return recipe.train(key, network, variables, training_set)["params"]

    plain = train(plain)
    for recipe in same:
      chex.assert_trees_all_close(train(recipe), plain, rtol=1e-6)
    for recipe in different:
      assert optax.tree.norm(
          jax.tree.map(jnp.subtract, train(recipe), plain)) > 1e-6

  @parameterized.parameters(
      recipes.in_order(0.9), recipes.converged(7), recipes.untrained(),
      recipes.adam(3, strategy="crop"), recipes.dc(9, strategy="crop"),
      recipes.dsa(9, strategy="crop_scale"), recipes.cafe(9),
      recipes.idc(9, strategy="flip", mix=0.25))
  def test_spec_round_trip(self, *fields):
    recipe = recipes.Recipe(*fields)
    assert recipes.from_spec(recipe.spec).spec == recipe.spec

  @parameterized.parameters(({
      "name": "magic"
  }, "kip, mtt, rat_bptt, untrained, views; got 'magic'"), ({
      "name": "in_order",
      "lr": 1.0
  }, r"among momentum; got \['lr'\]"), ({
      "name": "in_order",
      "momentum": "x"
  }, "`momentum` must be a number"), ({
      "name": "in_order",
      "momentum": 2.0
  }, r"`momentum` must be in \[0, 1"), ({
      "name": "kip",
      "momentum": 5.0
  }, r"`momentum` must be in \[0, 1"), ({
      "name": "kip",
      "weight_decay": -1.0
  }, "`weight_decay` must be at"), ({
      "name": "frepo",
      "warm_up": -1
  }, "`warm_up` must be at least 0"), ({
      "name": "rat_bptt",
      "last_rate": 2.0
  }, "`last_rate` must be in"), ({
      "name": "rat_bptt",
      "batch_size": 0
  }, "`num_steps` and `batch_size`"), ({
      "name": "dsa",
      "strategy": 3
  }, "`strategy` must be text; got 3"), ({
      "name": "dsa",
      "strategy": "blur"
  }, "`strategy` must join"), ({
      "name": "dc",
      "num_epochs": 0
  }, "`num_epochs` and `batch_size` must"))
  def test_what_is_refused(self, spec, message):
    with pytest.raises(ValueError, match=message):
      recipes.from_spec(spec)

  def test_hard_labels(self):
    soft = _set()._replace(
        samples=_set().samples._replace(
            labels=jnp.array([[0.2, 2.0, -1.0], [3.0, -4.0, 0.0]])))
    np.testing.assert_array_equal(
        recipes.hard_labels(soft).samples.labels, [[0, 1, 0], [1, 0, 0]])
    binary = soft._replace(
        samples=soft.samples._replace(labels=jnp.array([[0.7], [0.2]])))
    np.testing.assert_array_equal(
        recipes.hard_labels(binary).samples.labels, [[1], [0]])
