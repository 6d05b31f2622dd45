"""Truncated unrolls: literal loops with Adam by hand, finite differences."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized
from smooth import CLASSES, NETWORK

from distill_jax.augmentation import Augmentation
from distill_jax.estimators.backprop import backprop
from distill_jax.initialisation import class_members
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.nn import convnet, norms
from distill_jax.objectives.rat_bptt import truncated_unroll, unit_norm
from distill_jax.outer_loop import distill, distiller, label_floor, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Batch, Distilled

SAMPLES = 6
MEMBERS = class_members(np.arange(SAMPLES) % CLASSES, CLASSES)
ETA, ROOT = 0.1, 1e-6
ADAM = optax.adam(ETA, eps_root=ROOT)
MOMENTUM = optax.sgd(ETA, 0.9)
FULL = dict(window=3, highest=3)
CUT = dict(window=2, lowest=1, highest=5)
# One number an image, so that every draw tells in the loss.
SCALING = Augmentation(
    lambda key, shape, rows: jax.random.uniform(key, (rows, 1, 1, 1), float),
    lambda factor, images: images * (0.5 + factor))


def _sample(key, data):
  del key
  return data


def _distilled():
  generator = np.random.default_rng(0)
  return Distilled(
      codes=jnp.asarray(generator.normal(size=(SAMPLES, 4, 4, 1))),
      labels=jnp.asarray(generator.normal(size=(SAMPLES, CLASSES))),
      raw_step_sizes=jnp.zeros((0,)))


def _batch(size=6):
  generator = np.random.default_rng(1)
  return Batch(
      jnp.asarray(generator.normal(size=(size, 4, 4, 1))),
      jnp.arange(size, dtype=jnp.int32) % CLASSES)


def _estimator(network=NETWORK, **settings):
  settings = dict(sample=_sample, num_classes=CLASSES) | settings
  return backprop(truncated_unroll(network, **settings), pixels())


def _estimate(distilled, key=0, batch=None, **settings):
  """Loss, gradients and metrics at one key, compiled."""
  loss, gradients, _, metrics = jax.jit(_estimator(**settings).estimate)(
      jax.random.key(key), distilled, (), _batch() if batch is None else batch)
  return loss, gradients, metrics


@cache
def _full(optimizer):
  """The full unroll compiled, as a function of the set, and its result."""
  estimator = _estimator(optimizer=optimizer, **FULL)

  def run(distilled):
    loss, gradients, _, metrics = estimator.estimate(
        jax.random.key(0), distilled, (), _batch())
    return loss, gradients, metrics

  run = jax.jit(run)
  return run, run(_distilled())


@cache
def _one():
  """One step of the default optimizer: `(distilled, batch) -> ...`."""
  estimator = _estimator(window=1, highest=1)
  return jax.jit(
      lambda distilled, batch: estimator.estimate(
          jax.random.key(0), distilled, (), batch)[:2])


@cache
def _cut():
  """The truncated estimate by key, compiled once, and its traces."""
  estimator, traces = _estimator(optimizer=ADAM, **CUT), []

  def run(key):
    traces.append(key)
    loss, gradients, _, metrics = estimator.estimate(
        key, _distilled(), (), _batch())
    return loss, gradients, metrics

  return jax.jit(run), traces


def _adam(g, p, state, t):
  """As Kingma & Ba write it, with the root's constant."""
  m, v = state
  m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
  unbiased = jnp.sqrt(v / (1 - 0.999**t) + ROOT)
  return p - ETA * m / (1 - 0.9**t) / (unbiased + 1e-8), (m, v)


def _momentum(g, p, state, t):
  del t
  velocity = 0.9 * state[0] + g
  return p - ETA * velocity, (velocity, state[1])


def _literal(distilled, update, first, num_steps, key=0, scale=None):
  """Step by step over lists; what precedes step `first` is a constant."""
  k_init, *_ = jax.random.split(jax.random.key(key), 5)
  start = NETWORK.init(k_init, distilled.codes[:1])["params"]
  params, structure = jax.tree.flatten(start)
  states = [(0.0, 0.0)] * len(params)

  def loss_of(params, x, y):
    variables = {"params": jax.tree.unflatten(structure, params)}
    return cross_entropy(NETWORK.apply(variables, x)[0], y)

  for t in range(num_steps):
    if t == first:
      params, states = jax.lax.stop_gradient((params, states))
    x = distilled.codes if scale is None else scale(t, distilled.codes)
    gradient = jax.grad(loss_of)(params, x, distilled.labels)
    after = [
        update(g, p, s, t + 1)
        for g, p, s in zip(gradient, params, states, strict=True)
    ]
    params, states = (list(each) for each in zip(*after, strict=True))
  real = _batch()
  return loss_of(params, real.inputs, label_rows(real.labels, CLASSES, float))


class TruncatedUnrollTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def assert_equals_literal(self, found, distilled, *args, **settings):
    expected = jax.jit(
        jax.value_and_grad(
            lambda distilled: _literal(distilled, *args, **settings)))(
                distilled)
    chex.assert_trees_all_close(found, expected, rtol=1e-10, atol=1e-13)
    self.assertGreater(float(jnp.abs(expected[1].labels).min()), 0)

  @parameterized.named_parameters(("adam", ADAM, _adam),
                                  ("momentum", MOMENTUM, _momentum))
  def test_full_unroll_is_the_literal_loop(self, optimizer, update):
    found = _full(optimizer)[1]
    self.assertEqual(int(found[2]["plain_steps"]), 0)
    self.assert_equals_literal(found[:2], _distilled(), update, 0, 3)

  @parameterized.parameters(*range(2))
  def test_window_starts_from_constants(self, key):
    """Weights and moments both: either's gradient would show."""
    loss, gradients, metrics = _cut()[0](jax.random.key(key))
    first = int(metrics["plain_steps"])
    self.assert_equals_literal((loss, gradients),
                               _distilled(),
                               _adam,
                               first,
                               first + 2,
                               key=key)

  @parameterized.parameters(False, True)
  def test_augmentation_is_fresh_each_step_or_one_draw(self, one_draw):
    loss, gradients, metrics = _estimate(
        _distilled(),
        optimizer=ADAM,
        augmentation=SCALING,
        one_draw=one_draw,
        window=1,
        lowest=1,
        highest=2)
    _, _, k_steps, k_draw, _ = jax.random.split(jax.random.key(0), 5)

    def scale(t, images):
      key = jax.random.split(jax.random.fold_in(k_steps, t), 3)[1]
      factor = SCALING.draw(k_draw if one_draw else key, images.shape, SAMPLES)
      return SCALING.apply(factor, images)

    self.assert_equals_literal((loss, gradients),
                               _distilled(),
                               _adam,
                               1,
                               2,
                               scale=scale)

  def test_finite_differences(self):
    distilled = _distilled()
    run, (_, gradients, _) = _full(ADAM)
    for field in ("codes", "labels"):
      start = getattr(distilled, field)
      expected = np.zeros(start.shape)
      for index in np.ndindex(*start.shape):
        up, down = (
            run(distilled._replace(**{field: start.at[index].add(h)}))[0]
            for h in (1e-6, -1e-6))
        expected[index] = (up - down) / 2e-6
      error = np.abs(getattr(gradients, field) - expected).max()
      self.assertLess(error / np.abs(expected).max(), 1e-5, field)

  def test_position_varies_within_its_range_in_one_trace(self):
    run, traces = _cut()
    run(jax.random.key(0))  # traced, if it was not, or if caches were cleared
    traced = len(traces)
    first = [int(run(jax.random.key(k))[2]["plain_steps"]) for k in range(40)]
    self.assertEqual(set(first), {1, 2, 3})
    self.assertLen(traces, traced)

  def test_same_key_same_result(self):
    run, _ = _cut()
    one, two, other = (run(jax.random.key(k)) for k in (3, 3, 4))
    chex.assert_trees_all_equal(one, two)
    self.assertNotEqual(float(one[0]), float(other[0]))

  @parameterized.parameters((1, 3), (5, 6))
  def test_a_step_sees_some_of_every_class(self, each, seen):
    """One step: what it does not see has no gradient."""
    estimate = jax.jit(
        _estimator(members=MEMBERS, batch_per_class=each, window=1,
                   highest=1).estimate)
    chosen = set()
    for key in range(12):
      _, gradients, *_ = estimate(
          jax.random.key(key), _distilled(), (), _batch())
      visited = np.abs(gradients.codes).sum((1, 2, 3)) > 0
      np.testing.assert_array_equal(
          visited,
          np.abs(gradients.labels).sum(1) > 0)
      per_class = visited[np.asarray(MEMBERS)].sum(1)
      self.assertEqual(visited.sum(), seen)
      self.assertLen(set(per_class[per_class > 0]), 1)
      self.assertEqual((per_class > 0).sum(), 3)
      chosen.add(tuple(visited))
    self.assertEqual(len(chosen) > 2, seen < SAMPLES)

  def test_each_step_draws_its_own_samples(self):
    _, gradients, _ = _estimate(
        _distilled(), members=MEMBERS, batch_per_class=1, window=8, highest=8)
    self.assertTrue((jnp.abs(gradients.codes).sum((1, 2, 3)) > 0).all())

  def test_real_batch_is_augmented(self):
    nothing = Augmentation(
        lambda key, shape, rows: (), lambda _, images: 0 * images)
    found, *_ = _estimate(
        _distilled(), real_augmentation=nothing, window=1, highest=1)
    dark = _batch()._replace(inputs=jnp.zeros_like(_batch().inputs))
    expected, bright = (_one()(_distilled(), b)[0] for b in (dark, _batch()))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    self.assertNotAlmostEqual(float(found), float(bright))

  def test_gradient_is_finite_where_second_moments_are_zero(self):
    """A pixel that is 0 in all images leaves its weights without gradient."""
    distilled = _distilled()
    distilled = distilled._replace(codes=distilled.codes.at[:, 0, 0].set(0.0))
    _, gradients = _one()(distilled, _batch())
    chex.assert_tree_all_finite(gradients)
    self.assertGreater(float(jnp.abs(gradients.codes[:, 0, 0]).min()), 0)
    _, without, _ = _estimate(
        distilled, optimizer=optax.adam(1e-3), window=1, highest=1)
    self.assertFalse(bool(jnp.isfinite(without.codes).all()))

  def test_running_statistics_pass_through_both_parts(self):
    network = convnet(CLASSES, depth=1, width=2, norm=norms.batch_norm)
    distilled = _distilled()
    found, *_ = _estimate(
        distilled,
        network=network,
        optimizer=optax.sgd(0.0),
        window=1,
        lowest=1,
        highest=2)
    k_init, *_ = jax.random.split(jax.random.key(0), 5)
    variables = jax.jit(network.init)(k_init, distilled.codes[:1])
    train = jax.jit(lambda v: network.apply(v, distilled.codes, train=True)[1])
    logits, _ = jax.jit(network.apply)(train(train(variables)), _batch().inputs)
    expected = cross_entropy(
        logits, label_rows(_batch().labels, CLASSES, logits.dtype))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


class MemoryTest(parameterized.TestCase):

  def test_window_keeps_states_and_one_steps_activations(self):
    """Four numbers a weight and step of the window; the rest is of one step."""
    network = convnet(10, depth=1, width=4)
    codes = jnp.zeros((20, 28, 28, 1))
    distilled = Distilled(codes, jnp.zeros((20, 10)), jnp.zeros(0))
    params = network.init(jax.random.key(0), codes[:1])["params"]
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    batch = Batch(codes, jnp.zeros(20, jnp.int32))

    def temp(window):
      estimator = _estimator(
          network=network,
          num_classes=10,
          window=window,
          highest=60,
          augmentation=SCALING)
      compiled = jax.jit(
          lambda d: estimator.estimate(jax.random.key(0), d, (), batch)).lower(
              distilled).compile()
      return compiled.memory_analysis().temp_size_in_bytes

    short, long = temp(10), temp(40)
    self.assertLess(long - short, 1.01 * 30 * 4 * weights)
    self.assertLess(long, 2 * short)


class OuterLoopTest(parameterized.TestCase):

  def test_labels_stay_at_least_zero(self):
    distilled = _distilled()
    outer = distiller(
        _estimator(window=1, highest=1),
        learn(labels=optax.sgd(1.0)),
        project=label_floor())
    state = outer.init(jax.random.key(0), distilled)
    after, _ = distill(
        jax.random.key(0), state, _batch(), step=outer.step, num_steps=2)
    labels = np.asarray(after.distilled.labels)
    self.assertEqual(labels.min(), 0)
    self.assertFalse(np.allclose(labels.sum(1), 1, atol=0.1))

  def test_unit_norm(self):
    images = unit_norm(jnp.asarray(_distilled().codes))
    norms = np.sqrt(np.square(images).reshape(SAMPLES, -1).sum(1))
    np.testing.assert_allclose(norms, 1, rtol=1e-6)

  @parameterized.parameters(
      (dict(window=0, highest=4), "`window` must be at least 1"),
      (dict(window=5, highest=4), "`highest` - `window`; got 5 and 0 with"),
      (dict(window=3, lowest=2, highest=4), "got 3 and 2 with `highest` 4"),
      (dict(window=3, lowest=-1, highest=4), "`lowest` 0 to"),
      (dict(FULL, batch_per_class=1), "`members` must name the samples of"),
      (dict(FULL, members=MEMBERS, batch_per_class=0), "must be at least 1"))
  def test_refuses(self, settings, message):
    with pytest.raises(ValueError, match=message):
      _estimator(**settings)

  def test_refuses_members_of_another_set(self):
    members = class_members(np.arange(12) % CLASSES, CLASSES)
    with pytest.raises(ValueError, match="rows of the 6 samples; got 11"):
      _estimate(_distilled(), members=members, batch_per_class=1, **FULL)
