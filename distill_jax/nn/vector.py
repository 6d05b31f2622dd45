"""The weights of a network as one vector, and back."""

import math

import jax
import jax.numpy as jnp

from distill_jax.types import Array, PyTree


def flatten(params: PyTree) -> Array:
  """All weights in the order of `layout`: [n]."""
  return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])


def unflatten(vector: Array, like: PyTree) -> PyTree:
  """Returns the weights that `flatten` made a vector of.

  Args:
    vector: [n].
    like: the weights, or their shapes.

  Raises:
    ValueError: the number of weights is wrong.
  """
  leaves, structure = jax.tree.flatten(like)
  sizes = [math.prod(leaf.shape) for leaf in leaves]
  if vector.shape != (sum(sizes),):
    raise ValueError(
        f"`vector` must hold the network's {sum(sizes):,} weights; got shape "
        f"{vector.shape}.")
  parts, place = [], 0
  for leaf, size in zip(leaves, sizes, strict=True):
    parts.append(vector[place:place + size].reshape(leaf.shape))
    place += size
  return jax.tree.unflatten(structure, parts)


def layout(like: PyTree) -> list[tuple[str, list[int]]]:
  """Name and shape of each part of the vector, in its order.

  Args:
    like: weights, or their shapes.
  """
  leaves, _ = jax.tree.flatten_with_path(like)
  return [(
      jax.tree_util.keystr(path, simple=True, separator="/"), list(leaf.shape))
          for path, leaf in leaves]
