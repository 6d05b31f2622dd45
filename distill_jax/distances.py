"""Distances between gradients, and between batches of features.

Gradients are pytrees of parameters, the real one first; the gradient of a
distance with respect to the second is what matching follows, so norms are
guarded where a dead filter makes them zero. Features are [n, D] and [m, D].

By output: Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching",
2020, arXiv 2006.05929, section 2.3. Means: Zhao & Bilen, "Dataset Condensation
with Distribution Matching", 2021, arXiv 2110.04181, equation 4.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from distill_jax.types import Array, PyTree

_EXACT = lax.Precision.HIGHEST
_SMALL = 1e-6


def by_output(real: PyTree, synthetic: PyTree) -> Array:
  """`sum_W sum_i 1 - cos(A_i, B_i)` over output nodes i of every tensor W.

  The last axis of a tensor counts outputs: filters of a kernel, columns of a
  dense layer, channels of a LayerNorm's map. Tensors of one axis (biases, the
  scale and shift of other norms) contribute nothing, as in the published code.
  """

  def one(a, b):
    if a.ndim < 2:
      return jnp.zeros((), a.dtype)
    a, b = (x.reshape(-1, x.shape[-1]) for x in (a, b))
    return (1 - _cosine(a, b)).sum()

  return _total(one, real, synthetic)


def cosine(real: PyTree, synthetic: PyTree) -> Array:
  """`1 - cos(A, B)` of all tensors as one vector."""
  a, b = (
      jnp.concatenate([leaf.ravel()
                       for leaf in jax.tree.leaves(tree)])
      for tree in (real, synthetic))
  return 1 - _cosine(a, b)


def squared(real: PyTree, synthetic: PyTree) -> Array:
  """`sum (A - B)^2` over all entries; the field's 'mse', which is no mean."""
  return _total(lambda a, b: jnp.square(a - b).sum(), real, synthetic)


def absolute(real: PyTree, synthetic: PyTree) -> Array:
  """`sum |A - B|` over all entries; 'l1'."""
  return _total(lambda a, b: jnp.abs(a - b).sum(), real, synthetic)


def of_kernels(distance: Callable) -> Callable:
  """`distance` of the tensors of three axes or more alone.

  Those are convolution kernels, and a LayerNorm's maps where there are any
  (IDC, arXiv 2205.14959, as published).
  """

  def chosen(real, synthetic):
    keep = [leaf.ndim >= 3 for leaf in jax.tree.leaves(real)]
    if not any(keep):
      raise ValueError(
          "`network` must have convolution kernels to match; it has none.")
    return distance(
        *([
            x
            for x, kept in zip(jax.tree.leaves(tree), keep, strict=True)
            if kept
        ]
          for tree in (real, synthetic)))

  return chosen


def means(real: Array, synthetic: Array) -> Array:
  """`||mean_i A_i - mean_j B_j||^2`, summed over features."""
  return jnp.square(real.mean(0) - synthetic.mean(0)).sum()


def means_and_covariances(weight: float = 1.0) -> Callable:
  """`means`, plus `weight` times the squared distance of covariances.

  The D x D matrices are never formed: `||A'A - B'B||^2` is a sum over pairs of
  samples. Covariances divide by the number of samples.
  """

  def distance(real, synthetic):
    a, b = ((x - x.mean(0)) / jnp.sqrt(len(x)) for x in (real, synthetic))

    def inner(x, y):
      return jnp.square(jnp.matmul(x, y.T, precision=_EXACT)).sum()

    covariances = inner(a, a) - 2 * inner(a, b) + inner(b, b)
    return means(real, synthetic) + weight * covariances

  return distance


def characteristic(amplitude: float = 0.5) -> Callable:
  """Distance of characteristic functions, the mean over frequencies of

      sqrt( a (|P| - |Q|)^2 + (1 - a) 2 (|P| |Q| - Re P Re Q - Im P Im Q) )

  Wang et al., "Dataset Distillation with Neural Characteristic Function", 2025,
  arXiv 2502.20653. Features are [cos, sin] of the phases at F frequencies,
  [n, 2F], whose means are P and Q.

  Args:
    amplitude: a in [0, 1]; at 1/2 the root is |P - Q| / sqrt(2).
  """

  def distance(real, synthetic):
    p, q = (x.mean(0).reshape(2, -1) for x in (real, synthetic))
    if amplitude == 0.5:
      return norm(p - q).mean() / jnp.sqrt(2)
    sizes = norm(p), norm(q)
    spread = jnp.square(sizes[0] - sizes[1])
    turn = jnp.maximum(2 * (sizes[0] * sizes[1] - (p * q).sum(0)), _SMALL**2)
    return _root(amplitude * spread + (1 - amplitude) * turn).mean()

  return distance


def _total(distance, real: PyTree, synthetic: PyTree) -> Array:
  total: Any = sum(jax.tree.leaves(jax.tree.map(distance, real, synthetic)))
  return total


def _cosine(a: Array, b: Array) -> Array:
  """Along the first axis."""
  return (a * b).sum(0) / (norm(a) * norm(b) + _SMALL)


def norm(x: Array) -> Array:
  """Euclidean, along the first axis; its gradient at zero is zero."""
  return _root(jnp.square(x).sum(0))


def _root(squares: Array) -> Array:
  """Its gradient at zero is zero."""
  positive = squares > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
