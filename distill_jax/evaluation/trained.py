"""Networks that were trained on a set, kept to be asked more than classes.

They are the very networks that `evaluate_set` trains with the same key; it
keeps only what they predict.
"""

from functools import partial

import jax
import jax.numpy as jnp

from distill_jax.artifact import Artifact
from distill_jax.data.source import Split
from distill_jax.devices import jitted
from distill_jax.evaluation.evaluator import check_labels
from distill_jax.evaluation.learners import fixes_initialisation, student
from distill_jax.evaluation.recipe import Recipe
from distill_jax.evaluation.recipes import from_spec
from distill_jax.parallel import batch_map, map_rows
from distill_jax.types import Array, Network, PyTree, TrainingSet


@partial(jitted, static_argnames=("network", "recipe", "num_networks"))
def train_networks(
    key: Array,
    training_set: TrainingSet,
    *,
    network: Network,
    recipe: Recipe,
    num_networks: int = 1) -> PyTree:
  """Variables of R networks, stacked: network i has the key `fold_in(key, i)`.

  Args:
    key: as in `evaluate_set`.
    training_set: arrays; labels that the recipe takes.
    network: build it once, a new one compiles again.
    recipe: how it is trained.
    num_networks: R; they are alike where the set fixes the initialisation and
      the recipe draws nothing.
  """
  example = training_set.samples.inputs[:1]

  def one(key):
    k_init, k_train = jax.random.split(key)  # as `learners.student`
    variables = network.init(k_init, example)
    if fixes_initialisation(training_set):
      variables = training_set.initial
    return recipe.train(k_train, network, variables, training_set)

  keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(num_networks))
  return batch_map(one, keys, items="networks")


def networks_of(
    key: Array,
    artifact: Artifact,
    *,
    network: Network,
    recipe: Recipe | None = None,
    num_networks: int = 5) -> PyTree:
  """Variables of the networks that `evaluate_set` trains on a saved set.

  Args:
    key: as in `evaluate_set`.
    artifact: the set.
    network: build it once.
    recipe: by default the set's own.
    num_networks: R; one where the set fixes the initialisation.

  Returns:
    A pytree whose leaves have one more leading axis, of R.

  Raises:
    ValueError: labels that the recipe does not take.
  """
  recipe = recipe or from_spec(artifact.recipe)
  check_labels(student(network, recipe), artifact.label_space)
  training_set = artifact.training_set
  if fixes_initialisation(training_set):
    num_networks = 1
  return train_networks(
      key,
      training_set,
      network=network,
      recipe=recipe,
      num_networks=num_networks)


@partial(jitted, static_argnames=("network", "rows"))
def outputs_on(
    variables: PyTree,
    split: Split,
    *,
    network: Network,
    rows: int | None = None) -> Array:
  """Outputs [N, K] of one network on all samples of a split.

  Args:
    variables: of one network.
    split: real data; encoded here.
    network: theirs.
    rows: samples at once; by default what suits the machine.
  """

  return map_rows(
      lambda raw: network.apply(variables, split.encode(raw))[0], split.inputs,
      rows)
