"""Continual learning with a condensed memory of the tasks before.

Tasks arrive in turn (`scenarios`). A maker turns the data of each into a small
set when it arrives (`memories`), and a learner rehearses these sets later on
(`rehearsal`). The comparison is that of Zhao & Bilen, "Dataset Condensation
with Distribution Matching", 2021, arXiv 2110.04181, by the protocol of GDumb.
What differs: preprocessing is fitted to the first task alone, and every set of
floats is compared with real samples of 8 bits a value that take as many bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from distill_jax.applications import makers as making
from distill_jax.applications import rehearsal
from distill_jax.applications.arms import (
    Arm,
    Setting,
    in_turn_of,
    jointly,
    made,
)
from distill_jax.applications.cells import Cells, cells_of
from distill_jax.applications.continual_report import (
    draw,
    row_of,
    row_of_bound,
    table,
)
from distill_jax.applications.continual_settings import (
    bounds_of,
    check,
    recipe_of,
    scenarios_of,
    sizes_of,
)
from distill_jax.applications.findings import Findings
from distill_jax.applications.in_turn import learn
from distill_jax.applications.memories import remember, united
from distill_jax.applications.programs import compiled_once
from distill_jax.applications.rehearsal import (
    Rehearsal,
    fine_tuning,
    gdumb,
    kd,
    union,
)
from distill_jax.applications.rotation import rotated
from distill_jax.applications.scenarios import Scenario
from distill_jax.applications.settings import (
    check_counts,
    check_seed,
    check_switches,
    check_tested,
    distinct,
)
from distill_jax.choices import one_of
from distill_jax.evaluation.forgetting import scores
from distill_jax.evaluation.recipe import Recipe
from distill_jax.runs import students
from distill_jax.runs.console import working
from distill_jax.runs.students import Student

__all__ = [
    "Scenario", "compare", "fine_tuning", "gdumb", "kd", "learn", "remember",
    "rotated", "run", "scores", "union", "united"
]


def run(
    source,
    *,
    cells: Cells | None = None,
    seed: int = 0,
    scenario: str = "class",
    num_tasks: int = 5,
    rotations: Sequence[float] = (0, 30, 60, 90),
    preprocessing: str = "first",
    num_orders: int = 5,
    makers: Sequence[Any] = ("random_real", "herding", "kcentre", "dm"),
    per_class: Sequence[int] = (1, 10),
    networks: Sequence[Any] | None = None,
    num_networks: int = 3,
    learner: str | Mapping[str, Any] = "gdumb",
    recipe: Mapping[str, Any] | None = None,
    equal_bytes: bool = True,
    joint_steps: int = 2_000,
    fine_tune_steps: int = 100) -> Findings:
  """Compares memories over several orders of the classes; see `compare`.

  Args:
    source: real data with a test split.
    cells: where results are kept.
    seed: of everything.
    scenario: "class" for new classes with every task, or "domain" for the
      source turned by `rotations`.
    num_tasks: T, of as many classes each; not of domains.
    rotations: degrees, in the order of the domains.
    preprocessing: see `Scenario.class_incremental`.
    num_orders: orders of the classes, by seeds 0, 1, ...; repetitions of the
      one order of domains.
    makers: see `compare`.
    per_class: see `compare`.
    networks: see `compare`.
    num_networks: see `compare`.
    learner: see `compare`.
    recipe: see `compare`.
    equal_bytes: see `compare`.
    joint_steps: see `compare`.
    fine_tune_steps: see `compare`.

  Raises:
    ConfigError, DataError: a setting that cannot be, before any work.
  """
  check_tested(source)
  check_counts(num_orders=num_orders)
  one_of(("class", "domain"), "scenario", scenario)
  if scenario == "class":
    scenarios = [
        Scenario.class_incremental(
            source, num_tasks, order=o, preprocessing=preprocessing)
        for o in range(num_orders)
    ]
  else:
    domains = [
        rotated(source, degrees)
        for degrees in distinct("rotations", rotations)
    ]
    scenarios = [
        Scenario.domain_incremental(
            domains, preprocessing=preprocessing, repeat=o)
        for o in range(num_orders)
    ]
  return compare(
      scenarios,
      makers,
      cells=cells,
      seed=seed,
      per_class=per_class,
      networks=networks,
      num_networks=num_networks,
      learner=learner,
      recipe=recipe,
      equal_bytes=equal_bytes,
      joint_steps=joint_steps,
      fine_tune_steps=fine_tune_steps)


def compare(
    scenarios: Sequence[Scenario],
    makers: Sequence[Any],
    *,
    cells: Cells | None = None,
    seed: int = 0,
    per_class: int | Sequence[int] = (1, 10),
    networks: Sequence[Any] | None = None,
    num_networks: int = 3,
    learner: str | Mapping[str, Any] | Rehearsal = "gdumb",
    recipe: Mapping[str, Any] | Recipe | None = None,
    equal_bytes: bool = True,
    joint_steps: int = 2_000,
    fine_tune_steps: int = 100) -> Findings:
  """Memories by several makers, under one learner and one recipe.

  Args:
    scenarios: the same tasks in several orders, or one scenario.
    makers: what `makers.maker` takes, of different names. Sets with a learner
      of their own (a linear probe, soft-label neighbours) are judged by it.
    cells: where results are kept; in memory by default.
    seed: of sets and networks. All memories meet the same networks.
    per_class: rows of each class and task, one size or several.
    networks: that learn, by name or specification, or `Network`s; by default
      one that suits the data. Methods work with the first.
    num_networks: R, of each order.
    learner: "gdumb", "union", "kd", with settings as `{"name": ...}`, or one of
      `rehearsal`.
    recipe: that all memories are learned by under gdumb; by default that of
      GDumb's authors, shorter.
    equal_bytes: whether a memory of floats is compared with as many bytes of
      random real samples too.
    joint_steps: updates of networks on all tasks at once, the upper bound; 0
      for none.
    fine_tune_steps: updates a task of networks that have no memory, the lower
      bound; 0 for none.

  Returns:
    Findings whose rows have `final`, `average`, `forgetting` and `backward`,
    each a mean over networks and orders with its standard error over orders.
    Their `network` is the learner of the set where it brings one (`own`).

  Raises:
    ConfigError, DataError: a setting that cannot be, before any work.
  """
  scenarios, sizes = scenarios_of(scenarios), sizes_of(per_class)
  cells = cells_of(cells)
  made_by = making.makers(makers)
  check_seed(seed)
  check_counts(num_networks=num_networks)
  check_switches(equal_bytes=equal_bytes)
  task = scenarios[0].tasks[0]
  judges = students.networks(networks, task)
  distinct("networks", [judge.spec for judge in judges if judge.spec])
  if not isinstance(learner, Rehearsal):
    learner = rehearsal.from_spec(learner, recipe_of(recipe, task))
  tuned, joint = bounds_of(learner, fine_tune_steps, joint_steps)
  check(scenarios, made_by, sizes, learner, judges)
  setting = Setting(cells, seed, scenarios, num_networks)
  with compiled_once():
    memories_of: list[Any] = [
        arm for size in sizes
        for arm in made(setting, made_by, size, judges[0], equal_bytes)
    ]
  for arm in memories_of:  # refuses what cannot be joined before learning
    for s, parts in zip(scenarios, arm.parts, strict=True):
      united(parts, s.classes, learner.recipe)
  document = dict(
      application="continual",
      settings=dict(
          kind=scenarios[0].kind,
          num_tasks=len(scenarios[0].tasks),
          num_orders=len(scenarios),
          classes=[s.classes for s in scenarios],
          makers=[one.spec for one in made_by],
          per_class=sizes,
          networks=[judge.spec for judge in judges],
          num_networks=num_networks,
          learner=dict(learner.spec),
          joint_steps=joint_steps,
          fine_tune_steps=fine_tune_steps))
  tried = [(arm, learner) for arm in memories_of]
  if tuned:
    tried.append((Arm("no memory", 0, None, None), tuned))
  rows = _rows(setting, tried, joint, judges)
  return Findings(dict(document, rows=rows), table, draw)


def _rows(
    setting: Setting, tried: Sequence[tuple[Arm, Rehearsal]],
    joint: Rehearsal | None, judges: Sequence[Student]) -> list[dict[str, Any]]:
  """Rows of all memories and bounds, network by network."""
  scenarios, rows = setting.scenarios, []
  total = len(judges) * (len(tried) + bool(joint))
  for judge in judges:
    for arm, how in tried:
      if arm.own and judge is not judges[0]:
        total -= 1
        continue  # no network takes part
      with working(f"continual: row {len(rows) + 1} of {total}"):
        found = [
            in_turn_of(setting, o, arm, how, judge)
            for o in range(len(scenarios))
        ]
      rows.append(row_of(arm, judge.name, found, scenarios))
    if joint:
      with working(f"continual: row {len(rows) + 1} of {total}"):
        found = jointly(setting, joint, judge)
      rows.append(row_of_bound(judge.name, *found, scenarios[0]))
  return rows
