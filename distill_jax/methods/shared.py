"""What methods share: starts, constraints, samplers, augmentations, recipes."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from distill_jax import augmentation as augmentations
from distill_jax import data, initialisation
from distill_jax.augmentation import Augmentation
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.labels import centred_rows
from distill_jax.methods.method import Method, Task
from distill_jax.methods.outer import learned, tracker
from distill_jax.methods.saved import continued, is_saved
from distill_jax.methods.traits import traits_of
from distill_jax.parameterization import from_spec as parameterization_of
from distill_jax.preprocessing import Standardise
from distill_jax.types import Array, Distilled

STARTS = {
    "class_mean": initialisation.from_class_means,
    "herding": initialisation.from_herding,
    "kmeans": initialisation.from_kmeans,
    "noise": initialisation.from_noise,
    "real": initialisation.from_real
}
# Settings of how samples are stored and where they start; `clamp` keeps codes
# between black and white.
STORED = dict(parameterization={"name": "pixels"}, start="real", clamp=False)
# Settings of the augmentation and of how students train; None for what suits
# the data.
USE = dict(strategy=None, recipe=None)


def built(
    s: SimpleNamespace,
    objective: Callable[[Task], Any],
    *,
    recipe: Mapping[str, Any],
    begin: Callable | None = None,
    rates: Mapping[str, float] | None = None,
    constraint: Callable[[Distilled], Distilled] | None = None,
    **others) -> Method:
  """Makes a `Method` of settings, with what all methods have in common.

  Args:
    s: settings, with `STORED`, `outer.OUTER`, `num_steps` and optionally
      `recipe`.
    objective: `(task) -> Objective`.
    recipe: recipe of students if `s.recipe` is None; a `strategy` of None in it
      stands for the usual augmentation of the data.
    begin: the start of a set; by default `start(s)`.
    rates: learning rates of fields other than codes and labels.
    constraint: a function that is applied after each update, after `clamp`.
    **others: further fields of `Method`.
  """
  stored = parameterization_of(s.parameterization)
  wanted = merged_recipe(recipe, getattr(s, "recipe", None))
  if wanted.get("strategy", "") is not None:
    recipes.from_spec(wanted)  # raises for unknown recipes

  def project(task: Task):
    if not getattr(s, "clamp", False):
      return constraint
    clamp = in_range(s, task)
    if constraint is None:
      return clamp
    return lambda distilled: constraint(clamp(distilled))

  return Method(
      objective=objective,
      begin=begin or start(s),
      learned=learned(s, **(rates or {})),
      num_steps=s.num_steps,
      recipe=lambda task:
      (by_data(wanted, task.source) if task else dict(wanted)),
      parameterization=stored,
      project=project,
      tracker=tracker(s),
      **others)


def start(
    s: SimpleNamespace,
    *,
    labels: str | None = None,
    names: Mapping[str, Callable] = STARTS,
    change: Callable[[Distilled], Distilled] = lambda begun: begun,
    steps: int = 1,
    epochs: int = 1,
    step_size: float | None = None,
    label_space: str = "raw",
    saved: bool = True) -> Callable[[Array, Any, int], Distilled]:
  """Makes `Method.begin` from the names in the settings.

  Args:
    s: settings, with `STORED`, and with `start_labels` if `labels` is None.
    labels: how labels start: "one_hot", "noise", "shared" or "centred".
    names: the starts of samples, by name.
    change: a function that is applied to a start, unless it is a saved set.
    steps: S.
    epochs: E.
    step_size: initial step sizes, or None for a method without step sizes.
    label_space: label space of the method; a saved set must have the same.
    saved: whether sets may continue from saved ones.
  """
  stored = parameterization_of(s.parameterization)
  file = is_saved(s.start)
  if file and not saved:
    raise ConfigError(
        "`start` must be a name with methods whose sets have steps, experts or "
        f"segments of their own; got the file {s.start}.")
  draw = one_of(names, "start", "noise" if file else s.start)
  wanted = labels or getattr(s, "start_labels", "one_hot")
  one_of(("centred", "noise", "one_hot", "shared"), "start_labels", wanted)

  def begin(key, source, num_rows: int) -> Distilled:
    k_set, k_labels = jax.random.split(key)
    num_classes = source.num_classes
    classes = initialisation.present_classes(source, num_rows, steps)
    rows = dict(
        centred=lambda: centred_rows(jnp.asarray(classes), num_classes),
        noise=lambda: initialisation.noise_labels(
            k_labels, num_rows, num_classes),
        one_hot=lambda: initialisation.one_hot(classes, num_classes),
        shared=lambda: initialisation.shared_labels(
            classes, num_classes, source.train.present))[wanted]()
    begun = draw(
        k_set,
        source,
        stored,
        num_samples=num_rows,
        num_steps=steps,
        num_epochs=epochs,
        step_size=step_size,
        labels=rows)
    if file:
      return continued(s.start, source, stored, begun, label_space=label_space)
    return change(begun)

  return begin


def in_range(s: SimpleNamespace, task: Task) -> Callable:
  """`Method.project` that keeps codes between black and white pixels.

  Raises:
    ConfigError: the codes are not pixels, or the preprocessing is not by mean
      and standard deviation.
  """
  record = task.source.preprocessing
  if len(task.source.example.shape) != 4:
    raise ConfigError(
        "`clamp` must be off for data that are no images; got True.")
  if not isinstance(record, Standardise):
    raise ConfigError(
        "`clamp` must be off where `preprocessing` is not by mean and std; got "
        f"{type(record).__name__}.")
  if not parameterization_of(s.parameterization).separates_classes:
    raise ConfigError(
        "`clamp` must be off where codes are no pixels; got "
        f"{s.parameterization['name']}.")
  low, high = ((value - record.mean) / record.std for value in (0.0, 1.0))

  def project(distilled: Distilled) -> Distilled:
    return distilled._replace(codes=distilled.codes.clip(low, high))

  return project


def drawn_per_class(batch_size: int, task: Task, lazy: bool = True):
  """Draws samples class by class, at most as many as the largest class has."""
  split = task.source.train
  present = task.layout.present
  return data.per_class(
      min(batch_size, split.members.shape[1]),
      lazy=lazy,
      classes=None if len(present) == split.num_classes else present)


def drawn_mixed(batch_size: int, task: Task):
  """Draws samples of all classes together, at most all of them."""
  return data.mixed(min(batch_size, task.source.train.num_samples))


def augmented(
    strategy: str | None,
    task: Task,
    kind: Callable[[str], Augmentation] = augmentations.dsa) -> Augmentation:
  """Returns the augmentation of a strategy; None for the data's usual one."""
  usual = traits_of(task.source).strategy
  if strategy and not usual:
    raise ConfigError(
        f"`strategy` must be empty for data that are no images; got "
        f"{strategy!r}.")
  try:
    return kind(usual if strategy is None else strategy)
  except ValueError as error:
    raise ConfigError(f"`strategy`: {error}") from None


def merged_recipe(default: Mapping, given: Mapping | None) -> dict[str, Any]:
  """Merges a given recipe into a method's own; a new name replaces it all."""
  given = dict(given or {})
  if given.get("name", default["name"]) != default["name"]:
    return given
  return {**default, **given}


def by_data(recipe: Mapping[str, Any], source) -> dict[str, Any]:
  """Fills in what a recipe leaves to the data.

  A `strategy` of None, or a missing one in a recipe that augments, becomes the
  usual strategy of the data. Only images are mixed by CutMix.
  """
  known = recipes.from_spec({"name": recipe["name"]}).spec
  usual, recipe = traits_of(source).strategy, dict(recipe)
  if recipe.get("strategy", "" if not known.get("strategy") else None) is None:
    recipe["strategy"] = usual
  if "mix" in known and not usual:
    recipe["mix"] = 0.0
  return recipe
