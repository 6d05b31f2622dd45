"""Starts: the layout of steps and classes, step sizes, real samples."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import initialisation
from distill_jax.data import from_arrays
from distill_jax.parameterization.multi_formation import multi_formation
from distill_jax.parameterization.pixels import pixels

CLASSES = np.repeat([0, 1, 2], (9, 6, 5))


def _shard():
  """A source of three classes whose second has no samples."""
  rows = np.random.RandomState(0).normal(size=(20, 2)) + CLASSES[:, None]
  source = from_arrays(rows.astype(np.float32), CLASSES, test_fraction=0)
  return source.take(np.flatnonzero(CLASSES != 1))


class LayoutTest(parameterized.TestCase):

  def test_step_order_is_step_major(self):
    order = initialisation.step_order(6, 3)
    np.testing.assert_array_equal(order, [[0, 1], [2, 3], [4, 5]])
    assert order.dtype == jnp.int32

  @parameterized.named_parameters(
      ("one_each", 6, 2, 3, [0, 1, 2, 0, 1, 2]),
      ("class_major", 12, 2, 3, [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]),
      ("fewer_than_classes", 4, 2, 3, [0, 1, 2, 0]),
      ("one_step", 2, 1, 5, [0, 1]),
      ("no_multiple", 8, 2, 3, [0, 0, 1, 2, 0, 1, 1, 2]))
  def test_start_classes(self, num_samples, num_steps, num_classes, expected):
    classes = initialisation.start_classes(num_samples, num_steps, num_classes)
    np.testing.assert_array_equal(classes, expected)

  def test_members_of_classes_that_occur(self):
    members = initialisation.class_members([4, 1, 4, 1], 5)
    np.testing.assert_array_equal(members, [[1, 3], [0, 2]])
    with pytest.raises(ValueError, match="equally often; got 1 to 2 rows"):
      initialisation.class_members([4, 1, 4], 5)
    with pytest.raises(ValueError, match=r"must be 0\.\.3; got 4"):
      initialisation.class_members([4, 1], 4)

  def test_layout(self):
    source = _shard()
    owner = np.tile(np.arange(4), 2)  # two formations
    made = initialisation.layout(source, owner, num_rows=4, num_steps=2)
    np.testing.assert_array_equal(made.present, [0, 2])
    np.testing.assert_array_equal(made.classes, [0, 2, 0, 2])
    np.testing.assert_array_equal(made.order, [[0, 4, 1, 5], [2, 6, 3, 7]])
    np.testing.assert_array_equal(made.members, [[0, 4, 2, 6], [1, 5, 3, 7]])
    uneven = initialisation.layout(
        source, np.arange(3), num_rows=3, num_steps=1)
    np.testing.assert_array_equal(uneven.classes, [0, 0, 2])
    assert uneven.members is None and made.classes.dtype == np.int32

  @parameterized.parameters((5, 2), (0, 1), (4, 0))
  def test_step_order_refuses(self, num_samples, num_steps):
    with pytest.raises(ValueError, match="`num_samples` must be a positive"):
      initialisation.step_order(num_samples, num_steps)


class StartTest(parameterized.TestCase):

  @parameterized.parameters(1e-6, 0.02, 1.0, 100.0)
  def test_raw_step_sizes_invert_softplus(self, step_size):
    raw = initialisation.raw_step_sizes(step_size, 3)
    chex.assert_shape(raw, (3,))
    np.testing.assert_allclose(jax.nn.softplus(raw), step_size, rtol=1e-5)

  @parameterized.parameters(0.0, -0.1, float("nan"))
  def test_raw_step_sizes_refuses(self, step_size):
    with pytest.raises(ValueError, match="`step_size` must be positive"):
      initialisation.raw_step_sizes(step_size, 3)

  def test_noise(self):
    images = initialisation.noise(jax.random.key(0), 500, (2, 3, 1))
    chex.assert_shape(images, (500, 2, 3, 1))
    np.testing.assert_allclose((images.mean(), images.std()), (0, 1), atol=0.1)
    labels = initialisation.noise_labels(jax.random.key(0), 5, 2)
    chex.assert_shape(labels, (5, 1))

  def test_shared_labels(self):
    np.testing.assert_allclose(
        initialisation.shared_labels(np.array([0, 1, 0]), 6),
        [[1 / 3, 0, 1 / 3, 0, 0, 1 / 3], [0, 0.5, 0, 0.5, 0, 0],
         [0.5, 0, 0, 0, 0.5, 0]],
        rtol=1e-6)
    np.testing.assert_allclose(
        initialisation.shared_labels(np.array([0]), 3, np.array([0, 2])),
        [[0.5, 0, 0.5]])
    for classes, num_classes in (([0, 1, 2, 0], 3), ([0, 1], 2), ([0], 2)):
      np.testing.assert_array_equal(
          initialisation.shared_labels(np.array(classes), num_classes),
          initialisation.one_hot(np.array(classes), num_classes))

  def test_owned_samples_stand_where_their_rows_do(self):
    owner = np.tile(np.arange(3), 2)  # style-major
    np.testing.assert_array_equal(
        initialisation.samples_of(np.array([[2, 0], [1, 1]]), owner),
        [[2, 5, 0, 3], [1, 4, 1, 4]])

  def test_real_samples_are_distinct_and_of_their_class(self):
    rows = np.arange(20, dtype=np.float32)[:, None]
    split = from_arrays(rows, CLASSES, test_fraction=0).train
    wanted = initialisation.start_classes(12, 2, 3)
    draws = [
        initialisation.real(jax.random.key(seed), split, wanted)
        for seed in (0, 0, 1)
    ]
    ids = np.asarray(split.preprocessing.invert(draws[0]))[:, 0]
    ids = np.round(ids).astype(int)
    assert len(set(ids)) == 12
    np.testing.assert_array_equal(CLASSES[ids], wanted)
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()

  def test_real_refuses_what_is_not_there(self):
    split = from_arrays(
        np.zeros((20, 1), np.float32), CLASSES, test_fraction=0).train
    with pytest.raises(ValueError, match="class 2 has 5 and 6 were asked"):
      initialisation.real(jax.random.key(0), split, np.repeat([0, 1, 2], 6))

  def test_start(self):
    inputs, labels = jnp.ones((4, 3)), initialisation.one_hot([0, 1, 2, 0], 3)
    made = initialisation.start(
        jax.random.key(0),
        inputs,
        labels,
        pixels(),
        step_size=0.1,
        num_inner_steps=6)
    np.testing.assert_array_equal(made.codes, inputs)
    np.testing.assert_array_equal(made.labels, np.eye(3)[[0, 1, 2, 0]])
    chex.assert_shape(made.raw_step_sizes, (6,))
    with pytest.raises(ValueError, match="1 for each of 3 label rows; got 4"):
      initialisation.start(
          jax.random.key(0),
          inputs,
          labels[:3],
          pixels(),
          step_size=0.1,
          num_inner_steps=6)

  @parameterized.parameters(
      initialisation.from_class_means, initialisation.from_herding,
      initialisation.from_kmeans, initialisation.from_noise,
      initialisation.from_real)
  def test_starts_of_one_signature(self, begin):
    rows = np.random.RandomState(0).normal(size=(20, 2)) + CLASSES[:, None]
    source = from_arrays(rows.astype(np.float32), CLASSES, test_fraction=0)
    some = begin(jax.random.key(0), _shard(), pixels(), num_samples=4)
    np.testing.assert_array_equal(some.labels, np.eye(3)[[0, 0, 2, 2]])
    made = begin(
        jax.random.key(0),
        source,
        pixels(),
        num_samples=6,
        num_steps=2,
        num_epochs=3,
        step_size=0.1)
    assert not some.raw_step_sizes.size
    chex.assert_shape(made.codes, (6, 2))
    chex.assert_shape(made.raw_step_sizes, (6,))
    np.testing.assert_array_equal(made.labels, np.eye(3)[[0, 1, 2, 0, 1, 2]])
    assert len(np.unique(made.codes, axis=0)) == 6
    if begin is not initialisation.from_noise:
      order = made.codes.reshape(2, 3, 2).mean((0, 2))
      assert (np.diff(order) > 0).all()


def test_small_classes_fill_rows_of_several_images():
  x = np.arange(3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4, 1)
  source = from_arrays(
      np.concatenate([x, -x]), ["cat"] * 3 + ["dog"] * 3, test_fraction=0)
  start = initialisation.from_real
  made = start(jax.random.key(0), source, multi_formation(2), num_samples=4)
  assert made.codes.shape == (4, 4, 4, 1)  # two rows of four, of three images
  with pytest.raises(ValueError,
                     match="must not exceed.*class 'cat' has 3 and 4"):
    start(jax.random.key(0), source, multi_formation(2), num_samples=8)
