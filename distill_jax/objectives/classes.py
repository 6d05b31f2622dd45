"""What objectives that match class by class share."""

from typing import NamedTuple

import jax
import numpy as np
from jax import lax

from distill_jax.types import Array, Network, PyTree


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


def check(members: np.ndarray, samples: Array, real: Array) -> None:
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
  if real.ndim != samples.ndim + 1 or len(real) != len(members):
    raise ValueError(
        f"`sample` must draw [{len(members)}, n, ...], as `per_class` does; "
        f"got {real.shape}."
    )


def with_anchor(anchor: Anchor | None, real: tuple) -> tuple[tuple, list]:
  """Weights and (inputs, labels) of what is matched: real, and the anchor."""
  if anchor is None:
    return (1.0,), [real]
  if len(anchor.inputs) != len(real[0]):
    raise ValueError(
        f"`anchor` must hold samples of all {len(real[0])} classes; got "
        f"{len(anchor.inputs)}."
    )
  inputs, labels = real
  frozen = lax.stop_gradient(anchor.inputs).astype(inputs.dtype)
  if labels is None:
    return (1.0, anchor.weight), [real, (frozen, None)]
  return (1.0, anchor.weight), [
      real, (frozen, lax.stop_gradient(anchor.labels).astype(labels.dtype))
  ]


def has_statistics(variables: PyTree) -> bool:
  """Whether a network keeps more than its parameters."""
  rest = {name: tree for name, tree in variables.items() if name != "params"}
  return bool(jax.tree.leaves(rest))


def with_statistics(
    key: Array, network: Network, variables: PyTree, real: Array
) -> PyTree:
  """Variables whose running statistics have seen real samples of all classes.

  Args:
    key: of dropout.
    network: any.
    variables: of the network; returned as they are without statistics.
    real: [K, n, ...]; the first of each class are used.
  """
  if not has_statistics(variables):
    return variables
  some = real[:, :_STATISTICS]
  some = some.reshape(-1, *some.shape[2:])
  return network.apply(variables, some, key=key, train=True)[1]
