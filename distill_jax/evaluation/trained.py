"""Networks trained on a set, kept for measurements beyond predicted classes.

They are the same networks that `evaluate_set` trains with the same key;
`evaluate_set` keeps only their predictions.
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
    training_set: the set; its labels must suit the recipe.
    network: the network; build it once, as a new one compiles again.
    recipe: how the network is trained.
    num_networks: R. The networks are equal if the set fixes the initialisation
      and the recipe draws nothing at random.
  """
  example = training_set.samples.inputs[:1]

  def one(key):
    k_init, k_train = jax.random.split(key)  # as in `learners.student`
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
    network: the network; build it once, as a new one compiles again.
    recipe: by default the set's own.
    num_networks: R; one network if the set fixes the initialisation.

  Returns:
    A pytree whose leaves have one more leading axis, of size R.

  Raises:
    ValueError: the recipe cannot use the set's labels.
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
    variables: variables of the network.
    split: real data; it is encoded here.
    network: the network.
    rows: number of samples processed at once; by default what suits the
      machine.
  """

  return map_rows(
      lambda raw: network.apply(variables, split.encode(raw))[0], split.inputs,
      rows)
