"""Feature regression: the published loop, finite differences, limits."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from distill_jax.estimators.backprop import backprop
from distill_jax.nn import frepo_convnet, mlp, norms
from distill_jax.objectives.embedding import embeddings
from distill_jax.objectives.frepo import feature_regression, label_margin
from distill_jax.objectives.pool import Pool, network_pool
from distill_jax.outer_loop import distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Batch, Distilled, Samples

CLASSES, OWN, REAL = 3, 6, 10
KEY = jax.random.key(0)
# Of tanh and means, so that finite differences are valid everywhere.
NETWORK = frepo_convnet(
    CLASSES, depth=2, width=3, norm=norms.fast_batch_norm, activation=jnp.tanh)


def _problem():
  """A set with learned labels and a real batch, in float64."""
  generator = np.random.default_rng(0)
  samples = Samples(
      jnp.asarray(generator.normal(size=(OWN, 4, 4, 1))),
      jnp.asarray(0.3 * generator.normal(size=(OWN, CLASSES))), jnp.zeros((0,)))
  inputs = jnp.asarray(generator.normal(size=(REAL, 4, 4, 1)))
  classes = jnp.asarray(generator.integers(0, CLASSES, REAL), jnp.int32)
  return samples, Batch(inputs, classes)


@cache
def _variables():
  return jax.jit(NETWORK.init)(KEY, _problem()[0].inputs[:1])


def _data(key, data):
  del key
  return data


def _constant(variables):
  """A pool of one network that nothing changes."""
  return Pool(lambda key, samples: (), lambda key, state, _: (variables, state))


def _regression(network=NETWORK, **settings):
  settings = dict(sample=_data, num_classes=CLASSES) | settings
  settings.setdefault("pool", _constant(_variables()))
  return feature_regression(network, **settings)


def _loss(objective, samples, batch):
  return jax.jit(objective.loss)(
      KEY, samples, objective.init(KEY, samples), batch)


def _literal(variables, x, y, batch, ridge, mirrored=False, margin=1.0):
  """The loss as the paper writes it."""
  top = jnp.sort(y, 1)
  ahead = jnp.minimum(top[:, -1] - top[:, -2], 1 / CLASSES).mean()
  if mirrored:
    x, y = jnp.concatenate([x, x[:, :, ::-1]]), jnp.concatenate([y, y])
  phi, phi_t = (
      NETWORK.stages(variables, z)[0][-1].reshape(len(z), -1)
      for z in (x, batch.inputs))
  gram = phi @ phi.T
  gram += ridge * jnp.trace(gram) / len(gram) * jnp.eye(len(gram))
  predictions = phi_t @ phi.T @ jnp.linalg.inv(gram) @ y
  targets = jnp.eye(CLASSES)[batch.labels] - 1 / CLASSES
  error = 0.5 * jnp.square(predictions - targets).sum(1).mean()
  accuracy = (predictions.argmax(1) == batch.labels).mean()
  return error - margin * ahead, accuracy


class FeatureRegressionTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_equals_the_published_loop(self):
    """Prototypes first, then the network that was used: here one call later."""
    samples, batch = _problem()
    rate, limit, size, ridge, steps = 0.2, 2, 2, 1e-2, 14
    settings = dict(size=size, max_age=limit + 1, optimizer=optax.adam(0.05))
    network = NETWORK._replace(init=lambda key, x: _variables())
    outer = distiller(
        backprop(
            _regression(
                network,
                pool=network_pool(network, **settings),
                ridge=ridge,
                mirrored=True), pixels()),
        learn(codes=optax.sgd(rate), labels=optax.sgd(rate)))
    start = Distilled(samples.inputs, samples.labels, jnp.zeros((0,)))
    state, step = outer.init(KEY, start), jax.jit(outer.step)

    @jax.jit
    def meta(x, y, variables):
      return jax.value_and_grad(
          lambda x, y: _literal(variables, x, y, batch, ridge, True),
          argnums=(0, 1),
          has_aux=True)(x, y)

    @jax.jit
    def train(variables, moments, x, y):

      def error(params):
        outputs, updated = NETWORK.apply({
            **variables, "params": params
        },
                                         x,
                                         train=True)
        return jnp.square(outputs - y).sum(1).mean() / 2, updated

      gradient, updated = jax.grad(error, has_aux=True)(variables["params"])
      change, moments = settings["optimizer"].update(gradient, moments)
      params = jax.tree.map(jnp.add, variables["params"], change)
      return {**updated, "params": params}, moments

    def fresh():
      return _variables(), settings["optimizer"].init(_variables()["params"])

    pool, ages = [fresh() for _ in range(size)], [0, limit // size]
    x, y, replaced = start.codes, start.labels, 0
    for _ in range(steps):
      state, info = step(KEY, state, batch)
      used = int(state.objective.last)
      np.testing.assert_array_equal(state.objective.ages, ages)
      (value, accuracy), (dx, dy) = meta(x, y, pool[used][0])
      np.testing.assert_allclose(info.loss, value, rtol=1e-8)
      np.testing.assert_allclose(info.metrics["accuracy"], accuracy)
      x, y = x - rate * dx, y - rate * dy
      np.testing.assert_allclose(state.distilled.codes, x, rtol=1e-7)
      np.testing.assert_allclose(state.distilled.labels, y, rtol=1e-7)
      if ages[used] > limit:
        pool[used], ages[used], replaced = fresh(), 0, replaced + 1
      else:
        pool[used], ages[used] = train(*pool[used], x, y), ages[used] + 1
    self.assertGreater(replaced, 1)

  @parameterized.parameters(False, True)
  def test_gradient_is_that_of_finite_differences(self, mirrored):
    samples, batch = _problem()
    objective = _regression(ridge=1e-3, mirrored=mirrored)

    @jax.jit
    def loss(samples):
      return objective.loss(KEY, samples, (), batch)[0]

    gradient = jax.jit(jax.grad(loss))(samples)
    generator = np.random.default_rng(1)
    for field in ("inputs", "labels"):
      value = getattr(samples, field)
      way = jnp.asarray(generator.normal(size=value.shape))
      ahead, behind = (
          loss(samples._replace(**{field: value + h * way}))
          for h in (1e-5, -1e-5))
      np.testing.assert_allclose(
          jnp.vdot(getattr(gradient, field), way), (ahead - behind) / 2e-5,
          rtol=1e-6)

  def test_real_samples_carry_no_gradient(self):
    samples, batch = _problem()
    objective = _regression()
    gradient = jax.jit(
        jax.grad(
            lambda inputs: objective.loss(
                KEY, samples, (), batch._replace(inputs=inputs))[0]))(
                    batch.inputs)
    self.assertFalse(bool(gradient.any()))

  def test_mirrored_is_a_set_with_its_mirror_images(self):
    samples, batch = _problem()
    both = samples._replace(
        inputs=jnp.concatenate([samples.inputs, samples.inputs[:, :, ::-1]]),
        labels=jnp.concatenate([samples.labels] * 2))
    alone, _ = _loss(_regression(ridge=0.1, mirrored=True), samples, batch)
    together, _ = _loss(_regression(ridge=0.1), both, batch)
    without, _ = _loss(_regression(ridge=0.1), samples, batch)
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    self.assertGreater(abs(alone - without), 1e-3)

  def test_limits_of_the_ridge(self):
    samples, batch = _problem()
    value, _ = _loss(_regression(ridge=1e9, margin=0.0), samples, batch)
    np.testing.assert_allclose(value, 1 / 3, rtol=1e-6)  # of p = 0
    batch = jax.tree.map(lambda x: x[:OWN], batch)  # as many as features
    labels = jnp.eye(CLASSES)[batch.labels] - 1 / CLASSES
    itself = samples._replace(inputs=batch.inputs, labels=labels)
    value, (_, metrics) = _loss(
        _regression(ridge=1e-12, margin=0.0), itself, batch)
    self.assertLess(float(value), 1e-12)
    self.assertEqual(float(metrics["accuracy"]), 1)

  def test_margin_term(self):
    """0.3 apart, a tie, and further apart than 1/3."""
    labels = jnp.asarray([[0.2, 0.5, -0.1], [0.3, 0.3, 0.0], [-0.5, -0.5, 1.0]])
    value, gradient = jax.value_and_grad(label_margin)(labels, at_most=1 / 3)
    np.testing.assert_allclose(value, (0.3 + 0 + 1 / 3) / 3)
    np.testing.assert_allclose(
        3 * gradient, [[-1, 1, 0], [1, -1, 0], [0, 0, 0]])
    samples, batch = _problem()
    samples = samples._replace(labels=jnp.concatenate([labels, labels]))
    plain, with_margin = (
        _loss(_regression(margin=weight, mirrored=True), samples, batch)
        for weight in (0.0, 2.0))
    np.testing.assert_allclose(plain[0] - with_margin[0], 2 * value, rtol=1e-9)
    np.testing.assert_allclose(with_margin[1][1]["margin"], value)

  def test_one_label_column_is_half_of_two(self):
    samples, batch = _problem()
    batch = batch._replace(labels=batch.labels % 2)
    column = samples.labels[:, :1]
    objective = _regression(num_classes=2, ridge=0.1)

    @jax.jit
    @jax.value_and_grad
    def loss(column):
      labelled = samples._replace(labels=column)
      return objective.loss(KEY, labelled, (), batch)[0]

    @jax.jit
    @jax.value_and_grad
    def of_two(column):
      y = jnp.concatenate([-column, column], 1)
      phi, phi_t = (
          embeddings(NETWORK, _variables(), z)
          for z in (samples.inputs, batch.inputs))
      gram = phi @ phi.T
      gram += 0.1 * jnp.trace(gram) / len(gram) * jnp.eye(len(gram))
      error = phi_t @ phi.T @ jnp.linalg.inv(gram) @ y
      error -= jnp.eye(2)[batch.labels] - 1 / 2
      top = jnp.sort(y, 1)
      ahead = jnp.minimum(top[:, 1] - top[:, 0], 1 / 2).mean()
      return 0.5 * jnp.square(error).sum(1).mean() - ahead

    for values in zip(loss(column), of_two(column), strict=True):
      np.testing.assert_allclose(2 * values[0], values[1], rtol=1e-9)

  def test_embeddings_in_pieces(self):
    """More images than one piece holds: rows as if each were alone."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(198, 4, 4, 1)))
    variables = _variables()
    weight = jnp.arange(198.0)[:, None]

    def total(inputs):
      rows = embeddings(NETWORK, variables, inputs)
      return (weight * rows).sum(), rows

    run = jax.jit(jax.value_and_grad(total, has_aux=True))
    self.assertIn("while", run.lower(x).as_text())
    (_, rows), gradient = run(x)
    chex.assert_shape(rows, (198, 6))
    for i in (0, 64, 197):
      alone, back = jax.vjp(
          lambda x: NETWORK.stages(variables, x)[0][-1], x[i:i + 1])
      np.testing.assert_allclose(rows[i:i + 1], alone, rtol=1e-9)
      slope, = back(jnp.full_like(alone, i))
      np.testing.assert_allclose(gradient[i:i + 1], slope, rtol=1e-7)

  def test_default_pool(self):
    network = mlp(CLASSES, widths=(4,))
    samples, _ = _problem()
    objective = feature_regression(network, sample=_data, num_classes=CLASSES)
    state = objective.init(KEY, samples)
    np.testing.assert_array_equal(state.ages, 10 * np.arange(10))

  def test_bad_arguments(self):
    samples, batch = _problem()
    for name, value in (("ridge", 0.0), ("margin", -1.0)):
      with self.assertRaisesRegex(ValueError, f"`{name}`"):
        _regression(**{name: value})
    flat = samples._replace(inputs=samples.inputs.reshape(OWN, -1))
    with self.assertRaisesRegex(ValueError, "`mirrored` must be False"):
      _loss(_regression(mirrored=True), flat, batch)
    with self.assertRaisesRegex(ValueError, "Two classes are one output"):
      _loss(_regression(num_classes=2), samples, batch)
