"""Constants among learned codes: leaves of integers.

Masks and indices belong to the codes that they decode, but have no gradient. In
trees of gradients and updates they are None, an empty branch of a tree, so that
no optimizer, clipping or average sees them.
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
  """The inverse of `learnable`: puts the constants back.

  Args:
    floats: a tree as `learnable(tree)` returns it, with any values.
    tree: a tree with the constants.
  """
  return jax.tree.map(
      lambda new, old: old if new is None else new,
      floats,
      tree,
      is_leaf=lambda leaf: leaf is None)
