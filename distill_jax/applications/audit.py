"""The cells of an audit of small sets; see `robustness`.

Sets, what was asked of their networks, what training on them takes, and what
all data give for that, each measured once and kept.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.applications import makers as making
from distill_jax.applications import poisoning
from distill_jax.applications.cells import Cells, key_of
from distill_jax.applications.judging import Questions, ask, judge
from distill_jax.applications.settings import (
    check_counts,
    check_per_class,
    check_seed,
    check_tested,
    specified,
)
from distill_jax.applications.small_sets import (
    Maker,
    seconds_of,
    stored_bytes,
    timed,
)
from distill_jax.artifact import Artifact
from distill_jax.data.source import Source
from distill_jax.errors import ConfigError, plain
from distill_jax.evaluation.columns import check_attacked
from distill_jax.evaluation.cost import budget_of_set
from distill_jax.evaluation.evaluator import check_labels
from distill_jax.evaluation.fitting import own_learner
from distill_jax.evaluation.full_data import trainer
from distill_jax.evaluation.learners import student
from distill_jax.evaluation.recipe import Recipe
from distill_jax.evaluation.recipes import from_spec
from distill_jax.methods.shared import by_data
from distill_jax.runs import students
from distill_jax.runs.console import say
from distill_jax.runs.students import Student

# Places of keys; all sets meet the same networks and the same attacks.
_SETS, _JUDGING, _POISON, _ALL_DATA, _MATCHED = range(5)


class Audit(NamedTuple):
  """What one audit works with; its methods give arms for `rows_of`."""

  source: Source
  cells: Cells
  seed: int
  makers: tuple[Maker, ...]
  num_rows: int
  num_sets: int
  student: Student
  recipe: Recipe | None
  num_networks: int
  batch_size: int
  questions: Questions
  target: int
  pattern: Any  # a `Pattern`, of images

  @classmethod
  def of(
      cls, source, cells, seed, makers, *, per_class, num_sets, network, recipe,
      num_networks, poison, target, batch_size, attack) -> "Audit":
    """Checks everything that can be known before the first cell."""
    check_tested(source)
    check_seed(seed)
    check_counts(
        num_sets=num_sets,
        num_networks=num_networks,
        steps=attack["num_steps"],
        batch_size=batch_size)
    check_per_class(source, per_class)
    check_attacked(source.test, attack["eps"], attack["num_attacked"])
    student = students.network(network, source)
    recipe = _recipe(recipe, source, makers, student)
    num_rows = per_class * len(source.train.present)
    for maker in makers:
      making.check_sound(maker, source, num_rows, student.named)
    pattern = stamped = None
    if poison:
      pattern = poisoning.square(source.train.inputs.shape[1:])
      stamped = poisoning.triggered(source.test, target, pattern)
    questions = Questions(source.test, **attack, stamped=stamped, target=target)
    work = cls(
        source, cells, seed, makers, num_rows, num_sets, student, recipe,
        num_networks, batch_size, questions, target, pattern)
    for fraction in poison:
      work._check_poisoned(fraction)
    return work

  def clean(self, maker: Maker) -> dict[str, Any]:
    """A maker's sets of the data as they are."""
    sets = [self._set(maker, s) for s in range(self.num_sets)]
    return dict(
        self._facts(maker.name, "clean", sets, maker.exact),
        budget=self._budget(maker, sets[0]),
        found=[
            self._judged(f"{maker.name}/{s}", made, self.questions)
            for s, made in enumerate(sets)
        ])

  def poisoned(self, maker: Maker, fraction: float) -> dict[str, Any]:
    """A maker's sets of data that were poisoned before it saw them."""
    source, rows = self._poisoned_source(fraction)
    place = f"{maker.name}/poison={fraction:g}"
    sets = [self._set(maker, s, source, place) for s in range(self.num_sets)]
    counts = None
    if maker.exact:
      counts = [poisoning.count_stamped(made, self.pattern) for made in sets]
    return dict(
        self._facts(maker.name, "poisoned", sets, maker.exact),
        fraction=fraction,
        in_data=len(rows),
        in_sets=counts,
        found=self._tricked(place, sets))

  def _poisoned_source(self, fraction: float) -> tuple[Source, np.ndarray]:
    """The data with this share of it poisoned, and the rows that are."""
    rows = poisoning.poison_rows(
        key_of(self.seed, _POISON), self.source, fraction, self.target)
    return poisoning.poisoned(
        self.source, rows, self.target, self.pattern), rows

  def _check_poisoned(self, fraction: float) -> None:
    """Refuses poison that leaves a class too few images for a method."""
    source, _ = self._poisoned_source(fraction)
    for maker in self.makers:
      try:
        making.check_sound(maker, source, self.num_rows, self.student.named)
      except ValueError as error:
        raise ConfigError(
            f"`poison` must leave every class enough images for {maker.name}; "
            f"got {fraction:g}: {plain(error, 150)} Ask for less poison, or "
            "fewer `per_class`.") from error

  def matched(self, fraction: float) -> dict[str, Any]:
    """Random real sets with the same share of poison, at least one sample."""
    maker = making.maker("random_real")
    count = max(1, round(fraction * self.num_rows))
    count = min(count, self.num_rows // len(self.source.train.present))
    sets = [
        poisoning.with_poison(
            key_of(self.seed, _MATCHED, s), self._set(maker, s), self.source,
            count, self.target, self.pattern) for s in range(self.num_sets)
    ]
    return dict(
        self._facts(f"random_real, {count} stamped", "matched", sets, True),
        fraction=fraction,
        in_data=None,
        in_sets=[count] * self.num_sets,
        found=self._tricked(f"matched/poison={fraction:g}", sets))

  def same_budget(self, maker: Maker) -> list[dict[str, Any]]:
    """All data for the samples, and for the seconds, of a maker's set."""
    budget = self._budget(maker, self._set(maker, 0))
    if budget is None:
      return []
    limits = {
        "samples": (
            f"all_data/samples={budget['samples']}",
            dict(max_samples=budget["samples"])),
        "seconds": (
            f"all_data/seconds/{maker.name}",
            dict(max_seconds=budget["seconds"]))
    }
    return [
        dict(
            arm="all real data",
            kind=f"same_{unit}",
            of=maker.name,
            budget=budget,
            found=[self._all_data(cell, limit)])
        for unit, (cell, limit) in limits.items()
    ]

  def _set(self, maker, s, source=None, place=None) -> Artifact:
    """A set in its cell; poisoned data meet the same key as clean ones."""

    def make():
      return timed(
          maker, key_of(self.seed, _SETS, s), source or self.source,
          self.num_rows, self.student.named)

    return self.cells.artifact(f"sets/{place or maker.name}/{s}", make)

  def _recipe_of(self, made: Artifact) -> Recipe:
    """The one that was given, or the set's own where that cannot be."""
    given = self.recipe
    if given and _takes(given, made.label_space, self.student):
      return given
    return from_spec(made.recipe)

  def _judged(self, place, made: Artifact, questions: Questions):
    say(f"judging {place}")
    return self.cells.json(
        f"judged/{place}", lambda: judge(
            key_of(self.seed, _JUDGING),
            made,
            questions,
            network=self.student.model,
            recipe=self._recipe_of(made),
            num_networks=self.num_networks))

  def _tricked(self, place, sets):
    questions = self.questions._replace(attacked=False)
    return [
        self._judged(f"{place}/{s}", made, questions)
        for s, made in enumerate(sets)
    ]

  def _budget(self, maker: Maker, made: Artifact) -> dict[str, float] | None:
    """What training one network on a set takes; None without a network."""
    if own_learner(made.network):
      return None
    k_networks, _ = jax.random.split(key_of(self.seed, _JUDGING))
    return self.cells.json(
        f"budgets/{maker.name}", lambda: budget_of_set(
            k_networks,
            self.student.model,
            made.training_set,
            recipe=self._recipe_of(made))._asdict())

  def _all_data(self, cell, limit) -> dict[str, Any]:
    """Networks trained on all data, asked as those of the sets."""

    def make():
      say(f"training on all data: {cell}")
      train = trainer(
          self.student.model, self.source, batch_size=self.batch_size, **limit)
      key = key_of(self.seed, _ALL_DATA)
      trained = [
          train(jax.random.fold_in(key, i)) for i in range(self.num_networks)
      ]
      networks = jax.tree.map(
          lambda *leaves: jnp.stack(leaves), *(t.variables for t in trained))
      _, k_attacks = jax.random.split(key_of(self.seed, _JUDGING))
      found = ask(
          k_attacks, networks, self.questions, network=self.student.model)
      return dict(
          found,
          samples=[t.num_steps * t.batch_size for t in trained],
          seconds=[t.seconds for t in trained])

    return self.cells.json(cell, make)

  def _facts(self, arm, kind, sets: Sequence[Artifact], exact) -> dict:
    return dict(
        arm=arm,
        kind=kind,
        recipe=self._recipe_of(sets[0]).spec,
        num_samples=sets[0].num_samples,
        bytes=stored_bytes(sets[0], exact),
        seconds=[seconds_of(made) for made in sets])


def _recipe(given, source, makers, judge: Student) -> Recipe | None:
  """The recipe that was given, or None for each set's own.

  Raises:
    ConfigError: an unknown recipe; one that suits the labels of no maker.
  """
  if given is None:
    return None
  spec = specified("recipe", given)
  from_spec(spec)  # refuses what it does not know
  recipe = from_spec(by_data(spec, source))
  spaces = [m.method.label_space if m.method else "raw" for m in makers]
  if not any(_takes(recipe, space, judge) for space in spaces):
    raise ConfigError(
        "`recipe` must suit the labels of one of `makers` at least; got "
        f"{recipe.name} for {' and '.join(sorted(set(spaces)))} labels.")
  return recipe


def _takes(recipe: Recipe, space: str, judge: Student) -> bool:
  try:
    check_labels(student(judge.model, recipe), space)
  except ValueError:
    return False
  return True
