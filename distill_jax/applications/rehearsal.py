"""Learners of tasks in turn, by a memory of the tasks before.

  gdumb  a new network on the memory alone, that of the present task included
         (Prabhu, Torr & Dokania, "GDumb: A Simple Approach that Questions Our
         Progress in Continual Learning", ECCV 2020)
  union  a new network on the memory of earlier tasks and all data of the
         present one
  kd     the same, but the network is carried over, and what its predecessor
         said of old classes is kept: end-to-end incremental learning of Castro
         et al., 2018, arXiv 1807.09536, without its stages

`union` and `kd` count updates, and every batch has the share t / (t + 1) of
its samples from the memory of t tasks. Outputs of all classes exist from the
start; a prediction is the largest of all of them. See `replay`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from distill_jax import augmentation as augmentations
from distill_jax.applications.replay import Rule, replay
from distill_jax.applications.settings import check_counts
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.evaluation.recipe import Recipe, check_rule
from distill_jax.evaluation.trained import train_networks
from distill_jax.types import PyTree


class Rehearsal(NamedTuple):
  """Attributes:
    learn: `(key, network, carried, memory, arrival, num_networks) -> variables
      [R, ...]`; `carried` are those after the task before, `memory` is a
      `TrainingSet` or None.
    recipe: that labels of the memory are made for.
    of_present: whether the memory holds the present task too.
    carries: whether a network is carried over.
    spec: JSON document from which `from_spec` makes it again.
  """

  learn: Callable[..., PyTree]
  recipe: Recipe
  of_present: bool
  carries: bool
  spec: Mapping[str, Any]


def gdumb(recipe: Recipe) -> Rehearsal:
  """A new network on the memory alone, after each task.

  Args:
    recipe: the same for every memory.
  """

  def learn(key, network, carried, memory, arrival, num_networks):
    del carried, arrival
    return train_networks(
        key, memory, network=network, recipe=recipe, num_networks=num_networks)

  spec = {"name": "gdumb", "recipe": recipe.spec}
  return Rehearsal(learn, recipe, True, False, spec)


def union(
    num_steps: int = 1_000,
    *,
    batch_size: int = 128,
    step_size: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    strategy: str = "") -> Rehearsal:
  """A new network on the memory of old tasks and the data of the present one.

  Args:
    num_steps: updates after each task; the step size is ten times smaller in
      their second half.
    batch_size: B, of memory and present data together.
    step_size: the first, positive.
    momentum: in [0, 1).
    weight_decay: added to the gradient, times the weights.
    strategy: see `augmentation.dsa`; none by default.
  """
  rule = Rule(
      num_steps, batch_size, step_size, momentum, weight_decay, strategy)
  return _replayed("union", rule, carries=False)


def kd(
    num_steps: int = 1_000,
    *,
    temperature: float = 2.0,
    beta: float = 1.0,
    batch_size: int = 128,
    step_size: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    strategy: str = "") -> Rehearsal:
  """The network of the task before, on memory and present data, kept to it.

  Args:
    num_steps: as for `union`.
    temperature: T, positive.
    beta: what the outputs of old classes weigh; 0 for rehearsal alone.
    batch_size: as for `union`.
    step_size: as for `union`.
    momentum: as for `union`.
    weight_decay: as for `union`.
    strategy: as for `union`.
  """
  if not temperature > 0 or not beta >= 0:
    raise ConfigError(
        "`temperature` must be positive and `beta` at least 0; got "
        f"{temperature} and {beta}.")
  rule = Rule(
      num_steps, batch_size, step_size, momentum, weight_decay, strategy,
      temperature, beta)
  return _replayed("kd", rule, carries=True)


def fine_tuning(num_steps: int = 1_000, **settings) -> Rehearsal:
  """`kd` without old outputs: with no memory, what forgets everything."""
  return kd(num_steps, beta=0.0, **settings)


LEARNERS = {"gdumb": gdumb, "kd": kd, "union": union}


def from_spec(spec: Mapping[str, Any] | str, recipe: Recipe) -> Rehearsal:
  """A learner by its name and settings.

  Args:
    spec: `{"name": ..., settings}`, or the name.
    recipe: of `gdumb`, unless the spec has one.

  Raises:
    ConfigError: an unknown name or setting.
  """
  settings = dict({"name": spec} if isinstance(spec, str) else spec)
  name = settings.pop("name", None)
  make = one_of(LEARNERS, "learner", name)
  if make is gdumb:
    settings["recipe"] = (
        recipes.from_spec(settings["recipe"])
        if settings.get("recipe") else recipe)
  try:
    return make(**settings)
  except TypeError as error:
    raise ConfigError(f"`learner` {name!r}: {error}.") from None


def _replayed(name: str, rule: Rule, carries: bool) -> Rehearsal:
  check_counts(num_steps=rule.num_steps, batch_size=rule.batch_size)
  check_rule(rule.step_size, rule.momentum, rule.weight_decay)
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

  settings = {
      k: v
      for k, v in rule._asdict().items()
      if name == "kd" or k not in ("temperature", "beta")
  }
  return Rehearsal(
      learn, recipes.converged(), False, carries, {
          "name": name,
          **settings
      })
