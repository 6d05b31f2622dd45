"""The memories of a continual comparison: making them and learning from them.

Sets and accuracies are kept in cells.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from distill_jax.applications import in_turn, memories
from distill_jax.applications.cells import Cells, key_of
from distill_jax.applications.makers import maker
from distill_jax.applications.memories import remember
from distill_jax.applications.rehearsal import Rehearsal
from distill_jax.applications.replay import Arrival
from distill_jax.applications.scenarios import Scenario, digest
from distill_jax.applications.small_sets import Maker
from distill_jax.artifact import Artifact
from distill_jax.evaluation.fitting import own_learner
from distill_jax.runs.students import Student

_SETS, _IN_TURN, _JOINTLY = range(3)  # places of keys


class Setting(NamedTuple):
  """What all measurements of one comparison have in common.

  Attributes:
    cells: where results are kept.
    seed: seed of all sets and networks.
    scenarios: the same tasks in several orders.
    num_networks: R, networks trained per order.
  """

  cells: Cells
  seed: int
  scenarios: Sequence[Scenario]
  num_networks: int


class Arm(NamedTuple):
  """One memory, or no memory: a row of the table.

  Attributes:
    memory: name of the memory in tables.
    per_class: label rows per class. For real samples that match the bytes of
      another memory, this is the number of rows of that memory.
    parts: for each scenario, the sets of its tasks; None for no memory.
    made_by: the maker, or None for no memory.
    matches: names of the makers whose bytes this memory matches, or "".
    own: specification of the learner that the sets bring along in place of a
      network, or {} if they bring none.
  """

  memory: str
  per_class: int
  parts: Sequence[Sequence[Artifact]] | None
  made_by: Maker | None
  matches: str = ""
  own: Mapping[str, Any] = MappingProxyType({})

  @property
  def cell(self) -> str:
    """The arm's part of the names of cells."""
    return f"{self.memory}_{self.per_class}".replace(" ", "_")


def made(
    setting: Setting, made_by: Sequence[Maker], per_class: int,
    network: Student, equal_bytes: bool) -> list[Arm]:
  """Memories of one size, and random real samples of the same bytes.

  Args:
    setting: what the comparison has in common.
    made_by: makers with different names.
    per_class: label rows per class.
    network: the network that methods distil with.
    equal_bytes: whether to add, for each memory, random real samples that take
      as many bytes.
  """
  arms = []
  for one in made_by:
    parts = [[
        _part(setting, s, t, one, per_class * len(classes), network)
        for t, classes in enumerate(s.classes)
    ]
             for s in setting.scenarios]
    spec = parts[0][0].network
    own = spec if own_learner(spec) else {}
    arms.append(Arm(one.name, per_class, parts, one, own=own))
  if equal_bytes:
    others = [_of_equal_bytes(setting, arm, network) for arm in arms]
    arms += _once(arm for arm in others if arm is not None)
  return arms


def _once(arms: Iterable[Arm]) -> list[Arm]:
  """Merges arms of equally many random real samples, which are equal sets."""
  alike: dict[tuple, list[Arm]] = {}
  for arm in arms:
    rows = tuple(part.num_rows for parts in arm.parts or () for part in parts)
    alike.setdefault(rows, []).append(arm)
  return [
      first._replace(
          memory=f"random_real as {first.matches}",
          matches=" and ".join(arm.matches
                               for arm in (first, *others)))
      for first, *others in alike.values()
  ]


def in_turn_of(
    setting: Setting, o: int, arm: Arm, learner: Rehearsal,
    judge: Student) -> tuple[np.ndarray, float]:
  """Accuracies [R, T, T] in order o, and the seconds of learning.

  A learner that starts a new network for every task has one cell per task. A
  learner that carries its network over has one cell for the whole order. See
  `in_turn.learn`.
  """
  scenario = setting.scenarios[o]
  parts = None if arm.parts is None else arm.parts[o]
  judged_by = arm.own.get("name", judge.name)
  place = f"accuracies/{judged_by}/{arm.cell}/order_{o}".replace(" ", "_")
  size, carried = len(scenario.tasks), None

  def step(t):
    nonlocal carried
    began = time.perf_counter()
    carried, found = in_turn.step(
        key_of(setting.seed, _IN_TURN, o, t),
        scenario,
        t,
        parts,
        learner,
        carried,
        network=judge.model,
        num_networks=setting.num_networks)
    return dict(accuracy=found.tolist(), seconds=_since(began))

  if learner.carries:
    steps = setting.cells.json(
        place, lambda: {"steps": [*map(step, range(size))]})
    steps = steps["steps"]
  else:
    steps = [
        setting.cells.json(f"{place}/task_{t}", lambda t=t: step(t))
        for t in range(size)
    ]
  found = in_turn.square([np.asarray(one["accuracy"]) for one in steps])
  return found, sum(one["seconds"] for one in steps)


def jointly(setting: Setting, learner: Rehearsal,
            judge: Student) -> tuple[np.ndarray, float]:
  """Accuracies [R, T] of networks trained on all tasks of order 0 at once.

  Args:
    setting: what the comparison has in common.
    learner: a learner that needs no memory.
    judge: the network that is trained.
  """
  scenario = setting.scenarios[0]

  def measure():
    began = time.perf_counter()
    whole = scenario.together()
    nothing = np.zeros(whole.num_classes, bool)
    variables = learner.learn(
        key_of(setting.seed, _JOINTLY), judge.model, None, None,
        Arrival(whole, 0, nothing), setting.num_networks)
    found = [
        in_turn.accuracy_on(variables, scenario, j, network=judge.model)
        for j in range(len(scenario.tasks))
    ]
    return dict(accuracy=np.stack(found, 1).tolist(), seconds=_since(began))

  place = f"accuracies/{judge.name}/jointly".replace(" ", "_")
  found = setting.cells.json(place, measure)
  return np.asarray(found["accuracy"]), found["seconds"]


def _of_equal_bytes(setting, arm, network) -> Arm | None:
  """Random real samples that take as many bytes as the sets of an arm.

  None if these would be real samples of the same number, or the arm already
  consists of real samples.
  """
  if arm.made_by.exact:
    return None
  rows = [[
      memories.equal_bytes(task, part, exact=False)
      for task, part in zip(s.tasks, parts, strict=True)
  ]
          for s, parts in zip(setting.scenarios, arm.parts, strict=True)]
  if rows == [[part.num_rows for part in parts] for parts in arm.parts]:
    return None
  real = maker("random_real")
  parts = [[
      _part(setting, s, t, real, num_rows, network)
      for t, num_rows in enumerate(numbers)
  ]
           for s, numbers in zip(setting.scenarios, rows, strict=True)]
  return Arm("", arm.per_class, parts, real, arm.memory)


def _part(setting, scenario, t, made_by, num_rows, network) -> Artifact:
  """The set of one task, which depends on nothing that comes later.

  Its name and its key follow from what the maker sees. A task that occurs in
  two orders is therefore condensed once.
  """
  task = scenario.tasks[t]
  seen = digest(task, scenario.repeat)

  def make():
    return remember(
        key_of(setting.seed, _SETS, int(seen[:7], 16), num_rows),
        task,
        made_by,
        per_class=num_rows // len(scenario.classes[t]),
        network=network.named)

  name = f"sets/{seen}/{made_by.name}_{num_rows}"
  return setting.cells.artifact(name, make)


def _since(began: float) -> float:
  return round(time.perf_counter() - began, 3)
