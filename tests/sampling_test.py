"""Samplers: distinct, uniform, encoded, and refusing what cannot be drawn."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax.data import sampling
from distill_jax.data.making import from_arrays
from distill_jax.errors import DataError

COUNTS = (9, 6, 5)
LABELS = np.repeat([0, 1, 2], COUNTS)
IDS = np.arange(20, dtype=np.float32)[:, None]


def _split(**options):
  """Inputs are row numbers until they are encoded."""
  return from_arrays(IDS, LABELS, test_fraction=0, **options).train


def _rows(split, inputs):
  ids = np.asarray(split.preprocessing.invert(inputs))[..., 0]
  return np.round(ids).astype(int)


class SamplingTest(parameterized.TestCase):

  @parameterized.parameters(1, 7, 20)
  def test_mixed(self, batch_size):
    split = _split()
    batch = jax.jit(sampling.mixed(batch_size))(jax.random.key(0), split)
    chex.assert_shape(batch.inputs, (batch_size, 1))
    assert batch.labels.dtype == jnp.int32
    rows = _rows(split, batch.inputs)
    assert len(set(rows)) == batch_size
    np.testing.assert_array_equal(batch.labels, LABELS[rows])

  @parameterized.parameters(2, 5)
  def test_per_class(self, samples):
    split = _split()
    batch = jax.jit(sampling.per_class(samples))(jax.random.key(0), split)
    chex.assert_shape(batch.inputs, (3, samples, 1))
    chex.assert_shape(batch.labels, (3, samples))
    rows = _rows(split, batch.inputs)
    assert all(len(set(row)) == samples for row in rows)
    np.testing.assert_array_equal(LABELS[rows], batch.labels)
    np.testing.assert_array_equal(batch.labels[:, 0], [0, 1, 2])

  def test_absent_classes(self):
    everything, key = _split(), jax.random.key(0)
    source = from_arrays(IDS, LABELS, test_fraction=0)
    split = source.take(np.flatnonzero(LABELS != 1)).train
    sample = sampling.per_class(2, classes=split.present)
    batch = jax.jit(sample)(key, split)
    chex.assert_shape(batch.inputs, (2, 2, 1))
    np.testing.assert_array_equal(batch.labels, [[0, 0], [2, 2]])
    np.testing.assert_array_equal(
        LABELS[_rows(split, batch.inputs)], batch.labels)
    chex.assert_trees_all_equal(
        sampling.per_class(2)(key, everything),
        sampling.per_class(2, classes=np.arange(3))(key, everything))
    sampling.check_per_class(split, 5, classes=split.present)
    with pytest.raises(DataError, match="5 samples of class 2; got 6"):
      sampling.check_per_class(split, 6, classes=split.present)
    with pytest.raises(DataError, match="0 samples of class 1; got 2"):
      sampling.check_per_class(split, 2)

  def test_batches_at_once_share_no_sample(self):
    split = _split()
    sample = jax.jit(sampling.mixed(4, num_batches=3))
    batch = sample(jax.random.key(0), split)
    chex.assert_shape(batch.inputs, (3, 4, 1))
    rows = _rows(split, batch.inputs)
    assert len(set(rows.ravel())) == 12
    np.testing.assert_array_equal(batch.labels, LABELS[rows])
    with pytest.raises(DataError, match="20 samples of the split; got 21 in"):
      sampling.mixed(7, num_batches=3)(jax.random.key(0), split)

  def test_beside(self):
    split, key = _split(), jax.random.key(0)
    both = sampling.with_extra(
        sampling.per_class(2), sampling.mixed(4, num_batches=2))
    batch = both(key, split)
    chex.assert_shape(batch.inputs, (3, 2, 1))
    chex.assert_shape(batch.extra.inputs, (2, 4, 1))
    k_batch, _ = jax.random.split(key)
    alone = sampling.per_class(2)(k_batch, split)
    np.testing.assert_array_equal(batch.inputs, alone.inputs)

  def test_images_keep_their_shape_under_zca(self):
    images = np.random.default_rng(0).random((20, 2, 3, 1))
    split = from_arrays(
        images, LABELS, preprocessing="zca", test_fraction=0).train
    batch = sampling.per_class(2)(jax.random.key(0), split)
    chex.assert_shape(batch.inputs, (3, 2, 2, 3, 1))

  def test_keys(self):
    sample = jax.jit(sampling.mixed(4))
    one, same, other = (
        sample(jax.random.key(seed), _split()) for seed in (0, 0, 1))
    chex.assert_trees_all_equal(one, same)
    assert not np.array_equal(one.inputs, other.inputs)

  def test_a_small_class_is_drawn_whole_and_without_bias(self):
    labels = np.repeat([0, 1], [3, 12])
    split = from_arrays(np.arange(15.0)[:, None], labels, test_fraction=0).train
    sample = sampling.per_class(8)
    draw = jax.jit(jax.vmap(lambda key: sample(key, split).inputs[..., 0]))
    raw = draw(jax.random.split(jax.random.key(0), 3_000))[:, 0]
    _, counts = zip(
        *(np.unique(one, return_counts=True) for one in np.asarray(raw)),
        strict=True)
    counts = np.array(counts)  # of the three samples, in each draw
    assert counts.min() == 2 and counts.max() == 3
    np.testing.assert_allclose(counts.mean(0), 8 / 3, atol=0.04)

  @parameterized.named_parameters(("redrawn", sampling._redrawn, 12),
                                  ("ranked", sampling._ranked, 5))
  def test_every_ordered_tuple_is_equally_likely(self, draw, count):
    # Chi-squared over ordered pairs of `count` values; row 1 has fewer.
    counts, num_draws = jnp.array([count, count - 1]), 20_000
    keys = jax.random.split(jax.random.key(0), num_draws)
    drawn = jax.jit(jax.vmap(lambda key: draw(key, counts, 12, 2)))(keys)
    for row, size in enumerate((count, count - 1)):
      first, second = np.asarray(drawn[:, row]).T
      table = np.zeros((12, 12))
      np.add.at(table, (first, second), 1)
      assert np.trace(table) == 0 and table[:, size:].sum() == 0
      expected = num_draws / (size * (size - 1))
      seen = table[:size, :size][~np.eye(size, dtype=bool)]
      chi2 = np.square(seen - expected).sum() / expected
      degrees = size * (size - 1) - 1
      assert abs(chi2 - degrees) < 4 * np.sqrt(2 * degrees)

  @parameterized.parameters((12, 6), (12, 7), (12, 12))
  def test_distinct_on_both_sides_of_half(self, size, num):
    drawn = sampling._distinct(
        jax.random.key(3), jnp.array([size, size]), size, num)
    for row in np.asarray(drawn):
      assert len(set(row)) == num and row.min() >= 0 and row.max() < size

  def test_draws_map_over_splits_of_different_sizes(self):
    # A batched condition runs both ways of drawing; neither may hang.
    counts = jnp.array([[1, 3], [12, 11]])
    keys = jax.random.split(jax.random.key(0), 2)
    draw = jax.vmap(lambda key, c: sampling._distinct(key, c, 12, 2))
    drawn = np.asarray(draw(keys, counts))
    assert (drawn[1, :, 0] != drawn[1, :, 1]).all()
    assert (drawn[1] < np.asarray(counts)[1, :, None]).all()

  def test_refused(self):
    key, split = jax.random.key(0), _split()
    with pytest.raises(DataError, match="`batch_size` .* 20 .*; got 21"):
      jax.jit(sampling.mixed(21))(key, split)
    with pytest.raises(DataError, match="9 samples of the largest.*; got 10"):
      jax.jit(sampling.per_class(10))(key, split)
    with pytest.raises(DataError, match="5 samples of class 'c'; got 6"):
      sampling.check_per_class(split, 6, ("a", "b", "c"))
    sampling.check_per_class(split, 5)
    with pytest.raises(ValueError, match="`batch_size` .* at least 1; got 0"):
      sampling.mixed(0)
