"""Checks the settings of a comparison of memories before any set is made."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from distill_jax.applications import makers as making
from distill_jax.applications import memories
from distill_jax.applications.cells import key_of
from distill_jax.applications.in_turn import check_learner
from distill_jax.applications.rehearsal import (
    Rehearsal,
    fine_tuning,
    union,
)
from distill_jax.applications.scenarios import Scenario
from distill_jax.applications.settings import (
    check_optional,
    distinct,
    is_number,
    listed,
    specified,
)
from distill_jax.applications.small_sets import Maker
from distill_jax.data.source import Source
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.evaluation.fitting import own_learner
from distill_jax.evaluation.recipe import Recipe
from distill_jax.runs.students import Student
from distill_jax.types import Samples, TrainingSet

# GDumb's settings, but 300 epochs in place of 1,000, and no flips, for digits.
RECIPE = {
    "name": "dsa",
    "num_epochs": 300,
    "strategy": "color_crop_cutout_scale_rotate"
}


def scenarios_of(given: Scenario | Sequence[Scenario]) -> list[Scenario]:
  """Returns a list of scenarios with the same tasks in several orders.

  Args:
    given: scenarios, or one scenario.

  Raises:
    ConfigError: there are none, an entry is not a scenario or is not valid (see
      `Scenario.checked`), or kinds or numbers of tasks differ.
  """
  if isinstance(given, Scenario | Source):  # both are tuples
    given = [given]
  scenarios = list(listed("scenarios", given))
  for one in scenarios:
    if not isinstance(one, Scenario):
      raise ConfigError(
          f"`scenarios` must hold scenarios; got a {type(one).__name__}. Make "
          "one by Scenario.class_incremental(source, num_tasks).")
    one.checked()
  kinds = {(s.kind, len(s.tasks)) for s in scenarios}
  if len(kinds) != 1:
    raise ConfigError(
        "`scenarios` must be of one kind and number of tasks; got "
        f"{sorted(kinds)}.")
  return scenarios


def sizes_of(per_class: int | Sequence[int]) -> list[int]:
  """Returns a list of different numbers of label rows per class.

  Raises:
    ConfigError: neither a number nor a list, an empty list, or a repeated
      number.
  """
  given = [per_class] if is_number(per_class) else per_class
  sizes = list(distinct("per_class", given))
  if not sizes:
    raise ConfigError("`per_class` must name at least one size; got none.")
  return sizes


def recipe_of(
    given: Mapping[str, Any] | str | Recipe | None, task: Source) -> Recipe:
  """The recipe for all memories; by default GDumb's, with fewer epochs.

  Args:
    given: a recipe, its specification or its name.
    task: any of the tasks; the default recipe augments images only.
  """
  if isinstance(given, Recipe):
    return given
  images = task.train.inputs.ndim == 4
  if given is None:
    given = {**RECIPE, "strategy": RECIPE["strategy"] if images else ""}
  return recipes.from_spec(specified("recipe", given))


def bounds_of(learner: Rehearsal, fine_tune_steps: int,
              joint_steps: int) -> tuple[Rehearsal | None, Rehearsal | None]:
  """The learners without a memory and of all tasks at once, or None.

  Args:
    learner: the learner whose augmentation they share, so that augmentation
      makes no difference between rows.
    fine_tune_steps: updates per task; 0 for no lower bound.
    joint_steps: updates; 0 for no upper bound.
  """
  check_optional(fine_tune_steps=fine_tune_steps, joint_steps=joint_steps)
  settings = {**learner.spec.get("recipe", {}), **learner.spec}
  strategy = settings.get("strategy", "")
  tuned = joint = None
  if fine_tune_steps:
    tuned = fine_tuning(fine_tune_steps, strategy=strategy)
  if joint_steps:
    joint = union(joint_steps, strategy=strategy)
  return tuned, joint


def check(
    scenarios: Sequence[Scenario], made_by: Sequence[Maker],
    sizes: Sequence[int], learner: Rehearsal,
    judges: Sequence[Student]) -> None:
  """Raises an error if a maker, size or network does not suit some task.

  Args:
    scenarios: orders of the tasks.
    made_by: the makers of memories.
    sizes: label rows per class.
    learner: the learner that rehearses the memories.
    judges: the networks that learn.

  Raises:
    ConfigError, DataError, ValueError: the message names what is wrong.
  """
  for one in made_by:
    memories.check_kept(one)
    for scenario in scenarios:
      for task in scenario.tasks:
        for size in sizes:
          memories.rows_for(task, one, per_class=size)
  task = scenarios[0].tasks[0]
  for one in made_by:
    own = one.method and own_learner(one.method.network(task, None))
    if own:
      check_learner(learner, own)
    for size in sizes:
      num_rows = memories.rows_for(task, one, per_class=size)
      making.check_sound(one, task, num_rows, judges[0].named)
  for judge in judges:
    _check_trains(learner.recipe, judge, task)


def _check_trains(recipe: Recipe, judge: Student, task: Source) -> None:
  """Raises an error if a recipe trains only on sets of its own method.

  Only shapes are computed.
  """
  outputs = 1 if task.num_classes == 2 else task.num_classes
  example = np.zeros((2, *task.example.shape[1:]), np.float32)
  samples = Samples(
      example, np.zeros((2, outputs), np.float32), np.zeros(0, np.float32))
  some = TrainingSet(samples, np.zeros((1, 2), np.int32))
  variables = jax.eval_shape(judge.model.init, key_of(0), example[:1])

  def train(variables, some):
    return recipe.train(key_of(0), judge.model, variables, some)

  try:
    jax.eval_shape(train, variables, some)
  except ValueError as error:
    raise ConfigError(
        f"`recipe` must train on any set; {recipe.name} does not: "
        f"{error}") from None
