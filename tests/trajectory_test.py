"""Trajectory matching: finite differences, literal loops, TESLA's formula."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized
from smooth import CLASSES, NETWORK

from distill_jax import augmentation, parallel
from distill_jax.estimators.backprop import backprop
from distill_jax.labels import (
    cross_entropy,
    cross_entropy_of_logits,
    probabilities,
)
from distill_jax.nn import convnet, norms, vector
from distill_jax.objectives.mtt import (
    Segment,
    random_batches,
    trajectory_matching,
)
from distill_jax.outer_loop import (
    distill,
    distiller,
    learn,
    step_size_floor,
)
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Distilled

SAMPLES, STEPS = 6, 4


def same(raw):
  return raw


def problem(labels=None):
  """A set and a segment, float64."""
  generator = np.random.default_rng(0)
  if labels is None:
    labels = jax.nn.one_hot(np.arange(SAMPLES) % CLASSES, CLASSES, dtype=float)
  distilled = Distilled(
      jnp.asarray(generator.normal(size=(SAMPLES, 4, 4, 1))), labels,
      jnp.asarray([0.3]))
  params = NETWORK.init(jax.random.key(3), distilled.codes[:1])["params"]
  start = vector.flatten(params)
  target = start + 0.1 * generator.normal(size=start.shape)
  return distilled, Segment(start, target)


def estimate(estimator, distilled, segment, key=5):
  state = estimator.init(jax.random.key(0), distilled)
  loss, gradients, *_ = jax.jit(estimator.estimate)(
      jax.random.key(key), distilled, state, segment)
  return loss, gradients


def exact(**settings):
  settings = dict(num_steps=STEPS, batch_size=2) | settings
  return backprop(
      trajectory_matching(NETWORK, **settings), pixels(), positive=same)


def approximate(**settings):
  return exact(freeze=True, **settings)


def inner_gradient(params, x, y):

  def loss(params):
    return cross_entropy(NETWORK.apply({"params": params}, x)[0], y)

  return jax.grad(loss)(params)


def rows_of(key=5, num_steps=STEPS):
  """The batches that an estimate with this key takes."""
  _, k_rows, _ = jax.random.split(jax.random.key(key), 3)
  return random_batches(k_rows, SAMPLES, 2, num_steps)


def literal_loss(distilled, segment, key=5):
  """MTT's loop step by step, over dictionaries of weights."""
  x, y = distilled.codes, distilled.labels
  like = NETWORK.init(jax.random.key(0), x[:1])["params"]
  params = vector.unflatten(segment.start, like)
  for rows in rows_of(key):
    gradient = inner_gradient(params, x[rows], y[rows])
    for layer in params:
      for name in params[layer]:
        params[layer][name] -= (
            distilled.raw_step_sizes[0] * gradient[layer][name])
  there, begun = (
      jax.tree.leaves(vector.unflatten(v, like))
      for v in (segment.target, segment.start))
  missed = sum(((a - b)**2).sum()
               for a, b in zip(jax.tree.leaves(params), there, strict=True))
  return missed / sum(
      ((a - b)**2).sum() for a, b in zip(begun, there, strict=True))


class TrajectoryTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_loss_is_that_of_the_literal_loop(self):
    distilled, segment = problem()
    loss, gradients = estimate(exact(), distilled, segment)
    literal, expected = jax.jit(jax.value_and_grad(literal_loss))(
        distilled, segment)
    self.assertAlmostEqual(float(loss), float(literal), places=12)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected),
                    strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)

  @parameterized.parameters("", "scale")
  def test_gradient_is_that_of_finite_differences(self, strategy):
    estimator = exact(augmentation=augmentation.dsa(strategy))
    distilled, segment = problem()
    _, gradients = estimate(estimator, distilled, segment)

    @jax.jit
    def loss(distilled):
      state = estimator.init(jax.random.key(0), distilled)
      return estimator.estimate(jax.random.key(5), distilled, state, segment)[0]

    generator = np.random.default_rng(1)
    for field in ("codes", "raw_step_sizes"):
      value = getattr(distilled, field)
      way = generator.normal(size=value.shape)
      ahead, behind = (
          loss(distilled._replace(**{field: value + step * way}))
          for step in (1e-5, -1e-5))
      np.testing.assert_allclose((getattr(gradients, field) * way).sum(),
                                 (ahead - behind) / 2e-5,
                                 rtol=1e-5)

  def test_rematerialisation_changes_nothing(self):
    strategy = augmentation.dsa("crop")
    distilled, segment = problem()
    one, two = (
        estimate(exact(augmentation=strategy, remat=remat), distilled, segment)
        for remat in (True, False))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)

  def test_pieces_change_nothing(self):
    distilled, segment = problem()
    with mock.patch.object(parallel, "_PIECE_ROWS", 1):
      two = estimate(exact(batch_size=None), distilled, segment)
    one = estimate(exact(batch_size=None), distilled, segment)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)

  def test_batches_are_passes_over_the_set(self):
    rows = random_batches(jax.random.key(0), 7, 3, 5)
    self.assertEqual(rows.shape, (5, 3))
    for begin in (0, 2):
      self.assertLen(set(rows[begin:begin + 2].ravel().tolist()), 6)
    self.assertFalse((rows[0] == rows[2]).all())
    for whole in (7, 100, None):
      everything = random_batches(jax.random.key(0), 7, whole, 3)
      np.testing.assert_array_equal(everything, [range(7)])

  def test_step_size_first_moves_as_published(self):
    """SGD with momentum 0.5 on the step size itself, not on a map of it."""
    distilled, segment = problem()
    rate = 1e-5
    outer = distiller(
        exact(),
        learn(step_sizes=optax.sgd(rate, 0.5)),
        project=step_size_floor(1e-6))
    state = outer.init(jax.random.key(0), distilled)
    fed = jax.tree.map(lambda leaf: leaf[None], segment)
    key = jax.random.key(1)
    after, _ = distill(
        key, state, (), step=outer.step, num_steps=1, per_step=fed)
    _, k_estimate = jax.random.split(jax.random.fold_in(key, 0))
    _, k_rows, _ = jax.random.split(k_estimate, 3)
    rows = random_batches(k_rows, SAMPLES, 2, STEPS)

    @jax.jit
    def loss(step_size):
      like = NETWORK.init(jax.random.key(0), distilled.codes[:1])["params"]
      weights = segment.start
      for batch in rows:
        gradient = inner_gradient(
            vector.unflatten(weights, like), distilled.codes[batch],
            distilled.labels[batch])
        weights = weights - step_size * vector.flatten(gradient)
      return (
          jnp.square(weights - segment.target).sum() /
          jnp.square(segment.start - segment.target).sum())

    slope = (loss(0.3 + 1e-6) - loss(0.3 - 1e-6)) / 2e-6
    moved = after.distilled.raw_step_sizes[0] - 0.3
    np.testing.assert_allclose(moved, -rate * slope, rtol=1e-6)

  def test_step_size_stays_positive(self):
    distilled, segment = problem()
    outer = distiller(
        exact(),
        learn(step_sizes=optax.sgd(1e3)),
        project=step_size_floor(1e-3))
    state = outer.init(jax.random.key(0), distilled)
    fed = jax.tree.map(lambda leaf: jnp.stack([leaf] * 5), segment)
    _, info = distill(
        jax.random.key(1),
        state, (),
        step=outer.step,
        num_steps=5,
        per_step=fed)
    self.assertGreaterEqual(float(info.metrics["step_size"].min()), 1e-3)

  @pytest.mark.filterwarnings("ignore:.*overflow")
  def test_a_step_above_the_threshold_is_skipped(self):
    distilled, segment = problem()
    optimizer = learn(
        codes=optax.sgd(0.1, 0.5),
        labels=optax.sgd(0.1, 0.9),
        step_sizes=optax.sgd(1e-5, 0.5))
    fed = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), segment)
    nothing = fed._replace(target=fed.start)  # 0 / 0 were it not for training
    for bad, threshold in ((fed, 1e-3), (nothing, 1.0)):
      outer = distiller(exact(), optimizer, skip_above=threshold)
      state = outer.init(jax.random.key(0), distilled)
      after, info = distill(
          jax.random.key(1),
          state, (),
          step=outer.step,
          num_steps=2,
          per_step=bad)
      np.testing.assert_array_equal(info.metrics["skipped"], [1, 1])
      for a, b in zip(jax.tree.leaves((state.distilled, state.optimizer)),
                      jax.tree.leaves(
                          (after.distilled, after.optimizer)), strict=True):
        np.testing.assert_array_equal(a, b)
      self.assertEqual(int(after.step), 2)

  def test_teacher_labels_are_those_of_the_target(self):
    distilled, segment = problem()
    like = NETWORK.init(jax.random.key(0), distilled.codes[:1])["params"]
    logits, _ = NETWORK.apply(
        {"params": vector.unflatten(segment.target, like)}, distilled.codes)
    loss, gradients = estimate(exact(teacher=True), distilled, segment)
    given, _ = estimate(
        exact(), distilled._replace(labels=probabilities(logits)), segment)
    np.testing.assert_allclose(loss, given, rtol=1e-12)
    np.testing.assert_array_equal(gradients.labels, 0)

  def test_logits_are_softmaxed_at_every_use(self):
    logits = jnp.asarray(np.random.default_rng(2).normal(size=(SAMPLES, 3)))
    distilled, segment = problem(logits)
    loss, gradients = estimate(
        exact(loss=cross_entropy_of_logits), distilled, segment)
    given, _ = estimate(
        exact(), distilled._replace(labels=jax.nn.softmax(logits)), segment)
    np.testing.assert_allclose(loss, given, rtol=1e-12)
    self.assertGreater(float(jnp.abs(gradients.labels).max()), 0)

  def test_running_statistics_start_anew(self):
    """The vector has weights alone, as in the published code."""
    network = convnet(CLASSES, depth=1, width=2, norm=norms.batch_norm)
    distilled, _ = problem()
    variables = jax.jit(network.init)(jax.random.key(0), distilled.codes[:1])
    self.assertIn("batch_stats", variables)
    start = vector.flatten(variables["params"])
    objective = trajectory_matching(network, num_steps=1)
    samples = backprop(objective, pixels(), positive=same).samples(distilled)
    found, _ = jax.jit(objective.loss)(
        jax.random.key(0), samples, (), Segment(start, start + 0.1))

    @jax.jit
    @jax.grad
    def gradient(params):
      logits, _ = network.apply({
          **variables, "params": params
      },
                                samples.inputs,
                                train=True)
      return cross_entropy(logits, samples.labels)

    step = samples.step_sizes[0] * vector.flatten(gradient(variables["params"]))
    np.testing.assert_allclose(
        found, jnp.square(step + 0.1).sum() / (0.01 * len(start)), rtol=1e-5)

  @parameterized.parameters(
      (dict(num_steps=0), "`num_steps` and `batch_size` must be at least 1"),
      (dict(num_steps=1, batch_size=0), "`num_steps` and `batch_size` must"))
  def test_refuses(self, settings, message):
    with self.assertRaisesRegex(ValueError, message):
      trajectory_matching(NETWORK, **settings)

  def test_refuses_other_weights_and_several_step_sizes(self):
    distilled, segment = problem()
    with self.assertRaisesRegex(ValueError, "`vector` must hold the network's"):
      estimate(exact(), distilled, Segment(segment.start[:-1], segment.target))
    two = distilled._replace(raw_step_sizes=jnp.ones(2))
    with self.assertRaisesRegex(ValueError, "`raw_step_sizes` must hold"):
      estimate(exact(), two, segment)


class TeslaTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_equals_its_formula(self):
    """Two passes as in the paper: weights and G, then a product a batch."""
    distilled, segment = problem()
    _, gradients = estimate(approximate(), distilled, segment)
    x, y, (a,) = distilled.codes, distilled.labels, distilled.raw_step_sizes
    like = NETWORK.init(jax.random.key(0), x[:1])["params"]

    @jax.jit
    def g(weights, x, y):
      params = vector.unflatten(weights, like)
      return vector.flatten(inner_gradient(params, x, y))

    weights, total, visited = segment.start, 0.0, []
    for rows in rows_of():
      visited.append((weights, rows))
      gradient = g(weights, x[rows], y[rows])
      weights, total = weights - a * gradient, total + gradient
    length = ((segment.start - segment.target)**2).sum()
    product = (2 / length) * (
        a * (segment.target - segment.start) + a**2 * total)
    codes = jnp.zeros_like(x)
    for weights, rows in visited:
      _, pull = jax.vjp(lambda x, w=weights, r=rows: g(w, x, y[r]), x[rows])
      codes = codes.at[rows].add(pull(product)[0])
    np.testing.assert_allclose(gradients.codes, codes, rtol=1e-8, atol=1e-12)
    step_size = -(2 / length) * (
        total @ (segment.start - a * total - segment.target))
    np.testing.assert_allclose(
        gradients.raw_step_sizes[0], step_size, rtol=1e-8)

  def test_is_exact_for_the_last_step_alone(self):
    distilled, segment = problem()
    (loss, one), (same_loss, two) = (
        estimate(make(num_steps=3), distilled, segment)
        for make in (exact, approximate))
    np.testing.assert_allclose(loss, same_loss, rtol=1e-14)
    first, second, last = (
        jnp.linalg.norm(
            (one.codes - two.codes)[rows]) / jnp.linalg.norm(one.codes[rows])
        for rows in rows_of(num_steps=3))
    self.assertLess(float(last), 1e-12)
    self.assertGreater(float(jnp.minimum(first, second)), 1e-3)

  def test_is_exact_for_one_step(self):
    distilled, segment = problem()
    one, two = (
        estimate(make(num_steps=1), distilled, segment)[1]
        for make in (exact, approximate))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


if __name__ == "__main__":
  absltest.main()
