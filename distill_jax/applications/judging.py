"""Measures the networks that are trained on one set.

The measures are clean accuracy, accuracy of the worst class, spread over
classes, accuracy under attack, calibration and success of a trigger, for each
network. A set that brings a learner of its own in place of a network
(soft-label neighbours, a linear probe) only has measures that follow from
predicted classes; the others are None.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.applications import poisoning
from distill_jax.artifact import Artifact
from distill_jax.data.source import Split
from distill_jax.evaluation import metrics
from distill_jax.evaluation.attacks import EPS
from distill_jax.evaluation.columns import (
    NUM_ATTACKED,
    calibrated,
    each,
    summary,
    under_attack,
)
from distill_jax.evaluation.evaluator import evaluate_set
from distill_jax.evaluation.fitting import own_learner
from distill_jax.evaluation.recipe import Recipe
from distill_jax.evaluation.recipes import from_spec
from distill_jax.evaluation.trained import networks_of, outputs_on
from distill_jax.labels import classes_of
from distill_jax.types import Array, Network, PyTree


class Questions(NamedTuple):
  """What is measured, the same for every set.

  Attributes:
    test: real test data.
    attacked: whether attacks and calibration are measured.
    eps: largest change by an attack; see `evaluation.attacks`.
    num_steps: steps of PGD, and number of random corners that are tried.
    num_attacked: number of test samples that are attacked; 0 for all.
    stamped: test images of other classes with a trigger, or None.
    target: the class that the trigger stands for.
  """

  test: Split
  attacked: bool = True
  eps: float = EPS
  num_steps: int = 20
  num_attacked: int = NUM_ATTACKED
  stamped: Split | None = None
  target: int = 0


def judge(
    key: Array,
    artifact: Artifact,
    questions: Questions,
    *,
    network: Network,
    recipe: Recipe | None = None,
    num_networks: int = 5) -> dict[str, Any]:
  """Trains networks on a set and measures them.

  Args:
    key: consumed; networks, attacked samples and random starts are the same for
      every set.
    artifact: the set. If it names a learner of its own that is fitted in closed
      form, this learner is measured in place of the network.
    questions: what is measured.
    network: the network. Build it once: a new one is compiled again.
    recipe: how it is trained; by default the set's own recipe.
    num_networks: R, networks that are trained.

  Returns:
    JSON values: `accuracy`, `worst_class` and `class_std`, each as
    `columns.summary` returns it; `attacks`, `calibration` and `success` (of the
    trigger), None if not measured; and `diverged`, the number of networks with
    outputs that are not finite.

  Example:
    found = judge(key, made, Questions(source.test), network=dd.mlp(3))
  """
  k_networks, k_attacks = jax.random.split(key)
  if own := own_learner(artifact.network):
    return _of_learner(k_networks, artifact, questions, own)
  recipe = recipe or from_spec(artifact.recipe)
  networks = networks_of(
      k_networks,
      artifact,
      network=network,
      recipe=recipe,
      num_networks=num_networks)
  return ask(
      k_attacks,
      networks,
      questions,
      network=network,
      logits=not recipe.regression)


def ask(
    key: Array,
    networks: PyTree,
    questions: Questions,
    *,
    network: Network,
    logits: bool = True) -> dict[str, Any]:
  """Measures networks that are already trained; returns as `judge` does.

  Args:
    key: consumed by the attacks.
    networks: variables of R networks, stacked.
    questions: what is measured.
    network: the network of these variables.
    logits: whether outputs are logits and not those of a regression.
  """
  test = questions.test
  outputs = _outputs(networks, test, network)
  attacks = calibration = success = None
  if questions.attacked:
    attacks = under_attack(
        key,
        networks,
        test,
        network=network,
        eps=questions.eps,
        num_steps=questions.num_steps,
        num_samples=questions.num_attacked)
    if logits:
      calibration = calibrated(outputs, np.asarray(test.labels))
  if questions.stamped is not None:
    stamped = questions.stamped
    success = _confusion(_outputs(networks, stamped, network), stamped)
  return _document(
      _confusion(outputs, test),
      success,
      questions,
      attacks=attacks,
      calibration=calibration,
      diverged=sum(not np.isfinite(one).all() for one in outputs))


def _of_learner(key, artifact, questions, learner):
  report = evaluate_set(
      key, artifact, questions.test, learner=learner, num_networks=1)
  success = None
  if questions.stamped is not None:
    success = evaluate_set(
        key, artifact, questions.stamped, learner=learner,
        num_networks=1).confusion
  return _document(
      report.confusion, success, questions, diverged=report.diverged)


def _outputs(networks, split, network) -> list[np.ndarray]:
  return [
      np.asarray(outputs_on(variables, split, network=network))
      for variables in each(networks)
  ]


def _confusion(outputs, split) -> np.ndarray:
  """Confusion matrices [R, K, K]; class 0 for outputs that are not finite."""
  found = []
  for one in outputs:
    finite = np.isfinite(one).all(-1)
    classes = jnp.where(finite, classes_of(jnp.asarray(one)), 0)
    found.append(
        metrics.confusion_matrix(split.labels, classes, split.num_classes))
  return np.stack([np.asarray(one) for one in found])


def _document(
    confusion, success, questions, *, diverged,
    **others: Mapping[str, Any] | None) -> dict[str, Any]:
  by_class = metrics.class_accuracy(confusion)
  if success is not None:
    success = summary(poisoning.success_rate(success, questions.target))
  return {
      "accuracy": summary(metrics.accuracy(confusion)),
      "worst_class": summary(np.nanmin(by_class, 1)),
      "class_std": summary(np.nanstd(by_class, 1)),
      "success": success,
      "attacks": None,
      "calibration": None,
      "diverged": int(diverged),
      **others
  }
