"""The record of a recipe; `recipes` lists the recipes that have a name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from distill_jax.types import PyTree


class Recipe(NamedTuple):
  """How a network is trained on a set.

  Attributes:
    name: name by which `from_spec` finds it.
    train: `(key, network, variables, training_set) -> variables`.
    settings: (name, value) pairs of JSON values; `train` depends on nothing
      else.
    regression: whether it needs centred labels, and refuses others.
  """

  name: str
  train: Callable[..., PyTree]
  settings: tuple[tuple[str, Any], ...] = ()
  regression: bool = False

  @property
  def spec(self) -> dict[str, Any]:
    """The recipe as a JSON document."""
    return {"name": self.name, **dict(self.settings)}


def check_counts(**counts: int) -> None:
  """Refuses numbers of updates, epochs or samples below 1."""
  if min(counts.values()) < 1:
    names = " and ".join(f"`{name}`" for name in counts)
    raise ValueError(
        f"{names} must be at least 1; got "
        f"{' and '.join(map(str, counts.values()))}.")


def check_rule(
    step_size: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
  """Refuses settings out of the range of an update rule."""
  if not step_size > 0:
    raise ValueError(f"`step_size` must be positive; got {step_size}.")
  if not 0 <= momentum < 1:
    raise ValueError(f"`momentum` must be in [0, 1); got {momentum}.")
  if not weight_decay >= 0:
    raise ValueError(f"`weight_decay` must be at least 0; got {weight_decay}.")
