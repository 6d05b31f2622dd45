"""Training in order: the literal loop, its randomness and its statistics."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from distill_jax.augmentation import Augmentation
from distill_jax.inner_loop import train_epochs, train_in_order
from distill_jax.labels import cross_entropy
from distill_jax.nn import convnet, from_linen, mlp, norms
from distill_jax.types import Network, Samples

ORDER = np.array([[3, 0], [1, 2]], np.int32)


def _samples(*shape, num_steps=4):
  generator = np.random.default_rng(0)
  return Samples(
      inputs=jnp.asarray(generator.normal(size=(4, *shape))),
      labels=jnp.asarray(generator.normal(size=(4, 3))),
      step_sizes=jnp.linspace(0.1, 0.4, num_steps))


class _Dropout(nn.Module):

  @nn.compact
  def __call__(self, x, train=False):
    return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


class TrainInOrderTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  @parameterized.named_parameters(("plain", None, 0.0),
                                  ("momentum", optax.trace(0.9), 0.9))
  def test_equals_the_literal_loop(self, optimizer, decay):
    network, samples = mlp(3, widths=(5,)), _samples(6)
    start = network.init(jax.random.key(0), samples.inputs)
    trained = jax.jit(
        lambda: train_in_order(
            jax.random.key(1),
            network,
            start,
            samples,
            ORDER,
            optimizer=optimizer))()

    def loss(params, x, y):
      return cross_entropy(network.apply({"params": params}, x)[0], y)

    params = start["params"]
    velocity = jax.tree.map(jnp.zeros_like, params)
    for t, rows in enumerate([[3, 0], [1, 2], [3, 0], [1, 2]]):
      rows = np.array(rows)
      g = jax.grad(loss)(params, samples.inputs[rows], samples.labels[rows])
      velocity = jax.tree.map(lambda v, g: decay * v + g, velocity, g)
      eta = 0.1 * (t + 1)
      params = jax.tree.map(lambda p, v, e=eta: p - e * v, params, velocity)
    chex.assert_trees_all_close(trained["params"], params, rtol=1e-10)

  def test_running_statistics_are_threaded(self):
    network = convnet(3, depth=1, width=2, norm=norms.batch_norm)
    samples = _samples(4, 4, 1, num_steps=2)
    start = network.init(jax.random.key(0), samples.inputs)
    trained = jax.jit(
        lambda: train_in_order(
            jax.random.key(1), network, start, samples, ORDER))()
    once = network.apply(start, samples.inputs[ORDER[0]], train=True)[1]
    short = samples._replace(step_sizes=samples.step_sizes[:1])
    after = train_in_order(jax.random.key(1), network, start, short, ORDER[:1])
    chex.assert_trees_all_close(
        after["batch_stats"], once["batch_stats"], rtol=1e-10)
    twice = network.apply(after, samples.inputs[ORDER[1]], train=True)[1]
    chex.assert_trees_all_close(
        trained["batch_stats"], twice["batch_stats"], rtol=1e-10)

  def test_dropout_is_fresh_each_step_and_the_same_again(self):
    network = from_linen(_Dropout())
    samples = _samples(6, num_steps=2)
    start = network.init(jax.random.key(0), samples.inputs)

    def run(seed, remat=True):

      def trained(samples):
        variables = train_in_order(
            jax.random.key(seed), network, start, samples, ORDER, remat=remat)
        return sum((p**2).sum() for p in jax.tree.leaves(variables))

      return jax.jit(jax.grad(trained))(samples).inputs

    first, plain, other = run(1), run(1, remat=False), run(2)
    np.testing.assert_allclose(first, plain, rtol=1e-10, atol=1e-14)
    assert not np.allclose(first, other)

    masks = []
    for t in range(2):
      _, key = jax.random.split(jax.random.fold_in(jax.random.key(1), t))
      key = jax.random.split(key, 2)[0]  # a key a row, the first is used
      one = lambda x, key=key: network.apply(start, x, key=key, train=True)[0]
      masks.append(jax.jacobian(lambda x, f=one: f(x).sum())(jnp.ones((2, 6))))
    assert (masks[0] != masks[1]).any()
    for rows, mask in zip(ORDER, masks, strict=True):
      np.testing.assert_array_equal(first[rows] == 0, mask == 0)

  @parameterized.parameters(3, 0)
  def test_refuses_a_part_of_an_epoch(self, num_steps):
    network, samples = mlp(3), _samples(6, num_steps=num_steps)
    with pytest.raises(ValueError, match="T a multiple of the 2 steps"):
      train_in_order(jax.random.key(0), network, {}, samples, ORDER)

  def test_refuses_one_step_size_for_all(self):
    samples = _samples(6)._replace(step_sizes=jnp.array(0.1))
    with pytest.raises(ValueError, match=r"shape \[T\]"):
      train_in_order(jax.random.key(0), mlp(3), {}, samples, ORDER)


class TrainEpochsTest(parameterized.TestCase):
  """Samples are unit vectors and the loss is linear: weights count visits."""

  def train(self, batch_size, num_epochs=1, augmentation=None, size=5):
    network = Network(
        init=None,
        apply=lambda variables, x, **_: (x @ variables["params"], variables),
        stages=None)
    return train_epochs(
        jax.random.key(0),
        network, {"params": jnp.zeros((size, 1))},
        jnp.eye(size),
        jnp.zeros((size, 1)),
        optimizer=optax.sgd(1.0),
        num_epochs=num_epochs,
        batch_size=batch_size,
        augmentation=augmentation,
        loss=lambda logits, labels: -len(logits) * logits.sum())["params"][:, 0]

  @parameterized.parameters((2, [1, 2, 2, 2, 2]), (3, [2, 2, 3, 3, 3]),
                            (5, [5] * 5), (9, [5] * 5))
  def test_every_sample_once_and_what_is_left_over(self, batch_size, expected):
    """The loss weighs a sample by the size of its batch."""
    visits = np.asarray(self.train(batch_size))
    np.testing.assert_array_equal(np.sort(visits), expected)

  def test_epochs_are_shuffled_anew(self):
    alone = np.stack([self.train(2, num_epochs=n) for n in range(12)])
    each = np.diff(alone, axis=0)
    self.assertEqual(alone[0].sum(), 0)
    np.testing.assert_array_equal(np.sort(each, axis=1), [[1, 2, 2, 2, 2]] * 11)
    self.assertGreater(len({int(row.argmin()) for row in each}), 1)

  def test_augmentation_draws_for_every_image(self):
    seen = []

    def draw(key, shape, rows):
      seen.append(rows)
      return jax.random.uniform(key, (rows,))

    def apply(parameters, images):
      return images * (1 + parameters[:, None])

    visits = self.train(2, augmentation=Augmentation(draw, apply))
    self.assertEqual(set(seen), {2, 1})
    self.assertEqual(len(set(np.asarray(visits).tolist())), 5)

  def test_errors(self):
    with pytest.raises(ValueError, match="`batch_size` must be at least 1"):
      self.train(0)
