"""Pytrees in a file: tensors by name, and the nesting of these names.

Pytrees (theta_0, codes, extra) are nested dicts and tuples of arrays. The name
of a tensor is the path of keys that leads to it, joined by "/". The document
repeats the nesting, with "array" at the leaves:
`{"params": {"head": {"bias": "array"}}}`.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from distill_jax import storage
from distill_jax.errors import ArtifactError, plain, require
from distill_jax.types import PyTree

WHOLE = (jnp.integer, jnp.bool_)


def nested(name: str, tree: PyTree) -> PyTree:
  """Converts a pytree to nested dicts and tuples of NumPy arrays.

  This is the form in which it is stored: records become dicts, and floats
  become float32.

  Args:
    name: name of the tree, for messages.
    tree: mappings, tuples, lists, records, arrays, numbers and None.

  Raises:
    ArtifactError: the tree holds anything else, or a key with "/".
  """
  if tree is None:
    return None
  if hasattr(tree, "_asdict"):
    tree = tree._asdict()
  if isinstance(tree, Mapping):
    bad = [k for k in tree if not isinstance(k, str) or "/" in k or not k]
    if bad:
      raise ArtifactError(
          f"`{name}` must have keys that are texts without '/'; got {bad[0]!r}."
      )
    return {k: nested(f"{name}/{k}", v) for k, v in tree.items()}
  if isinstance(tree, tuple | list):
    return tuple(nested(f"{name}/{i}", v) for i, v in enumerate(tree))
  dtype = tree.dtype if hasattr(tree, "dtype") else np.asarray(tree).dtype
  floating = jnp.issubdtype(dtype, jnp.floating)
  if not (floating or any(jnp.issubdtype(dtype, k) for k in WHOLE)):
    raise ArtifactError(
        f"`{name}` must be nested dicts and tuples of numbers; got "
        f"{type(tree).__name__} of type {dtype}. Leave it out.")
  return np.asarray(tree, np.float32 if floating else dtype)


def poured(tree: PyTree, like: PyTree) -> PyTree | None:
  """Gives a `nested` tree the structure of the tree that it was made of.

  Args:
    tree: as `nested` returns it, or as it was read from a file.
    like: a tree of the wanted structure, with shapes at its leaves.

  Returns:
    The tree, or None if entries or shapes differ.
  """
  if hasattr(like, "_asdict"):
    parts = poured(tree, like._asdict())
    return None if parts is None else type(like)(**parts)
  if isinstance(like, Mapping):
    if not isinstance(tree, Mapping) or set(tree) != set(like):
      return None
    parts = {name: poured(tree[name], part) for name, part in like.items()}
    return None if any(p is None for p in parts.values()) else parts
  if isinstance(like, tuple | list):
    if not isinstance(tree, tuple | list) or len(tree) != len(like):
      return None
    found = [poured(one, part) for one, part in zip(tree, like, strict=True)]
    return None if any(p is None for p in found) else type(like)(found)
  return tree if getattr(tree, "shape", None) == like.shape else None


def flatten(name: str, tree: PyTree, tensors: storage.Tensors):
  """Adds the leaves of a `nested` tree to `tensors`; returns its nesting."""
  if tree is None:
    return None
  if isinstance(tree, dict):
    return {k: flatten(f"{name}/{k}", v, tensors) for k, v in tree.items()}
  if isinstance(tree, tuple):
    return [flatten(f"{name}/{i}", v, tensors) for i, v in enumerate(tree)]
  tensors[name] = tree
  return "array"


def unflatten(name: str, nesting, tensors: storage.Tensors) -> PyTree:
  """Takes the leaves of a tree out of `tensors`.

  Args:
    name: name of the tree.
    nesting: what `flatten` returned for the tree.
    tensors: arrays by name.

  Raises:
    ArtifactError: the nesting is not valid, or a tensor is missing.
  """
  if nesting is None:
    return None
  if isinstance(nesting, dict):
    return {k: unflatten(f"{name}/{k}", v, tensors) for k, v in nesting.items()}
  if isinstance(nesting, list):
    return tuple(
        unflatten(f"{name}/{i}", v, tensors) for i, v in enumerate(nesting))
  require(nesting == "array", name, 'be nested down to "array"', nesting)
  return take(tensors, name)


def take(tensors: storage.Tensors, name: str) -> np.ndarray:
  """Takes one tensor out of `tensors`.

  Raises:
    ArtifactError: the tensor is missing.
  """
  if name not in tensors:
    raise ArtifactError(
        f"the file must hold the tensors of its schema; {plain(name)} is "
        "missing.")
  return tensors.pop(name)
