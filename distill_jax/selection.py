"""Selects real samples, or summaries of them, class by class.

Baselines consist of these, and sets may start from them. `classes` [M] gives
the class of each row, which must have real samples. Results are [sets, M, ...]
in model space.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.data.source import Source, Split, rows_of
from distill_jax.keys import check_key
from distill_jax.types import Array, Parameterization

_ENCODE_ROWS = 1024  # real samples that are encoded at once


def random_real(
    key: Array, split: Split, classes: np.ndarray, num_sets: int) -> Array:
  """Real samples of the given classes [sets, M, ...], in model space.

  Samples of one class in one set are all different, until the class is used up.

  Args:
    key: consumed; set i uses `fold_in(key, i)`.
    split: real data.
    classes: [M] int.
    num_sets: number of sets.
  """
  counts = np.asarray(split.counts)
  _check_present(classes, split)
  place = _places(classes) % counts[classes]
  members = np.asarray(split.members)
  padding = np.arange(members.shape[1]) >= counts[:, None]

  def rows(key):  # sorted by NumPy, as JAX would compile for every shard size
    scores = jax.random.uniform(key, members.shape, jnp.float32)
    ranked = np.where(padding, 2.0, scores).argsort(1, kind="stable")
    return members[classes, ranked[classes, place]]

  return jnp.stack([
      split.encode(rows_of(split.inputs, rows(jax.random.fold_in(key, i))))
      for i in range(num_sets)
  ])


def class_mean(split: Split, classes: np.ndarray) -> Array:
  """Mean of all real samples of each row's class: [1, M, ...]."""
  _check_present(classes, split)
  means = {
      c:
          sum(part.sum(0, dtype=np.float64)
              for part in class_parts(split, c)) / int(split.counts[c])
      for c in np.unique(classes)
  }
  stacked = np.stack([means[c] for c in classes])[None]
  return jnp.asarray(stacked, jnp.float32)


def kmeans(
    key: Array, split: Split, classes: np.ndarray, num_sets: int) -> Array:
  """Centroids of each class, [sets, M, ...]; one set if each has one centroid.

  Lloyd's algorithm from k-means++ (scikit-learn, one start per set). A class
  Lloyd's algorithm from k-means++ (scikit-learn, one start per set). If a class
  has fewer distinct samples than rows, its centroids are repeated.

  Args:
    key: consumed; it gives each set its starts.
    split: real data.
    classes: [M] int.
    num_sets: number of sets.
  """
  _check_present(classes, split)
  if np.bincount(classes).max() == 1:
    return class_mean(split, classes)
  from sklearn.cluster import KMeans

  states = np.asarray(
      jax.random.randint(key, (num_sets,), 0, 2**31 - 1, jnp.int32))
  shape = split.sample_shape
  inputs = np.empty((num_sets, len(classes), int(np.prod(shape))), np.float32)
  for c in np.unique(classes):
    points = _encoded(split, c)
    points = points.reshape(len(points), -1)
    wanted = int((classes == c).sum())
    k = min(wanted, len(np.unique(points, axis=0)))
    for i, state in enumerate(states):
      given: Any = dict(n_init=1, random_state=int(state))
      fitted = KMeans(k, **given).fit(points)
      rows = np.arange(wanted) % k
      inputs[i, classes == c] = fitted.cluster_centers_[rows]
  return jnp.asarray(inputs.reshape(num_sets, len(classes), *shape))


def herding(split: Split, classes: np.ndarray) -> Array:
  """Real samples whose running mean stays closest to the mean of their class.

  Welling, "Herding Dynamical Weights to Learn", 2009, in the greedy form of
  Rebuffi et al., "iCaRL", 2016, arXiv 1611.07725, in model space. If a class
  has fewer samples than rows, they are repeated.

  Args:
    split: real data.
    classes: [M] int.

  Returns:
    [1, M, ...].
  """
  return _greedy(split, classes, _herded)


def kcentre(split: Split, classes: np.ndarray) -> Array:
  """Real samples that cover their class: each is farthest from those before.

  This is the greedy algorithm of Gonzalez, "Clustering to Minimize the Maximum
  Intercluster Distance", 1985, as used by Sener & Savarese, "Active Learning
  for Convolutional Neural Networks", 2017, arXiv 1708.00489. It works in model
  space, and starts from the sample nearest to the mean of the class. If a class
  has fewer samples than rows, they are repeated.

  Args:
    split: real data.
    classes: [M] int.

  Returns:
    [1, M, ...].
  """
  return _greedy(split, classes, _covering)


def representatives(
    key: Array,
    source: Source,
    num: int,
    *,
    features: Callable[[Array], Array] | None = None) -> Source:
  """Real samples that represent each class: those nearest to k-means centres.

  Liu et al., "DREAM: Efficient Dataset Distillation by Representative
  Matching", 2023, arXiv 2302.14416, match gradients of these samples only, so
  that a batch covers its class. They select anew every few steps, by the
  features of the network in training; here samples are selected once.

  Args:
    key: consumed; it gives each class its start of k-means.
    source: real data.
    num: number of samples per class, at least 1; smaller classes are kept
      whole.
    features: maps samples in model space [n, ...] to what is clustered, [n,
      ...]; by default the samples themselves.

  Returns:
    `source.narrow` of the selected samples. Methods that match classes draw
    from these only; networks are trained on all samples.

  Example:
    source = representatives(key, source, 128)
    made = dd.condense(source, dd.methods.idc(batch_size=64))
  """
  if num < 1:
    raise ValueError(f"`num` must be at least 1; got {num}.")
  check_key(key)
  from sklearn.cluster import KMeans

  split = source.train
  states = jax.random.randint(key, (split.num_classes,), 0, 2**31 - 1)
  chosen = []
  for c in split.present:
    members = split.rows_of_class(c)
    if len(members) > num:
      points = np.concatenate([
          np.asarray(part if features is None else features(part)).reshape(
              len(part), -1) for part in class_parts(split, c)
      ])
      given: Any = dict(n_init=1, random_state=int(states[c]))
      fitted = KMeans(num, **given).fit(points)
      distances = fitted.transform(points)  # [n, num]
      members = members[_one_each(distances)]
    chosen.append(members)
  return source.narrow(np.sort(np.concatenate(chosen)))


def _one_each(distances: np.ndarray) -> np.ndarray:
  """[k] rows: for each of k centres, the nearest row that is still free."""
  distances, rows = distances.copy(), []
  for centre in range(distances.shape[1]):
    rows.append(int(distances[:, centre].argmin()))
    distances[rows[-1]] = np.inf
  return np.array(rows)


def _greedy(split: Split, classes: np.ndarray, choose) -> Array:
  """[1, M, ...]: the samples of each class that `choose` picks.

  `choose` is `(points, wanted) -> rows`.
  """
  _check_present(classes, split)
  inputs = None
  for c in np.unique(classes):
    points = _encoded(split, c)
    rows = np.flatnonzero(classes == c)
    chosen = choose(points.reshape(len(points), -1), len(rows))
    if inputs is None:
      inputs = np.empty((len(classes), *points.shape[1:]), np.float32)
    inputs[rows] = points[chosen]
  return jnp.asarray(inputs)[None]


def _covering(points: np.ndarray, wanted: int) -> np.ndarray:
  """Rows of the points [n, D], each farthest from those chosen before it."""
  squares = np.square(points - points.mean(0)).sum(1)
  chosen = [int(squares.argmin())]
  nearest = np.full(len(points), np.inf)
  while len(chosen) < min(wanted, len(points)):
    nearest = np.minimum(nearest, np.square(points - points[chosen[-1]]).sum(1))
    nearest[chosen] = -1.0  # so that equal samples can each be chosen once
    chosen.append(int(nearest.argmax()))
  return np.resize(chosen, wanted)


def _check_present(classes: np.ndarray, split) -> None:
  absent = np.setdiff1d(classes, split.present)
  if len(absent):
    raise ValueError(
        "`classes` must have real samples; got class "
        f"{absent[0]}, which has none. Ask for `split.present` alone.")


def _herded(points: np.ndarray, wanted: int) -> np.ndarray:
  """Rows of the points [n, D] that herding picks, in its order."""
  target = points.mean(0, dtype=np.float64)
  total, free, chosen = np.zeros_like(target), np.ones(len(points), bool), []
  squares = np.square(points, dtype=np.float64).sum(1)
  for i in range(wanted):
    if not free.any():
      free[:] = True
    # |target - (total + x) / (i + 1)|^2 without the terms that all x share.
    aim = (i + 1) * target - total
    scores = np.where(free, squares - 2 * points @ aim, np.inf)
    chosen.append(int(scores.argmin()))
    free[chosen[-1]] = False
    total += points[chosen[-1]]
  return np.array(chosen)


def _encoded(split, c) -> np.ndarray:
  """All samples of class c in model space."""
  return np.concatenate(list(class_parts(split, c)))


def class_parts(split: Split, c: int) -> Iterator[np.ndarray]:
  """Yields the samples of class c [n, ...] in model space, part by part."""
  members = split.rows_of_class(c)
  for start in range(0, len(members), _ENCODE_ROWS):
    rows = members[start:start + _ENCODE_ROWS]
    yield np.asarray(split.encode(rows_of(split.inputs, rows)))


def initialiser(
    stored: Parameterization, split: Split, classes: np.ndarray) -> Callable:
  """`(key, inputs) -> codes` of a parameterization, for given label rows.

  Args:
    stored: the parameterization.
    split: real data, which some parameterizations need.
    classes: [R] int, the class of each label row.
  """
  if stored.init_for is None:
    return stored.init
  return stored.init_for(partial(class_parts, split), classes)


def _places(classes: np.ndarray) -> np.ndarray:
  """For each row, the number of earlier rows of the same class."""
  same = classes[:, None] == classes
  return np.tril(same, -1).sum(1)
