"""Membership inference: whether a sample was in the training data.

The likelihood-ratio attack (LiRA) of Carlini et al., "Membership Inference
Attacks From First Principles", 2022, arXiv 2112.03570. There are Z candidates
and N pipelines (data -> set -> network), and each candidate is in the data of
half of the pipelines. The statistic of candidate (x, y) under a pipeline is
the log-odds that its network gives to the label,

    phi = log p_y - log sum_{c != y} p_c

An attack on one pipeline knows phi of all others with their members, and only
phi of the attacked one. Its scores are

    online      log N(phi; mu_in, sd_in) - log N(phi; mu_out, sd_out)
    offline     (phi - mu_out) / sd_out
    threshold   phi

mu is a candidate's median over the pipelines that had it (in) or did not have
it (out), and sd its standard deviation. With `fixed`, one standard deviation
serves all candidates, which is better if pipelines are few.

What differs from the published code:

  * Pipelines come in pairs with complementary data. The partner of the attacked
    pipeline is left out too, so that a candidate is in the data of exactly half
    of the remaining ones. Without this, the group of the attacked pipeline
    would have one value fewer than the other group. Its less certain median
    would reveal on which side the candidate was, and AUC would not be 0.5 even
    if nothing leaks.
  * If one standard deviation serves all candidates, `in` and `out` have one
    each, pooled within candidates. The code uses that of `in` for both,
    computed over all candidates together.
  * `offline` is one-sided, as in the paper; the code uses the density.

Everything is NumPy, except the random keys. `roc` turns scores into curves.
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
_LEAST = 1e-12  # smallest standard deviation; smaller ones are set to it


def keep_matrix(key: Array, num_pipelines: int, classes: Any) -> np.ndarray:
  """Draws which candidates are in the data of which pipeline.

  Pipelines 2i and 2i + 1 divide the candidates of each class between them. If
  every class has an even number of candidates, all pipelines have equally many.

  Args:
    key: consumed.
    num_pipelines: N, even and at least 6.
    classes: [Z] int, classes of the candidates.

  Returns:
    [N, Z] bool, with N / 2 True in each column.

  Raises:
    ConfigError: N is odd or below 6.
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
    # Neighbours in this order have one class; they go to different pipelines.
    keep[2 * pair, order[::2]] = True
    keep[2 * pair + 1, order[1::2]] = True
  return keep


def statistic(outputs: Any, labels: Any) -> np.ndarray:
  """The log-odds phi [Z] that a network gives to the given labels.

  Args:
    outputs: [Z, K] logits; or [Z, 1], the logit of class 1 of two classes.
    labels: [Z] int.

  Returns:
    phi [Z] float64; 0 for outputs that are not finite.

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
  """The scores [N, Z] of each attack; larger means more likely a member.

  Args:
    phi: [N, Z], any statistic that is larger for members.
    keep: [N, Z] bool of complementary pairs; see `keep_matrix`.
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
  """The standard deviation of each candidate, [Z]."""
  return np.maximum(values.std(0, ddof=1), _LEAST)


def _pooled(values):
  """One standard deviation for all, pooled within candidates."""
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
  """Areas under the ROC curve [num] with members drawn anew.

  This is the distribution of the area if nothing leaks.

  Args:
    key: consumed.
    phi: [N, Z].
    classes: [Z] int, classes of the candidates.
    attack: one of `ATTACKS`.
    num: number of draws.
  """
  areas = []
  for i in range(num):
    keep = keep_matrix(jax.random.fold_in(key, i), len(phi), classes)
    areas.append(Curve(scores(phi, keep)[attack], keep).auc())
  return np.array(areas)
