"""Scenarios of continual learning: tasks that arrive one after the other.

A task is a `Source` with only the training and test samples of the task. It
keeps all K classes, so that labels and networks have K outputs from the first
task on. In a class-incremental scenario, every task has its own classes. In a
domain-incremental one, every task has all classes in another domain.

Data of later tasks must not change how an earlier task is encoded. One
preprocessing therefore serves all tasks, by default fitted to the first one.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import preprocessing as preprocessing_lib
from distill_jax.applications.settings import (
    check_counts,
    check_tested,
)
from distill_jax.choices import one_of
from distill_jax.data.making import FITS
from distill_jax.data.source import Source, Split
from distill_jax.errors import ConfigError, DataError, plain, shown
from distill_jax.types import Preprocessing

_Rule = str | Preprocessing | Callable[[np.ndarray], Preprocessing]


class Scenario(NamedTuple):
  """Tasks in their order, made by the two class methods below.

      scenario = Scenario.class_incremental(source, 5, order=0)

  Attributes:
    tasks: T sources of K classes each; `train` and `test` have only the samples
      of the task.
    kind: "class" or "domain".
    repeat: number of the repetition; sets of equal tasks differ by it.
  """

  tasks: tuple[Source, ...]
  kind: str
  repeat: int = 0

  def __repr__(self) -> str:
    return (
        f"Scenario: {len(self.tasks)} tasks, {self.kind}-incremental, "
        f"{self.tasks[0].num_classes} classes")

  @property
  def classes(self) -> tuple[tuple[int, ...], ...]:
    """The classes of each task."""
    return tuple(tuple(map(int, t.train.present)) for t in self.tasks)

  @property
  def weights(self) -> np.ndarray:
    """[T], the weight of each task in the accuracy after a step.

    Class-incremental tasks are weighted by their number of test samples, as if
    these were one test set. Domains have equal weights.
    """
    if self.kind == "domain":
      return np.ones(len(self.tasks))
    return np.array([t.test.num_samples for t in self.tasks], float)

  def checked(self) -> "Scenario":
    """Returns the scenario itself if it is valid.

    Raises:
      ConfigError: fewer than two tasks, an unknown kind, or a class in several
        tasks of a class-incremental scenario.
      DataError: a task has no test part.
    """
    one_of(("class", "domain"), "kind", self.kind)
    if len(self.tasks) < 2:
      raise ConfigError(f"`tasks` must be two or more; got {len(self.tasks)}.")
    for task in self.tasks:
      check_tested(task)
    held = [c for classes in self.classes for c in classes]
    if self.kind == "class" and len(set(held)) < len(held):
      twice = next(c for c in held if held.count(c) > 1)
      raise ConfigError(
          "`tasks` must each have classes of their own; got class "
          f"{plain(self.tasks[0].class_names[twice])} in several.")
    return self

  def seen_test(self, t: int) -> Split:
    """The test samples of tasks 0..t together."""
    return _joined(self.tasks[:t + 1], "test")

  def together(self) -> Source:
    """All tasks as one source, for networks trained on everything at once."""
    whole = _joined(self.tasks, "train"), _joined(self.tasks, "test")
    return self.tasks[0]._replace(
        train=whole[0], validation=None, test=whole[1])

  @classmethod
  def class_incremental(
      cls,
      source: Source,
      num_tasks: int | None = None,
      *,
      classes_per_task: int | Sequence[int] | None = None,
      order: int | Sequence[int] = 0,
      preprocessing: _Rule = "first") -> "Scenario":
    """A scenario in which every task brings new classes.

    Args:
      source: real data with a test split.
      num_tasks: T, tasks of K / T classes each; or
      classes_per_task: a number that divides K, or T numbers that sum to K.
      order: the order of the classes, a permutation of 0..K-1; or a seed of
        NumPy's legacy generator, which then draws the permutation. Published
        orders of CIFAR-100 are those of seeds 0 to 4.
      preprocessing: "first" fits the source's standardisation anew to the first
        task; "standardise", "zca", "relative_zca" or a function `(inputs) ->
        record` is also fitted to the first task; "given" keeps the source's
        own, which is right for constants that were known beforehand; or a
        preprocessing record.

    Raises:
      ConfigError, DataError: the message names what is wrong.
    """
    _check(source)
    sizes = _sizes(source.num_classes, num_tasks, classes_per_task)
    in_order = _order(source.num_classes, order)
    parts = np.split(in_order, np.cumsum(sizes)[:-1])
    tasks = [_of_classes(source, classes) for classes in parts]
    return cls(_encoded_alike(tasks, preprocessing), "class")

  @classmethod
  def domain_incremental(
      cls,
      sources: Sequence[Source],
      *,
      preprocessing: _Rule = "first",
      repeat: int = 0) -> "Scenario":
    """A scenario in which every task has the same classes in a new domain.

    Args:
      sources: T domains in their order, of one shape and the same class names.
      preprocessing: see `class_incremental`.
      repeat: see `Scenario`.

    Raises:
      ConfigError, DataError: the message names what is wrong.
    """
    sources = list(sources)
    if len(sources) < 2:
      raise ConfigError(
          f"`sources` must be at least two domains; got {len(sources)}. See "
          "`rotation.rotated` for domains of one source.")
    for source in sources:
      _check(source)
    first = sources[0]
    sources = [source.in_classes(first.class_names) for source in sources]
    for number, other in enumerate(sources, 1):
      ours, theirs = (
          (s.train.inputs.shape[1:], s.raw_dtype) for s in (first, other))
      if ours != theirs:
        raise DataError(
            f"`sources` must have samples of one shape and type, {ours}; got "
            f"{theirs} in source {number}. Resize or convert it.")
    return cls(_encoded_alike(sources, preprocessing), "domain", repeat)


def digest(task: Source, repeat: int = 0) -> str:
  """16 hexadecimal digits that depend only on what a maker sees of a task."""
  found = hashlib.sha256(f"{repeat} {task.class_names}".encode())
  leaves = jax.tree.leaves(task.train.preprocessing)
  for array in (task.train.inputs, task.train.labels, *leaves):
    array = np.ascontiguousarray(array)
    found.update(f"{array.dtype}{array.shape}".encode())
    found.update(array.data)
  return found.hexdigest()[:16]


def _check(source: Source) -> None:
  check_tested(source)
  for part in ("train", "test"):
    absent = np.flatnonzero(np.asarray(getattr(source, part).counts) == 0)
    if len(absent):
      raise DataError(
          f"`source` must have samples of every class in its {part} split; got "
          f"none of {plain(source.class_names[absent[0]])}.")


def _sizes(num_classes, num_tasks, classes_per_task) -> list[int]:
  if (num_tasks is None) == (classes_per_task is None):
    raise ConfigError(
        "exactly one of `num_tasks` and `classes_per_task` must be given; got "
        f"{num_tasks} and {classes_per_task}.")
  if isinstance(classes_per_task, Sequence):
    sizes = list(classes_per_task)
    if sum(sizes) != num_classes or min(sizes) < 1 or len(sizes) < 2:
      raise ConfigError(
          "`classes_per_task` must be two or more positive numbers that sum to "
          f"the {num_classes} classes; got {shown(sizes)}.")
    return sizes
  name, value = "num_tasks", num_tasks
  if num_tasks is None:
    name, value = "classes_per_task", classes_per_task
  check_counts(**{name: value})
  most = num_classes if num_tasks is not None else num_classes // 2
  least = 2 if num_tasks is not None else 1
  if not least <= value <= most or num_classes % value:
    raise ConfigError(
        f"`{name}` must divide the {num_classes} classes into two or more "
        f"tasks; got {value}. classes_per_task=[...] takes unequal tasks.")
  num_tasks = num_tasks or num_classes // value
  return [num_classes // num_tasks] * num_tasks


def _order(num_classes, order) -> np.ndarray:
  if isinstance(order, int | np.integer):
    # NumPy guarantees that this generator never changes its numbers.
    return np.random.RandomState(order).permutation(num_classes)
  order = np.asarray(order)
  if sorted(order.tolist()) != list(range(num_classes)):
    raise ConfigError(
        f"`order` must be a seed or a permutation of 0..{num_classes - 1}; got "
        f"{shown(order.tolist())}.")
  return order


def _of_classes(source: Source, classes) -> Source:
  """The source with only the samples of some classes, in all splits."""

  def only(split):
    if split is None:
      return None
    rows = np.flatnonzero(np.isin(split.labels, classes))
    return source._replace(train=split).take(rows).train if len(rows) else None

  return source._replace(
      train=only(source.train),
      validation=only(source.validation),
      test=only(source.test))


def _encoded_alike(tasks, preprocessing) -> tuple[Source, ...]:
  record = _record(tasks[0], preprocessing)

  def encoded(task):
    splits = {
        part: split and split._replace(preprocessing=record)
        for part, split in task._asdict().items()
        if part in ("train", "validation", "test")
    }
    return task._replace(**splits)

  return tuple(map(encoded, tasks))


def _record(first: Source, preprocessing: _Rule) -> Any:
  """The one preprocessing of all tasks, fitted to the first task only."""
  own = first.train.preprocessing
  if isinstance(preprocessing, str):
    if preprocessing == "given":
      return own
    if preprocessing == "first":
      if not isinstance(own, preprocessing_lib.Standardise):
        raise DataError(
            "`preprocessing` must be 'given', or name what is fitted to the "
            f"first task, such as 'zca', where the source has a "
            f"{type(own).__name__}; got 'first', which fits means and standard "
            "deviations.")
      preprocessing = "standardise"
    if preprocessing not in FITS:
      raise _unknown(preprocessing)
    preprocessing = FITS[preprocessing]
  if isinstance(own, preprocessing_lib.Encoded):
    raise DataError(
        "`source` must hold raw inputs for its preprocessing to be fitted to "
        "the first task; got encoded ones. preprocessing='given' keeps it.")
  if hasattr(preprocessing, "apply"):
    return preprocessing
  if not callable(preprocessing):
    raise _unknown(preprocessing)
  return preprocessing(np.asarray(first.train.inputs))


def _unknown(preprocessing) -> ConfigError:
  return ConfigError(
      f"`preprocessing` must be first, given, {', '.join(FITS)}, a function "
      f"or a record; got {shown(preprocessing)}.")


def _joined(tasks: Sequence[Source], part: str) -> Split:
  splits = [getattr(task, part) for task in tasks]
  whole = splits[0]._replace(
      inputs=jnp.concatenate([s.inputs for s in splits]),
      labels=jnp.concatenate([s.labels for s in splits]))
  rows = np.arange(whole.num_samples)
  return tasks[0]._replace(train=whole).take(rows).train
