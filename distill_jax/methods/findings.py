"""Finds signs that something went wrong while a set was distilled.

Each finding is one sentence for the user: what happened, and what to try. A set
with a finding may still be good; the evaluation shows it.
"""

import numpy as np

from distill_jax.labels import classes_of, classes_of_labels, uncentred
from distill_jax.methods.method import Plan
from distill_jax.types import Distilled, Samples

_STILL = 1e-3  # RMS movement of samples, as a share of the RMS of the start
_FELL = 100.0  # factor by which a step size shrank
_DRIFTED = 0.1  # share of labels that name another class than at the start


def findings(plan: Plan, distilled: Distilled) -> list[str]:
  """Returns sentences on what looks wrong in a finished set.

  Args:
    plan: the plan of the run, with the set's start.
    distilled: the finished set.

  Returns:
    A list of sentences; empty for methods without outer steps.
  """
  if plan.start is None or plan.estimator is None:
    return []
  start = plan.estimator.samples(plan.start)
  end = plan.estimator.samples(distilled)
  found = (
      _standing_still(start, end,
                      plan), _step_sizes(start, end,
                                         plan), _labels(start, end, plan))
  return [line for line in found if line]


def _standing_still(start: Samples, end: Samples, plan: Plan) -> str:
  """A sentence if samples were learned but hardly moved from their start."""
  if start.inputs.shape != end.inputs.shape or not plan.method.settings.get(
      "learn_codes", True):
    return ""
  before, after = np.asarray(start.inputs), np.asarray(end.inputs)
  moved = float(np.sqrt(np.square(after - before).mean()))
  spread = float(np.sqrt(np.square(before).mean()))
  if moved > _STILL * spread:
    return ""
  share = 100 * moved / max(spread, 1e-30)
  return (
      f"The samples are nearly those that the set started from: they moved by "
      f"{share:.2g} % of their size. Raise `learning_rate` or `num_steps`.")


def _step_sizes(start: Samples, end: Samples, plan: Plan) -> str:
  """A sentence if a learned step size is at its bound or shrank a lot."""
  if not end.step_sizes.size or start.step_sizes.shape != end.step_sizes.shape:
    return ""
  before, after = np.asarray(start.step_sizes), np.asarray(end.step_sizes)
  lowest = int(np.argmin(after / before))
  fell = f"fell from {before[lowest]:.2g} to {after[lowest]:.2g}"
  floor = plan.method.settings.get("step_size_floor", 0.0)
  if after[lowest] <= 1.01 * floor:
    return (
        f"A learned step size {fell}, its lower bound `step_size_floor`: "
        "networks hardly learn from the set. Lower `step_size_learning_rate`.")
  if after[lowest] * _FELL < before[lowest]:
    return (
        f"A learned step size {fell}: networks hardly learn in that step. "
        "Lower its learning rate.")
  return ""


def _labels(start: Samples, end: Samples, plan: Plan) -> str:
  """A sentence if learned labels name other classes than at their start."""
  drawn = plan.method.settings.get("start_labels") == "noise"
  if drawn or start.labels.shape != end.labels.shape:
    return ""

  def classes(labels):
    if plan.method.label_space == "logits":
      return classes_of(labels)
    centred = plan.method.label_space == "centred"
    return classes_of_labels(uncentred(labels) if centred else labels)

  changed = int((classes(start.labels) != classes(end.labels)).sum())
  if changed <= _DRIFTED * len(end.labels):
    return ""
  return (
      f"{changed} of {len(end.labels)} learned labels now name another class "
      "than the one they started from. Lower `label_learning_rate`.")
