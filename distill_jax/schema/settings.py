"""The fields of a set that are JSON values, and their rules."""

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from distill_jax import models, storage
from distill_jax.errors import ArtifactError, plain, require
from distill_jax.specification import check_limits

_CHOICES = {
    "modality": ("image", "text", "series", "features"),
    "raw_dtype": ("uint8", "float32", "int32"),
    "label_regime": ("hard", "soft_fixed", "soft_views"),
    "label_space": ("raw", "probabilities", "logits", "centred"),
    "student_init": ("fixed", "random")
}
_DICTS = ("recipe", "network", "storage_bytes", "provenance")
_NAMED = ("method", "parameterization")
_LONGEST_NAME = 300
FIELDS = (*_NAMED, *_CHOICES, "label_scale", "class_names", *_DICTS)
# Types of the entries of `provenance` that code reads; all may be missing.
_PROVENANCE: dict[str, Any] = dict(
    facts=dict, findings=list, loss=str, parts=list, title=str)
# Functions that build a recipe, by name. The module below fills it. As it needs
# this one, it is imported only when a recipe is checked.
RECIPES: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
_FILLED_BY = "distill_jax.evaluation.recipes"


def json_copy(name: str, value: Mapping | None) -> dict[str, Any]:
  """A dict as it would be read from a file, with tuples as lists.

  Args:
    name: name of the dict, for messages.
    value: JSON values by name; None for {}.

  Raises:
    ArtifactError: a value is not a JSON value.
  """
  try:
    return json.loads(storage.to_json(dict(value or {})))
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        f"`{name}` must hold JSON values alone; {error}.") from error


def check(artifact) -> None:
  """Checks the type and range of every field that is a JSON value.

  Raises:
    ArtifactError: a rule is broken; the message names the field.
  """
  for name, choices in _CHOICES.items():
    value = getattr(artifact, name)
    require(value in choices, name, f"be one of {', '.join(choices)}", value)
  for name in _DICTS:
    value = getattr(artifact, name)
    require(isinstance(value, dict), name, "be a dict", value)
  try:
    storage.to_json({name: getattr(artifact, name) for name in _DICTS})
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        f"{', '.join(_DICTS)} must hold JSON values alone; {error}.") from error
  _check_names(artifact)
  for name, kind in _PROVENANCE.items():
    value = artifact.provenance.get(name)
    require(
        value is None or isinstance(value, kind), f"provenance/{name}",
        f"be a {kind.__name__}", value)
  scale = artifact.label_scale
  number = type(scale) in (int, float) and 1e-4 <= scale <= 1e4
  require(number, "label_scale", "be a positive number, at most 1e4", scale)
  sizes = artifact.storage_bytes
  require({"samples", "labels", "decoder", "total"} <= set(sizes) and
          all(type(v) is int and v >= 0 for v in sizes.values()),
          "storage_bytes", "count samples, labels, decoder and total", sizes)


def check_use(artifact) -> None:
  """Checks that the recipe and the network can be built.

  Names that this library does not know, such as a user's own, are not checked.

  Raises:
    ArtifactError: the message says why they cannot be built.
  """
  name, steps = artifact.recipe["name"], artifact.step_sizes.size
  require(
      steps < 2 or name == "in_order", "recipe",
      f"be in_order for a set with {steps} learned step sizes, which no other "
      "recipe takes", name)
  require(
      steps or name != "in_order", "recipe",
      "not be in_order for a set without step sizes; give the method's own, "
      "for example recipes.dsa(300).spec", name)
  try:
    check_limits("recipe", artifact.recipe)
    check_limits("network", artifact.network)
    if artifact.network.get("name") in models.NAMES:
      models.from_spec(artifact.network, len(artifact.class_names))
    importlib.import_module(_FILLED_BY)
    if name in RECIPES:
      RECIPES[name](artifact.recipe)
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        "`recipe` and `network` must be ones that can be built; "
        f"{plain(error, 160)}") from error


def _check_names(artifact) -> None:
  named = {name: getattr(artifact, name) for name in _NAMED}
  for name in ("recipe", "network"):
    value = getattr(artifact, name)
    if value or name == "recipe":
      require("name" in value, name, 'have a "name"', value)
      named[f"{name}/name"] = value["name"]
  for name, value in named.items():
    require(
        isinstance(value, str) and value.isprintable() and
        0 < len(value) <= _LONGEST_NAME, name, "be a name", value)
