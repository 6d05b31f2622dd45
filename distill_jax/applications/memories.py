"""The memory of a continual learner: one small set a task, frozen once made.

A part is made from the data of its task alone, when the task arrives, and never
shrinks afterwards: the budget is one of each class or task, not of the whole.
`united` joins the parts for one recipe, whatever made them:

  labels      in one space; a soft label keeps no mass on classes that its task
              did not have, since nobody had seen them when it was learned
  step sizes  left out, with the order of steps: one recipe trains on all
  scalars     left out (RFAD's temperature)

Sets that bring a learner of their own stay what they are for: points of a
linear probe become the points of one probe of all data seen (`merging.merge`),
and those of soft-label neighbours one set of neighbours. A set with a fixed
initialisation cannot be joined with that of another task, which has another.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from distill_jax import merging, packing, schema
from distill_jax.applications.makers import maker
from distill_jax.applications.settings import is_whole, smallest_class
from distill_jax.applications.small_sets import (
    Maker,
    bytes_of_sample,
    rows_of_bytes,
    stored_bytes,
    timed,
)
from distill_jax.artifact import Artifact
from distill_jax.data.source import Source
from distill_jax.errors import ConfigError
from distill_jax.evaluation.fitting import own_learner
from distill_jax.evaluation.recipe import Recipe
from distill_jax.initialisation import step_order
from distill_jax.keys import check_key
from distill_jax.labels import label_regime, uncentred
from distill_jax.probe_set import has_probe
from distill_jax.types import Array

_NOTHING = 1e-6  # of a label's mass
_THETA = ((np.ones(1),),)  # stands for a theta_0, or for a state that holds one


def remember(
    key: Array,
    task: Source,
    made_by: Maker,
    *,
    per_class: int | None = None,
    num_bytes: int | None = None,
    network=None) -> Artifact:
  """The part of a memory that keeps one task.

  Args:
    key: consumed.
    task: its training samples are all that is seen.
    made_by: a maker, or what `makers.maker` takes.
    per_class: rows of each class of the task; or
    num_bytes: at most so many bytes for this task; see `rows_for`.
    network: that a method of networks works with; by default one for the data.

  Returns:
    The set; see `small_sets.timed`.
  """
  check_key(key)
  made_by = maker(made_by)
  check_kept(made_by)
  num_rows = rows_for(task, made_by, per_class=per_class, num_bytes=num_bytes)
  return timed(made_by, key, task, num_rows, network)


def rows_for(
    task: Source,
    made_by: Maker,
    *,
    per_class: int | None = None,
    num_bytes: Any = None) -> int:
  """Label rows of one task under a budget, equally many of each class.

  Bytes of a method are those of its start, with four bytes a class for every
  label, so that the finished set is not larger.

  Raises:
    ConfigError: not one budget; one that is too small for a row of each class,
      or asks for more rows than there are samples.
  """
  if (per_class is None) == (num_bytes is None):
    raise ConfigError(
        "exactly one of `per_class` and `num_bytes` must be given; got "
        f"{per_class} and {num_bytes}.")
  present, most = len(task.train.present), smallest_class(task)
  if per_class is not None:
    if not is_whole(per_class) or not 1 <= per_class <= most:
      raise ConfigError(
          "`per_class` must be a whole number from 1 to the real samples of "
          f"the smallest class, {most}; got {per_class}.")
    return int(per_class) * present
  if made_by.exact:
    found = rows_of_bytes(task, num_bytes) // present
    least = present * bytes_of_sample(task)
  else:
    fixed, each = _bytes_of_method(task, made_by, present)
    found, least = int((num_bytes - fixed) // each), fixed + each
  if num_bytes < least:
    raise ConfigError(
        f"`num_bytes` must hold a row of each class of a task, {least:,} "
        f"bytes for {made_by.name}; got {num_bytes:,}.")
  return min(found, most) * present


def equal_bytes(task: Source, part: Artifact, exact: bool) -> int:
  """Rows of real samples that take at most the bytes of a set.

  Equally many of each class, at least one and at most all of the smallest.
  """
  present, most = len(task.train.present), smallest_class(task)
  each = rows_of_bytes(task, stored_bytes(part, exact)) // present
  return min(max(each, 1), most) * present


def check_kept(made_by: Maker) -> None:
  """Refuses methods whose sets of several tasks cannot be joined.

  Raises:
    ConfigError: saying why.
  """
  method = made_by.method
  if method is not None and jax.tree.leaves(method.initial(_THETA)):
    raise ConfigError(
        f"`makers` must not fix the initialisation of students; {made_by.name} "
        "does, and sets of several tasks have several. Ask it for random "
        "initialisations.")


def united(
    parts: Sequence[Artifact], classes: Sequence[Sequence[int]],
    recipe: Recipe) -> Artifact:
  """The parts of a memory as one set, for one recipe.

  Args:
    parts: one for each task seen.
    classes: of each of these tasks.
    recipe: that trains on it. Labels become centred for a regression, and rows
      of a cross-entropy otherwise. Sets with a learner of their own keep to
      that.

  Raises:
    ConfigError, ArtifactError: what cannot be joined.
  """
  if all(map(has_probe, parts)):
    return merging.merge(parts)
  return merging.merge([
      _alike(part, own, recipe)
      for part, own in zip(parts, classes, strict=True)
  ])


def rows_on(artifact: Artifact, classes: Sequence[int]) -> np.ndarray:
  """Label rows [M, K] of a cross-entropy, without mass on other classes.

  Probabilities (and logits, once they are probabilities) sum to 1 again; raw
  and centred rows, which need not be positive, lose the other entries.

  Args:
    artifact: a set of some classes.
    classes: these.
  """
  labels = np.asarray(artifact.training_set.samples.labels)
  labels = labels / np.float32(artifact.label_scale)
  if artifact.label_space == "centred":
    labels = np.asarray(uncentred(labels))
  if labels.shape[1] == 1:  # one output, of class 1
    return labels if len(classes) == 2 else np.full_like(labels, classes[0])
  own = np.isin(np.arange(labels.shape[1]), classes)
  rows = np.where(own, labels, np.float32(0))
  if artifact.label_space in ("probabilities", "logits"):
    mass = rows.sum(1, keepdims=True)
    even = (own / own.sum()).astype(np.float32)
    rows = np.where(mass > _NOTHING, rows / np.maximum(mass, _NOTHING), even)
  return rows.astype(np.float32)


def _alike(part: Artifact, classes, recipe: Recipe) -> Artifact:
  """A part with nothing of its own but samples and labels."""
  if jax.tree.leaves(part.initial):
    raise ConfigError(
        "`parts` must have no fixed initialisation; got a set by "
        f"{part.method} that has one.")
  if any(np.ndim(leaf) for leaf in jax.tree.leaves(part.extra)):
    raise ConfigError(
        "`parts` must all be points of a probe, or samples that any network "
        f"learns from; got points for a probe of its own, by {part.method}.")
  labels, space, own = rows_on(part, classes), "raw", own_learner(part.network)
  if recipe.regression and not own:
    labels = labels - np.float32(1 / part.num_classes)
    space = "centred"
  return part.without_views().as_floats()._replace(
      labels=labels,
      label_space=space,
      label_scale=1.0,
      label_regime=label_regime(labels, space),
      step_sizes=np.zeros(0, np.float32),
      order=np.asarray(step_order(len(labels), 1)),
      extra=(),
      recipe=recipe.spec,
      network=part.network if own else {})


def _bytes_of_method(task, made_by, present) -> tuple[int, int]:
  """Bytes that do not depend on rows, and those of one row of each class."""
  method = made_by.method
  label = 4 * task.num_classes
  if method is None:  # means and the like, float32
    return 0, present * (4 * int(np.prod(task.train.sample_shape)) + label)
  if method.begin is None:
    raise ConfigError(
        f"`num_bytes` must not be given for {made_by.name}, whose bytes are "
        "not known beforehand. Give per_class.")

  def size(rows):
    start = method.begin(jax.random.key(0), task, rows)
    outside = method.parameterization.decoder_bytes
    codes = packing.as_stored(method.parameterization.spec, start.codes)
    return schema.num_bytes(codes) + outside + rows * label

  one, two = size(present), size(2 * present)
  return 2 * one - two, two - one
