"""All that a ridge probe needs of labelled features: sums of a stream.

A linear probe is fitted on features z [D] of a frozen network and rows y [K] of
labels, both less their means m and ybar (normal equations; Hoerl & Kennard,
"Ridge Regression", 1970):

    G = sum (z - m)(z - m)',  B = sum (z - m)(y - ybar)'
    W = (G + lam I)^-1 B,     f(z) = (z - m)' W + ybar

G, B, m and ybar follow from the counts and sums of each class and from
`sum z z'`: C + C D + D^2 numbers, however many samples there are. They add up
over chunks, shards, clients and tasks, and what was added can be taken away
again. They are kept about the origin, in float64 whatever the features are and
whether or not JAX has it on; features whose mean is thousands of times their
spread are standardised first, by one record for all shards.

Moments of few samples give these samples away: they are no means of privacy.

Label rows are those of `labels.centred_rows`, so that what is predicted is read
by `labels.classes_of`, also where two classes have one output.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax.data.source import Split
from distill_jax.labels import classes_of, num_outputs


class Moments(NamedTuple):
  """Sums over N labelled features; `a + b` and `a - b` add and withdraw.

  Attributes:
    counts: [C] int64, samples of each of the C classes.
    sums: [C, D] float64, sum of z over each class.
    products: [D, D] float64, sum of z z' over all.
  """

  counts: np.ndarray
  sums: np.ndarray
  products: np.ndarray

  def __repr__(self) -> str:
    return (
        f"Moments: {self.num_samples:,} samples of {self.num_features} "
        f"features, {self.num_classes} classes")

  def __add__(self, other: "Moments") -> "Moments":
    """The moments of both; a tuple would append."""
    _check_alike(self, other)
    return Moments(*(a + b for a, b in zip(self, other, strict=True)))

  def __sub__(self, other: "Moments") -> "Moments":
    """The moments without those of samples that are withdrawn."""
    _check_alike(self, other)
    if (other.counts > self.counts).any():
      raise ValueError(
          "`other` must hold samples that were added; got "
          f"{other.counts.tolist()} of the classes, of "
          f"{self.counts.tolist()}.")
    return Moments(*(a - b for a, b in zip(self, other, strict=True)))

  @property
  def num_samples(self) -> int:
    """N."""
    return int(self.counts.sum())

  @property
  def num_classes(self) -> int:
    """C."""
    return len(self.counts)

  @property
  def num_features(self) -> int:
    """D."""
    return self.sums.shape[1]

  @property
  def z_mean(self) -> np.ndarray:
    """m [D]."""
    return self.sums.sum(0) / self.num_samples

  @property
  def y_mean(self) -> np.ndarray:
    """ybar [K]: the share of each class less 1 / C."""
    shares = self.counts / self.num_samples - 1 / self.num_classes
    return _outputs(shares)

  @property
  def class_means(self) -> np.ndarray:
    """[C, D]; NaN for a class without samples."""
    with np.errstate(divide="ignore", invalid="ignore"):
      return self.sums / self.counts[:, None]

  @property
  def gram(self) -> np.ndarray:
    """G [D, D]."""
    mean = self.z_mean
    return self.products - self.num_samples * np.outer(mean, mean)

  @property
  def cross(self) -> np.ndarray:
    """B [D, K]."""
    centred = self.sums - self.counts[:, None] * self.z_mean
    return _outputs(centred).T

  @property
  def scale(self) -> float:
    """tr(G) / D, the mean eigenvalue; the unit in which to choose a ridge.

    It grows with N, as the ridge must for the same probe: 1e-3 times the scale
    means the same for a shard and for all data.
    """
    return float(np.trace(self.gram) / self.num_features)


class Probe(NamedTuple):
  """A linear classifier `f(z) = (z - z_mean)' weights + y_mean`.

  Attributes:
    weights: W [D, K] float64.
    z_mean: m [D].
    y_mean: ybar [K].
  """

  weights: np.ndarray
  z_mean: np.ndarray
  y_mean: np.ndarray

  def outputs(self, features: ArrayLike) -> np.ndarray:
    """f(z) [B, K] of features [B, D]."""
    centred = np.asarray(features, np.float64) - self.z_mean
    return centred @ self.weights + self.y_mean

  def classes(self, features: ArrayLike) -> np.ndarray:
    """The class [B] int32 of features [B, D]."""
    return np.asarray(classes_of(self.outputs(features)))


def moments_of(
    features: Any,
    classes: ArrayLike,
    *,
    num_classes: int,
    rows: int = 4096) -> Moments:
  """The moments of labelled features.

  Args:
    features: [N, D] numbers.
    classes: [N] int, 0..C-1.
    num_classes: C, at least 2. A shard may lack some classes.
    rows: samples taken to float64 at once.

  Raises:
    ValueError: shapes that do not fit, no such class, or values that are not
      finite.
  """
  classes = np.asarray(classes)
  if np.ndim(features) != 2 or classes.shape != (len(features),):
    raise ValueError(
        "`features` must be [N, D] with a class for each; got shapes "
        f"{np.shape(features)} and {classes.shape}.")
  if num_classes < 2:
    raise ValueError(f"`num_classes` must be at least 2; got {num_classes}.")
  if rows < 1:
    raise ValueError(f"`rows` must be at least 1; got {rows}.")
  if classes.dtype.kind not in "ui":
    raise ValueError(f"`classes` must be integers; got {classes.dtype}.")
  bad = classes[(classes < 0) | (classes >= num_classes)]
  if len(bad):
    raise ValueError(f"`classes` must be 0..{num_classes - 1}; got {bad[0]}.")
  size = features.shape[1]
  sums, products = np.zeros((num_classes, size)), np.zeros((size, size))
  for start in range(0, len(features), rows):
    z = np.asarray(features[start:start + rows]).astype(np.float64)
    if not np.isfinite(z).all():
      raise ValueError(
          "`features` must be finite; got NaN or infinity in rows "
          f"{start}..{start + len(z) - 1}. Drop such samples.")
    rows_of = np.eye(num_classes)[classes[start:start + rows]]
    sums += rows_of.T @ z
    products += z.T @ z
  counts = np.bincount(classes, minlength=num_classes)
  return Moments(counts, sums, products)


def split_moments(split: Split, *, rows: int = 4096) -> Moments:
  """The moments of a split of features, in model space.

  Args:
    split: a `data.Split` of inputs [N, D].
    rows: samples encoded at once.

  Raises:
    ValueError: as `moments_of`.
  """
  if split.inputs.ndim != 2:
    raise ValueError(
        "`split` must hold features [N, D]; got inputs "
        f"{split.inputs.shape}. Take features of them first, see "
        "`data.features`.")
  parts = [
      moments_of(
          np.asarray(split.encode(jnp.asarray(split.inputs[s:s + rows]))),
          np.asarray(split.labels[s:s + rows]),
          num_classes=split.num_classes)
      for s in range(0, split.num_samples, rows)
  ]
  return sum(parts[1:], parts[0])


def ridge_probe(moments: Moments, ridge: float) -> Probe:
  """The probe of all samples, `W = (G + ridge I)^-1 B`.

  Args:
    moments: of at least one sample.
    ridge: lam, positive and absolute; see `Moments.scale`.
  """
  check(moments, ridge)
  gram = moments.gram + ridge * np.eye(moments.num_features)
  weights = np.linalg.solve(gram, moments.cross)
  return Probe(weights, moments.z_mean, moments.y_mean)


def check(moments: Moments, ridge: float) -> None:
  """Refuses what no probe can be fitted on.

  Raises:
    ValueError: no samples, or a ridge that is not positive.
  """
  if not moments.num_samples:
    raise ValueError("`moments` must be of at least one sample; got none.")
  if not 0 < ridge < np.inf:
    raise ValueError(f"`ridge` must be positive and finite; got {ridge}.")


def _outputs(columns: np.ndarray) -> np.ndarray:
  """Of numbers for each class those of the outputs: class 1 alone for two."""
  return columns[-num_outputs(len(columns)):]


def _check_alike(a: Moments, b: Moments) -> None:
  if not isinstance(b, Moments) or a.sums.shape != b.sums.shape:
    got = b.sums.shape if isinstance(b, Moments) else type(b).__name__
    raise ValueError(
        "`other` must be moments of as many classes and features, "
        f"{a.sums.shape}; got {got}.")
