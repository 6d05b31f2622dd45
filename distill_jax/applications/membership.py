"""Membership inference: who was in the data, judged from numbers alone.

The likelihood-ratio attack (LiRA) of Carlini et al., "Membership Inference
Attacks From First Principles", 2022, arXiv 2112.03570. Each of Z candidates is
in the data of half of N pipelines; of pipeline m and candidate z a statistic
is known, for a network that was trained on what the pipeline made

    phi = log p_y - log sum_{c != y} p_c

An attack knows all pipelines but the one it attacks, and of that one phi:

    online      log N(phi; mu_in, sd_in) - log N(phi; mu_out, sd_out)
    offline     (phi - mu_out) / sd_out
    threshold   phi

mu is the median of a candidate over pipelines that had it or had it not, sd
its standard deviation, or with `fixed` one for all candidates, which is better
where pipelines are few.

What differs from the published code:
  * pipelines come in pairs with complementary data. The pair of the attacked
    one is left out with it, so that as many of the others had a candidate as
    had it not. Without this, the group of the attacked pipeline would have one
    value less than the other, and its less certain median would tell on which
    side the candidate was: AUC would not be 0.5 where nothing leaks.
  * where one standard deviation serves all candidates, `in` and `out` have one
    each, pooled within candidates. The code uses that of `in` for both,
    computed over all candidates together.
  * `offline` is one-sided, as the paper has it; the code takes the density.

NumPy alone, but for the keys. `roc` has the curves that are made of the scores.
"""

from typing import Any

import jax
import numpy as np

from distill_jax.applications.roc import (
    LEVELS,
    PRIORS,
    Curve,
    clopper_pearson,
    measure,
    precision,
)
from distill_jax.errors import ConfigError
from distill_jax.types import Array

__all__ = [
    "ATTACKS", "LEVELS", "PRIORS", "Curve", "clopper_pearson", "keep_matrix",
    "measure", "permuted", "precision", "scores", "statistic"
]

ATTACKS = ("online", "online_fixed", "offline", "offline_fixed", "threshold")
_LEAST = 1e-12  # a standard deviation below it counts as it


def keep_matrix(key: Array, num_pipelines: int, classes: Any) -> np.ndarray:
  """Which candidates are in the data of which pipeline.

  Pipelines 2i and 2i + 1 share the candidates of each class between them. With
  an even number of candidates of each class all pipelines have equally many.

  Args:
    key: consumed.
    num_pipelines: N, even and at least 6.
    classes: [Z] int, of the candidates.

  Returns:
    [N, Z] bool, N / 2 true in each column.

  Raises:
    ConfigError: another N.
  """
  if num_pipelines < 6 or num_pipelines % 2:
    raise ConfigError(
        "`num_pipelines` must be even and at least 6, two pairs beside the "
        f"one that is attacked; got {num_pipelines}.")
  classes = np.asarray(classes)
  keep = np.zeros((num_pipelines, len(classes)), bool)
  for pair in range(num_pipelines // 2):
    k_pair = jax.random.fold_in(key, pair)
    order = np.asarray(jax.random.permutation(k_pair, len(classes)))
    order = order[np.argsort(classes[order], kind="stable")]
    # Neighbours in this order, of one class, go to different pipelines.
    keep[2 * pair, order[::2]] = True
    keep[2 * pair + 1, order[1::2]] = True
  return keep


def statistic(outputs: Any, labels: Any) -> np.ndarray:
  """phi [Z] float64, how sure a network is of the given labels.

  Args:
    outputs: [Z, K] logits, or [Z, 1] of class 1 of two.
    labels: [Z] int.

  Returns:
    The log-odds of the label; 0 for outputs that are not finite.

  Example:
    membership.statistic([[2.0, 0.0, 0.0]], [0])  # [1.3069], 2 - log 2
  """
  z, y = np.asarray(outputs, np.float64), np.asarray(labels)
  if z.shape[1] == 1:
    phi = np.where(y == 1, z[:, 0], -z[:, 0])
  else:
    own = np.take_along_axis(z, y[:, None], 1)
    others = np.where(np.arange(z.shape[1]) == y[:, None], -np.inf, z - own)
    with np.errstate(invalid="ignore"):
      phi = -np.logaddexp.reduce(others, axis=1)
  return np.where(np.isfinite(z).all(1), phi, 0.0)


def scores(phi: Any, keep: Any) -> dict[str, np.ndarray]:
  """[N, Z] scores of each attack, larger for who is more likely a member.

  Args:
    phi: [N, Z] any statistic that is larger for members.
    keep: [N, Z] bool, see `keep_matrix`: of complementary pairs.
  """
  phi, keep = np.asarray(phi, np.float64), np.asarray(keep, bool)
  _check_pairs(phi, keep)
  found = {name: np.empty(phi.shape) for name in ATTACKS}
  for pair in range(len(phi) // 2):
    rows = slice(2 * pair, 2 * pair + 2)
    others = np.delete(phi, rows, 0)
    half = len(others) // 2
    order = np.argsort(~np.delete(keep, rows, 0), axis=0, kind="stable")
    by_side = np.take_along_axis(others, order, 0)
    inside, outside = by_side[:half], by_side[half:]
    mine = phi[rows]
    mu_in, mu_out = np.median(inside, 0), np.median(outside, 0)
    for suffix, spread in (("", _own), ("_fixed", _pooled)):
      sd_in, sd_out = spread(inside), spread(outside)
      from_out = (mine - mu_out) / sd_out
      from_in = (mine - mu_in) / sd_in
      found[f"online{suffix}"][rows] = (
          0.5 * (from_out**2 - from_in**2) + np.log(sd_out / sd_in))
      found[f"offline{suffix}"][rows] = from_out
    found["threshold"][rows] = mine
  return found


def _own(values):
  """Standard deviations [Z] of candidates."""
  return np.maximum(values.std(0, ddof=1), _LEAST)


def _pooled(values):
  """One standard deviation, within candidates."""
  return np.maximum(np.sqrt(values.var(0, ddof=1).mean()), _LEAST)


def _check_pairs(phi, keep) -> None:
  if phi.shape != keep.shape or phi.ndim != 2 or len(phi) < 6 or len(phi) % 2:
    raise ConfigError(
        "`phi` and `keep` must be [N, Z] with N even and at least 6; got "
        f"{phi.shape} and {keep.shape}.")
  if (keep[::2] == keep[1::2]).any():
    raise ConfigError(
        "`keep` must hold complementary pairs of pipelines, one with a "
        "candidate and one without. Make it with keep_matrix.")


def permuted(
    key: Array,
    phi: Any,
    classes: Any,
    attack: str = "online_fixed",
    num: int = 20) -> np.ndarray:
  """Areas [num] where members are drawn anew: what no leak looks like.

  Args:
    key: consumed.
    phi: [N, Z].
    classes: [Z] int, of the candidates.
    attack: of `ATTACKS`.
    num: of draws.
  """
  areas = []
  for i in range(num):
    keep = keep_matrix(jax.random.fold_in(key, i), len(phi), classes)
    areas.append(Curve(scores(phi, keep)[attack], keep).auc())
  return np.array(areas)
