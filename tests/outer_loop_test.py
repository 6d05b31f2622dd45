"""The outer loop on a problem with a known answer: halving a distance."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from distill_jax.outer_loop import distill, distiller, label_simplex, learn
from distill_jax.tracking import lowest_loss, running_average
from distill_jax.types import Distilled, Estimator

KEY = jax.random.key(0)
START = Distilled(
    codes={
        "a": jnp.array([1.0, -2.0]),
        "b": jnp.array([[0.5]])
    },
    labels=jnp.array([[-0.0, 1e-30, jnp.inf], [0.0, 1.0, -1.0]]),
    raw_step_sizes=jnp.array([-3.0, -0.0]))


def _toward(data_of=lambda data, noise: data + 0.1 * noise) -> Estimator:
  """`|codes - data|^2 / 2`, whose state counts the calls."""

  def sample(key, data):
    return data_of(data, jax.random.normal(key, ()))

  def init(key, distilled):
    del key, distilled
    return jnp.zeros((), jnp.int32)

  def estimate(key, distilled, state, batch):

    def loss(distilled):
      leaves = jax.tree.leaves((distilled.codes, distilled.raw_step_sizes))
      return 0.5 * sum(((leaf - batch)**2).sum() for leaf in leaves)

    value, gradients = jax.value_and_grad(loss)(distilled)
    jitter = 0.01 * jax.random.normal(key, ())
    return value + jitter, gradients, state + 1, {"batch": batch}

  return Estimator(sample, init, estimate, lambda distilled: distilled)


def _outer(optimizer=None, **options):
  optimizer = optimizer or learn(codes=optax.adam(0.1))
  return distiller(options.pop("estimator", _toward()), optimizer, **options)


def _run(outer, num_steps, state=None, key=KEY, data=2.0):
  state = outer.init(key, START) if state is None else state
  return distill(
      key, state, jnp.float32(data), step=outer.step, num_steps=num_steps)


def _bits(tree):
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


class DistillTest(parameterized.TestCase):

  def test_two_halves_equal_one(self):
    outer = _outer(tracker=running_average(0.9))
    whole, info = _run(outer, 6)
    half, first = _run(outer, 3)
    again, second = _run(outer, 3, state=half)
    assert _bits(again) == _bits(whole)
    joined = jax.tree.map(lambda *x: jnp.concatenate(x), first, second)
    assert _bits(joined) == _bits(info)
    assert int(whole.step) == int(whole.objective) == 6

  def test_per_step_must_have_a_row_for_each_step(self):
    outer = _outer()
    with self.assertRaisesRegex(ValueError, "`per_step` must have .* 2 for 3"):
      distill(
          KEY,
          outer.init(KEY, START), (),
          step=outer.step,
          num_steps=3,
          per_step=jnp.zeros(2))

  def test_the_state_given_is_kept(self):
    outer = _outer()
    state = outer.init(KEY, START)
    before = _bits(state)
    _run(outer, 2, state=state)
    assert _bits(state) == before

  def test_key_decides(self):
    outer = _outer()
    one, same = _run(outer, 2), _run(outer, 2)
    other = _run(outer, 2, key=jax.random.key(1))
    assert _bits(one) == _bits(same)
    batches = np.append(one[1].metrics["batch"], other[1].metrics["batch"])
    assert len(set(batches.tolist())) == 4

  def test_traced_once(self):
    chex.clear_trace_counter()
    outer = _outer()
    step = chex.assert_max_traces(n=1)(outer.step)
    outer = outer._replace(step=step)
    state, _ = _run(outer, 3)
    state, _ = _run(outer, 3, state=state)
    _run(outer, 3, state=state, key=jax.random.key(5), data=1.0)

  def test_without_jit(self):
    outer = _outer()
    compiled = _run(outer, 3)
    with jax.disable_jit():
      plain = _run(outer, 3)
    chex.assert_trees_all_close(plain, compiled, rtol=1e-5, atol=1e-6)

  def test_info(self):
    outer = _outer()
    _, info = _run(outer, 4)
    chex.assert_shape([info.loss, info.grad_norm, info.finite], (4,))
    codes = jnp.concatenate([x.ravel() for x in jax.tree.leaves(START.codes)])
    batch = info.metrics["batch"][0]
    steps = START.raw_step_sizes
    distance = jnp.append(codes, steps) - batch
    np.testing.assert_allclose(
        info.grad_norm[0], jnp.linalg.norm(distance), rtol=1e-5)
    np.testing.assert_allclose(
        info.loss[0], 0.5 * (distance**2).sum(), atol=0.1)
    assert info.finite.all()

  def test_not_finite_is_recorded(self):
    outer = _outer(estimator=_toward(lambda data, noise: data / 0.0))
    _, info = _run(outer, 2)
    assert not info.finite.any()

  def test_a_finite_loss_with_an_infinite_gradient_is_recorded(self):
    estimator = _toward()

    def estimate(key, distilled, state, batch):
      loss, gradients, *rest = estimator.estimate(key, distilled, state, batch)
      bad = jax.tree.map(lambda g: g * jnp.inf, gradients)
      return loss, bad, *rest

    _, info = _run(_outer(estimator=estimator._replace(estimate=estimate)), 1)
    assert jnp.isfinite(info.loss).all() and not info.finite.any()


class UpdateTest(parameterized.TestCase):

  def test_what_is_not_learned_stays_bit_equal(self):
    outer = _outer(learn(codes=optax.sgd(0.1)))
    compiled, _ = _run(outer, 3)
    # Uncompiled too: XLA drops an addition of 0.0, which changes -0.0.
    plain, _ = outer.step(KEY, outer.init(KEY, START), jnp.float32(2.0))
    for after in (compiled.distilled, plain.distilled):
      for field in ("labels", "raw_step_sizes", "extra"):
        assert _bits(getattr(after, field)) == _bits(getattr(START, field))
      assert (after.codes["a"] != START.codes["a"]).all()
    assert np.signbit(START.labels[0, 0])

  def test_each_field_has_its_optimizer(self):
    outer = _outer(learn(codes=optax.sgd(0.5), step_sizes=optax.sgd(0.1)))
    state, info = _run(outer, 1)
    batch = info.metrics["batch"][0]
    for rate, before, after in ((0.5, START.codes["a"],
                                 state.distilled.codes["a"]),
                                (0.1, START.raw_step_sizes,
                                 state.distilled.raw_step_sizes)):
      np.testing.assert_allclose(
          after, before - rate * (before - batch), rtol=1e-6)

  def test_schedule_advances_across_calls(self):
    rates = optax.piecewise_constant_schedule(0.5, {2: 0.0})
    outer = _outer(learn(codes=optax.sgd(rates)))
    state, _ = _run(outer, 1)
    state, _ = _run(outer, 1, state=state)
    moved = state.distilled.codes["a"]
    assert (moved != START.codes["a"]).all()
    state, _ = _run(outer, 2, state=state)
    np.testing.assert_array_equal(state.distilled.codes["a"], moved)

  def test_clipping_is_chained(self):
    optimizer = optax.chain(
        optax.clip_by_global_norm(1e-3), learn(codes=optax.sgd(1.0)))
    state, _ = _run(_outer(optimizer), 1)
    change = jax.tree.map(jnp.subtract, state.distilled.codes, START.codes)
    moved = np.concatenate([np.ravel(x) for x in jax.tree.leaves(change)])
    assert 0 < np.linalg.norm(moved) < 1.001e-3

  def test_projection_follows_the_update(self):
    project = lambda d: d._replace(
        codes=jax.tree.map(lambda x: jnp.clip(x, -1.0, 1.0), d.codes))
    outer = _outer(learn(codes=optax.sgd(0.9)), project=project)
    state, _ = _run(outer, 1)
    np.testing.assert_array_equal(state.distilled.codes["a"], [1.0, 1.0])

  def test_average_equals_the_literal_loop(self):
    outer = _outer(learn(codes=optax.sgd(0.2)), tracker=running_average(0.8))
    state = outer.init(KEY, START)
    chex.assert_trees_all_equal(outer.result(state), START)
    running = np.zeros(2)
    for t in range(1, 4):
      state, _ = _run(outer, 1, state=state)
      running = 0.8 * running + 0.2 * np.asarray(state.distilled.codes["a"])
      np.testing.assert_allclose(
          outer.result(state).codes["a"], running / (1 - 0.8**t), rtol=1e-5)

  def test_average_has_the_last_step_sizes(self):
    outer = _outer(
        learn(codes=optax.sgd(0.1), step_sizes=optax.sgd(0.1)),
        tracker=running_average(0.9))
    state, _ = _run(outer, 3)
    last = state.distilled.raw_step_sizes
    self.assertTrue((last != START.raw_step_sizes).any())
    chex.assert_trees_all_equal(outer.result(state).raw_step_sizes, last)

  def test_average_leaves_what_is_not_learned(self):
    outer = _outer(learn(codes=optax.sgd(0.2)), tracker=running_average(0.9))
    labels = jnp.array([[0.1, 1.0, -2.3], [0.0, 1e9, 7.7]])
    start = START._replace(labels=labels)
    state = outer.init(KEY, start)
    state, _ = _run(outer, 7, state=state)
    chex.assert_trees_all_equal(outer.result(state).labels, start.labels)

  @parameterized.parameters((3, 0), (4, 5), (1, 2))
  def test_lowest_loss_equals_the_literal_loop(self, reach, start):
    tracker = lowest_loss(reach, start=start)
    losses = np.random.RandomState(0).uniform(size=30)
    sets = [START._replace(labels=jnp.full((1, 1), i)) for i in range(30)]
    state, update = tracker.init(sets[0]), jax.jit(tracker.update)
    seen, average, lowest, best, kept = [], 0.0, np.inf, 0, set()
    for step, loss in enumerate(losses):
      state = update(state, step, sets[step], loss)
      if step >= start:
        seen.append(loss)
        average += (loss - average) / min(len(seen), reach)
        if len(seen) == reach or (len(seen) > reach and average < lowest):
          lowest, best = average, step
      if len(seen) < reach:
        best = step
      self.assertEqual(int(tracker.value(state).labels[0, 0]), best)
      kept.add(best)
    self.assertLess(len(kept), 30 - reach)

  def test_result_without_a_tracker_is_the_set(self):
    outer = _outer()
    state, _ = _run(outer, 1)
    chex.assert_trees_all_equal(outer.result(state), state.distilled)


class LearnTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("nothing", {}, "got none"),
      ("unknown", {
          "images": optax.sgd(1.0)
      }, r"got \['images'\]"))
  def test_errors(self, optimizers, message):
    with pytest.raises(ValueError, match=message):
      learn(**optimizers)

  def test_every_field(self):
    distilled = START._replace(labels=jnp.ones(2), extra={"t": jnp.ones(())})
    optimizer = learn(
        codes=optax.sgd(1.0),
        labels=optax.sgd(2.0),
        step_sizes=optax.sgd(3.0),
        extra=optax.sgd(4.0))
    ones = jax.tree.map(jnp.ones_like, distilled)
    updates, _ = optimizer.update(ones, optimizer.init(distilled), distilled)
    assert updates.codes["a"][0] == -1 and updates.labels[0] == -2
    assert updates.raw_step_sizes[0] == -3 and updates.extra["t"] == -4


def test_labels_on_the_simplex():
  labels = jnp.array([[2.0, 0.0, 0.0], [0.5, 0.5, 0.3], [-1.0, 0.2, 0.2]])
  found = label_simplex(START._replace(labels=labels)).labels
  expected = [[1, 0, 0], [0.4, 0.4, 0.2], [0, 0.5, 0.5]]
  np.testing.assert_allclose(found, expected, atol=1e-6)
  binary = START._replace(labels=jnp.array([[-0.5], [0.3], [2.0]]))
  np.testing.assert_allclose(label_simplex(binary).labels, [[0], [0.3], [1]])
