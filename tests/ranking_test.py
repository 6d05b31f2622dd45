"""Rank statistics against scipy's, hand values and identities."""

import jax
import numpy as np
import pytest
from absl.testing import parameterized
from scipy import stats

from distill_jax.errors import ConfigError
from distill_jax.evaluation import ranking

KEY = jax.random.key(0)


def _pair(seed, size, levels):
  """Related scores with ties: of `levels` values, or all different."""
  generator = np.random.RandomState(seed)
  a = generator.normal(size=size)
  b = a + generator.normal(size=size)
  return (np.round(a, levels), np.round(b, levels))


class Correlations(parameterized.TestCase):

  @parameterized.product(seed=[0, 1, 2], size=[3, 10, 48], levels=[0, 1, 9])
  def test_are_those_of_scipy(self, seed, size, levels):
    a, b = _pair(seed, size, levels)
    np.testing.assert_allclose(
        ranking.spearman(a, b), stats.spearmanr(a, b)[0], atol=1e-12)
    np.testing.assert_allclose(
        ranking.kendall(a, b), stats.kendalltau(a, b)[0], atol=1e-12)
    np.testing.assert_allclose(ranking.ranks(a), stats.rankdata(a))

  def test_by_hand(self):
    # d = (0, 1, 1): rho = 1 - 6 * 2 / (3 * 8); two of three pairs agree.
    assert ranking.spearman([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert ranking.kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
    # Pairs (1,2) and (1,3) agree, (2,3) is tied in b: 2 / sqrt(3 * 2).
    assert ranking.kendall([1, 2, 3], [1, 4, 4]) == pytest.approx(2 / 6**0.5)

  def test_of_a_constant_are_not_defined(self):
    assert np.isnan(ranking.spearman([1, 1, 1], [1, 2, 3]))
    assert np.isnan(ranking.kendall([1, 2, 3], [5, 5, 5]))

  def test_know_only_ranks(self):
    a, b = _pair(3, 20, 1)
    for statistic in (ranking.spearman, ranking.kendall):
      np.testing.assert_allclose(statistic(np.exp(a), b**3), statistic(a, b))
      np.testing.assert_allclose(statistic(a, -b), -statistic(a, b))


class Intervals(parameterized.TestCase):

  def test_hold_the_truth_about_as_often_as_they_say(self):
    """Pearson's rho .7 has Spearman's 6 / pi * asin(.35) = .683."""
    true, held = 6 / np.pi * np.arcsin(0.35), 0
    for seed in range(60):
      a, noise = np.random.RandomState(seed).normal(size=(2, 40))
      b = 0.7 * a + 0.51**0.5 * noise
      low, high = ranking.interval(
          jax.random.key(seed), ranking.spearman, a, b, num_resamples=200)
      held += low <= true <= high
    assert 50 <= held <= 60

  def test_are_quantiles_of_resampled_pairs(self):
    a, b = _pair(4, 12, 9)
    rows = np.asarray(jax.random.randint(KEY, (300, 12), 0, 12))
    found = [stats.spearmanr(a[row], b[row])[0] for row in rows]
    np.testing.assert_allclose(
        ranking.interval(
            KEY, ranking.spearman, a, b, num_resamples=300, level=0.8),
        np.quantile(found, [0.1, 0.9]))

  def test_leave_constant_resamples_out(self):
    low, high = ranking.interval(KEY, ranking.spearman, [1, 2], [1, 2])
    assert low == high == 1
    assert np.isnan(ranking.interval(KEY, ranking.kendall, [1, 1], [1, 2])[0])


class Choices(parameterized.TestCase):
  PROXY = (0.5, 0.9, 0.7, 0.8, 0.1, 0.6, 0.2)
  FULL = (0.60, 0.70, 0.95, 0.65, 0.90, 0.30, 0.99)

  @parameterized.parameters((1, 0.29), (2, 0.29), (3, 0.04), (6, 0.0))
  def test_regret(self, k, wanted):
    assert ranking.regret(self.PROXY, self.FULL, k) == pytest.approx(wanted)

  def test_what_is_refused(self):
    with self.assertRaisesRegex(ValueError, "`k` must be at least 1; got 0"):
      ranking.regret([1, 2], [1, 2], 0)
    for topk in ((0,), ("5",), (2.5,)):
      with self.assertRaisesRegex(ConfigError, "`topk` must be whole numbers"):
        ranking.agreement(KEY, [1, 2], [1, 2], topk=topk)

  def test_of_equal_scores_the_first_is_chosen(self):
    assert ranking.top([1, 3, 3, 2], 2).tolist() == [1, 2]
    assert ranking.regret([1, 1], [0.2, 0.5]) == pytest.approx(0.3)

  @parameterized.parameters(("full", (1, 2, 3, 4, 6)),
                            ("proxy", (0, 1, 2, 3, 5)))
  def test_agreement_over_the_top(self, by, rows):
    found = ranking.agreement(
        KEY, self.PROXY, self.FULL, topk=(5, 10), topk_by=by, num_resamples=50)
    pair = np.array(self.PROXY)[[*rows]], np.array(self.FULL)[[*rows]]
    assert list(found["top"]) == ["5"]
    top = found["top"]["5"]
    assert top["value"] == pytest.approx(stats.spearmanr(*pair)[0])
    assert top["low"] <= top["value"] <= top["high"]
    assert found["kendall"]["value"] == pytest.approx(
        stats.kendalltau(self.PROXY, self.FULL)[0])
    assert found["regret"] == pytest.approx(0.29)
    assert found["regret_at_5"] == pytest.approx(0.04)
    assert found["regret_by_chance"] == pytest.approx(0.99 - np.mean(self.FULL))

  def test_what_is_not_defined_is_none(self):
    found = ranking.agreement(KEY, [1, 1, 1], [1, 2, 3], num_resamples=20)
    assert found["spearman"] == dict(value=None, low=None, high=None)
    with pytest.raises(ValueError, match="`topk_by` must be one of full"):
      ranking.agreement(KEY, [1, 2], [1, 2], topk_by="real")
    with pytest.raises(ValueError, match="two rows"):
      ranking.spearman([1, 2], [1, 2, 3])
