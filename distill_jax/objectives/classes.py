"""What objectives that match class by class share."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import lax

from distill_jax.types import Array, Batch, Network, PyTree, Rows


class Anchor(NamedTuple):
  """Frozen samples of every class that are matched beside the real ones.

  Attributes:
    inputs: [K, n, ...] in model space.
    labels: [K, n, outputs].
    weight: of their distance; that of the real samples has weight 1.
  """

  inputs: Array
  labels: Array
  weight: float


_STATISTICS = 16  # real samples of each class that BatchNorm sees


def checked_members(members) -> np.ndarray:
  """[K, m] int32 rows of each class.

  Raises:
    ValueError: another number of axes.
  """
  members = np.asarray(members, np.int32)
  if members.ndim != 2:
    raise ValueError(
        "`members` must be [K, m], the rows of each class; got shape "
        f"{members.shape}. `class_members` makes it."
    )
  return members


def check(members: np.ndarray, samples: Array, real: Array | Rows) -> None:
  """Refuses samples or real data that do not fit the classes.

  Args:
    members: [K, m].
    samples: [M, ...] distilled inputs.
    real: [K, n, ...] real inputs.

  Raises:
    ValueError: a member beyond the samples; a batch that was not drawn class
      by class.
  """
  last_row = members.max()
  if last_row >= len(samples):
    raise ValueError(
        f"`members` must name rows of the {len(samples)} samples; got "
        f"{last_row}. Give `class_members` the classes of this set."
    )
  if len(real.shape) != samples.ndim + 1 or real.shape[0] != len(members):
    raise ValueError(
        f"`sample` must draw [{len(members)}, n, ...], as `per_class` does; "
        f"got {real.shape}."
    )


class Target(NamedTuple):
  """What the samples of each class are matched with.

  Attributes:
    weight: of the distance.
    items: pytree with a leading axis of classes, or a part of it.
    fetch: `(items) -> (inputs [..., n, *sample], labels)` of any part of them.
  """

  weight: float
  items: PyTree
  fetch: Callable[[PyTree], tuple[Array, Array]]


def targets(batch: Batch, anchor: Anchor | None) -> list[Target]:
  """The real batch, with int labels, and the anchor, with label rows.

  Raises:
    ValueError: an anchor of other classes.
  """
  num_classes = batch.inputs.shape[0]
  found = [Target(1.0, *_items(batch))]
  if anchor is not None:
    if len(anchor.inputs) != num_classes:
      raise ValueError(
          f"`anchor` must hold samples of all {num_classes} classes; got "
          f"{len(anchor.inputs)}."
      )
    frozen = lax.stop_gradient((anchor.inputs, anchor.labels))
    found.append(Target(anchor.weight, frozen, lambda items: items))
  return found


def _items(batch: Batch) -> tuple[PyTree, Callable]:
  if not isinstance(batch.inputs, Rows):
    return (batch.inputs, batch.labels), lambda items: items

  def fetch(items):
    rows, labels = items
    return batch.inputs.gather(rows), labels

  return (batch.inputs.rows, batch.labels), fetch


def has_statistics(variables: PyTree) -> bool:
  """Whether a network keeps more than its parameters."""
  rest = {name: tree for name, tree in variables.items() if name != "params"}
  return bool(jax.tree.leaves(rest))


def with_statistics(
    key: Array, network: Network, variables: PyTree, real: Target
) -> PyTree:
  """Variables whose running statistics have seen real samples of all classes.

  Args:
    key: of dropout.
    network: any.
    variables: of the network; returned as they are without statistics.
    real: the first samples of each class are used.
  """
  if not has_statistics(variables):
    return variables
  some, _ = real.fetch(jax.tree.map(lambda x: x[:, :_STATISTICS], real.items))
  some = some.reshape(-1, *some.shape[2:])
  return network.apply(variables, some, key=key, train=True)[1]
