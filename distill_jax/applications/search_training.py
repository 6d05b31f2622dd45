"""Trains candidates, with one compiled program per network, recipe and shapes.

Compiling takes longer than training on a small set. Arms of one candidate whose
sets have equal shapes share a program. Programs are dropped after their
candidate, because those of hundreds of networks would fill the memory.
"""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax

from distill_jax.applications.cells import Cells
from distill_jax.applications.search_arms import Arm
from distill_jax.applications.search_space import Candidate, labels
from distill_jax.data.source import Split
from distill_jax.evaluation import metrics, recipes
from distill_jax.evaluation.evaluator import outcome_on
from distill_jax.evaluation.learners import Learner, student
from distill_jax.runs.console import working
from distill_jax.types import Array, TrainingSet

Spec = Mapping[str, Any]
_LONGEST = 120  # characters of a file name


def trained(
    keys: Sequence[Array],
    chosen: Sequence[Candidate],
    arms: Sequence[Arm],
    split: Split,
    *,
    recipe: Spec,
    network: Spec,
    cells: Cells,
    place: str = "scores",
    names: Sequence[str] | None = None) -> list[list[list[dict[str, Any]]]]:
  """Trains every candidate on every arm, and tests it on a split.

  Args:
    keys: one key per network, the same for all candidates and arms.
    chosen: candidates.
    arms: what candidates are trained on.
    split: real data that they are tested on.
    recipe: the recipe of the search.
    network: specification of the network of candidates that name none.
    cells: where results are kept; one cell per candidate, arm and network.
    place: first part of the names of cells.
    names: names of the candidates; by default their `labels`.

  Returns:
    Results of `fit_and_test`, [candidates][arms][networks].
  """

  def of_candidate(name, one):
    model, programs = one.model(network, split.num_classes), {}

    def of_arm(arm):
      adapted = recipes.from_spec(arm.adapt({**recipe, **one.recipe}))
      fit = partial(
          fit_and_test,
          learner=student(model, adapted),
          training_set=arm.training_set,
          split=split,
          programs=programs)
      part = f"{place}/{arm.name}/{_plain(name)}"
      return [
          cells.json(f"{part}/network_{i}", partial(fit, key))
          for i, key in enumerate(keys)
      ]

    return [of_arm(arm) for arm in arms]

  found = []
  for name, one in zip(names or labels(chosen), chosen, strict=True):
    with working(f"search: candidate {len(found) + 1} of {len(chosen)}"):
      found.append(of_candidate(name, one))
  return found


def fit_and_test(
    key: Array,
    learner: Learner,
    training_set: TrainingSet,
    split: Split,
    programs: dict | None = None) -> dict[str, Any]:
  """Trains one network on a set, and tests it on a split.

  Args:
    key: consumed.
    learner: what is trained.
    training_set: the set that it is trained on.
    split: real data that it is tested on.
    programs: programs that are already compiled; new ones are added.

  Returns:
    `accuracy`, `diverged` (0 or 1), `seconds` of training and testing, and
    `compile_seconds`, the time in which the program was compiled, now or
    before.
  """
  programs = {} if programs is None else programs
  given = key, training_set, split
  leaves, structure = jax.tree.flatten(given)
  place = (learner, structure, *((x.shape, str(x.dtype)) for x in leaves))
  if place not in programs:
    began = time.perf_counter()
    program = jax.jit(partial(_outcome, learner)).lower(*given).compile()
    programs[place] = program, time.perf_counter() - began
  program, compiling = programs[place]
  began = time.perf_counter()
  confusion, diverged = jax.device_get(program(*given))
  return dict(
      accuracy=float(metrics.accuracy(confusion)),
      diverged=int(diverged),
      seconds=round(time.perf_counter() - began, 3),
      compile_seconds=round(compiling, 3))


def _outcome(learner, key, training_set, split):
  return outcome_on(learner.fit(key, training_set), split)


def _plain(name: str) -> str:
  """A label as part of a cell's name; long ones end with a digest."""
  text = re.sub(r"[^A-Za-z0-9_.=+-]+", "_", name)
  if len(text) <= _LONGEST:
    return text
  digest = hashlib.sha256(name.encode()).hexdigest()[:8]
  return f"{text[:_LONGEST]}_{digest}"
