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


def test_margin_of_a_gain_counts_networks_and_test_samples():
  ours, baseline = [0.8, 0.9], [[0.7], [0.8]]
  # Variances 0.0025 of each, with one degree of freedom: Welch's are two.
  gain = metrics.gain_over(ours, baseline)
  np.testing.assert_allclose(gain.stderr, np.sqrt(0.005))
  np.testing.assert_allclose(gain.margin, 4.302653 * gain.stderr, rtol=1e-6)
  assert gain.test_stderr is None
  tested = metrics.gain_over(ours, baseline, 98)
  rates = np.array([98 * 0.85 + 1, 98 * 0.75 + 1]) / 100
  by_test = np.sqrt((rates * (1 - rates) / 100).sum())
  np.testing.assert_allclose(tested.test_stderr, by_test)
  np.testing.assert_allclose(
      tested.margin, np.hypot(gain.margin, 1.959964 * by_test))
  # Networks that agree, all right of four against all but one.
  few = metrics.gain_over([1.0, 1.0], [[0.75, 0.75]] * 2, 4)
  assert few.stderr == 0 and few.margin > few.mean
  assert metrics.gain_over([0.75], [[0.5]]) == (0.25, None, None, None)


def test_distance_to_nearest_is_of_the_same_class():
  features = np.array([[0, 0], [3, 4], [10, 0], [1, 1]], float)
  of_set = np.array([[0, 1], [10, 1], [3, 4], [0, 0]], float)
  # The third sample has a twin of no class of its own; the fourth has none.
  distance = metrics.distance_to_nearest(
      features, [0, 0, 1, 2], of_set, [0, 1, 1, 0])
  np.testing.assert_allclose(distance, (0 + np.hypot(3, 3) + 1) / 3)
