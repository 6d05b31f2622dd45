"""Matching of gradients, distributions, features: goldens, loops, limits."""

import pathlib
from functools import partial
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized
from goldens import make_matching as golden
from goldens.make_augmentation import PARAMETERS
from goldens.make_networks import fill

from distill_jax import augmentation, distances
from distill_jax.data import from_arrays
from distill_jax.data.sampling import per_class
from distill_jax.estimators.backprop import backprop
from distill_jax.initialisation import class_members
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.nn import convnet, norms
from distill_jax.objectives import ncfm
from distill_jax.objectives.cafe import feature_alignment
from distill_jax.objectives.classes import Anchor
from distill_jax.objectives.combine import weighted_sum
from distill_jax.objectives.dc import gradient_matching
from distill_jax.objectives.dm import distribution_matching
from distill_jax.objectives.network_training import on_real, on_samples
from distill_jax.objectives.trained import Trained
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Batch, Distilled, LazyInputs, Network, Samples

# PyTorch 2.13.0, float64: tests/goldens/make_matching.py.
GOLDENS = np.load(pathlib.Path(__file__).parent / "goldens" / "matching.npz")
CLASSES = golden.CLASSES
CLASS_OF = np.repeat(np.arange(CLASSES), golden.OWN)
MEMBERS = class_members(CLASS_OF, CLASSES)
KEY = jax.random.key(0)


def _filled(network: Network) -> Network:
  """The network whose `init` always gives the golden's weights."""

  def init(key, example):

    def value(path, leaf):
      name = jax.tree_util.keystr(path, simple=True, separator="/")
      return jnp.asarray(fill(name, leaf.shape), example.dtype)

    shapes = jax.eval_shape(network.init, key, example)
    params = jax.tree_util.tree_map_with_path(value, shapes["params"])
    return {"params": params}

  return network._replace(init=init)


NETWORK = _filled(convnet(CLASSES, depth=1, width=4))


def _problem():
  """Distilled samples, class-major, and one real batch, in float64."""
  own, real = (jnp.asarray(x) for x in golden.samples())
  samples = Samples(
      own.reshape(-1, *own.shape[2:]),
      label_rows(jnp.asarray(CLASS_OF), CLASSES, own.dtype), jnp.zeros((0,)))
  labels = jnp.arange(CLASSES, dtype=jnp.int32)[:, None]
  return samples, Batch(real, jnp.broadcast_to(labels, real.shape[:2]))


def _loss_and_gradient(objective, samples, batch):
  state = jax.jit(objective.init)(KEY, samples)

  @jax.jit
  def run(inputs):
    return jax.value_and_grad(
        lambda x: objective.loss(KEY, samples._replace(inputs=x), state, batch)[
            0])(
                inputs)

  return run(samples.inputs)


def _data(key, data):
  del key
  return data


def _with_draw(name):
  """The operation with the golden's parameters."""
  return getattr(augmentation, name)()._replace(
      draw=lambda key, shape, rows: jnp.asarray(golden.drawn(name)))


class GoldensTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def check(self, name, objective):
    samples, batch = _problem()
    batch = objective.sample(KEY, batch)
    loss, gradient = _loss_and_gradient(objective, samples, batch)
    np.testing.assert_allclose(loss, GOLDENS[f"{name}/loss"], rtol=1e-10)
    np.testing.assert_allclose(
        gradient.reshape(GOLDENS[f"{name}/gradient"].shape),
        GOLDENS[f"{name}/gradient"],
        rtol=1e-9,
        atol=1e-12)

  @parameterized.parameters(
      ("by_output", distances.by_output, None),
      *((f"by_output/{name}", distances.by_output, name)
        for name in PARAMETERS), ("cosine", distances.cosine, None),
      ("squared", distances.squared, None),
      ("absolute", distances.absolute, None),
      ("kernels", distances.of_kernels(distances.squared), None))
  def test_gradients(self, name, distance, augment):
    self.check(
        name,
        gradient_matching(
            NETWORK,
            MEMBERS,
            sample=_data,
            num_classes=CLASSES,
            distance=distance,
            augmentation=augment and _with_draw(augment)))

  @parameterized.parameters(
      ("means", distances.means, None),
      ("means/rotate", distances.means, "rotate"),
      ("moments", distances.means_and_covariances(0.3), None))
  def test_distributions(self, name, distance, augment):
    self.check(
        name,
        distribution_matching(
            NETWORK,
            MEMBERS,
            sample=_data,
            distance=distance,
            augmentation=augment and _with_draw(augment)))

  @parameterized.parameters(*golden.AMPLITUDES)
  def test_characteristic_functions(self, amplitude):
    samples, batch = _problem()
    variables = NETWORK.init(KEY, samples.inputs[:1])

    def sample(key, data):
      del key
      return data._replace(extra=Trained(variables, variables))

    def frequencies(key, shape, dtype):
      del key
      drawn = jnp.asarray(golden.frequencies(), dtype)
      self.assertEqual(drawn.shape, shape)
      return drawn

    self.enter_context(mock.patch.object(ncfm, "_normal", frequencies))
    self.check(
        f"ncfm/{amplitude}",
        ncfm.characteristic_matching(
            NETWORK,
            MEMBERS,
            sample=sample,
            amplitude=amplitude,
            num_frequencies=golden.FREQUENCIES,
            calibration=golden.CALIBRATION))

  def test_alignment(self):
    self.check(
        "cafe",
        feature_alignment(
            NETWORK,
            MEMBERS,
            weights=golden.CAFE_WEIGHTS,
            discrimination=golden.CAFE_DISCRIMINATION,
            sample=lambda key, data: data._replace(extra=data)))


class PublishedLoopTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_advance_then_match_equals_match_then_train(self):
    """Three networks, three matches each, two epochs between matches."""
    samples, batch = _problem()
    rate, inner_rate, networks, steps, epochs = 0.3, 0.05, 3, 3, 2
    objective = gradient_matching(
        NETWORK,
        MEMBERS,
        sample=_data,
        num_classes=CLASSES,
        steps_per_network=steps,
        training=on_samples(NETWORK, num_epochs=epochs, step_size=inner_rate))
    outer = distiller(
        backprop(objective, pixels()),
        learn(codes=optax.sgd(rate, momentum=0.5)))
    start = Distilled(samples.inputs, samples.labels, jnp.zeros((0,)))
    state, info = distill(
        KEY,
        outer.init(KEY, start),
        batch,
        step=outer.step,
        num_steps=networks * steps)

    def loss_of(params, inputs, labels):
      logits, _ = NETWORK.apply({"params": params}, inputs)
      return cross_entropy(logits, labels)

    gradient = jax.jit(jax.grad(loss_of))

    @jax.jit
    @jax.value_and_grad
    def matching(images, params):
      total = 0.0
      for c in range(CLASSES):
        target = gradient(
            params, batch.inputs[c],
            label_rows(batch.labels[c], CLASSES, images.dtype))
        rows = CLASS_OF == c
        own = jax.grad(loss_of)(params, images[rows], samples.labels[rows])
        total += distances.by_output(target, own)
      return total

    images, velocity = samples.inputs, 0.0
    losses = []
    for _ in range(networks):
      params = NETWORK.init(KEY, images)["params"]
      for t in range(steps):
        value, change = matching(images, params)
        losses.append(value)
        velocity = 0.5 * velocity + change
        images = images - rate * velocity
        if t == steps - 1:
          break
        for _ in range(epochs):
          params = jax.tree.map(
              lambda p, g: p - inner_rate * g, params,
              gradient(params, images, samples.labels))
    np.testing.assert_allclose(info.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(state.distilled.codes, images, rtol=1e-9)

  def test_training_on_real_batches_goes_on_with_its_momentum(self):
    """IDC: two networks, three matches each, two real batches between."""
    samples, batch = _problem()
    rate, momentum, decay, steps = 0.05, 0.9, 0.01, 3
    real = batch.inputs.reshape(-1, *batch.inputs.shape[2:])
    own_labels = batch.labels.ravel()
    extra = Batch(
        jnp.stack([real[:6], real[6:12]]),
        jnp.stack([own_labels[:6], own_labels[6:12]]))
    objective = gradient_matching(
        NETWORK,
        MEMBERS,
        sample=_data,
        num_classes=CLASSES,
        distance=distances.of_kernels(distances.squared),
        steps_per_network=steps,
        training=on_real(
            NETWORK,
            num_classes=CLASSES,
            optimizer=optax.chain(
                optax.add_decayed_weights(decay), optax.sgd(rate, momentum))))
    batch = batch._replace(extra=extra)

    def loss_of(params, inputs, labels):
      logits, _ = NETWORK.apply({"params": params}, inputs)
      return cross_entropy(logits, label_rows(labels, CLASSES, inputs.dtype))

    state = objective.init(KEY, samples)
    run = jax.jit(objective.loss)
    for _ in range(2):
      params = NETWORK.init(KEY, samples.inputs)["params"]
      velocity = jax.tree.map(jnp.zeros_like, params)
      for t in range(steps):
        _, (state, _) = run(KEY, samples, state, batch)
        if t:
          for i in range(2):
            gradient = jax.grad(loss_of)(
                params, extra.inputs[i], extra.labels[i])
            velocity = jax.tree.map(
                lambda v, g, p: momentum * v + g + decay * p, velocity,
                gradient, params)
            params = jax.tree.map(lambda p, v: p - rate * v, params, velocity)
        chex.assert_trees_all_close(
            state.variables["params"], params, rtol=1e-9)
    with self.assertRaisesRegex(ValueError, "batches to train on beside"):
      objective.loss(KEY, samples, state, batch._replace(extra=()))

  @parameterized.parameters((0.05, 3), (0.1, 8))
  def test_alignment_learns_while_its_accuracy_moves(self, moved, epochs):
    """CAFE's two loops, written out; the second case meets their bound."""
    samples, batch = _problem()
    settings = dict(
        step_size=0.3, settled=0.1, moved=moved, window=2, max_epochs=8)
    objective = feature_alignment(
        NETWORK, MEMBERS, weights=(1.0, 1.0), sample=_data, **settings)
    batch = batch._replace(extra=batch)
    real = batch.inputs.reshape(-1, *batch.inputs.shape[2:])

    def accuracy(params):
      logits, _ = NETWORK.apply({"params": params}, real)
      right = np.argmax(logits, -1) == np.ravel(batch.labels)
      return float(np.mean(right))

    @jax.jit
    def epoch(params):

      def loss_of(params):
        logits, _ = NETWORK.apply({"params": params}, samples.inputs)
        return cross_entropy(logits, samples.labels)

      return jax.tree.map(
          lambda p, g: p - settings["step_size"] * g, params,
          jax.grad(loss_of)(params))

    def spread(values):
      return max(values) - min(values)

    state, run = objective.init(KEY, samples), jax.jit(objective.loss)
    fresh = NETWORK.init(KEY, samples.inputs)["params"]
    params, outer, replaced, lengths = fresh, [], 0, set()
    for _ in range(12):
      _, (state, metrics) = run(KEY, samples, state, batch)
      chex.assert_trees_all_close(state.variables["params"], params, rtol=1e-9)
      outer = [*outer, accuracy(params)][-2:]
      self.assertAlmostEqual(float(metrics["watched"]), outer[-1], places=6)
      if len(outer) == 2 and spread(outer) < settings["settled"]:
        params, outer, replaced = fresh, [], replaced + 1
        continue
      inner = []
      while len(inner) < settings["max_epochs"]:
        params = epoch(params)
        inner.append(accuracy(params))
        if len(inner) >= 2 and spread(inner[-2:]) > settings["moved"]:
          break
      lengths.add(len(inner))
    self.assertGreater(replaced, 0)
    self.assertEqual(lengths, {epochs})


class AnchorTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  @parameterized.parameters((gradient_matching, dict(num_classes=CLASSES)),
                            (distribution_matching, {}))
  def test_frozen_samples_are_matched_beside_the_real_ones(self, make, more):
    samples, batch = _problem()
    frozen = batch.inputs[:, :3] + 0.3
    rows = label_rows(batch.labels[:, :3], CLASSES, jnp.int32)

    def run(batch, anchor=None):
      objective = make(NETWORK, MEMBERS, sample=_data, anchor=anchor, **more)
      return _loss_and_gradient(objective, samples, batch)

    both = run(batch, Anchor(frozen, rows, 0.7))
    real, own = run(batch), run(Batch(frozen, batch.labels[:, :3]))
    chex.assert_trees_all_close(
        both, jax.tree.map(lambda a, b: a + 0.7 * b, real, own), rtol=1e-9)
    with self.assertRaisesRegex(ValueError, "`anchor` must hold samples"):
      run(batch, Anchor(frozen[:2], rows[:2], 1.0))


class LazyInputsTest(parameterized.TestCase):
  """Real inputs that are gathered class by class are the same inputs."""

  @parameterized.product(
      make=(
          lambda network, **more: gradient_matching(
              network,
              num_classes=CLASSES,
              steps_per_network=2,
              training=on_samples(network, num_epochs=1),
              **more), distribution_matching),
      norm=(norms.instance_norm, norms.batch_norm))
  def test_gathering_class_by_class_changes_nothing(self, make, norm):
    network = convnet(CLASSES, depth=1, width=4, norm=norm)
    samples, batch = jax.tree.map(
        lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x,
        _problem())
    split = from_arrays(
        np.asarray(batch.inputs.reshape(-1, 6, 6, 2)),
        np.asarray(batch.labels.ravel()),
        test_fraction=0).train
    found = []
    for lazy in (False, True):
      sample = per_class(3, lazy=lazy)
      objective = make(network, members=MEMBERS, sample=sample)
      state = objective.init(KEY, samples)
      if state:
        state = state._replace(step=jnp.array(1))
      drawn = sample(KEY, split)
      self.assertEqual(isinstance(drawn.inputs, LazyInputs), lazy)
      self.assertEqual(drawn.inputs.shape, (CLASSES, 3, 6, 6, 2))
      found.append(
          jax.jit(
              jax.value_and_grad(
                  lambda x, s=state, d=drawn, o=objective: o.loss(
                      KEY, samples._replace(inputs=x), s, d)[0]))(
                          samples.inputs))
    self.assertGreater(abs(found[0][1]).max(), 0)
    chex.assert_trees_all_close(*found, rtol=1e-5, atol=1e-6)

  def test_alignment_refuses_them(self):
    samples, batch = _problem()
    split = from_arrays(
        np.asarray(batch.inputs.reshape(-1, 6, 6, 2)),
        np.asarray(batch.labels.ravel()),
        test_fraction=0).train
    lazy = per_class(3, lazy=True)(KEY, split)
    objective = feature_alignment(
        NETWORK, MEMBERS, sample=_data, weights=(1.0, 1.0))
    with self.assertRaisesRegex(ValueError, "must draw inputs.*LazyInputs"):
      objective.loss(KEY, samples, objective.init(KEY, samples), lazy)


class WeightedSumTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_parts_pull_as_hard_as_their_weights_at_the_first_step(self):
    parts = (
        gradient_matching(
            NETWORK,
            MEMBERS,
            sample=_data,
            num_classes=CLASSES,
            steps_per_network=1),
        distribution_matching(NETWORK, MEMBERS, sample=_data))
    weights = (0.7, 0.3)
    both = weighted_sum(*parts, weights=weights)
    samples, batch = _problem()
    keys = jax.random.split(KEY, 2)

    @partial(jax.jit, static_argnums=0)
    def gradient_of(objective, key, samples, state, batch):
      return jax.grad(
          lambda s: objective.loss(key, s, state, batch), has_aux=True)(
              samples)

    state = both.init(KEY, samples)
    scales = None
    for inputs in (samples.inputs, samples.inputs + 0.1):
      own = samples._replace(inputs=inputs)
      ours, (state,
             metrics) = gradient_of(both, KEY, own, state, (batch, batch))
      theirs = [
          gradient_of(part, key, own, part.init(KEY, own), batch)[0]
          for part, key in zip(parts, keys, strict=True)
      ]
      scales = scales or [optax.tree.norm(g) for g in theirs]
      pulls = [w / s for w, s in zip(weights, scales, strict=True)]
      expected = jax.tree.map(
          lambda a, b, p=pulls: p[0] * a + p[1] * b, *theirs)
      chex.assert_trees_all_close(ours, expected, rtol=1e-9, atol=1e-12)
    self.assertEqual(set(metrics), {"part0", "part1"})

  def test_refuses_weights(self):
    part = distribution_matching(NETWORK, MEMBERS, sample=_data)
    for weights in ((), (1.0,), (1.0, 0.0)):
      with self.assertRaisesRegex(ValueError, "`weights` must be positive"):
        weighted_sum(part, part, weights=weights)


class LimitsTest(parameterized.TestCase):

  @parameterized.parameters("", "color_crop_cutout_flip_scale_rotate")
  def test_the_batch_itself_matches(self, strategy):
    """Also under augmentation, which is one draw for both."""
    _, batch = _problem()
    own = batch.inputs.reshape(-1, *batch.inputs.shape[2:])
    samples = Samples(
        own, label_rows(batch.labels.ravel(), CLASSES), jnp.zeros((0,)))
    members = class_members(np.asarray(batch.labels).ravel(), CLASSES)
    for objective in (gradient_matching(
        NETWORK, members, sample=_data, num_classes=CLASSES,
        distance=distances.squared,
        augmentation=augmentation.dsa(strategy)), distribution_matching(
            NETWORK, members, sample=_data,
            augmentation=augmentation.dsa(strategy))):
      loss, gradient = _loss_and_gradient(objective, samples, batch)
      self.assertLess(float(loss), 1e-9)
      self.assertLess(float(jnp.abs(gradient).max()), 1e-5)

  def test_order_of_the_samples_carries_no_meaning(self):
    samples, batch = _problem()
    shuffle = np.random.RandomState(0).permutation(len(CLASS_OF))
    shuffled = samples._replace(
        inputs=samples.inputs[shuffle], labels=samples.labels[shuffle])
    losses = [
        _loss_and_gradient(
            gradient_matching(
                NETWORK,
                class_members(classes, CLASSES),
                sample=_data,
                num_classes=CLASSES), own, batch)[0]
        for own, classes in ((samples, CLASS_OF), (shuffled, CLASS_OF[shuffle]))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)

  def test_a_dead_filter_gives_finite_gradients(self):

    def loss(b):
      return distances.by_output({"w": jnp.ones((3, 2))}, {"w": b})

    gradient = jax.grad(loss)(jnp.zeros((3, 2)))
    self.assertTrue(bool(jnp.isfinite(gradient).all()))

  def test_batch_norm_takes_its_statistics_from_real_samples(self):
    network = convnet(CLASSES, depth=1, width=4, norm=norms.batch_norm)
    objective = gradient_matching(
        network,
        MEMBERS,
        sample=_data,
        num_classes=CLASSES,
        steps_per_network=2,
        training=on_samples(network, num_epochs=0))
    samples, batch = _problem()
    state = objective.init(KEY, samples)._replace(step=jnp.array(1))
    _, (after, _) = jax.jit(objective.loss)(KEY, samples, state, batch)
    real = batch.inputs.reshape(-1, *batch.inputs.shape[2:])
    _, expected = network.apply(state.variables, real, train=True)
    chex.assert_trees_all_close(after.variables, expected, rtol=1e-5)

  def test_batch_norm_mixes_the_classes_of_embeddings(self):
    network = convnet(CLASSES, depth=1, width=4, norm=norms.batch_norm)
    fixed = network.init(KEY, jnp.zeros((1, 6, 6, 2)))
    network = network._replace(init=lambda key, example: fixed)
    objective = distribution_matching(network, MEMBERS, sample=_data)
    samples, batch = _problem()
    loss, _ = _loss_and_gradient(objective, samples, batch)

    def means(inputs):
      features = network.stages(fixed, inputs, train=True)[0][-1]
      return features.reshape(CLASSES, -1, features.shape[-1]).mean(1)

    apart = means(batch.inputs.reshape(-1, 6, 6, 2)) - means(samples.inputs)
    np.testing.assert_allclose(loss, jnp.square(apart).sum(), rtol=1e-4)

  def test_bad_arguments(self):
    with self.assertRaisesRegex(ValueError, "`members` must be"):
      gradient_matching(NETWORK, MEMBERS[0], sample=_data, num_classes=3)
    samples, batch = _problem()
    mixed = batch._replace(inputs=batch.inputs[0], labels=batch.labels[0])
    for objective in (gradient_matching(NETWORK, MEMBERS, sample=_data,
                                        num_classes=3),
                      distribution_matching(NETWORK, MEMBERS, sample=_data)):
      fewer = samples._replace(inputs=samples.inputs[:4])
      more = samples._replace(
          inputs=jnp.concatenate([samples.inputs, samples.inputs[:1]]))
      for own, real, text in ((samples, mixed, "`sample` must draw"), (
          fewer, batch, "must name each of the 4 samples once; got 6 of 0..5"),
                              (more, batch,
                               "must name each of the 7 samples once")):
        with self.assertRaisesRegex(ValueError, text):
          objective.loss(KEY, own, objective.init(KEY, own), real)
    with self.assertRaisesRegex(ValueError, "`steps_per_network`"):
      gradient_matching(
          NETWORK, MEMBERS, sample=_data, num_classes=3, steps_per_network=0)
    with self.assertRaisesRegex(ValueError, "every class equally often"):
      class_members(np.array([0, 0, 1]), 2)
    with self.assertRaisesRegex(ValueError, "must be 0..1; got 3"):
      class_members(np.arange(4), 2)
    with self.assertRaisesRegex(ValueError, "convolution kernels"):
      distances.of_kernels(distances.squared)({
          "w": jnp.ones((2, 2))
      }, {
          "w": jnp.ones((2, 2))
      })
