"""Metrics against scikit-learn, published reference points and definitions."""

import jax
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
        jnp.array(LABELS), jnp.array(PREDICTED), 5
    )

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
        [f1_score(LABELS, PREDICTED, average="macro"), 1],
    )
    np.testing.assert_allclose(
        metrics.class_accuracy(self.confusion),
        [2 / 3, 1, 1 / 3, np.nan, np.nan],
    )


class ScoresTest(parameterized.TestCase):
  # Reference points computed by hand from the published formulas.
  @parameterized.parameters(
      (0.5, 0.5, 0.5, 0.5, 0.26894), (0.85, 0.55, 0.65, 0.50, 0.23820)
  )
  def test_label_robust(self, real, hard, own, random, expected):
    score = metrics.label_robust_score(
        real_hard=real, set_hard=hard, set_own=own, random_own=random
    )
    np.testing.assert_allclose(score, expected, atol=5e-6)

  @parameterized.parameters((1, 0, 1.0), (0, 1, 0.0))
  def test_ends_of_the_scale(self, own, random, expected):
    score = metrics.label_robust_score(
        real_hard=0.5, set_hard=0.5, set_own=own, random_own=random, weight=1
    )
    np.testing.assert_allclose(score, expected, atol=1e-12)

  def test_augmentation_robust(self):
    score = metrics.augmentation_robust_score(
        set_augmented=0.65, random_augmented=0.50, set_plain=0.55,
        random_plain=0.45,
    )
    np.testing.assert_allclose(score, 0.32559, atol=5e-6)

  def test_percent_is_refused(self):
    with pytest.raises(ValueError, match="`set_hard` must be a fraction"):
      metrics.label_robust_score(
          real_hard=0.85, set_hard=55, set_own=0.65, random_own=0.5
      )

  def test_ratio_and_size(self):
    # MNIST of the paper: 96.13 % from 10 images, 99 % from all.
    ratio = metrics.distillation_ratio(0.9613, 0.99)
    np.testing.assert_allclose(ratio, 97.1, atol=0.01)
    sizes, ratios = [10, 5, 2], [97.1, 92.5, 60.0]
    assert metrics.distillation_size(sizes, ratios, 90) == 5
    assert metrics.distillation_size(sizes, ratios, 95) == 10
    assert metrics.distillation_size(sizes, ratios, 99) == float("inf")


class DifferenceTest(parameterized.TestCase):
  def test_pairing_removes_what_networks_share(self):
    k_common, k_own, k_boot = jax.random.split(jax.random.key(0), 3)
    common = 0.1 * np.asarray(jax.random.normal(k_common, (40,)))
    own = 0.001 * np.asarray(jax.random.normal(k_own, (40,)))
    result = metrics.paired_difference(k_boot, common + 0.01 + own, common)
    np.testing.assert_allclose(result.mean, 0.01 + own.mean())
    # The interval of a mean of 40: about 1.96 std / sqrt(40) on either side.
    half = 1.96 * own.std() / np.sqrt(40)
    np.testing.assert_allclose(result.high - result.mean, half, rtol=0.2)
    np.testing.assert_allclose(result.mean - result.low, half, rtol=0.2)

  def test_unpaired_is_refused(self):
    with pytest.raises(ValueError, match=r"shape \[R\]; got \(3,\) and \(2,\)"):
      metrics.paired_difference(jax.random.key(0), [1, 2, 3], [1, 2])


def test_distance_to_nearest_is_of_the_same_class():
  features = np.array([[0, 0], [3, 4], [10, 0], [1, 1]], float)
  of_set = np.array([[0, 1], [10, 1], [3, 4], [0, 0]], float)
  # The third sample has a twin of no class of its own; the fourth has none.
  distance = metrics.distance_to_nearest(
      features, [0, 0, 1, 2], of_set, [0, 1, 1, 0]
  )
  np.testing.assert_allclose(distance, (0 + np.hypot(3, 3) + 1) / 3)
