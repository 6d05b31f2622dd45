"""Experts' predictions on samples: DATM's start, and labels by a teacher.

DATM (Guo et al., 2023, arXiv 2310.05773) starts from samples that the experts'
last weights classify correctly, with the experts' logits as labels. TESLA (Cui
et al., 2023, arXiv 2211.10586) labels the finished set by the experts.
"""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import initialisation
from distill_jax.data.source import Source, Split
from distill_jax.evaluation.evaluator import classify
from distill_jax.evaluation.learners import classifier
from distill_jax.labels import classes_of, label_rows, probabilities
from distill_jax.types import (
    Array,
    Distilled,
    Network,
    Parameterization,
    PyTree,
)

_SURE = 0.9  # probability of the class, for a sample that no expert gets right


def correct_rows(
    key: Array, experts: Iterable[PyTree], network: Network, split: Split,
    classes: np.ndarray) -> np.ndarray:
  """Returns real samples that experts classify correctly, all different.

  Each class is searched in random order, with the first expert, and then with
  further ones until there are enough. If there are still too few, samples
  follow that no expert classifies correctly.

  Args:
    key: consumed.
    experts: variables of the experts, in order; only as many as needed are
      read.
    network: network of the experts.
    split: real data, a `data.Split`.
    classes: [M] int, the class of each wanted row.

  Returns:
    [M] int, rows of the split.

  Raises:
    ValueError: a class has fewer samples than wanted.
  """
  labels = np.asarray(split.labels)
  wanted = initialisation.count_wanted(split, classes)
  order = np.asarray(jax.random.permutation(key, len(labels)))
  chosen: list[list[int]] = [[] for _ in wanted]

  def add(right):
    for c in np.flatnonzero(wanted):
      free = order[(labels[order] == c) & right[order]]
      free = free[~np.isin(free, chosen[c])]
      chosen[c] += free[:wanted[c] - len(chosen[c])].tolist()

  found = jax.jit(
      lambda variables, split: classify(classifier(network, variables), split))
  for variables in experts:
    add(np.asarray(found(variables, split)) == labels)
    if all(len(c) == n for c, n in zip(chosen, wanted, strict=True)):
      break
  add(np.ones(len(labels), bool))
  rows = np.empty(len(classes), np.int64)
  for c in np.flatnonzero(wanted):
    rows[classes == c] = chosen[c]
  return rows


def expert_logits(
    experts: Iterable[PyTree], network: Network, inputs: Array,
    classes: np.ndarray) -> Array:
  """[M, K] the mean logits of the experts that classify a sample correctly.

  If no expert does, the logits are those of 0.9 for the class.

  Args:
    experts: variables of the experts.
    network: network of the experts.
    inputs: [M, ...] in model space.
    classes: [M] int, classes of the samples.
  """
  known = jnp.asarray(classes)
  apply = jax.jit(lambda variables, x: network.apply(variables, x)[0])
  total: Any = 0.0
  count: Any = 0
  for variables in experts:
    logits = apply(variables, inputs)
    right = (classes_of(logits) == known)[:, None]
    total = total + jnp.where(right, logits, 0)
    count = count + right
  num_outputs = total.shape[1]
  rest = (1 - _SURE) / max(num_outputs - 1, 1)
  sure = label_rows(known, max(num_outputs, 2), total.dtype)
  sure = sure * _SURE + (1 - sure) * rest
  fallback = jnp.log(sure)
  if num_outputs == 1:
    fallback = fallback - jnp.log1p(-sure)
  return jnp.where(count > 0, total / jnp.maximum(count, 1), fallback)


def from_correct(
    key: Array, source: Source, parameterization: Parameterization,
    experts: Iterable[PyTree], network: Network, **settings) -> Distilled:
  """Makes a set that starts from samples that experts classify correctly.

  Args:
    key: consumed.
    source: a `data.Source`.
    parameterization: how the samples are stored.
    experts: as in `correct_rows`.
    network: network of the experts.
    **settings: further arguments of `initialisation.from_drawn`.
  """

  def draw(key, classes):
    rows = correct_rows(key, experts, network, source.train, classes)
    return source.train.encode(source.train.inputs[rows])

  return initialisation.from_drawn(
      key, source, parameterization, draw, **settings)


def with_logits(
    distilled: Distilled, parameterization: Parameterization,
    experts: Iterable[PyTree], network: Network,
    classes: np.ndarray) -> Distilled:
  """Returns the set with `expert_logits` as labels: the start of DATM.

  Args:
    distilled: the set.
    parameterization: decodes the set; a row with several samples gets the mean
      of their labels.
    experts: variables of the experts.
    network: network of the experts.
    classes: [R] int, classes of the label rows.
  """
  owner = parameterization.owner(distilled.codes)
  logits = expert_logits(
      experts, network, parameterization.decode(distilled.codes),
      classes[owner])
  return distilled._replace(labels=_of_rows(logits, owner, len(classes)))


def with_probabilities(
    distilled: Distilled, parameterization: Parameterization,
    experts: Iterable[PyTree], network: Network) -> Distilled:
  """Returns the set with the mean probabilities of the experts as labels.

  Args:
    distilled: the set.
    parameterization: decodes the set; as in `with_logits`.
    experts: variables of the experts.
    network: network of the experts.
  """
  inputs = parameterization.decode(distilled.codes)
  rows = [
      probabilities(network.apply(variables, inputs)[0])
      for variables in experts
  ]
  total: Any = sum(rows)
  owner = parameterization.owner(distilled.codes)
  return distilled._replace(
      labels=_of_rows(total / len(rows), owner, len(distilled.labels)))


def _of_rows(values: Array, owner: Array, num_rows: int) -> Array:
  """[num_rows, K] the mean over the samples of each label row."""
  count = jax.ops.segment_sum(jnp.ones((len(values), 1)), owner, num_rows)
  return jax.ops.segment_sum(values, owner, num_rows) / count
