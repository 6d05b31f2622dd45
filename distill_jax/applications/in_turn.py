"""Tasks learned in turn, and tested on all that were seen after each."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from distill_jax.applications.memories import united
from distill_jax.applications.rehearsal import Rehearsal
from distill_jax.applications.replay import Arrival
from distill_jax.applications.scenarios import Scenario
from distill_jax.artifact import Artifact
from distill_jax.errors import ConfigError
from distill_jax.evaluation.learners import classifier
from distill_jax.parallel import batch_map, map_rows
from distill_jax.types import Array, Network, PyTree


def learn(
    key: Array,
    scenario: Scenario,
    parts: Sequence[Artifact] | None,
    learner: Rehearsal,
    *,
    network: Network,
    num_networks: int = 3) -> np.ndarray:
  """Learns the tasks in turn, and tests on all that were seen after each.

  Args:
    key: step t uses `fold_in(key, t)`, so that memories compared with one key
      meet the same networks.
    scenario: T tasks.
    parts: the memory, one set of each task; None for none.
    learner: of `rehearsal`.
    network: build it once, a new one compiles again.
    num_networks: R.

  Returns:
    [R, T, T], a[i, j] the accuracy on task j after task i; nan for j > i. A
    network whose outputs are not finite is wrong.
  """
  size = len(scenario.tasks)
  found = np.full((num_networks, size, size), np.nan)
  carried = None
  for t in range(size):
    carried, found[:, t, :t + 1] = step(
        jax.random.fold_in(key, t),
        scenario,
        t,
        parts,
        learner,
        carried,
        network=network,
        num_networks=num_networks)
  return found


def step(
    key: Array, scenario: Scenario, t: int, parts: Sequence[Artifact] | None,
    learner: Rehearsal, carried: PyTree, *, network: Network,
    num_networks: int) -> tuple[PyTree, np.ndarray]:
  """Task t of `learn`: what is carried over, and accuracies [R, t + 1].

  Only tasks 0..t are looked at.
  """
  kept = t + 1 if learner.of_present else t
  classes = scenario.classes
  memory = None
  if parts is not None and kept:
    memory = united(parts[:kept], classes[:kept], learner.recipe).training_set
  if memory is None and learner.of_present:
    raise ConfigError("`parts` must be a memory for gdumb; got none.")
  longest = max(task.train.num_samples for task in scenario.tasks)
  old = np.isin(np.arange(scenario.tasks[0].num_classes), sum(classes[:t], ()))
  variables = learner.learn(
      key, network, carried if learner.carries else None, memory,
      Arrival(scenario.tasks[t], t, old, longest), num_networks)
  accuracies = [
      accuracy_on(variables, scenario, j, network=network)
      for j in range(t + 1)
  ]
  return variables, np.stack(accuracies, 1)


def accuracy_on(
    variables: PyTree, scenario: Scenario, j: int, *,
    network: Network) -> np.ndarray:
  """[R], accuracy of R networks on the test samples of task j."""
  longest = max(task.test.num_samples for task in scenario.tasks)
  test = scenario.tasks[j].test
  padded = np.resize(np.arange(test.num_samples), longest)  # compiles once
  said = _said(
      variables, test.inputs[padded], test.preprocessing, network=network)
  said = np.asarray(said)[:, :test.num_samples]
  return (said == np.asarray(test.labels)).mean(1)


@partial(jax.jit, static_argnames=("network",))
def _said(variables, raw, record, *, network):
  """Classes [R, N]."""

  def one(variables):
    predict = classifier(network, variables)
    return map_rows(lambda rows: predict(record.apply(rows)), raw)

  return batch_map(one, variables)
