"""Constants among what is learned: leaves that are whole numbers.

Masks and indices belong to the codes that they decode, but have no gradient.
Where gradients and updates are taken they are None, an empty branch of a tree,
so that no optimizer, clipping or average sees them.
"""

import jax
import jax.numpy as jnp

from distill_jax.types import PyTree


def learnable(tree: PyTree) -> PyTree:
  """The tree with None in place of its constants."""

  def kept(leaf):
    return leaf if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else None

  return jax.tree.map(kept, tree)


def with_constants(floats: PyTree, tree: PyTree) -> PyTree:
  """The inverse of `learnable`.

  Args:
    floats: as of `learnable(tree)`, with any values.
    tree: with the constants.
  """
  return jax.tree.map(
      lambda new, old: old if new is None else new,
      floats,
      tree,
      is_leaf=lambda leaf: leaf is None)
