"""Makes a learner from the specification of a student, of whatever kind."""

from collections.abc import Mapping
from typing import Any

from distill_jax import models
from distill_jax.errors import ConfigError
from distill_jax.evaluation.learners import (
    Learner,
    kernel_ridge,
    soft_nearest_neighbours,
    student,
)
from distill_jax.evaluation.probes import linear_probe
from distill_jax.evaluation.recipe import Recipe


def from_spec(
    spec: Mapping[str, Any], recipe: Recipe | None,
    num_classes: int) -> Learner:
  """Returns a network trained by a recipe, or a learner in closed form.

  Args:
    spec: specification of a network or kernel, see `models`; or {"name":
      "linear_probe", "ridge"} or {"name": "soft_neighbours", "k"}.
    recipe: recipe of the network's training; `in_order()` by default.
    num_classes: number of classes of the data.

  Raises:
    ConfigError: an unknown name or setting.
  """
  if models.is_network(spec):
    return student(models.from_spec(spec, num_classes), recipe)
  if not models.is_kernel(spec):
    settings = {k: v for k, v in spec.items() if k != "name"}
    try:
      return _CLOSED[spec["name"]](**settings)
    except TypeError as error:
      raise ConfigError(f"`network` {spec['name']!r}: {error}.") from None
  kernel = models.from_spec(spec, num_classes)
  made = kernel_ridge(kernel, ridge=spec.get("ridge", 1e-6))
  return made._replace(
      recipe=tuple((
          dict(made.recipe) | {
              "kernel": "fully_connected"
          } | dict(spec)).items()))


def own_learner(spec: Mapping[str, Any]) -> Learner | None:
  """Returns the learner that belongs to a set, if it is not a network.

  Sets distilled with kernels have none, as networks are trained on them too.

  Args:
    spec: `Artifact.network`.

  Returns:
    A linear probe, soft-label neighbours, or None.
  """
  if models.is_network(spec) or models.is_kernel(spec):
    return None
  return from_spec(spec, None, 0)


_CLOSED = dict(
    linear_probe=linear_probe, soft_neighbours=soft_nearest_neighbours)
