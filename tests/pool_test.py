"""The pool: who is drawn, trained and replaced, against a list of networks."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from distill_jax.labels import squared_error
from distill_jax.nn import frepo_convnet, mlp, norms
from distill_jax.objectives.pool import network_pool
from distill_jax.types import Samples

CLASSES, SIZE = 3, 3
KEY = jax.random.key(0)


def _samples(step=0, rows=6):
  """A set that moves with the steps."""
  generator = np.random.default_rng(step)
  labels = jax.nn.one_hot(np.arange(rows) % CLASSES, CLASSES) - 1 / CLASSES
  return Samples(
      jnp.asarray(generator.normal(size=(rows, 4, 4, 1)), jnp.float32), labels,
      jnp.zeros((0,)))


def _same_start(network):
  """A network whose weights always start alike."""
  return network._replace(init=lambda key, x: network.init(KEY, x))


def _member(state, i):
  return jax.tree.map(lambda leaf: leaf[i], (state.variables, state.optimizer))


class PoolTest(parameterized.TestCase):

  def test_equals_a_list_of_networks_trained_after_use(self):
    """FRePo's code: after a step, the network that was used makes a step on the
    new set, or is replaced where its counter is above the limit by then.
    """
    limit = 3
    network = _same_start(
        frepo_convnet(CLASSES, depth=2, width=2, norm=norms.fast_batch_norm))
    optimizer = optax.adam(0.1)
    pool = network_pool(
        network, size=SIZE, max_age=limit + 1, optimizer=optimizer)
    state, draw = pool.init(KEY, _samples()), jax.jit(pool.draw)

    @jax.jit
    def fresh():
      variables = network.init(KEY, _samples().inputs[:1])
      return variables, optimizer.init(variables["params"])

    @jax.jit
    def step(member, samples):
      variables, moments = member

      def error(params):
        outputs, updated = network.apply({
            **variables, "params": params
        },
                                         samples.inputs,
                                         train=True)
        rows = jnp.square(outputs - samples.labels).sum(1) / 2
        return rows.mean(), updated

      gradient, updated = jax.grad(error, has_aux=True)(variables["params"])
      change, moments = optimizer.update(gradient, moments)
      params = jax.tree.map(jnp.add, variables["params"], change)
      return {**updated, "params": params}, moments

    members, used, replaced = [fresh() for _ in range(SIZE)], None, 0
    ages = [limit // SIZE * i for i in range(SIZE)]
    for t in range(24):
      if used is not None:
        if ages[used] > limit:
          members[used], ages[used], replaced = fresh(), 0, replaced + 1
        else:
          members[used] = step(members[used], _samples(t))
          ages[used] += 1
      variables, state = draw(jax.random.key(t), state, _samples(t))
      used = int(state.last)
      np.testing.assert_array_equal(state.ages, ages)
      for i in range(SIZE):
        chex.assert_trees_all_close(
            _member(state, i), members[i], rtol=1e-4, atol=1e-5)
      chex.assert_trees_all_equal(variables, _member(state, used)[0])
    self.assertGreater(replaced, 2)

  def test_starts_apart_and_staggered(self):
    network = mlp(CLASSES, widths=(4,))
    pool = network_pool(network, size=4, max_age=10, optimizer=optax.sgd(0.1))
    state = pool.init(KEY, _samples())
    np.testing.assert_array_equal(state.ages, [0, 2, 4, 6])
    kernels = state.variables["params"]["head"]["kernel"]
    self.assertLen(np.unique(kernels[:, 0, 0]), 4)
    self.assertEqual(int(state.last), -1)
    drawn, after = jax.jit(pool.draw)(KEY, state, _samples())
    chex.assert_trees_all_equal(after._replace(last=state.last), state)
    chex.assert_trees_all_equal(drawn, _member(state, int(after.last))[0])

  def test_draws_every_member_equally_often(self):
    pool = network_pool(
        mlp(CLASSES, widths=()), size=4, max_age=10, optimizer=optax.sgd(0.1))
    state = pool.init(KEY, _samples())
    keys = jax.random.split(KEY, 800)
    drawn = jax.jit(
        jax.vmap(lambda k: pool.draw(k, state, _samples())[1].last))(
            keys)
    counts = np.bincount(drawn, minlength=4)
    self.assertLess(np.abs(counts - 200).max(), 5 * np.sqrt(150))

  def test_number_of_steps_is_uniform_and_all_are_made(self):
    """A linear model on one sample moves by the same vector every step."""
    network = _same_start(mlp(1, widths=()))
    samples = _samples(rows=1)._replace(labels=jnp.ones((1, 1)))
    pool = network_pool(
        network,
        size=1,
        max_age=100,
        optimizer=optax.sgd(0.01),
        num_steps=(2, 4),
        loss=lambda outputs, labels: outputs.mean())
    state = pool.init(KEY, samples)._replace(last=jnp.zeros((), jnp.int32))
    keys = jax.random.split(KEY, 600)
    after = jax.jit(jax.vmap(lambda k: pool.draw(k, state, samples)[1]))(keys)
    counts = np.bincount(after.ages[:, 0], minlength=6)
    self.assertEqual(counts[[0, 1, 5]].sum(), 0)
    self.assertLess(np.abs(counts[2:5] - 200).max(), 5 * np.sqrt(133))
    before = state.variables["params"]["head"]["bias"][0, 0]
    moved = before - after.variables["params"]["head"]["bias"][:, 0, 0]
    np.testing.assert_allclose(moved, 0.01 * after.ages[:, 0], rtol=1e-4)

  def test_replaced_beyond_the_age_and_anew_each_time(self):
    pool = network_pool(
        mlp(CLASSES, widths=()), size=1, max_age=0, optimizer=optax.adam(0.1))
    state, draw = pool.init(KEY, _samples()), jax.jit(pool.draw)
    seen = set()
    for t in range(5):
      _, state = draw(jax.random.key(t), state, _samples())
      self.assertEqual(int(state.ages[0]), 0)
      self.assertEqual(float(optax.tree.norm(state.optimizer)), 0)
      seen.add(float(state.variables["params"]["head"]["kernel"][0, 0, 0]))
    self.assertLen(seen, 5)

  def test_a_step_sees_different_rows(self):
    """Each row of the inputs moves a weight of its own."""
    samples = Samples(jnp.eye(6), jnp.zeros((6, 1)), jnp.zeros((0,)))
    network = _same_start(mlp(1, widths=()))
    pool = network_pool(
        network,
        size=1,
        max_age=100,
        optimizer=optax.sgd(1.0),
        batch_size=4,
        loss=lambda outputs, labels: outputs.mean())
    start = pool.init(KEY, samples)._replace(last=jnp.zeros((), jnp.int32))
    draw = jax.jit(pool.draw)
    chosen = set()
    for t in range(8):
      _, state = draw(jax.random.key(t), start, samples)
      moved = (
          start.variables["params"]["head"]["kernel"] -
          state.variables["params"]["head"]["kernel"]).ravel()
      rows = np.flatnonzero(moved)
      np.testing.assert_allclose(moved[rows], np.full(4, 0.25), rtol=1e-5)
      chosen.add(tuple(rows))
    self.assertGreater(len(chosen), 2)

  def test_carries_no_gradient(self):
    pool = network_pool(
        mlp(CLASSES, widths=()), size=2, max_age=9, optimizer=optax.sgd(0.1))
    state = pool.init(KEY, _samples())._replace(last=jnp.ones((), jnp.int32))

    def total(samples):
      variables, after = pool.draw(KEY, state, samples)
      return sum(
          leaf.sum() for leaf in jax.tree.leaves((variables, after.variables)))

    run = jax.jit(jax.value_and_grad(total))
    value, gradient = run(_samples())
    self.assertEqual(float(optax.tree.norm(gradient)), 0)
    self.assertNotEqual(float(value), float(run(_samples(1))[0]))

  def test_bad_arguments(self):
    good = dict(size=2, max_age=3, optimizer=optax.sgd(0.1))
    for name, value in (("size", 0), ("max_age", -1), ("batch_size", 0),
                        ("num_steps", (0, 1)), ("num_steps", (3, 2))):
      with self.assertRaisesRegex(ValueError, f"`{name}`"):
        network_pool(mlp(2), **{**good, name: value}, loss=squared_error)
