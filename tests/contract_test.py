"""What every objective must do on a toy of four classes of 8x8 images.

A new objective is one entry of `OBJECTIVES`.
"""

from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from distill_jax import distances, initialisation, kernels
from distill_jax.data import from_arrays, sampling
from distill_jax.estimators.backprop import backprop
from distill_jax.inner_loop import train_epochs
from distill_jax.labels import label_rows
from distill_jax.mixing import cutmix
from distill_jax.nn import mlp, vector
from distill_jax.objectives import (
    cafe,
    combine,
    dc,
    dd,
    dm,
    frepo,
    kip,
    mtt,
    ncfm,
    rat_bptt,
    rfad,
    soft_neighbours,
)
from distill_jax.objectives.between import on_real, on_samples
from distill_jax.objectives.pool import network_pool
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parameterization.hallucinator import hallucinator
from distill_jax.parameterization.linear_bases import linear_bases
from distill_jax.parameterization.multi_formation import multi_formation
from distill_jax.parameterization.pixels import pixels
from distill_jax.parameterization.preconditioned import preconditioned

CLASSES, STEPS, EPOCHS = 4, 2, 2
NETWORK = mlp(CLASSES, widths=(8,))
ORDER = initialisation.step_order(CLASSES * STEPS, STEPS)
KEY = jax.random.key(0)
MEMBERS = initialisation.class_members(
    initialisation.start_classes(CLASSES * STEPS, STEPS, CLASSES), CLASSES
)


def _pooled(key, data):
  """Batches of classes beside a network between two draws of its weights."""
  pool = jax.vmap(lambda k: NETWORK.init(k, jnp.zeros((1, 8, 8, 1))))
  start, end = (pool(jax.random.split(jax.random.key(i), 3)) for i in (1, 2))
  sample = ncfm.with_member(sampling.per_class(8))
  return sample(key, ncfm.PooledData(data, ncfm.Pool(start, end)))


def _unrolled(order, members, fixed=False):
  del members
  return dd.unrolled(
      NETWORK, order, sample=sampling.mixed(16), num_classes=CLASSES,
      fixed=fixed,
  )


def _gradients(order, members):
  del order
  return dc.gradient_matching(
      NETWORK, members, sample=sampling.per_class(8), num_classes=CLASSES,
      steps_per_network=3, training=on_samples(NETWORK, num_epochs=2),
  )


def _gradients_on_real(order, members):
  del order
  return dc.gradient_matching(
      NETWORK, members, num_classes=CLASSES, distance=distances.squared,
      sample=sampling.beside(
          sampling.per_class(8), sampling.mixed(8, num_batches=2)
      ),
      training=on_real(NETWORK, num_classes=CLASSES, mixing=cutmix()),
      steps_per_network=2, at_most=4,
  )


def _distributions(order, members):
  del order
  return dm.distribution_matching(
      NETWORK, members, sample=sampling.per_class(8)
  )


def _characteristics(order, members):
  del order
  return ncfm.characteristic_matching(
      NETWORK, members, sample=_pooled, num_frequencies=16
  )


def _features(order, members):
  del order
  return cafe.feature_alignment(
      NETWORK, members, weights=(0.1, 1.0), window=2, max_epochs=3,
      sample=sampling.beside(sampling.per_class(8), sampling.per_class(4)),
  )


def _hybrid(order, members):
  return combine.weighted_sum(
      _gradients(order, members), _distributions(order, members),
      weights=(0.5, 0.5),
  )


def _stretch(key, data):
  """An expert's first epoch."""
  start = NETWORK.init(key, jnp.zeros((1, 8, 8, 1)))
  trained = train_epochs(
      key, NETWORK, start, data.inputs, label_rows(data.labels, CLASSES),
      optimizer=optax.sgd(0.3), num_epochs=1, batch_size=40,
  )
  return mtt.Segment(*(vector.flatten(v["params"]) for v in (start, trained)))


def _trajectories(order, members):
  del order, members
  matching = mtt.trajectory_matching(NETWORK, num_steps=2, sample=_stretch)

  def loss(key, samples, *args):
    shared = samples._replace(step_sizes=samples.step_sizes[:1])
    return matching.loss(key, shared, *args)

  return matching._replace(loss=loss)


def _truncated(order, members):
  del order
  return rat_bptt.truncated_unroll(
      NETWORK, sample=sampling.mixed(16), num_classes=CLASSES, window=2,
      highest=4, optimizer=optax.adam(0.05, eps_root=1e-8), members=members,
      batch_per_class=1,
  )


def _kernels(order, members):
  del order, members
  return kip.kernel_regression(
      kernels.fully_connected(1), sample=sampling.mixed(16),
      num_classes=CLASSES, ridge=1e-3,
  )


def _feature_regression(order, members):
  del order, members
  network = mlp(CLASSES, widths=(32,))  # eight features are too few
  return frepo.feature_regression(
      network, sample=sampling.mixed(16), num_classes=CLASSES, ridge=0.1,
      margin=0.1, pool=network_pool(
          network, size=3, max_age=6, optimizer=optax.adam(0.01),
          batch_size=6, num_steps=(1, 2),
      ),
  )


def _random_features(order, members):
  del order, members
  return rfad.random_feature_regression(
      NETWORK, sample=sampling.mixed(16), num_classes=CLASSES, num_networks=3,
  )


def _neighbours(order, members):
  del order, members
  return soft_neighbours.soft_neighbours(
      sample=sampling.mixed(16), num_classes=CLASSES, k=4
  )


# Name: `(order, members) -> objective` on samples that have labels and step
# sizes.
OBJECTIVES = {
    "unrolled": _unrolled,
    "unrolled_fixed": partial(_unrolled, fixed=True),
    "gradient_matching": _gradients,
    "gradient_matching_on_real": _gradients_on_real,
    "distribution_matching": _distributions,
    "characteristic_matching": _characteristics,
    "feature_alignment": _features,
    "weighted_sum": _hybrid,
    "trajectory_matching": _trajectories,
    "truncated_unroll": _truncated,
    "kernel_regression": _kernels,
    "feature_regression": _feature_regression,
    "random_feature_regression": _random_features,
    "soft_neighbours": _neighbours,
}
PARAMETERIZATIONS = {
    "pixels": pixels(),
    "multi_formation": multi_formation(2),
    "linear_bases": linear_bases(3, reduction=2),
    "hallucinator": hallucinator(2),
    "preconditioned": preconditioned(),
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
  return from_arrays(images.astype(np.float32), labels, test_fraction=0)


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
      backprop(OBJECTIVES[name](ORDER, MEMBERS), pixels()),
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


# Their losses do not read labels.
UNLABELLED = ("distribution_matching", "feature_alignment")


class MatrixTest(parameterized.TestCase):
  """Objective x parameterization x hard or learned labels, two steps."""

  @parameterized.parameters(*enumerate(OBJECTIVES))
  def test_some(self, number, name):
    """Each objective with one parameterization, the next with the next."""
    stored = tuple(PARAMETERIZATIONS)[(number + 1) % len(PARAMETERIZATIONS)]
    self._run(name, stored, learned=number % 2 == 0)

  @parameterized.product(
      name=tuple(OBJECTIVES), stored=tuple(PARAMETERIZATIONS),
      learned=(False, True),
  )
  @pytest.mark.slow
  def test_all_without_jit(self, name, stored, learned):
    outer, state, after = self._run(name, stored, learned)
    with jax.disable_jit():
      for _ in range(2):
        state, _ = outer.step(KEY, state, _source().train)
    chex.assert_trees_all_close(
        state.distilled, after.distilled, rtol=1e-4, atol=1e-5
    )

  def _run(self, name, stored, learned):
    parameterization = PARAMETERIZATIONS[stored]
    fields = dict(codes=optax.sgd(0.01))
    if learned:
      fields["labels"] = optax.sgd(0.01)
    start = initialisation.from_real(
        KEY, _source(), parameterization, num_samples=CLASSES * STEPS,
        num_steps=STEPS, num_epochs=EPOCHS, step_size=0.05,
    )
    owner = parameterization.owner(start.codes)
    objective = OBJECTIVES[name](
        initialisation.owned(ORDER, owner),
        initialisation.owned(MEMBERS, owner),
    )
    outer = distiller(backprop(objective, parameterization), learn(**fields))
    traces = []

    def step(key, state, data):
      traces.append(key)
      return outer.step(key, state, data)

    state, data = outer.init(KEY, start), _source().train
    after, info = distill(KEY, state, data, step=step, num_steps=2)
    self.assertTrue(bool(info.finite.all()))
    self.assertLen(traces, 1)
    again, _ = distill(KEY, state, data, step=step, num_steps=2)
    self.assertEqual(_bits(again), _bits(after))
    for before, now in zip(
        jax.tree.leaves(start.codes), jax.tree.leaves(after.distilled.codes),
        strict=True,
    ):
      self.assertTrue(bool((before != now).any()))
    same = _bits(after.distilled.labels) == _bits(start.labels)
    self.assertEqual(same, not learned or name in UNLABELLED)
    self.assertEqual(
        _bits(after.distilled.raw_step_sizes), _bits(start.raw_step_sizes)
    )
    return outer, state, after
