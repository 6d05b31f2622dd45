"""The record of a recipe; `recipes` has those that are known by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from distill_jax.types import PyTree


class Recipe(NamedTuple):
  """Attributes:
    name: under which `from_spec` finds it.
    train: `(key, network, variables, training_set) -> variables`.
    settings: (name, value) pairs, JSON values, all that `train` depends on.
    regression: whether it takes centred labels, and no others.
  """

  name: str
  train: Callable[..., PyTree]
  settings: tuple[tuple[str, Any], ...] = ()
  regression: bool = False

  @property
  def spec(self) -> dict[str, Any]:
    """The recipe as a JSON document."""
    return {"name": self.name, **dict(self.settings)}
