"""Shared parts of the objectives that match class by class."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from distill_jax.inner_loop import keeps_statistics
from distill_jax.types import (
    Anchor,
    Array,
    Batch,
    LazyInputs,
    Network,
    PyTree,
    Samples,
)

_STATISTICS = 16  # real samples per class for BatchNorm's statistics


def checked_members(members: ArrayLike) -> np.ndarray:
  """Returns [K, m] int32, the rows of each class.

  Raises:
    ValueError: a wrong number of axes.
  """
  members = np.asarray(members, np.int32)
  if members.ndim != 2:
    raise ValueError(
        "`members` must be [K, m], the rows of each class; got shape "
        f"{members.shape}. `class_members` makes it.")
  return members


def check(
    members: np.ndarray, samples: Array, real: Array | LazyInputs) -> None:
  """Refuses samples or real data that do not fit the classes.

  Args:
    members: [K, m] int, the rows of each class.
    samples: [M, ...] distilled inputs.
    real: [K, n, ...] real inputs.

  Raises:
    ValueError: `members` does not contain every sample exactly once, or the
      batch was not drawn class by class.
  """
  if not np.array_equal(np.sort(members, axis=None), np.arange(len(samples))):
    raise ValueError(
        f"`members` must name each of the {len(samples)} samples once; got "
        f"{members.size} of 0..{members.max()}. Give `class_members` the "
        "classes of this set.")
  if len(real.shape) != samples.ndim + 1 or real.shape[0] != len(members):
    raise ValueError(
        f"`sample` must draw [{len(members)}, n, ...], as `per_class` does; "
        f"got {real.shape}.")


class Target(NamedTuple):
  """What the distilled samples of each class are matched with.

  Attributes:
    weight: weight of the distance.
    items: a pytree with a leading axis of classes.
    fetch: `(items) -> (inputs [..., n, *sample], labels [..., n, outputs])`,
      for any part of the items; labels are () if none were asked for.
  """

  weight: float
  items: PyTree
  fetch: Callable[[PyTree], tuple[Array, Array]]


def targets(
    batch: Batch,
    samples: Samples,
    anchor: Anchor | None,
    label_rows: Callable[[Array], Array] | None = None) -> list[Target]:
  """Returns the real batch, and the anchor if given, in the samples' dtypes.

  Args:
    batch: real samples, drawn class by class.
    samples: the distilled samples.
    anchor: frozen samples to match too, or None.
    label_rows: `(classes [n]) -> [n, outputs]`; by default no labels.

  Raises:
    ValueError: the anchor has other classes.
  """
  lazy = batch.inputs if isinstance(batch.inputs, LazyInputs) else None
  inputs = batch.inputs if lazy is None else lazy.rows

  def fetch(items):
    inputs, labels = items
    inputs = inputs if lazy is None else lazy.gather(inputs)
    if label_rows is not None:
      labels = label_rows(labels)
    return inputs.astype(samples.inputs.dtype), labels

  labels = () if label_rows is None else batch.labels
  found = [Target(1.0, (inputs, labels), fetch)]
  if anchor is not None:
    if len(anchor.inputs) != len(inputs):
      raise ValueError(
          f"`anchor` must hold samples of all {len(inputs)} classes; got "
          f"{len(anchor.inputs)}.")
    frozen = lax.stop_gradient((
        anchor.inputs.astype(samples.inputs.dtype), ()
        if label_rows is None else anchor.labels.astype(samples.labels.dtype)))
    found.append(Target(anchor.weight, frozen, lambda items: items))
  return found


def with_statistics(
    key: Array, network: Network, variables: PyTree, real: Target) -> PyTree:
  """Updates running statistics with real samples of all classes.

  Args:
    key: key for dropout.
    network: any network.
    variables: variables of the network; returned unchanged if it has no running
      statistics.
    real: real samples; the first ones of each class are used.
  """
  if not keeps_statistics(variables):
    return variables
  some, _ = real.fetch(jax.tree.map(lambda x: x[:, :_STATISTICS], real.items))
  some = some.reshape(-1, *some.shape[2:])
  return network.apply(variables, some, key=key, train=True)[1]
