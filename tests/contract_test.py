"""What every objective must do on a toy of four classes of 8x8 images.

A new objective is one entry of `OBJECTIVES`.
"""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from distill_jax import initialisation
from distill_jax.data import from_arrays, sampling
from distill_jax.estimators.backprop import backprop
from distill_jax.nn import mlp
from distill_jax.objectives import dc, dd, dm
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parameterization.pixels import pixels

CLASSES, STEPS, EPOCHS = 4, 2, 2
NETWORK = mlp(CLASSES, widths=(8,))
ORDER = initialisation.step_order(CLASSES * STEPS, STEPS)
KEY = jax.random.key(0)
MEMBERS = initialisation.class_members(
    initialisation.start_classes(CLASSES * STEPS, STEPS, CLASSES), CLASSES
)
# Name: objective. Samples have labels [M, K] and step sizes [T].
OBJECTIVES = {
    "unrolled": dd.unrolled(
        NETWORK, ORDER, sample=sampling.mixed(16), num_classes=CLASSES
    ),
    "unrolled_fixed": dd.unrolled(
        NETWORK, ORDER, sample=sampling.mixed(16), num_classes=CLASSES,
        fixed=True,
    ),
    "gradient_matching": dc.gradient_matching(
        NETWORK, MEMBERS, sample=sampling.per_class(8), num_classes=CLASSES,
        steps_per_network=3, epochs_between=2,
    ),
    "distribution_matching": dm.distribution_matching(
        NETWORK, MEMBERS, sample=sampling.per_class(8)
    ),
}


@cache
def _source():
  """Four bright quarters under noise."""
  generator = np.random.default_rng(0)
  labels = np.arange(80) % CLASSES
  images = 0.3 * generator.normal(size=(80, 8, 8, 1))
  for image, label in zip(images, labels, strict=True):
    row, column = 4 * (label // 2), 4 * (label % 2)
    image[row : row + 4, column : column + 4] += 1
  return from_arrays(images.astype(np.float32), labels)


def _start():
  classes = initialisation.start_classes(len(ORDER.ravel()), STEPS, CLASSES)
  return initialisation.start(
      KEY, initialisation.noise(KEY, len(classes), (8, 8, 1)),
      initialisation.one_hot(classes, CLASSES), pixels(), step_size=0.05,
      num_inner_steps=STEPS * EPOCHS,
  )


@cache
def _outer(name):
  """The distiller, and how often its step was traced."""
  outer = distiller(
      backprop(OBJECTIVES[name], pixels()),
      learn(codes=optax.adam(0.05), step_sizes=optax.adam(0.02)),
  )
  traces = []

  def step(key, state, data):
    traces.append(key)
    return outer.step(key, state, data)

  return outer._replace(step=step), traces


def _run(name, key=KEY, state=None):
  """Twenty-five outer steps, compiled once for each objective."""
  outer, _ = _outer(name)
  state = outer.init(KEY, _start()) if state is None else state
  return distill(key, state, _source().train, step=outer.step, num_steps=25)


@cache
def _twice(name):
  first, info = _run(name)
  second, more = _run(name, state=first)
  return second, jax.tree.map(lambda *x: jnp.concatenate(x), info, more)


def _bits(tree):
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@parameterized.parameters(*OBJECTIVES)
class ContractTest(parameterized.TestCase):
  def test_loss_falls(self, name):
    _, info = _twice(name)
    assert info.finite.all()
    assert info.loss[-10:].mean() < 0.8 * info.loss[:10].mean()

  def test_state_keeps_structure_and_dtypes(self, name):
    before = _outer(name)[0].init(KEY, _start())
    after, _ = _twice(name)
    chex.assert_trees_all_equal_structs(after, before)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, before)

  def test_what_is_not_learned_stays(self, name):
    after, _ = _twice(name)
    assert _bits(after.distilled.labels) == _bits(_start().labels)
    assert (after.distilled.codes != _start().codes).any()

  def test_same_key_same_result(self, name):
    assert _bits(_run(name)) == _bits(_run(name))

  def test_other_key_other_result(self, name):
    state, info = _run(name)
    other, other_info = _run(name, key=jax.random.key(1))
    assert (info.loss != other_info.loss).any()
    assert (state.distilled.codes != other.distilled.codes).any()

  def test_traced_once(self, name):
    _twice(name)
    assert len(_outer(name)[1]) == 1

  def test_two_halves_equal_one(self, name):
    outer, traces = _outer(name)
    seen = len(traces)
    whole = distill(
        KEY, outer.init(KEY, _start()), _source().train, step=outer.step,
        num_steps=50,
    )
    del traces[seen:]
    assert _bits(whole) == _bits(_twice(name))

  def test_without_jit(self, name):
    outer, traces = _outer(name)
    seen = len(traces)
    state = outer.init(KEY, _start())
    with jax.disable_jit():
      _, plain = outer.step(KEY, state, _source().train)
    del traces[seen:]
    _, info = _run(name)
    np.testing.assert_allclose(plain.loss, info.loss[0], rtol=1e-4)
    np.testing.assert_allclose(plain.grad_norm, info.grad_norm[0], rtol=1e-3)
