"""Metrics against scikit-learn, published reference points and definitions."""

import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from sklearn.metrics import f1_score

from distill_jax.evaluation import metrics

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2])
PREDICTED = np.array([0, 1, 0, 1, 1, 0, 2, 3])


class ConfusionTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.confusion = metrics.confusion_matrix(
        jnp.array(LABELS), jnp.array(PREDICTED), 5)

  def test_counts(self):
    expected = np.zeros((5, 5), int)
    for true, said in zip(LABELS, PREDICTED, strict=True):
      expected[true, said] += 1
    np.testing.assert_array_equal(self.confusion, expected)

  def test_summaries(self):
    stacked = np.stack([self.confusion, np.diag([3, 2, 3, 0, 0])])
    np.testing.assert_allclose(metrics.accuracy(stacked), [5 / 8, 1])
    np.testing.assert_allclose(metrics.majority_rate(stacked), [3 / 8, 3 / 8])
    np.testing.assert_allclose(
        metrics.macro_f1(stacked),
        [f1_score(LABELS, PREDICTED, average="macro"), 1])
    np.testing.assert_allclose(
        metrics.class_accuracy(self.confusion),
        [2 / 3, 1, 1 / 3, np.nan, np.nan])


def test_percent_is_refused():
  with pytest.raises(ValueError, match="`accuracy_of_all` must be a fraction"):
    metrics.distillation_ratio(0.9, 99)


def test_ratio_and_size():
  # MNIST of the paper: 96.13 % from 10 images, 99 % from all.
  ratio = metrics.distillation_ratio(0.9613, 0.99)
  np.testing.assert_allclose(ratio, 97.1, atol=0.01)
  sizes, ratios = [10, 5, 2], [97.1, 92.5, 60.0]
  assert metrics.distillation_size(sizes, ratios, 90) == 5
  assert metrics.distillation_size(sizes, ratios, 95) == 10
  assert metrics.distillation_size(sizes, ratios, 99) == float("inf")


def test_distance_to_nearest_is_of_the_same_class():
  features = np.array([[0, 0], [3, 4], [10, 0], [1, 1]], float)
  of_set = np.array([[0, 1], [10, 1], [3, 4], [0, 0]], float)
  # The third sample has a twin of no class of its own; the fourth has none.
  distance = metrics.distance_to_nearest(
      features, [0, 0, 1, 2], of_set, [0, 1, 1, 0])
  np.testing.assert_allclose(distance, (0 + np.hypot(3, 3) + 1) / 3)
