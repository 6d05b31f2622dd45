"""Meta-gradients: finite differences, the reverse loop by hand, identities."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized
from smooth import CLASSES, NETWORK

from distill_jax.estimators.backprop import backprop
from distill_jax.initialisation import raw_step_sizes, step_order
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.nn import convnet, lenet, mlp
from distill_jax.objectives.dd import unrolled
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Batch, Distilled, Samples

STEPS, EPOCHS = 4, 2
CONV = convnet(CLASSES, depth=1, width=2, norm=None, activation=jnp.tanh)


def _sample(key, data):
  del key
  return data


def _distilled(per_step=2, num_steps=STEPS, epochs=EPOCHS):
  generator = np.random.default_rng(0)
  rows = per_step * num_steps
  return Distilled(
      codes=jnp.asarray(generator.normal(size=(rows, 4, 4, 1))),
      labels=jnp.asarray(generator.normal(size=(rows, CLASSES))),
      raw_step_sizes=jnp.asarray(generator.normal(size=epochs * num_steps)))


def _batch(size=6):
  generator = np.random.default_rng(1)
  return Batch(
      jnp.asarray(generator.normal(size=(size, 4, 4, 1))),
      jnp.arange(size, dtype=jnp.int32) % CLASSES)


def _estimator(distilled, num_steps=STEPS, network=NETWORK, **options):
  order = step_order(len(distilled.codes), num_steps)
  options.setdefault("num_classes", CLASSES)
  return backprop(unrolled(network, order, sample=_sample, **options), pixels())


def _estimate(distilled, key=0, **options):
  """Loss and gradients at one key, compiled."""
  estimator = _estimator(distilled, **options)

  @jax.jit
  def run(distilled):
    state = estimator.init(jax.random.key(7), distilled)
    loss, gradients, *_ = estimator.estimate(
        jax.random.key(key), distilled, state, _batch())
    return loss, gradients

  return run(distilled)


@cache
def _baseline():
  return _estimate(_distilled())


def _start(distilled, key=0):
  """theta_0 of the objective at this key: its first child."""
  k_init, _ = jax.random.split(jax.random.key(key))
  return NETWORK.init(k_init, distilled.codes[:1])["params"]


def _real_loss(params):
  logits, _ = NETWORK.apply({"params": params}, _batch().inputs)
  return cross_entropy(
      logits, label_rows(_batch().labels, CLASSES, logits.dtype))


def _descent(params, x, y, eta):
  """g_t = eta_t grad_theta l(f(x; theta), y), as dd.md writes it."""

  def loss(params):
    return cross_entropy(NETWORK.apply({"params": params}, x)[0], y)

  return jax.tree.map(lambda g: eta * g, jax.grad(loss)(params))


@jax.jit
def _pull_back(params, x, y, eta, adjoint):
  _, vjp = jax.vjp(_descent, params, x, y, eta)
  return vjp(adjoint)


def _by_hand(distilled, params):
  """The published back-gradient: a forward pass that keeps theta_t, and a
  reverse pass of vector-Jacobian products of each step.
  """
  etas = jax.nn.softplus(distilled.raw_step_sizes)
  rows = [
      np.arange(len(distilled.codes)).reshape(STEPS, -1)[t % STEPS]
      for t in range(len(etas))
  ]
  path, step = [params], jax.jit(_descent)
  for t, row in enumerate(rows):
    g = step(path[-1], distilled.codes[row], distilled.labels[row], etas[t])
    path.append(jax.tree.map(jnp.subtract, path[-1], g))

  loss, dw = jax.jit(jax.value_and_grad(_real_loss))(path[-1])
  dx, dy = np.zeros(distilled.codes.shape), np.zeros(distilled.labels.shape)
  d_eta, adjoints = np.zeros(len(etas)), [None] * len(etas)
  for t in reversed(range(len(etas))):
    adjoints[t] = jax.tree.map(jnp.negative, dw)
    row = rows[t]
    change, dx_t, dy_t, d_eta[t] = _pull_back(
        path[t], distilled.codes[row], distilled.labels[row], etas[t],
        adjoints[t])
    dx[row] += dx_t
    dy[row] += dy_t
    dw = jax.tree.map(jnp.add, dw, change)
  d_raw = d_eta * jax.nn.sigmoid(distilled.raw_step_sizes)
  return loss, Distilled(dx, dy, d_raw), path, adjoints


class MetaGradientTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  @parameterized.named_parameters(("dense", NETWORK), ("conv", CONV))
  def test_finite_differences(self, network):
    distilled = _distilled()
    estimator = _estimator(distilled, network=network)
    _, gradients = (
        _baseline() if network is NETWORK else _estimate(
            distilled, network=network))

    @jax.jit
    def loss(distilled):
      return estimator.estimate(jax.random.key(0), distilled, (), _batch())[0]

    step = 1e-5
    for field in ("codes", "labels", "raw_step_sizes"):
      start = getattr(distilled, field)
      expected = np.zeros(start.shape)
      for index in np.ndindex(*start.shape):
        up, down = (
            loss(distilled._replace(**{field: start.at[index].add(h)}))
            for h in (step, -step))
        expected[index] = (up - down) / (2 * step)
      got = np.asarray(getattr(gradients, field))
      error = np.abs(got - expected).max() / np.abs(expected).max()
      assert error < 1e-5, (field, error)
      assert np.abs(expected).min() > 0, field

  def test_equals_the_reverse_loop_by_hand(self):
    distilled = _distilled()
    loss, gradients = _baseline()
    expected_loss, expected, *_ = _by_hand(distilled, _start(distilled))
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
    chex.assert_trees_all_close(gradients, expected, rtol=1e-9, atol=1e-13)

  def test_label_gradient_is_the_papers(self):
    """Each entry is eta_t / n < -dw, d(-log softmax(z)_c) / dtheta >."""
    distilled = _distilled(epochs=1)
    _, gradients = _estimate(distilled)
    _, _, path, adjoints = _by_hand(distilled, _start(distilled))

    @jax.jit
    def slope(params, direction, x):
      surprise = lambda params: -jax.nn.log_softmax(
          NETWORK.apply({"params": params}, x)[0])
      return jax.jvp(surprise, (params,), (direction,))[1]

    for t, eta in enumerate(jax.nn.softplus(distilled.raw_step_sizes)):
      rows = slice(2 * t, 2 * t + 2)
      along = slope(path[t], adjoints[t], distilled.codes[rows])
      np.testing.assert_allclose(
          gradients.labels[rows], eta / 2 * along, rtol=1e-9, atol=1e-14)

  def test_recomputation_changes_nothing(self):
    plain = _estimate(_distilled(), remat=False)
    chex.assert_trees_all_close(_baseline(), plain, rtol=1e-10, atol=1e-14)

  def test_momentum(self):
    distilled = _distilled(num_steps=2)
    loss, gradients = _estimate(
        distilled, num_steps=2, optimizer=optax.trace(0.9))

    @jax.jit
    @jax.value_and_grad
    def expected(distilled):
      params = _start(distilled)
      velocity = jax.tree.map(jnp.zeros_like, params)
      for t, raw in enumerate(distilled.raw_step_sizes):
        rows = slice(2 * (t % 2), 2 * (t % 2) + 2)
        g = _descent(params, distilled.codes[rows], distilled.labels[rows], 1.0)
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, g)
        eta = jax.nn.softplus(raw)
        params = jax.tree.map(
            lambda p, v, eta=eta: p - eta * v, params, velocity)
      return _real_loss(params)

    chex.assert_trees_all_close((loss, gradients),
                                expected(distilled),
                                rtol=1e-9,
                                atol=1e-13)

  def test_networks_are_averaged(self):
    distilled = _distilled()
    got = _estimate(distilled, num_networks=3)
    estimator = _estimator(distilled)
    one = jax.jit(
        lambda key: estimator.estimate(key, distilled, (), _batch())[:2])
    each = [one(key) for key in jax.random.split(jax.random.key(0), 3)]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / 3, *each)
    chex.assert_trees_all_close(got, mean, rtol=1e-9, atol=1e-13)
    assert abs(each[0][0] - each[1][0]) > 1e-3

  def test_fewer_samples_than_classes(self):
    distilled = _distilled(per_step=1, num_steps=2)
    _, gradients = _estimate(distilled, num_steps=2)
    chex.assert_tree_all_finite(gradients)
    assert (gradients.labels != 0).all()

  def test_order_within_a_step_is_free(self):
    distilled = _distilled()
    swap = np.arange(8).reshape(4, 2)[:, ::-1].ravel()
    swapped = distilled._replace(
        codes=distilled.codes[swap], labels=distilled.labels[swap])
    estimator = _estimator(distilled)
    run = jax.jit(
        lambda distilled: estimator.estimate(
            jax.random.key(0), distilled, (), _batch())[:2])
    loss, gradients = run(distilled)
    same, other = run(swapped)
    np.testing.assert_allclose(same, loss, rtol=1e-12)
    np.testing.assert_allclose(
        other.codes[swap], gradients.codes, rtol=1e-9, atol=1e-14)
    # Across steps the order does matter.
    rolled = distilled._replace(codes=jnp.roll(distilled.codes, 2, 0))
    assert abs(run(rolled)[0] - loss) > 1e-4


class FixedTest(parameterized.TestCase):

  def test_initial_weights_are_kept_and_used(self):
    distilled = jax.tree.map(lambda x: x.astype(jnp.float32), _distilled())
    estimator = _estimator(distilled, fixed=True)
    state = estimator.init(jax.random.key(3), distilled)
    chex.assert_trees_all_equal(
        state, NETWORK.init(jax.random.key(3), distilled.codes[:1]))
    run = jax.jit(estimator.estimate)
    first, _, kept, metrics = run(jax.random.key(0), distilled, state, _batch())
    other, *_ = run(jax.random.key(1), distilled, state, _batch())
    chex.assert_trees_all_equal(kept, state)
    assert first == other
    assert 0 <= metrics["accuracy"] <= 1
    moved = jax.tree.map(lambda leaf: leaf + 0.1, state)
    assert run(jax.random.key(0), distilled, moved, _batch())[0] != first

  @parameterized.parameters((0, False), (2, True))
  def test_refuses(self, num_networks, fixed):
    with pytest.raises(ValueError, match="`num_networks` must be at least 1"):
      _estimator(_distilled(), num_networks=num_networks, fixed=fixed)

  def test_hard_labels_stay_bit_equal(self):
    distilled = jax.tree.map(lambda x: x.astype(jnp.float32), _distilled())
    estimator = _estimator(distilled)
    outer = distiller(
        estimator, learn(codes=optax.adam(0.1), step_sizes=optax.adam(0.1)))
    state = outer.init(jax.random.key(0), distilled)
    data = jax.tree.map(
        lambda x: x.astype(jnp.float32) if x.ndim > 1 else x, _batch())
    after, _ = distill(
        jax.random.key(0), state, data, step=outer.step, num_steps=3)
    assert (
        np.asarray(after.distilled.labels).tobytes() == np.asarray(
            distilled.labels).tobytes())
    assert (after.distilled.codes != distilled.codes).any()
    assert (after.distilled.raw_step_sizes != distilled.raw_step_sizes).all()


class BinaryTest(parameterized.TestCase):

  def test_one_output_learns_two_classes(self):
    network = mlp(1, widths=())
    distilled = Distilled(
        jnp.ones((2, 4, 4, 1)), jnp.array([[0.0], [1.0]]),
        raw_step_sizes(0.1, 1))
    estimator = _estimator(
        distilled, num_steps=1, network=network, num_classes=2)
    batch = Batch(jnp.ones((4, 4, 4, 1)), jnp.array([0, 1, 1, 0]))
    loss, gradients, _, metrics = estimator.estimate(
        jax.random.key(0), distilled, (), batch)
    assert jnp.isfinite(loss) and metrics["accuracy"] == 0.5
    chex.assert_equal_shape([gradients.labels, distilled.labels])


class MemoryTest(parameterized.TestCase):

  def test_unroll_keeps_weights_and_one_steps_activations(self):
    """100 steps of LeNet: T * P floats and what a single step needs."""

    def temp(num_steps, remat):
      network = lenet(10)
      distilled = Distilled(
          jnp.zeros((10, 28, 28, 1)), jnp.zeros((10, 10)),
          raw_step_sizes(0.02, num_steps))
      estimator = _estimator(
          distilled, num_steps=1, network=network, num_classes=10, remat=remat)
      batch = Batch(jnp.zeros((10, 28, 28, 1)), jnp.zeros(10, jnp.int32))
      lowered = jax.jit(
          lambda d: estimator.estimate(jax.random.key(0), d, (), batch)).lower(
              distilled)
      # Buffers are the same, compilation several times faster.
      compiled = lowered.compile({"xla_backend_optimization_level": 0})
      return compiled.memory_analysis().temp_size_in_bytes

    weights = 61_706 * 100 * 4
    bound = weights + temp(1, True)
    assert temp(100, True) <= bound < temp(100, False)


def test_order_beyond_the_samples_is_refused():
  objective = unrolled(mlp(3), step_order(6, 1), sample=None, num_classes=3)
  samples = Samples(jnp.zeros((3, 2)), jnp.zeros((3, 3)), jnp.ones(1))
  batch = Batch(jnp.zeros((4, 2)), jnp.zeros(4, jnp.int32))
  with pytest.raises(ValueError, match="rows of the 3 samples; got 5"):
    objective.loss(jax.random.key(0), samples, (), batch)
