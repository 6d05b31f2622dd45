"""Label rows and the soft cross-entropy, against NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import labels

LOGITS = np.random.default_rng(0).normal(size=(5, 3)) * 4


class LabelsTest(parameterized.TestCase):

  @parameterized.parameters((2, 1), (3, 3), (10, 10))
  def test_num_outputs(self, classes, outputs):
    assert labels.num_outputs(classes) == outputs

  @parameterized.parameters(2, 3, 10)
  def test_rows_say_their_class(self, num_classes):
    classes = jnp.arange(num_classes, dtype=jnp.int32)
    rows = labels.label_rows(classes, num_classes)
    chex.assert_shape(rows, (num_classes, labels.num_outputs(num_classes)))
    np.testing.assert_array_equal(labels.classes_of_labels(rows), classes)
    grouped = labels.label_rows(classes[:, None], num_classes)  # class by class
    np.testing.assert_array_equal(grouped[:, 0], rows)

  def test_binary_rows_and_classes(self):
    rows = labels.label_rows(jnp.array([1, 0]), 2)
    np.testing.assert_array_equal(rows, [[1.0], [0.0]])
    logits = jnp.array([[-0.1], [0.1], [3.0]])
    np.testing.assert_array_equal(labels.classes_of(logits), [0, 1, 1])
    soft = jnp.array([[0.4], [0.6]])
    np.testing.assert_array_equal(labels.classes_of_labels(soft), [0, 1])

  @parameterized.parameters(
      ([[0.2, 0.5, 0.3]], [[0, 1, 0]], False),
      ([[0.1, -0.5, 0.4]], [[-1 / 3, -1 / 3, 2 / 3]], True),
      ([[0.4], [0.6]], [[0], [1]], False),
      ([[-0.1], [0.1]], [[-0.5], [0.5]], True))
  def test_hardened_rows_are_those_of_their_class(self, soft, hard, centred):
    soft, hard = np.float32(soft), np.float32(hard)
    found = np.asarray(labels.hardened(soft, centred=centred))
    np.testing.assert_allclose(found, hard, atol=1e-7)
    space = "centred" if centred else "raw"
    assert labels.label_regime(found, space) == "hard"
    assert labels.label_regime(soft, space) == "soft_fixed"

  def test_soft_labels_off_the_simplex(self):
    self.enter_context(jax.enable_x64(True))
    y = np.random.default_rng(1).normal(size=(5, 3)) * 2  # negative, any sum
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    expected = np.mean(np.sum(-y * log_p, axis=1))
    np.testing.assert_allclose(
        labels.cross_entropy(LOGITS, y), expected, rtol=1e-12)
    gradient = jax.grad(labels.cross_entropy)(jnp.asarray(LOGITS), y)
    np.testing.assert_allclose(
        gradient, (y.sum(1, keepdims=True) * np.exp(log_p) - y) / 5, rtol=1e-10)

  def test_a_scaled_row_weighs_as_much_as_its_repetitions(self):
    rows, counts = np.eye(3)[[0, 2, 1, 1, 0]], np.array([2, 1, 3, 0, 1])
    weighted = labels.cross_entropy(LOGITS, counts[:, None] * rows)
    repeated = labels.cross_entropy(
        LOGITS.repeat(counts, 0), rows.repeat(counts, 0))
    np.testing.assert_allclose(5 * weighted, 7 * repeated, rtol=1e-6)

  def test_binary_soft_labels(self):
    self.enter_context(jax.enable_x64(True))
    z, y = LOGITS[:, :1], np.array([[1.0], [0.0], [0.3], [1.7], [-0.4]])
    p = 1 / (1 + np.exp(-z))
    expected = np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))
    np.testing.assert_allclose(labels.cross_entropy(z, y), expected, rtol=1e-12)

  def test_large_logits_stay_finite(self):
    z = jnp.array([[1e4, -1e4, 0.0]])
    assert jnp.isfinite(labels.cross_entropy(z, jnp.ones((1, 3))))
    assert jnp.isfinite(labels.cross_entropy(z[:, :1], jnp.zeros((1, 1))))

  def test_refuses_different_shapes(self):
    with pytest.raises(ValueError, match="one shape; got"):
      labels.cross_entropy(jnp.ones((2, 3)), jnp.ones((2, 1)))
