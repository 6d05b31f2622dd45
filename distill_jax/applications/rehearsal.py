"""Continual learners that use a memory of earlier tasks.

  gdumb  trains a new network on the memory only, which includes the present
         task (Prabhu, Torr & Dokania, "GDumb: A Simple Approach that Questions
         Our Progress in Continual Learning", ECCV 2020)
  union  trains a new network on the memory of earlier tasks and all data of
         the present one
  kd     trains as `union`, but carries the network over and keeps its outputs
         for old classes by distillation: end-to-end incremental learning of
         Castro et al., 2018, arXiv 1807.09536, without its stages

`union` and `kd` count updates. Of every batch, the share t / (t + 1) comes from
the memory of t tasks. Outputs of all classes exist from the start, and a
prediction is the largest of all outputs. See `replay`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from distill_jax import augmentation as augmentations
from distill_jax import specification
from distill_jax.applications.replay import Rule, replay
from distill_jax.applications.settings import (
    check_counts,
    check_positive,
    specified,
)
from distill_jax.choices import nearest, one_of
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.evaluation.recipe import Recipe, check_rule
from distill_jax.evaluation.trained import train_networks
from distill_jax.types import PyTree


class Rehearsal(NamedTuple):
  """A learner with a memory.

  Attributes:
    learn: `(key, network, carried, memory, arrival, num_networks) -> variables
      [R, ...]`; `carried` are the variables after the previous task, `memory`
      is a `TrainingSet` or None.
    recipe: the recipe that labels of the memory are converted for.
    of_present: whether the memory includes the present task.
    carries: whether networks are carried over from task to task.
    spec: JSON document from which `from_spec` makes it again.
  """

  learn: Callable[..., PyTree]
  recipe: Recipe
  of_present: bool
  carries: bool
  spec: Mapping[str, Any]


def gdumb(recipe: Recipe) -> Rehearsal:
  """Trains a new network on the memory only, after each task.

  Args:
    recipe: how it is trained, the same for every memory.
  """

  def learn(key, network, carried, memory, arrival, num_networks):
    del carried, arrival
    return train_networks(
        key, memory, network=network, recipe=recipe, num_networks=num_networks)

  spec = {"name": "gdumb", "recipe": recipe.spec}
  return Rehearsal(learn, recipe, True, False, spec)


def union(num_steps: int = 1_000, **settings: Any) -> Rehearsal:
  """Trains a new network on the memory of old tasks and the new data.

  Args:
    num_steps: updates after each task.
    **settings: further fields of `replay.Rule`, except `temperature` and
      `beta`, which are for keeping old outputs.

  Raises:
    ConfigError, ValueError: an unknown setting, or one out of its range.
  """
  settings["num_steps"] = num_steps
  return _replayed("union", settings, Rule._fields[:-2], carries=False)


def kd(
    num_steps: int = 1_000, *, beta: float = 1.0, **settings: Any) -> Rehearsal:
  """Trains the network of the previous task further, and keeps its outputs.

  Args:
    num_steps: updates after each task.
    beta: weight of keeping the outputs of old classes; 0 for rehearsal without
      distillation.
    **settings: further fields of `replay.Rule`.

  Raises:
    ConfigError, ValueError: an unknown setting, or one out of its range.
  """
  settings.update(num_steps=num_steps, beta=beta)
  return _replayed("kd", settings, Rule._fields, carries=True)


def fine_tuning(num_steps: int = 1_000, **settings) -> Rehearsal:
  """`kd` without keeping outputs; without a memory, the lower bound."""
  return kd(num_steps, beta=0.0, **settings)


LEARNERS = {"gdumb": gdumb, "kd": kd, "union": union}


def from_spec(spec: Mapping[str, Any] | str, recipe: Recipe) -> Rehearsal:
  """Returns a learner by its name and settings.

  Args:
    spec: `{"name": ..., settings}`, or the name.
    recipe: the recipe of `gdumb`, unless the specification has one.

  Raises:
    ConfigError: an unknown name or setting.
  """
  settings = specified("learner", spec)
  name = settings.pop("name")
  make = one_of(LEARNERS, "learner", name)
  if make is gdumb:
    _check_known(name, settings, ("recipe",))
    own = settings.get("recipe")
    return gdumb(recipes.from_spec(specified("recipe", own)) if own else recipe)
  return make(**settings)


def _check_known(
    name: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
  for setting in settings:
    if setting not in known:
      raise ConfigError(
          f"`learner` {name!r} has no setting {setting!r}; it has "
          f"{', '.join(known)}.{nearest(known, setting)}")


def _replayed(
    name: str, settings: Mapping[str, Any], fields: Sequence[str],
    carries: bool) -> Rehearsal:
  """A learner whose rule has the given settings, all among `fields`."""
  _check_known(name, settings, fields)
  specification.check(name, settings, Rule._field_defaults)
  rule = Rule(**settings)
  check_counts(num_steps=rule.num_steps, batch_size=rule.batch_size)
  check_rule(rule.step_size, rule.momentum, rule.weight_decay)
  check_positive(temperature=rule.temperature)
  if not rule.beta >= 0:
    raise ConfigError(f"`beta` must be at least 0; got {rule.beta}.")
  augmentations.dsa(rule.strategy)  # refuses what it does not know

  def learn(key, network, carried, memory, arrival, num_networks):
    samples = None if memory is None else memory.samples
    return replay(
        key,
        samples and (samples.inputs, samples.labels),
        arrival,
        carried,
        network=network,
        rule=rule,
        num_networks=num_networks)

  spec = {"name": name, **{field: getattr(rule, field) for field in fields}}
  return Rehearsal(learn, recipes.converged(), False, carries, spec)
