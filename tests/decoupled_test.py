"""RDED's choice, CIM's polish and SRe2L's recovery, each by other means."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import distill_jax as dd
from distill_jax.augmentation import resized_crop
from distill_jax.errors import ConfigError
from distill_jax.methods.decoupled import _as_decoded
from distill_jax.objectives.reconstruction import Originals, reconstruction
from distill_jax.objectives.recovery import (
    has_batch_norms,
    recovery,
    with_statistics,
)
from distill_jax.parameterization import from_spec
from distill_jax.realism import surest
from distill_jax.types import Samples

CLASSES, SIDE = 3, 6
RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(SIDE * SIDE, CLASSES)).astype(np.float32)


def _outputs(weights, inputs):
  return inputs.reshape(len(inputs), -1) @ weights


@pytest.fixture(scope="module")
def source():
  x = RNG.uniform(size=(24, SIDE, SIDE, 1)).astype(np.float32)
  return dd.from_arrays(x, np.arange(24) % CLASSES, test_fraction=0)


def _loss(crop: np.ndarray, c: int) -> float:
  logits = crop.ravel().astype(np.float64) @ WEIGHTS
  return float(
      np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[c])


def test_whole_images_are_ranked_as_by_brute_force(source):
  classes = np.array([0, 1, 2, 0, 1, 2, 0])
  found = surest(
      jax.random.key(0),
      source.train,
      classes,
      _outputs,
      WEIGHTS,
      candidates=50,
      num_crops=0)
  inputs = np.asarray(source.train.encode(source.train.inputs))
  labels = np.asarray(source.train.labels)
  for c in range(CLASSES):
    own = inputs[labels == c]
    order = np.argsort([_loss(image, c) for image in own])
    rows = np.flatnonzero(classes == c)
    np.testing.assert_array_equal(found[rows], own[order[:len(rows)]])


def test_crops_are_ranked_as_by_brute_force(source):
  """All crops of all candidates, replayed from the key, in Python loops."""
  key, c, num = jax.random.key(3), 1, 4
  classes = np.array([1, 1, 1])
  found = surest(
      key,
      source.train,
      classes,
      _outputs,
      WEIGHTS,
      candidates=5,
      num_crops=num,
      least_area=0.3)
  k_draw, k_crops = jax.random.split(jax.random.fold_in(key, c))
  members = np.flatnonzero(np.asarray(source.train.labels) == c)
  drawn = members[np.asarray(jax.random.uniform(k_draw, (8,))).argsort()[:5]]
  inputs = np.asarray(source.train.encode(source.train.inputs[drawn]))
  crop = resized_crop(0.3)
  kept = []
  for key, image in zip(jax.random.split(k_crops, 5), inputs, strict=True):
    draw = crop.draw(key, (num, SIDE, SIDE, 1), num)
    crops = [
        np.asarray(
            crop.apply(
                jax.tree.map(lambda leaf, i=i: leaf[i:i + 1], draw),
                image[None]))[0] for i in range(num)
    ]
    kept.append(min(crops, key=lambda one: _loss(one, c)))
  kept.sort(key=lambda one: _loss(one, c))
  np.testing.assert_allclose(found, np.stack(kept[:3]), atol=1e-5)
  again = surest(
      jax.random.key(3),
      source.train,
      classes,
      _outputs,
      WEIGHTS,
      candidates=5,
      num_crops=num,
      least_area=0.3)
  np.testing.assert_array_equal(found, again)


def test_a_class_with_fewer_samples_than_rows_repeats_them(source):
  few = source.take(np.array([0, 1, 2, 3])).train
  found = np.asarray(
      surest(
          jax.random.key(0),
          few,
          np.array([0, 0, 0, 1]),
          _outputs,
          WEIGHTS,
          num_crops=0))
  np.testing.assert_array_equal(found[0], found[2])
  assert not np.array_equal(found[0], found[1])
  with pytest.raises(ValueError, match="num_crops"):
    table = dd.from_arrays(np.eye(4), np.arange(4) % 2, test_fraction=0)
    surest(jax.random.key(0), table.train, np.array([0]), _outputs, WEIGHTS)


def test_crops_are_parts_enlarged():
  crop = resized_crop(0.25)
  image = jnp.linspace(0, 1, 8)[None, :, None, None] * jnp.ones((1, 8, 8, 1))
  whole = crop.apply((jnp.ones((1, 1)), jnp.zeros((1, 2))), image)
  np.testing.assert_allclose(whole, image, atol=1e-6)
  # The lower right quarter: half a side, from half a side on.
  quarter = crop.apply((jnp.full((1, 1), 0.5), jnp.full((1, 2), 0.5)), image)
  scaled = jax.image.scale_and_translate(
      image[0], (8, 8, 1), (0, 1),
      jnp.array([2.0, 2.0]),
      jnp.array([-8.0, -8.0]),
      "linear",
      antialias=False)
  np.testing.assert_allclose(quarter[0, :7, :7], scaled[:7, :7], atol=1e-5)
  side, corner = crop.draw(jax.random.key(0), (500, 8, 8, 1), 500)
  assert 0.5 <= side.min() and side.max() <= 1
  assert (corner >= 0).all() and (corner + side <= 1 + 1e-6).all()
  np.testing.assert_allclose(jnp.square(side).mean(), 0.625, atol=0.03)


@pytest.mark.parametrize("name", ["pixels", "multi_formation"])
def test_originals_stand_in_the_order_of_decoded_samples(name):
  """Flat images survive shrinking, so nothing is left to polish."""
  stored = from_spec(dict(name=name))
  inputs = jnp.arange(8.0)[:, None, None, None] * jnp.ones((1, 4, 4, 1))
  codes = stored.init(jax.random.key(0), inputs)
  wanted = _as_decoded(stored, codes, inputs)
  np.testing.assert_allclose(stored.decode(codes), wanted, atol=1e-6)


class _Smooth(nn.Module):
  """Two batch norms between smooth layers."""

  @nn.compact
  def __call__(self, x, train=False):
    x = x.reshape(len(x), -1)
    for width in (4, CLASSES):
      x = nn.Dense(width, param_dtype=x.dtype)(x)
      x = nn.BatchNorm(use_running_average=not train, dtype=x.dtype)(x)
      x = jnp.tanh(x)
    return x

  def stages(self, x, train=False):
    return (self(x, train),)


def _teacher():
  network = dd.from_linen(_Smooth())
  variables = network.init(jax.random.key(1), jnp.zeros((1, 4, 4, 1)))
  return network, jax.tree.map(lambda leaf: leaf.astype(jnp.float64), variables)


def test_statistics_are_those_that_training_would_record():
  """With momentum m, the running mean moves by (1 - m) of the distance."""
  with jax.enable_x64(True):
    network, variables = _teacher()
    x = jnp.asarray(RNG.normal(size=(9, 4, 4, 1)))
    _, apart = with_statistics(
        lambda: network.apply(variables, x)[0], first=10.0)
    _, moved = network.apply(variables, x, train=True)
    # The first batch norm reads the same in both modes.
    old, new = (v["batch_stats"]["BatchNorm_0"] for v in (variables, moved))
    first = sum(
        jnp.linalg.norm((new[part] - old[part]) / 0.01)
        for part in ("mean", "var"))
    settled = {
        **variables, "batch_stats":
            dict(
                variables["batch_stats"],
                BatchNorm_0=dict(
                    mean=old["mean"] + (new["mean"] - old["mean"]) / 0.01,
                    var=old["var"] + (new["var"] - old["var"]) / 0.01))
    }
    _, without = with_statistics(
        lambda: network.apply(settled, x)[0], first=1e6)
    _, second = with_statistics(lambda: network.apply(settled, x)[0], first=0.0)
    np.testing.assert_allclose(without, second, rtol=1e-6)  # the first is 0
    _, rest = with_statistics(lambda: network.apply(variables, x)[0], first=0.0)
    np.testing.assert_allclose(apart, 10 * first + rest, rtol=1e-8)


def test_gradients_are_those_of_finite_differences():
  with jax.enable_x64(True):
    network, variables = _teacher()
    x = jnp.asarray(RNG.normal(size=(5, 4, 4, 1)))
    labels = jax.nn.one_hot(jnp.arange(5) % CLASSES, CLASSES, dtype=x.dtype)
    wanted = Originals(jnp.asarray(RNG.normal(size=x.shape)), variables)
    cases = ((recovery(network, weight=0.3), variables),
             (reconstruction(network, stage=0), wanted))
    for objective, batch in cases:

      def loss(x, objective=objective, batch=batch):
        samples = Samples(x, labels, jnp.zeros(0))
        return objective.loss(jax.random.key(0), samples, (), batch)[0]

      check_grads(loss, (x,), order=1, modes=["rev"], rtol=1e-5, atol=1e-7)
    same = Samples(wanted.inputs, labels, jnp.zeros(0))
    assert cases[1][0].loss(jax.random.key(0), same, (), wanted)[0] == 0


def test_gradients_where_nothing_is_apart_are_zero():
  """The norms of statistics that agree already."""
  network, variables = _teacher()
  x = jnp.zeros((3, 4, 4, 1))

  def apart(x):
    return with_statistics(lambda: network.apply(settled, x)[0])[1]

  stats = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
  settled = jax.tree.map(jnp.zeros_like, variables) | dict(batch_stats=stats)
  assert apart(x) == 0
  np.testing.assert_array_equal(jax.grad(apart)(x), 0)


def test_networks_without_batch_norms_are_told_apart():
  example = jnp.zeros((1, 8, 8, 1))
  assert has_batch_norms(_teacher()[0], jnp.zeros((1, 4, 4, 1)))
  assert not has_batch_norms(dd.convnet(CLASSES, depth=1, width=2), example)
  with pytest.raises(ConfigError, match="stages"):
    objective = reconstruction(_teacher()[0], stage=3)
    samples = Samples(jnp.zeros((1, 4, 4, 1)), None, None)
    objective.loss(None, samples, (), Originals(samples.inputs, _teacher()[1]))
