"""Outputs, not classes alone, of what is trained on a set.

Whoever attacks a student needs more than what it predicts. A network is trained
by a recipe; a kernel, a linear probe and soft-label neighbours are fitted in
closed form, see `Learner.outputs`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import models
from distill_jax.artifact import Artifact
from distill_jax.data.source import Split
from distill_jax.devices import jitted
from distill_jax.evaluation import fitting, recipes
from distill_jax.evaluation.trained import (
    networks_of,
    outputs_on,
    train_networks,
)
from distill_jax.parallel import map_rows
from distill_jax.types import Array, Network


class Fitted(NamedTuple):
  """Attributes:
    outputs: `(split) -> [N, K]` float: logits, what a regression gives, or
      logarithms of probabilities.
    untrained: the same before any training; None for what is fitted.
    recipe: how it was trained, or {}.
  """

  outputs: Callable[[Split], np.ndarray]
  untrained: Callable[[Split], np.ndarray] | None
  recipe: dict[str, Any]


def fit(
    key: Array,
    artifact: Artifact,
    *,
    network: Network | Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None) -> Fitted:
  """Trains on a set the network that is given, or the set's own.

  Compiles once for a network, a recipe and shapes.

  Args:
    key: consumed.
    artifact: the set.
    network: a network or its specification; the set's own for a fixed
      initialisation. Sets for what is fitted in closed form take none.
    recipe: how it is trained. The set's own for sets with centred labels, with
      step sizes or with a fixed initialisation, and where it is None.
  """
  own = artifact.network
  if not models.is_network(own):
    learner = fitting.from_spec(own, None, artifact.num_classes)
    solved = partial(
        _closed_form, artifact.training_set, outputs=learner.outputs)
    return Fitted(lambda split: np.asarray(solved(split)), None, {})
  fixed = artifact.student_init == "fixed"
  if network is None or fixed:
    network = own
  built: Any = network
  if isinstance(network, Mapping):
    built = models.from_spec(network, artifact.num_classes)
  centred = artifact.label_space == "centred"
  if recipe is None or centred or fixed or artifact.step_sizes.size:
    recipe = artifact.recipe

  def of_first(stacked):
    variables = jax.tree.map(lambda leaf: leaf[0], stacked)
    return lambda split: np.asarray(outputs_on(variables, split, network=built))

  trained = networks_of(
      key,
      artifact,
      network=built,
      recipe=recipes.from_spec(recipe),
      num_networks=1)
  before = train_networks(
      key, artifact.training_set, network=built, recipe=recipes.untrained())
  return Fitted(of_first(trained), of_first(before), dict(recipe))


@partial(jitted, static_argnames="outputs")
def _closed_form(training_set, split, *, outputs):
  inputs = training_set.samples.inputs
  fitted = outputs(training_set)

  def rows(raw):
    found = fitted(split.encode(raw).astype(inputs.dtype))
    return jnp.asarray(found, inputs.dtype)

  return map_rows(rows, split.inputs)
