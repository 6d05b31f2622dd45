"""Draws the candidates of a privacy audit, some of them with a wrong label."""

from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax.applications.settings import check_optional
from distill_jax.errors import ConfigError, DataError, plain
from distill_jax.types import Array


class Candidates(NamedTuple):
  """The samples that may be members.

  Attributes:
    source: a source whose train split holds the candidates, with the labels
      that pipelines see; an even number of candidates per class.
    rows: [Z] int, rows of the train split that they were drawn from.
    canary: [Z] bool, True for candidates with a wrong label.
  """

  source: Any
  rows: np.ndarray
  canary: np.ndarray

  @property
  def classes(self) -> np.ndarray:
    """[Z] int, the labels that pipelines see."""
    return np.asarray(self.source.train.labels)


def draw_candidates(
    key: Array, source, num_candidates: int, num_canaries: int) -> Candidates:
  """Draws candidates, equally many of each class, some with a wrong label.

  Canaries are candidates with a wrong label. All canaries of one class get the
  label of the next class on a random circle of classes, so that the number of
  candidates with each label stays even and equal.

  Args:
    key: consumed.
    source: the data; candidates are drawn from its train split.
    num_candidates: largest number of candidates. Every class gives the same
      even number of them, or the largest even number of samples that it has.
    num_canaries: largest number of canaries, 0 or at least 2. Canaries are
      divided equally among the classes. If there are fewer canaries than
      classes, only some classes have one.

  Raises:
    ConfigError: too few candidates, or a number of canaries out of range.
    DataError: a class has only one sample.
  """
  labels = np.asarray(source.train.labels)
  present = source.train.present
  each = num_candidates // len(present) // 2 * 2
  if each < 2:
    raise ConfigError(
        "`num_candidates` must be at least two of each class, "
        f"{2 * len(present)}; got {num_candidates}.")
  for c in present:
    if source.train.counts[c] < 2:
      raise DataError(
          "`source` must have two samples of each class; class "
          f"{plain(source.class_names[c])} has one.")
  total = int(np.minimum(each, source.train.counts[present] // 2 * 2).sum())
  check_optional(num_canaries=num_canaries)
  if num_canaries == 1 or num_canaries > total // 4:
    raise ConfigError(
        f"`num_canaries` must be 0, or 2 to a quarter of the {total:,} "
        f"candidates; got {num_canaries}.")
  k_rows, k_circle = jax.random.split(key)
  order = np.asarray(jax.random.permutation(k_rows, len(labels)))
  rows, own = [], {}
  for c in present:
    found = order[labels[order] == c][:each]
    found = found[:len(found) // 2 * 2]
    own[c] = np.arange(len(found)) + sum(map(len, rows))
    rows.append(found)
  rows = np.concatenate(rows)
  seen = labels[rows].copy()
  circle = np.asarray(jax.random.permutation(k_circle, present))
  circle = circle[:num_canaries]
  canary = np.zeros(len(rows), bool)
  if len(circle) > 1:
    most = min(len(own[c]) for c in circle) // 2
    for c, label in zip(circle, np.roll(circle, -1), strict=True):
      chosen = own[c][:min(num_canaries // len(circle), most)]
      seen[chosen], canary[chosen] = label, True
  taken = source.take(rows)
  relabelled = taken.train._replace(labels=np.asarray(seen))
  made = taken._replace(train=relabelled).take(np.arange(len(rows)))
  return Candidates(made, rows, canary)
