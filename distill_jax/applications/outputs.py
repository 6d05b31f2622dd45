"""Trains or fits a learner on a set, and returns its outputs.

An attack on a student needs more than predicted classes. Networks are trained
by a recipe; kernels, linear probes and soft-label neighbours are fitted in
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
  """A learner that was trained or fitted on a set.

  Attributes:
    outputs: `(split) -> [N, K]` float: logits, outputs of a regression, or
      logarithms of probabilities.
    untrained: the same before any training; None for closed-form learners.
    recipe: specification of the recipe of training, or {}.
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
  """Trains on a set the given network, or the set's own.

  Compiles once per network, recipe and shapes.

  Args:
    key: consumed.
    artifact: the set.
    network: a network or its specification. Sets with a fixed initialisation
      use their own network, and sets for a closed-form learner use none.
    recipe: specification of the recipe. None takes the set's own recipe; sets
      with centred labels, step sizes or a fixed initialisation always use
      their own.
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
