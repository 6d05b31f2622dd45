"""What every objective must do on a toy of four classes of 8x8 images.

A new objective is one entry of `OBJECTIVES`. Each compiles one step for images
stored as pixels, which all tests of it share, and one for another
parameterization.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import some

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
    trained,
)
from distill_jax.objectives.network_training import on_real, on_samples
from distill_jax.objectives.pool import network_pool
from distill_jax.outer_loop import Info, State, distill, distiller, learn
from distill_jax.parameterization.field import field
from distill_jax.parameterization.frequency import frequency
from distill_jax.parameterization.hallucinator import hallucinator
from distill_jax.parameterization.linear_bases import linear_bases
from distill_jax.parameterization.multi_formation import multi_formation
from distill_jax.parameterization.pixels import pixels
from distill_jax.parameterization.preconditioned import preconditioned
from distill_jax.parameterization.quantised import quantised

CLASSES, STEPS, EPOCHS = 4, 2, 2
NETWORK = mlp(CLASSES, widths=(8,))
ORDER = initialisation.step_order(CLASSES * STEPS, STEPS)
KEY = jax.random.key(0)
MEMBERS = initialisation.class_members(
    initialisation.start_classes(CLASSES * STEPS, STEPS, CLASSES), CLASSES)


def _pooled(key, data):
  """Batches of classes beside a network between two draws of its weights."""
  pool = jax.vmap(lambda k: NETWORK.init(k, jnp.zeros((1, 8, 8, 1))))
  start, end = (pool(jax.random.split(jax.random.key(i), 3)) for i in (1, 2))
  sample = ncfm.with_member(sampling.per_class(8))
  return sample(key, trained.PooledData(data, ncfm.Members(start, end)))


def _snapshots(key, data):
  """Batches of classes beside two snapshots of an expert."""
  keys = jax.random.split(jax.random.key(1), (2, 3))  # experts, snapshots
  pool = jax.vmap(jax.vmap(lambda k: NETWORK.init(k, jnp.zeros((1, 8, 8, 1)))))(
      keys)
  sample = trained.with_networks(
      sampling.per_class(8), trained.later_snapshots(2))
  return sample(key, trained.PooledData(data, pool))


def _unrolled(order, members, fixed=False):
  del members
  return dd.unrolled(
      NETWORK,
      order,
      sample=sampling.mixed(16),
      num_classes=CLASSES,
      fixed=fixed)


def _gradients(order, members):
  del order
  return dc.gradient_matching(
      NETWORK,
      members,
      sample=sampling.per_class(8),
      num_classes=CLASSES,
      steps_per_network=3,
      training=on_samples(NETWORK, num_epochs=2))


def _gradients_on_real(order, members):
  del order
  return dc.gradient_matching(
      NETWORK,
      members,
      num_classes=CLASSES,
      distance=distances.squared,
      sample=sampling.with_extra(
          sampling.per_class(8), sampling.mixed(8, num_batches=2)),
      training=on_real(NETWORK, num_classes=CLASSES, mixing=cutmix()),
      steps_per_network=2,
      at_most=4)


def _distributions(order, members):
  del order
  return dm.distribution_matching(
      NETWORK, members, sample=sampling.per_class(8))


def _characteristics(order, members):
  del order
  return ncfm.characteristic_matching(
      NETWORK, members, sample=_pooled, num_frequencies=16)


def _trained(order, members):
  del order
  return trained.trained_matching(NETWORK, members, sample=_snapshots)


def _features(order, members):
  del order
  return cafe.feature_alignment(
      NETWORK,
      members,
      weights=(0.1, 1.0),
      window=2,
      max_epochs=3,
      sample=sampling.with_extra(sampling.per_class(8), sampling.per_class(4)))


def _hybrid(order, members):
  return combine.weighted_sum(
      _gradients(order, members),
      _distributions(order, members),
      weights=(0.5, 0.5))


def _stretch(key, data):
  """An expert's first epoch."""
  start = NETWORK.init(key, jnp.zeros((1, 8, 8, 1)))
  trained = train_epochs(
      key,
      NETWORK,
      start,
      data.inputs,
      label_rows(data.labels, CLASSES),
      optimizer=optax.sgd(0.3),
      num_epochs=1,
      batch_size=40)
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
      NETWORK,
      sample=sampling.mixed(16),
      num_classes=CLASSES,
      window=2,
      highest=4,
      optimizer=optax.adam(0.05, eps_root=1e-8),
      members=members,
      batch_per_class=1)


def _kernels(order, members):
  del order, members
  return kip.kernel_regression(
      kernels.fully_connected(1),
      sample=sampling.mixed(16),
      num_classes=CLASSES,
      ridge=1e-3)


def _feature_regression(order, members):
  del order, members
  network = mlp(CLASSES, widths=(32,))  # eight features are too few
  return frepo.feature_regression(
      network,
      sample=sampling.mixed(16),
      num_classes=CLASSES,
      ridge=0.1,
      margin=0.1,
      pool=network_pool(
          network,
          size=3,
          max_age=6,
          optimizer=optax.adam(0.01),
          batch_size=6,
          num_steps=(1, 2)))


def _random_features(order, members):
  del order, members
  return rfad.random_feature_regression(
      NETWORK, sample=sampling.mixed(16), num_classes=CLASSES, num_networks=3)


def _neighbours(order, members):
  del order, members
  return soft_neighbours.soft_neighbours(
      sample=sampling.mixed(16), num_classes=CLASSES, k=4)


class Entry(NamedTuple):
  """An objective under test.

  Attributes:
    make: `(order, members) -> objective`, on samples with labels and step
      sizes.
    stored: the parameterization besides pixels that is tested by default.
    learned: whether labels are learned there.
    quick: whether `make test` runs its slower tests too.
  """

  make: Callable
  stored: str
  learned: bool
  quick: bool = False


OBJECTIVES = {
    "unrolled": Entry(_unrolled, "multi_formation", True),
    "unrolled_fixed":
        Entry(partial(_unrolled, fixed=True), "linear_bases", False),
    "gradient_matching": Entry(_gradients, "hallucinator", True),
    "gradient_matching_on_real":
        Entry(_gradients_on_real, "preconditioned", False),
    "distribution_matching": Entry(_distributions, "field", False, quick=True),
    "characteristic_matching": Entry(
        _characteristics, "multi_formation", False),
    "trained_matching": Entry(_trained, "pixels", False),
    "feature_alignment": Entry(_features, "linear_bases", False),
    "weighted_sum": Entry(_hybrid, "hallucinator", False),
    "trajectory_matching": Entry(_trajectories, "preconditioned", True),
    "truncated_unroll": Entry(_truncated, "frequency", False),
    "kernel_regression": Entry(_kernels, "multi_formation", True, quick=True),
    "feature_regression": Entry(_feature_regression, "linear_bases", False),
    "random_feature_regression": Entry(_random_features, "hallucinator", True),
    "soft_neighbours": Entry(_neighbours, "quantised", False, quick=True)
}
QUICK = [name for name, entry in OBJECTIVES.items() if entry.quick]
PARAMETERIZATIONS = {
    "pixels": pixels(),
    "multi_formation": multi_formation(2),
    "linear_bases": linear_bases(3, reduction=2),
    "hallucinator": hallucinator(2),
    "preconditioned": preconditioned(),
    "frequency": frequency(9),
    "field": field(4, fit_steps=5),
    "quantised": quantised(pixels(), bits=4, patch=4)
}


@cache
def _source():
  """Four bright quarters under noise."""
  generator = np.random.default_rng(0)
  labels = np.arange(80) % CLASSES
  images = 0.3 * generator.normal(size=(80, 8, 8, 1))
  for image, label in zip(images, labels, strict=True):
    row, column = 4 * (label // 2), 4 * (label % 2)
    image[row:row + 4, column:column + 4] += 1
  return from_arrays(images.astype(np.float32), labels, test_fraction=0)


@cache
def _start():
  classes = initialisation.start_classes(len(ORDER.ravel()), STEPS, CLASSES)
  return initialisation.start(
      KEY,
      initialisation.noise(KEY, len(classes), (8, 8, 1)),
      initialisation.one_hot(classes, CLASSES),
      pixels(),
      step_size=0.05,
      num_inner_steps=STEPS * EPOCHS)


def _bits(tree):
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


class Case(NamedTuple):
  """An objective on pixels: its step, and fifty of them.

  Attributes:
    plain: the step as written.
    step: the step compiled.
    traces: grows when `step` is traced.
    before: the state at the start.
    after: the state after fifty steps.
    info: of these steps.
  """

  plain: Callable
  step: Callable
  traces: list
  before: State
  after: State
  info: Info

  def run(self, num_steps: int, key=KEY) -> tuple[State, Info]:
    """Some steps from the start, by the compiled step."""
    return _steps(self.step, self.before, num_steps, key)


def _steps(step, state, num_steps, key=KEY):
  infos = []
  for _ in range(num_steps):
    state, info = step(key, state, _source().train)
    infos.append(info)
  return state, jax.tree.map(lambda *leaves: np.stack(leaves), *infos)


@cache
def _reads(name):
  """Fields that an objective says it reads."""
  return OBJECTIVES[name].make(ORDER, MEMBERS).reads


@pytest.fixture(scope="module", params=OBJECTIVES)
def case(request):
  name, rates = request.param, dict(codes=optax.adam(0.05))
  start = _start()
  if "step_sizes" in _reads(name):
    rates["step_sizes"] = optax.adam(0.02)
  else:
    start = start._replace(raw_step_sizes=jnp.zeros((0,)))
  outer = distiller(
      backprop(OBJECTIVES[name].make(ORDER, MEMBERS), pixels()), learn(**rates))
  traces = []

  @jax.jit
  def step(key, state, data):
    traces.append(key)
    return outer.step(key, state, data)

  before = jax.jit(outer.init)(KEY, start)
  return Case(outer.step, step, traces, before, *_steps(step, before, 50))


def test_loss_falls(case):
  assert case.info.finite.all()
  assert case.info.loss[-10:].mean() < 0.8 * case.info.loss[:10].mean()


def test_state_keeps_structure_and_dtypes(case):
  chex.assert_trees_all_equal_structs(case.after, case.before)
  chex.assert_trees_all_equal_shapes_and_dtypes(case.after, case.before)


def test_what_is_not_learned_stays(case):
  assert _bits(case.after.distilled.labels) == _bits(_start().labels)
  assert (case.after.distilled.codes != _start().codes).any()


def test_same_key_same_result(case):
  state, info = case.run(50)
  assert _bits(state) == _bits(case.after)
  assert _bits(info) == _bits(case.info)


def test_other_key_other_result(case):
  state, info = case.run(50, key=jax.random.key(1))
  assert (info.loss != case.info.loss).any()
  assert (state.distilled.codes != case.after.distilled.codes).any()


def test_traced_once(case):
  assert len(case.traces) == 1


@pytest.mark.parametrize("case", some(OBJECTIVES, QUICK), indirect=True)
def test_without_jit(case):
  with jax.disable_jit():
    _, info = case.plain(KEY, case.before, _source().train)
  np.testing.assert_allclose(info.loss, case.info.loss[0], rtol=1e-4)
  np.testing.assert_allclose(info.grad_norm, case.info.grad_norm[0], rtol=1e-3)


@pytest.mark.slow
def test_two_halves_equal_one(case):
  half, whole = (
      partial(
          distill, KEY, data=_source().train, step=case.plain, num_steps=steps)
      for steps in (25, 50))
  middle, first = half(state=case.before)
  end, second = half(state=middle)
  info = jax.tree.map(lambda *x: jnp.concatenate(x), first, second)
  assert _bits(whole(state=case.before)) == _bits((end, info))


def _run_stored(name, stored, learned):
  """Two steps of a parameterization, in one compiled scan."""
  entry, parameterization = OBJECTIVES[name], PARAMETERIZATIONS[stored]
  fields, reads = dict(codes=optax.sgd(0.01)), _reads(name)
  if learned and "labels" in reads:
    fields["labels"] = optax.sgd(0.01)
  start = initialisation.from_real(
      KEY,
      _source(),
      parameterization,
      num_samples=CLASSES * STEPS,
      num_steps=STEPS,
      num_epochs=EPOCHS,
      step_size=0.05 if "step_sizes" in reads else None)
  owner = parameterization.owner(start.codes)
  objective = entry.make(
      initialisation.samples_of(ORDER, owner),
      initialisation.samples_of(MEMBERS, owner))
  outer = distiller(backprop(objective, parameterization), learn(**fields))
  traces = []

  def step(key, state, data):
    traces.append(key)
    return outer.step(key, state, data)

  state, data = jax.jit(outer.init)(KEY, start), _source().train
  after, info = distill(KEY, state, data, step=step, num_steps=2)
  assert info.finite.all()
  assert len(traces) == 1
  again, _ = distill(KEY, state, data, step=step, num_steps=2)
  assert _bits(again) == _bits(after)
  for before, now in zip(jax.tree.leaves(start.codes),
                         jax.tree.leaves(after.distilled.codes), strict=True):
    learned = jnp.issubdtype(now.dtype, jnp.floating)
    assert (before != now).any() == learned
  same = _bits(after.distilled.labels) == _bits(start.labels)
  assert same == ("labels" not in fields)
  assert _bits(after.distilled.raw_step_sizes) == _bits(start.raw_step_sizes)
  return outer, state, after


@pytest.mark.parametrize("name", some(OBJECTIVES, QUICK))
def test_another_parameterization(name):
  entry = OBJECTIVES[name]
  _run_stored(name, entry.stored, entry.learned)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_reads_what_it_says(name):
  """Fields that an objective reads have a gradient; the others have none."""
  objective = OBJECTIVES[name].make(ORDER, MEMBERS)
  estimator = backprop(objective, pixels())
  start = _start()
  noise = jax.random.uniform(KEY, start.labels.shape, maxval=0.1)
  start = start._replace(labels=start.labels + noise)

  @jax.jit
  def gradients(start):
    state = estimator.init(KEY, start)
    batch = estimator.sample(KEY, _source().train)
    return estimator.estimate(KEY, start, state, batch)[1]

  found = gradients(start)._asdict()
  found["step_sizes"] = found.pop("raw_step_sizes")
  moved = {
      field for field, tree in found.items()
      if any((leaf != 0).any() for leaf in jax.tree.leaves(tree))
  }
  assert moved == set(objective.reads) - {"extra"}


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("stored", PARAMETERIZATIONS)
@pytest.mark.parametrize("learned", (False, True), ids=("hard", "learned"))
def test_all_parameterizations_without_jit(name, stored, learned):
  outer, state, after = _run_stored(name, stored, learned)
  with jax.disable_jit():
    for _ in range(2):
      state, _ = outer.step(KEY, state, _source().train)
  chex.assert_trees_all_close(
      state.distilled, after.distilled, rtol=1e-4, atol=1e-5)
