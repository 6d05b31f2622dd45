"""Outputs, not classes alone, of what is trained on a set.

Whoever attacks or calibrates a student needs more than what it predicts. A
network is trained by a recipe; a kernel is solved.
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
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.evaluation.trained import outputs_on, train_networks
from distill_jax.kernels import regression
from distill_jax.methods.method import Method, student_of
from distill_jax.parallel import map_rows
from distill_jax.types import Array, Network


class Fitted(NamedTuple):
  """Attributes:
    outputs: `(split) -> [N, K]` float, logits or what a regression gives.
    untrained: the same before any training; None for a kernel.
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
    network: a network or its specification; the set's own for sets of kernels
      and for those with a fixed initialisation.
    recipe: how it is trained. The set's own for sets with centred labels, with
      step sizes or with a fixed initialisation, and where it is None.
  """
  own = artifact.network
  if own and models.is_kernel(own):
    kernel = models.from_spec(own, artifact.num_classes)
    solved = partial(
        _kernel_outputs,
        artifact.training_set,
        kernel=kernel,
        ridge=own.get("ridge", 1e-6))
    return Fitted(lambda split: np.asarray(solved(split)), None, {})
  fixed = artifact.student_init == "fixed"
  if network is None or fixed:
    network = own
  if isinstance(network, Mapping):
    network = models.from_spec(network, artifact.num_classes)
  centred = artifact.label_space == "centred"
  if recipe is None or centred or fixed or artifact.step_sizes.size:
    recipe = artifact.recipe
  training_set = artifact.training_set

  def trained(recipe):
    stacked = train_networks(key, training_set, network=network, recipe=recipe)
    variables = jax.tree.map(lambda leaf: leaf[0], stacked)
    return lambda split: np.asarray(
        outputs_on(variables, split, network=network))

  return Fitted(
      trained(recipes.from_spec(recipe)), trained(recipes.untrained()),
      dict(recipe))


@partial(jax.jit, static_argnames=("kernel", "ridge"))
def _kernel_outputs(training_set, split, *, kernel, ridge):
  inputs, labels = training_set.samples.inputs, training_set.samples.labels
  weights = regression.solve(kernel(inputs, inputs), labels, ridge=ridge)

  def rows(raw):
    cross = kernel(split.encode(raw).astype(inputs.dtype), inputs)
    return jnp.asarray(regression.product(cross, weights), inputs.dtype)

  return map_rows(rows, split.inputs)


def check_judged(source, method: Method, network=None) -> None:
  """Refuses a method whose sets have no outputs that `fit` knows.

  Args:
    source: the data.
    method: that makes the sets.
    network: that it is given, or None.

  Raises:
    ConfigError: the name of the method and of what its sets are made for.
  """
  given = network if method.model == "network" else None
  spec, _ = student_of(source, method, given)
  if spec and not (models.is_network(spec) or models.is_kernel(spec)):
    raise ConfigError(
        "`arms` must make sets for a network or a kernel, whose outputs are "
        f"scores; got {method.name}, whose sets are for {spec['name']}. Leave "
        "it out.")
