"""Random feature regression: NumPy loops, finite differences, the limit."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from distill_jax.kernels.closed_form import convolutional_pooled
from distill_jax.nn import convnet
from distill_jax.nn.layers import he_normal
from distill_jax.objectives.rfad import (
    mean_squared,
    platt,
    random_feature_regression,
    random_features,
)
from distill_jax.parameterization.preconditioned import preconditioned
from distill_jax.types import Batch, Samples

CLASSES, OWN, REAL, NETWORKS = 3, 5, 7, 4
KEY = jax.random.key(0)


def _network(outputs=CLASSES, width=4, depth=1, **settings):
  return convnet(
      outputs,
      depth=depth,
      width=width,
      norm=None,
      initialisation=he_normal(),
      **settings)


# Of tanh and means, so that finite differences are valid everywhere.
NETWORK = _network(activation=jnp.tanh)


def _problem():
  """Codes, the rest of a set, and a real batch, in float64."""
  generator = np.random.default_rng(0)
  codes = preconditioned().init(
      KEY, jnp.asarray(generator.normal(size=(OWN, 4, 4, 1))))
  codes["decoder"] += 0.1 * generator.normal(size=codes["decoder"].shape)
  samples = Samples(
      preconditioned().decode(codes),
      jnp.asarray(generator.normal(size=(OWN, CLASSES))), jnp.zeros((0,)),
      jnp.asarray(0.7))
  inputs = jnp.asarray(generator.normal(size=(REAL, 4, 4, 1)))
  classes = jnp.asarray(generator.integers(0, CLASSES, REAL), jnp.int32)
  return codes, samples, Batch(inputs, classes)


def _data(key, data):
  del key
  return data


def _regression(network=NETWORK, **settings):
  settings = dict(
      sample=_data, num_classes=CLASSES, num_networks=NETWORKS) | settings
  return random_feature_regression(network, **settings)


def _loss(objective, samples, batch):
  value, (state, metrics) = jax.jit(objective.loss)(KEY, samples, (), batch)
  assert state == ()
  return value, metrics


def _literal_predictions(samples, batch, ridge):
  """Network by network, sample by sample."""
  own, real = [], []
  init, stages = jax.jit(NETWORK.init), jax.jit(NETWORK.stages)
  for key in jax.random.split(KEY, NETWORKS):
    variables = init(key, samples.inputs[:1])
    for rows, inputs in ((own, samples.inputs), (real, batch.inputs)):
      rows.append(np.asarray(stages(variables, inputs)[0][-1]))
  own, real = (np.concatenate(rows, 1) for rows in (own, real))
  scale = own.shape[1]
  gram, cross = (
      np.array([[2 * a @ b / scale + 0.01
                 for b in own]
                for a in rows])
      for rows in (own, real))
  gram += ridge * np.trace(gram) / OWN * np.eye(OWN)
  return cross @ np.linalg.solve(gram, np.asarray(samples.labels))


class RandomFeaturesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_equals_the_literal_loop(self):
    _, samples, batch = _problem()
    p = _literal_predictions(samples, batch, 5e-3)
    classes = np.asarray(batch.labels)
    squared = 0.5 * ((p - (np.eye(CLASSES)[classes] - 1 / 3))**2).mean()
    logits = np.exp(0.7) * p
    log_sums = np.log(np.exp(logits).sum(1))
    entropy = (log_sums - logits[np.arange(REAL), classes]).mean()
    for loss, expected in ((mean_squared, squared), (platt, entropy)):
      value, metrics = _loss(_regression(loss=loss), samples, batch)
      np.testing.assert_allclose(value, expected, rtol=1e-10)
      np.testing.assert_allclose(
          metrics["accuracy"], (p.argmax(1) == classes).mean())

  @parameterized.parameters(mean_squared, platt)
  def test_gradient_is_that_of_finite_differences(self, function):
    codes, samples, batch = _problem()
    objective = _regression(loss=function)

    @jax.jit
    def loss(learned):
      codes, labels, extra = learned
      own = samples._replace(
          inputs=preconditioned().decode(codes), labels=labels, extra=extra)
      return objective.loss(KEY, own, (), batch)[0]

    learned = (codes, samples.labels, samples.extra)
    leaves, structure = jax.tree.flatten(learned)
    gradient = jax.tree.leaves(jax.jit(jax.grad(loss))(learned))
    self.assertLen(leaves, 4)
    generator = np.random.default_rng(1)
    for i, leaf in enumerate(leaves):
      way = jnp.asarray(generator.normal(size=leaf.shape))
      ahead, behind = (
          loss(
              jax.tree.unflatten(
                  structure, [*leaves[:i], leaf + h * way, *leaves[i + 1:]]))
          for h in (1e-5, -1e-5))
      np.testing.assert_allclose(
          jnp.vdot(gradient[i], way), (ahead - behind) / 2e-5,
          rtol=1e-6,
          atol=1e-10)
    scale = gradient[-1]
    self.assertEqual(bool(scale != 0), function is platt)

  def test_real_samples_carry_no_gradient(self):
    _, samples, batch = _problem()
    objective = _regression()
    gradient = jax.jit(
        jax.grad(
            lambda inputs: objective.loss(
                KEY, samples, (), batch._replace(inputs=inputs))[0]))(
                    batch.inputs)
    self.assertFalse(bool(gradient.any()))

  def test_networks_are_new_in_every_step(self):
    _, samples, batch = _problem()
    run = jax.jit(_regression().loss)
    first, again, other = (
        run(key, samples, (), batch)[0]
        for key in (KEY, KEY, jax.random.key(1)))
    self.assertEqual(first, again)
    self.assertNotEqual(first, other)

  def test_limits_of_the_ridge(self):
    _, samples, batch = _problem()
    value, _ = _loss(_regression(ridge=1e9), samples, batch)
    np.testing.assert_allclose(value, 1 / 9, rtol=1e-6)  # of p = 0
    labels = jnp.eye(CLASSES)[batch.labels] - 1 / CLASSES
    itself = samples._replace(inputs=batch.inputs, labels=labels)
    value, metrics = _loss(_regression(ridge=1e-12), itself, batch)
    self.assertLess(float(value), 1e-12)
    self.assertEqual(float(metrics["accuracy"]), 1)

  def test_binary_tasks_have_one_column(self):
    predictions = jnp.asarray([[0.4], [-0.1]])
    classes = jnp.asarray([1, 1])
    np.testing.assert_allclose(
        mean_squared(predictions, classes, ()), (0.1**2 + 0.6**2) / 4)
    logits = 2 * np.asarray([0.4, -0.1])
    np.testing.assert_allclose(
        platt(predictions, classes, jnp.log(2.0)),
        np.log1p(np.exp(-logits)).mean())

  def test_chunks_change_nothing(self):
    _, samples, _ = _problem()
    keys = jax.random.split(KEY, NETWORKS)

    def total(inputs, chunk):
      features = random_features(keys, NETWORK, inputs, chunk=chunk)
      return (features**3).sum()

    run = jax.jit(jax.value_and_grad(total), static_argnums=1)
    loop, *chunked = (run(samples.inputs, chunk) for chunk in (1, 3, NETWORKS))
    for result in chunked:
      for a, b in zip(result, loop, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-15)

  def test_bad_arguments(self):
    for name, value in (("num_networks", 0), ("ridge", 0.0)):
      with self.assertRaisesRegex(ValueError, f"`{name}`"):
        _regression(**{name: value})
    _, samples, batch = _problem()
    with self.assertRaisesRegex(ValueError, "`num_classes` must be that"):
      _loss(_regression(num_classes=4), samples, batch)
    with self.assertRaisesRegex(ValueError, "Start the set with `extra="):
      _loss(_regression(loss=platt), samples._replace(extra=()), batch)


class LimitTest(parameterized.TestCase):

  def test_kernel_is_that_of_infinite_width(self):
    """The error falls as (N width)^-1/2: by 4 for 16 times as many channels."""
    generator = np.random.default_rng(0)
    x1, x2 = (
        jnp.asarray(generator.normal(size=(n, 4, 4, 2)), jnp.float32)
        for n in (5, 4))
    exact = jax.jit(convolutional_pooled(2, get="nngp"))(x1, x2)
    errors = []
    for num_networks, width in ((16, 8), (64, 32)):
      keys, network = jax.random.split(KEY, num_networks), _network(
          2, width, depth=2)
      a, b = (random_features(keys, network, x) for x in (x1, x2))
      kernel = 2 * jnp.einsum("jnd,jmd->nm", a, b) + 0.1**2
      error = (kernel - exact) / np.abs(exact).mean()
      errors.append(np.sqrt(np.square(error).mean()))
    self.assertLess(errors[1], 0.04)
    self.assertBetween(errors[0] / errors[1], 2, 8)


class PreconditionedTest(parameterized.TestCase):

  def test_starts_as_pixels(self):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 2, 2)))
    parameterization = preconditioned()
    codes = parameterization.init(KEY, x)
    np.testing.assert_array_equal(parameterization.decode(codes), x)
    np.testing.assert_array_equal(parameterization.owner(codes), [0, 1, 2])
    self.assertEqual(codes["decoder"].dtype, x.dtype)

  def test_decoding_is_a_linear_map_of_each_sample(self):
    generator = np.random.default_rng(0)
    z, a = generator.normal(size=(3, 2, 2, 2)), generator.normal(size=(8, 8))
    codes = {"pixels": jnp.asarray(z), "decoder": jnp.asarray(a)}
    for got, sample in zip(preconditioned().decode(codes), z, strict=True):
      np.testing.assert_allclose(
          got.ravel(),
          sum(sample.ravel()[i] * a[i] for i in range(8)),
          rtol=1e-4,
          atol=1e-5)
