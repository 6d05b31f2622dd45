"""Compares two rankings, and measures what choosing by one of them costs.

Spearman's rho and Kendall's tau-b, with ties and bootstrap intervals; the same
over the best k only, as papers on condensed proxies report it (Zhao et al.,
"Dataset Condensation with Gradient Matching", 2020, arXiv 2006.05929; Du et
al., "Minimizing the Accumulated Trajectory Error", 2022, arXiv 2211.11004, top
5, 10 and 20); and regret. Papers do not say which accuracy defines the best k,
so this is an argument. With five candidates, rho has at most 21 different
values, so read its interval.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError, shown
from distill_jax.keys import check_key
from distill_jax.types import Array

_LEAST = 3  # least number of candidates for a correlation


def ranks(values: ArrayLike) -> np.ndarray:
  """Ranks 1..n of [n] numbers; equal ones share the mean of their ranks."""
  _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
  last = np.cumsum(counts)
  return (last - (counts - 1) / 2)[place]


def spearman(a: ArrayLike, b: ArrayLike) -> float:
  """Spearman's rho: the correlation of ranks; NaN if one row is constant.

  Args:
    a: [n] numbers.
    b: [n] numbers, of the same candidates.

  Example:
    rho = spearman([1, 2, 3], [1, 3, 2])  # 0.5
  """
  x, y = (ranks(values) - (len(values) + 1) / 2 for values in _pair(a, b))
  scale = np.sqrt((x @ x) * (y @ y))
  return float(x @ y / scale) if scale > 0 else np.nan


def kendall(a: ArrayLike, b: ArrayLike) -> float:
  """Kendall's tau-b; NaN if one row is constant.

      (agreeing - disagreeing pairs) / sqrt(pairs not tied in a * in b)

  Args:
    a: [n] numbers.
    b: [n] numbers, of the same candidates.
  """
  x, y = (np.sign(values[:, None] - values) for values in _pair(a, b))
  scale = np.sqrt(np.abs(x).sum() * np.abs(y).sum())
  return float((x * y).sum() / scale) if scale > 0 else np.nan


def interval(
    key: Array,
    statistic: Callable[[np.ndarray, np.ndarray], float],
    a: ArrayLike,
    b: ArrayLike,
    *,
    num_resamples: int = 2_000,
    level: float = 0.95) -> tuple[float, float]:
  """Percentile bootstrap interval of a statistic of pairs.

  Args:
    key: consumed.
    statistic: `([n], [n]) -> number`; resamples with a NaN are left out.
    a: [n] numbers.
    b: [n] numbers, of the same candidates.
    num_resamples: at least 1.
    level: confidence level, in (0, 1).

  Returns:
    The two ends; NaN if no resample has a value.
  """
  check_key(key)
  a, b = _pair(a, b)
  if num_resamples < 1 or not 0 < level < 1:
    raise ValueError(
        "`num_resamples` must be at least 1 and `level` in (0, 1); got "
        f"{num_resamples} and {level}.")
  shape = num_resamples, len(a)
  rows = np.asarray(jax.random.randint(key, shape, 0, len(a), np.int32))
  found = np.array([statistic(a[row], b[row]) for row in rows])
  found = found[~np.isnan(found)]
  if not len(found):
    return np.nan, np.nan
  low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)


def top(scores: ArrayLike, k: int) -> np.ndarray:
  """[k] int, indices of the k highest scores; of equal ones, the first."""
  return np.argsort(-np.asarray(scores, np.float64), kind="stable")[:k]


def regret(proxy: ArrayLike, full: ArrayLike, k: int = 1) -> float:
  """What a choice by proxy loses: the best score minus the best of its top k.

  Args:
    proxy: [n] scores of the proxy.
    full: [n] scores that count.
    k: number of candidates that the proxy selects, at least 1; `full` then
      chooses the best of them.
  """
  proxy, full = _pair(proxy, full)
  if k < 1:
    raise ValueError(f"`k` must be at least 1; got {k}.")
  return float(full.max() - full[top(proxy, k)].max())


def check_top(topk: Sequence[int], topk_by: str) -> None:
  """Refuses settings of `agreement` before the candidates are measured.

  Raises:
    ConfigError: an unknown `topk_by`, or a number below 1.
  """
  one_of(("full", "proxy"), "topk_by", topk_by)
  if not all(isinstance(k, int | np.integer) and k >= 1 for k in topk):
    raise ConfigError(
        "`topk` must be whole numbers of at least 1; got "
        f"{shown(list(topk))}.")


def agreement(
    key: Array,
    proxy: ArrayLike,
    full: ArrayLike,
    *,
    topk: Sequence[int] = (5, 10, 20),
    topk_by: str = "full",
    num_resamples: int = 2_000) -> dict[str, Any]:
  """Computes everything that is reported of a proxy, as JSON.

  Args:
    key: key of the bootstrap; consumed.
    proxy: [n] scores of the candidates on the proxy.
    full: [n] scores of the candidates on all data.
    topk: numbers of best candidates; those above n are left out.
    topk_by: "full" or "proxy", the scores that define the best candidates.
    num_resamples: resamples of each interval.

  Returns:
    `spearman`, `kendall` and `top` {k: Spearman's}, each `{value, low, high}`
    with None where undefined; `regret`, `regret_at_5`, and `regret_by_chance`,
    the mean regret of a random candidate.

  Raises:
    ConfigError: an unknown `topk_by`, or a number below 1.
  """
  check_key(key)
  check_top(topk, topk_by)
  proxy, full = _pair(proxy, full)
  k_rho, k_tau, *k_top = jax.random.split(key, 2 + len(topk))

  def with_interval(key, statistic, rows: Any = slice(None)):
    pair = proxy[rows], full[rows]
    if len(pair[0]) < _LEAST:
      return dict(value=None, low=None, high=None)
    ends = interval(key, statistic, *pair, num_resamples=num_resamples)
    values = dict(
        zip(("value", "low", "high"), (statistic(*pair), *ends), strict=True))
    return {k: None if np.isnan(v) else float(v) for k, v in values.items()}

  by = dict(full=full, proxy=proxy)[topk_by]
  return dict(
      num_candidates=len(full),
      spearman=with_interval(k_rho, spearman),
      kendall=with_interval(k_tau, kendall),
      top={
          str(k): with_interval(key, spearman, top(by, k))
          for k, key in zip(topk, k_top, strict=True)
          if k <= len(full)
      },
      topk_by=topk_by,
      regret=regret(proxy, full),
      regret_at_5=regret(proxy, full, 5),
      regret_by_chance=float(full.max() - full.mean()))


def _pair(a, b) -> tuple[np.ndarray, np.ndarray]:
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.ndim != 1 or a.shape != b.shape or not len(a):
    raise ValueError(
        "scores must be two rows [n] of one length; got shapes "
        f"{a.shape} and {b.shape}.")
  return a, b
