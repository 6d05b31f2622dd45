"""Preprocessing: fitted moments, exact inverses, rebuilding by name."""

from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import preprocessing


def _images(dtype=np.uint8, shape=(40, 3, 3, 2)):
  images = np.random.default_rng(0).integers(0, 256, shape)
  return images.astype(np.uint8) if dtype == np.uint8 else images / 255.0


class PreprocessingTest(parameterized.TestCase):

  def test_unit_scale(self):
    raw = jnp.array([0, 51, 255], jnp.uint8)
    scaled = preprocessing.unit_scale(raw)
    chex.assert_trees_all_close(scaled, jnp.array([0.0, 0.2, 1.0]))
    assert scaled.dtype == jnp.float32
    floats = jnp.array([2.0, 300.0])
    assert preprocessing.unit_scale(floats) is floats

  @parameterized.product(
      fit=[
          preprocessing.standardise, preprocessing.zca,
          preprocessing.relative_zca
      ],
      dtype=[np.uint8, np.float32])
  def test_invert_undoes_apply_under_jit(self, fit, dtype):
    raw = jnp.asarray(_images(dtype))
    record = fit(raw)
    there = jax.jit(lambda record, raw: record.apply(raw))(record, raw)
    assert there.dtype == jnp.float32
    back = jax.jit(lambda record, x: record.invert(x))(record, there)
    chex.assert_trees_all_close(back, preprocessing.unit_scale(raw), atol=2e-6)

  def test_standardised_moments(self):
    raw = _images()
    x = np.asarray(preprocessing.standardise(raw).apply(jnp.asarray(raw)))
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-6)

  def test_constant_channel_has_unit_std(self):
    raw = np.full((7, 3), 0.1, np.float32)
    raw[:, 1] = np.arange(7)
    std = preprocessing.standardise(raw).std
    np.testing.assert_allclose(std, [1.0, 2.0, 1.0])

  def test_zca_agrees_with_svd(self):
    # Independent route: NumPy's unbiased covariance, SVD, float64.
    raw = _images(np.float32)
    flat = raw.reshape(40, -1)
    u, s, _ = np.linalg.svd(np.cov(flat.T))
    whiten = u @ np.diag((s + 0.1)**-0.5) @ u.T
    expected = (flat - flat.mean(0)) @ whiten
    x = preprocessing.zca(raw).apply(jnp.asarray(raw, jnp.float32))
    np.testing.assert_allclose(x.reshape(40, -1), expected, atol=1e-5)

  def test_relative_zca_standardises_before(self):
    raw = _images()
    first = preprocessing.standardise(raw).apply(jnp.asarray(raw))
    flat = np.float64(first).reshape(40, -1)
    u, s, _ = np.linalg.svd(np.cov(flat.T))
    whiten = u @ np.diag((s + 0.1 * s.mean())**-0.5) @ u.T
    record = preprocessing.relative_zca(raw)
    assert preprocessing.name_of(record) == "zca"
    np.testing.assert_allclose(
        record.apply(jnp.asarray(raw)).reshape(40, -1),
        (flat - flat.mean(0)) @ whiten,
        atol=1e-4)
    with pytest.raises(ValueError, match="`regulariser` must be positive; got"):
      preprocessing.relative_zca(raw, regulariser=0.0)

  @parameterized.parameters(preprocessing.standardise, preprocessing.zca)
  def test_chunks_change_nothing(self, fit):
    whole = fit(_images())
    with mock.patch.object(preprocessing, "_CHUNK_VALUES", 50):
      chex.assert_trees_all_close(fit(_images()), whole, atol=1e-6)

  @parameterized.parameters("standardise", "zca")
  def test_rebuilt_by_name(self, name):
    record = getattr(preprocessing, name)(_images())
    assert preprocessing.name_of(record) == name
    rebuilt = preprocessing.PREPROCESSING[name](*record)
    raw = jnp.asarray(_images())
    chex.assert_trees_all_equal(rebuilt.apply(raw), record.apply(raw))

  def test_encoded_only_inverts(self):
    record = preprocessing.standardise(_images())
    encoded = preprocessing.Encoded(record)
    x = jnp.ones((1, 3, 3, 2))
    assert encoded.apply(x) is x
    chex.assert_trees_all_equal(encoded.invert(x), record.invert(x))
    assert preprocessing.name_of(encoded) == "standardise"

  def test_errors(self):
    with pytest.raises(ValueError, match="`regulariser` must be positive; got"):
      preprocessing.zca(_images(), regulariser=0.0)
    with pytest.raises(ValueError, match="at least 2 samples.*got 1"):
      preprocessing.zca(_images()[:1])
    with pytest.raises(ValueError, match="must be one of.*got tuple"):
      preprocessing.name_of(())


def test_identity_tells_records_apart():
  x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
  records = preprocessing.standardise(x), preprocessing.zca(x)
  one, other = map(preprocessing.identity, records)
  assert one != other and preprocessing.identity(records[0]) == one
