"""Learns tasks in turn, and tests after each on all tasks seen so far."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from distill_jax.applications.memories import united
from distill_jax.applications.rehearsal import Rehearsal
from distill_jax.applications.replay import Arrival
from distill_jax.applications.scenarios import Scenario
from distill_jax.artifact import Artifact
from distill_jax.devices import jitted
from distill_jax.errors import ConfigError
from distill_jax.evaluation import metrics
from distill_jax.evaluation.evaluator import evaluate_set
from distill_jax.evaluation.fitting import own_learner
from distill_jax.evaluation.learners import Learner, classifier
from distill_jax.keys import check_key
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
  """Learns the tasks in turn, and tests after each on all tasks seen so far.

  Args:
    key: step t uses `fold_in(key, t)`, so that memories compared with one key
      are judged by the same networks.
    scenario: T tasks.
    parts: the memory, one set per task; None for no memory.
    learner: a learner of `rehearsal`.
    network: the network that learns. Build it once: a new one is compiled
      again.
    num_networks: R, networks that are trained.

  Returns:
    Accuracies [R, T, T]; a[i, j] of each network is the accuracy on task j
    after task i, and nan for j > i. A network with outputs that are not finite
    counts as wrong. R is 1 if the memory brings a learner of its own, which is
    fitted in closed form.
  """
  size = len(scenario.checked().tasks)
  check_key(key)
  if parts is not None and len(parts) != size:
    raise ConfigError(
        f"`parts` must be one set for each of the {size} tasks; got "
        f"{len(parts)}.")
  rows, carried = [], None
  for t in range(size):
    carried, accuracies = step(
        jax.random.fold_in(key, t),
        scenario,
        t,
        parts,
        learner,
        carried,
        network=network,
        num_networks=num_networks)
    rows.append(accuracies)
  return square(rows)


def square(rows: Sequence[np.ndarray]) -> np.ndarray:
  """[R, T, T] from accuracies [R, t + 1] after each task t; nan elsewhere."""
  found = np.full((len(rows[0]), len(rows), len(rows)), np.nan)
  for t, row in enumerate(rows):
    found[:, t, :t + 1] = row
  return found


def step(
    key: Array, scenario: Scenario, t: int, parts: Sequence[Artifact] | None,
    learner: Rehearsal, carried: PyTree, *, network: Network,
    num_networks: int) -> tuple[PyTree, np.ndarray]:
  """Task t of `learn`: what is carried over, and accuracies [R, t + 1].

  Only data of tasks 0..t are read.
  """
  kept = t + 1 if learner.of_present else t
  classes, memory, own = scenario.classes, None, None
  if parts is not None and kept:
    whole = united(parts[:kept], classes[:kept], learner.recipe)
    memory, own = whole.training_set, own_learner(whole.network)
  if own:
    check_learner(learner, own)
    return None, _of_own(key, own, memory, scenario, t)
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


def check_learner(learner: Rehearsal, own: Learner) -> None:
  """Raises an error unless sets with a learner of their own go with gdumb."""
  if not learner.of_present:
    raise ConfigError(
        "`learner` must be gdumb for sets with a learner of their own, here "
        f"{own.name}; got {learner.spec['name']}.")


def _of_own(key, own: Learner, memory, scenario, t) -> np.ndarray:
  """Accuracies [1, t + 1] of a learner fitted on the memory in closed form."""
  return np.array([[
      metrics.accuracy(
          evaluate_set(key, memory, task.test, learner=own,
                       num_networks=1).confusion)[0]
      for task in scenario.tasks[:t + 1]
  ]])


def accuracy_on(
    variables: PyTree, scenario: Scenario, j: int, *,
    network: Network) -> np.ndarray:
  """Accuracies [R] of R networks on the test samples of task j."""
  longest = max(task.test.num_samples for task in scenario.tasks)
  test = scenario.tasks[j].test
  padded = np.resize(np.arange(test.num_samples), longest)  # one compilation
  said = _said(
      variables, test.inputs[padded], test.preprocessing, network=network)
  said = np.asarray(said)[:, :test.num_samples]
  return (said == np.asarray(test.labels)).mean(1)


@partial(jitted, static_argnames="network")
def _said(variables, raw, record, *, network):
  """Predicted classes [R, N]."""

  def one(variables):
    predict = classifier(network, variables)
    return map_rows(lambda rows: predict(record.apply(rows)), raw)

  return batch_map(one, variables, items="networks")
