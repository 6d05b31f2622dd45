"""Maps between raw data and model space: standardisation and ZCA whitening.

A preprocessing is a record of arrays with `apply(raw) -> model space` and
`invert(x) -> raw units`. Records are pytrees, so they can be arguments of
`jit`. They are saved with a set, because the set can be used only with the same
preprocessing. The records for texts are in `text.embedding`.

  standardise  x = (r - mean) / std, per entry of the last axis
  ZCA          x = (r - mean) W,  W = U diag(s + eps)^-1/2 U',  cov = U s U'
               r = x W^-1 + mean, W^-1 = U diag(s + eps)^1/2 U'

where r is the raw input in unit scale (uint8 over 255). ZCA follows Cazenavette
et al., "Dataset Distillation by Matching Training Trajectories", 2022 (arXiv
2203.11932): unbiased covariance, eps = 0.1 inside the root, and the exact
inverse of the regularised map. Here it is fitted in float64 and stored in
float32.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpy.typing import ArrayLike

from distill_jax.errors import ConfigError
from distill_jax.text.embedding import AveragedVectors, WordVectors
from distill_jax.types import Array, Preprocessing

# Smallest standard deviation; JAX takes smaller float32 numbers for zero.
SMALLEST_STD = float(np.finfo(np.float32).tiny)
_CHUNK_VALUES = 2**22  # values processed at once: 32 MiB of float64


def unit_scale(raw: Array) -> Array:
  """Raw inputs as floats: uint8 over 255, floats as they are.

  Args:
    raw: [...] uint8 pixels 0..255, or floats.

  Returns:
    [...] float32 in [0, 1] for uint8; other integers are cast to float32
    without scaling; floats keep their dtype.
  """
  if jnp.issubdtype(raw.dtype, jnp.floating):
    return raw
  return raw.astype(np.float32) / (255.0 if raw.dtype == np.uint8 else 1.0)


class Standardise(NamedTuple):
  """Zero mean and unit variance per entry of the last axis.

  Attributes:
    mean: [C] float32, unit scale.
    std: [C] float32, unit scale, positive.
  """

  mean: Array
  std: Array

  def apply(self, raw: Array) -> Array:
    """Maps raw inputs [..., C] to model space; NumPy's float64 stay float64."""
    mean, std = _as_exact_as(raw, self)
    return (unit_scale(raw) - mean) / std

  def invert(self, x: Array) -> Array:
    """Maps inputs [..., C] in model space to raw units, pixels in [0, 1].

    NumPy's float64 stay float64.
    """
    mean, std = _as_exact_as(x, self)
    return x * std + mean


def from_constants(mean: ArrayLike, std: ArrayLike) -> Standardise:
  """Standardisation by known statistics.

  Args:
    mean: [C], unit scale.
    std: [C], unit scale.

  Raises:
    ConfigError: there are no values, or a `std` is not positive.
  """
  mean, std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
  if not mean.size or mean.shape != std.shape or not (std > 0).all():
    raise ConfigError(
        "`preprocessing` must be 'standardise', 'zca', 'relative_zca', or "
        f"`mean` and as many positive `std`; got mean {mean.tolist()} and std "
        f"{std.tolist()}.")
  return Standardise(mean, std)


class ZCA(NamedTuple):
  """Zero mean and (almost) unit covariance over whole samples.

  Attributes:
    mean: [D] float32, unit scale; D is the product of a sample's axes.
    whiten: [D, D] float32.
    unwhiten: [D, D] float32, the inverse of `whiten`.
  """

  mean: Array
  whiten: Array
  unwhiten: Array

  def apply(self, raw: Array) -> Array:
    """Maps raw inputs [N, ...] to model space; the shape is kept.

    NumPy's float64 stay float64.
    """
    mean, whiten, _ = _as_exact_as(raw, self)
    flat = unit_scale(raw).reshape(raw.shape[0], -1) - mean
    return _product(flat, whiten).reshape(raw.shape)

  def invert(self, x: Array) -> Array:
    """Maps inputs [N, ...] in model space to raw units, pixels near [0, 1].

    NumPy's float64 stay float64.
    """
    mean, _, unwhiten = _as_exact_as(x, self)
    flat = _product(x.reshape(x.shape[0], -1), unwhiten)
    return (flat + mean).reshape(x.shape)


class Encoded(NamedTuple):
  """For inputs that are stored in model space: `apply` is the identity.

  Attributes:
    original: the preprocessing that encoded the inputs; `invert` uses it.
  """

  original: Any

  def apply(self, raw: Array) -> Array:
    """Returns its argument, which is already in model space."""
    return raw

  def invert(self, x: Array) -> Array:
    """Maps inputs in model space to raw units."""
    return self.original.invert(x)


PREPROCESSING = {
    "averaged_vectors": AveragedVectors,
    "standardise": Standardise,
    "word_vectors": WordVectors,
    "zca": ZCA
}


def name_of(preprocessing: Preprocessing) -> str:
  """The name of a record's class in `PREPROCESSING`.

  Args:
    preprocessing: a record; for `Encoded`, its original is named.

  Returns:
    The name; `PREPROCESSING[name](*arrays)` rebuilds the record.

  Raises:
    ValueError: the record's class is not listed.
  """
  if isinstance(preprocessing, Encoded):
    return name_of(preprocessing.original)
  for name, record in PREPROCESSING.items():
    if type(preprocessing) is record:
      return name
  raise ValueError(
      f"`preprocessing` must be one of {', '.join(PREPROCESSING)} to be saved; "
      f"got {type(preprocessing).__name__}. Add its class to `PREPROCESSING`.")


def alike(one: Preprocessing, other: Preprocessing) -> bool:
  """Whether two preprocessings have the same kind and the same numbers."""
  return (
      type(one) is type(other) and all(
          np.shape(a) == np.shape(b) and
          np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(
              jax.tree.leaves(one), jax.tree.leaves(other), strict=True)))


def identity(preprocessing: Preprocessing) -> dict[str, Any]:
  """Identifies a record, in JSON: its kind, and the size of its arrays.

  Sums are rounded to three digits, so that whitening of the same data on
  another machine has the same identity.
  """
  record: Any = getattr(preprocessing, "original", preprocessing)
  sums = [np.abs(np.asarray(leaf, np.float64)).sum() for leaf in record]
  return {
      "kind": type(record).__name__,
      "sums": [float(f"{value:.3g}") for value in sums]
  }


def standardise(inputs: ArrayLike) -> Standardise:
  """Fits `Standardise`: mean and deviation of each entry of the last axis.

  Args:
    inputs: [N, ..., C] uint8 or float.

  Returns:
    The record; a channel with one constant value gets std 1.
  """
  rows = _in_pieces(inputs)
  channels = rows.shape[-1]
  size = rows.size // channels
  mean, lowest, highest = np.zeros(channels), np.inf, -np.inf
  for chunk in _chunks(rows):  # summing over samples first is 10 times faster
    mean += _by_channel(np.sum, chunk.sum(0)) / size
    lowest = np.minimum(lowest, _by_channel(np.min, chunk.min(0)))
    highest = np.maximum(highest, _by_channel(np.max, chunk.max(0)))
  variance = np.zeros(channels)
  means = np.array(np.broadcast_to(mean, rows.shape[1:]))
  for chunk in _chunks(rows):
    chunk -= means
    variance += _by_channel(np.sum, np.square(chunk, out=chunk).sum(0)) / size
  std = np.where(lowest == highest, 1.0, np.sqrt(variance))
  return Standardise(_float32(mean), _float32(std))


def _by_channel(reduce, values):
  """Reduces [..., C] to [C]."""
  return reduce(values.reshape(-1, values.shape[-1]), axis=0)


def zca(inputs: ArrayLike, *, regulariser: float = 0.1) -> ZCA:
  """Fits `ZCA`.

  Args:
    inputs: [N, ...] uint8 or float, N at least 2.
    regulariser: eps, added to the eigenvalues; positive.

  Returns:
    The record. The time grows with N D^2 + D^3, the memory with D^2.

  Raises:
    ValueError: there are too few samples, or the regulariser is not positive.
  """
  rows = _in_pieces(inputs)
  _check_zca(rows, regulariser)
  mean, covariance = _moments(rows)
  whiten, unwhiten = _whitening(covariance, regulariser)
  return ZCA(_float32(mean), _float32(whiten), _float32(unwhiten))


def relative_zca(inputs: ArrayLike, *, regulariser: float = 0.1) -> ZCA:
  """Fits `ZCA` to standardised inputs; eps is in units of the mean eigenvalue.

  It is the preprocessing of the kernel methods (Nguyen et al., "Dataset
  Distillation with Infinitely Wide Convolutional Networks", 2021, arXiv
  2107.13034):

    x = (r - mean) / std W,   W = U diag(s + eps tr(cov) / D)^-1/2 U'

  where cov is the covariance of the standardised inputs. Theirs also subtracts
  the mean of each image and scales it to unit length, which cannot be inverted;
  this is left out here.

  Args:
    inputs: [N, ..., C] uint8 or float, N at least 2.
    regulariser: eps, positive.

  Returns:
    The record, which also standardises. Time and memory as for `zca`.

  Raises:
    ValueError: there are too few samples, or the regulariser is not positive.
  """
  rows = _in_pieces(inputs)
  _check_zca(rows, regulariser)
  size = math.prod(rows.shape[1:])
  std = np.float64(standardise(rows).std)
  std = np.broadcast_to(std, rows.shape[1:]).reshape(size)
  mean, covariance = _moments(rows)
  covariance /= np.outer(std, std)
  whiten, unwhiten = _whitening(
      covariance,
      regulariser * covariance.trace() / size)
  return ZCA(
      mean=_float32(mean),
      whiten=_float32(whiten / std[:, None]),
      unwhiten=_float32(unwhiten * std))


def _check_zca(inputs, regulariser) -> None:
  if not regulariser > 0:
    raise ValueError(f"`regulariser` must be positive; got {regulariser}.")
  if len(inputs) < 2:
    raise ValueError(
        f"`inputs` must hold at least 2 samples for ZCA; got {len(inputs)}.")


def _moments(inputs) -> tuple[np.ndarray, np.ndarray]:
  """Mean [D] and unbiased covariance [D, D] of flattened samples."""
  size = math.prod(inputs.shape[1:])
  mean, covariance = np.zeros(size), np.zeros((size, size))
  for chunk in _chunks(inputs):
    mean += chunk.reshape(-1, size).sum(0) / len(inputs)
  for chunk in _chunks(inputs):
    centred = chunk.reshape(-1, size) - mean
    covariance += centred.T @ centred / (len(inputs) - 1)
  return mean, covariance


def _whitening(covariance, added) -> tuple[np.ndarray, np.ndarray]:
  """`(cov + added)^-1/2` and its inverse."""
  values, vectors = np.linalg.eigh(covariance)
  root = np.sqrt(np.maximum(values, 0.0) + added)  # rounding may go below 0
  return vectors / root @ vectors.T, vectors * root @ vectors.T


def _in_pieces(inputs) -> Any:
  """Inputs in a form that `_chunks` reads: an array, or `data.host` samples."""
  return inputs if hasattr(inputs, "read") else np.asarray(inputs)


def _chunks(inputs):
  """Yields runs of samples as float64 in unit scale."""
  rows = max(1, _CHUNK_VALUES // max(1, math.prod(inputs.shape[1:])))
  read = getattr(inputs, "read", inputs.__getitem__)
  for start in range(0, len(inputs), rows):
    chunk = read(slice(start, start + rows))
    values = chunk.astype(np.float64)
    if chunk.dtype == np.uint8:
      values /= 255.0
    yield values


def applied(preprocessing: Preprocessing, raw: np.ndarray) -> np.ndarray:
  """Applies a record to samples on the host, and does not round float64 first.

  Args:
    preprocessing: a record with `apply`.
    raw: [N, ...].
  """
  given = raw if _is_exact(raw) else jnp.asarray(raw)
  return np.asarray(preprocessing.apply(given))


def _is_exact(x) -> bool:
  """Whether an array is one of NumPy's float64, which JAX would round."""
  return isinstance(x, np.ndarray) and x.dtype == np.float64


def _as_exact_as(x, record):
  """The arrays of a record, in float64 if those of `x` are."""
  if not _is_exact(x) or any(isinstance(leaf, Tracer) for leaf in record):
    return tuple(record)
  return tuple(np.asarray(leaf, np.float64) for leaf in record)


def _product(a, b):
  if _is_exact(a) and _is_exact(b):
    return a @ b
  return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _float32(array):
  return jnp.asarray(array, jnp.float32)
