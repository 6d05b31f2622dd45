"""What candidates are trained on: small sets, real samples, all data.

  a maker             its set; see `makers`
  early_stopping      as many updates as training on a set takes, on as many
                      real samples as it processes, counting repeats
  byte_matched_real   as many real samples as fit the bytes of the largest of
                      the other sets
  all_data            the reference: all data or a stated part of it, for a
                      stated number of epochs

All arms are trained by the recipe of a candidate. Early stopping and all data
change only its length, see `Arm.adapt`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.applications.cells import Cells, key_of
from distill_jax.applications.makers import check_list, maker, makers
from distill_jax.applications.real import encoded
from distill_jax.applications.small_sets import (
    Maker,
    bytes_of_sample,
    rows_of_bytes,
    seconds_of,
    stored_bytes,
    timed,
)
from distill_jax.artifact import Artifact
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.initialisation import step_order
from distill_jax.labels import label_rows, uncentred
from distill_jax.types import Array, Samples, TrainingSet

EARLY, MATCHED, TRUTH = "early_stopping", "byte_matched_real", "all_data"
_REAL = (EARLY, MATCHED)
_PASSES = 10  # least epochs on real samples, for recipes that count epochs
_ONE_MORE = ("cafe", "datm", "dc", "dsa", "mtt")  # recipes of E + 1 epochs
_MAKE, _DRAW = 0, 1  # for `key_of`

Spec = Mapping[str, Any]


class Arm(NamedTuple):
  """What candidates are trained on.

  Attributes:
    name: name in tables and cells.
    training_set: a set with labels for cross-entropy.
    adapt: function from the specification of a candidate's recipe to that of
      its recipe on this arm.
    num_images: number of samples that are kept.
    num_bytes: bytes of these samples; see `small_sets.stored_bytes`.
    seconds: time to make them.
  """

  name: str
  training_set: TrainingSet
  adapt: Callable[[Spec], Spec]
  num_images: int
  num_bytes: int
  seconds: float = 0.0


def check(given: Sequence[Any], recipe: Spec, *, several: bool):
  """Returns the makers of arms, and the names of arms of real samples.

  Args:
    given: makers, and names of arms.
    recipe: how candidates are trained.
    several: whether candidates are networks.

  Raises:
    ConfigError: the arms cannot be compared.
  """
  count(recipe)
  if recipes.from_spec(recipe).regression:
    raise ConfigError(
        "`recipe` must be of cross-entropy, as every kind of set is trained "
        f"by it; got {recipe['name']}. Choose rat_bptt, adam or dsa.")
  check_list(given, "arms")
  real = [one for one in given if isinstance(one, str) and one in _REAL]
  others = [one for one in given if one not in real]
  if not others:
    raise ConfigError(
        "`arms` must have a maker of small sets, such as dm or random_real; "
        f"got {', '.join(real)}.")
  made = makers(others, "arms", taken=(*_REAL, TRUTH))
  for one in made:
    if several and one.method and one.method.settings.get("fixed"):
      raise _fixed(one.name)
  return made, real


def count(recipe: Spec) -> str:
  """The setting that says how long a recipe trains: in updates or epochs.

  Raises:
    ConfigError: the recipe has neither setting.
  """
  whole = recipes.from_spec(dict(recipe)).spec
  for name in ("num_steps", "num_epochs"):
    if name in whole:
      return name
  raise ConfigError(
      "`recipe` must count updates or epochs, so that real samples can be "
      f"trained as long; got {recipe['name']}. Choose rat_bptt, adam or dsa.")


def proxies(
    source, made: Sequence[Maker], real: Sequence[str], *, cells: Cells,
    seed: int, per_class: int, network: Any, recipe: Spec,
    several: bool) -> list[Arm]:
  """All arms except the one of all data; sets are made once and kept.

  Raises:
    ConfigError: a set with a fixed initialisation, in a search of networks.
  """
  num_rows = per_class * len(source.train.present)
  arms = []
  for i, one in enumerate(made):
    key = key_of(seed, _MAKE, i)
    artifact = cells.artifact(
        f"sets/{one.name}", partial(timed, one, key, source, num_rows, network))
    if several and artifact.student_init == "fixed":
      raise _fixed(one.name)
    arms.append(of_artifact(one.name, artifact, exact=one.exact))
  sizes = [len(arm.training_set.samples.inputs) for arm in arms]
  largest = max(arm.num_bytes for arm in arms)
  if EARLY in real:
    arms.append(
        early_stopping(key_of(seed, _DRAW, 0), source, max(sizes), recipe))
  if MATCHED in real:
    arms.append(byte_matched(key_of(seed, _DRAW, 1), source, largest))
  return arms


def of_artifact(name: str, artifact: Artifact, *, exact: bool = False) -> Arm:
  """The arm of a set, with labels for cross-entropy."""
  made = artifact.training_set
  if artifact.label_space == "centred":
    samples = made.samples
    made = made._replace(
        samples=samples._replace(labels=uncentred(samples.labels)))
  return Arm(
      name, made, dict, artifact.num_samples, stored_bytes(artifact, exact),
      seconds_of(artifact))


def byte_matched(key: Array, source, num_bytes: int) -> Arm:
  """The arm of as many real samples as fit `num_bytes`, by class in turn."""
  real, num = maker("random_real"), rows_of_bytes(source, num_bytes)
  return of_artifact(MATCHED, real.make(key, source, num, None), exact=True)


def truth(
    key: Array, source, recipe: Spec, *, num_samples: int | None,
    num_epochs: int) -> Arm:
  """The arm of all training data, or a part of it, for `num_epochs` epochs.

  A candidate that changes the length of `recipe` trains longer or shorter on
  this arm in the same proportion.

  Args:
    key: key of the choice of samples; consumed.
    source: the data.
    recipe: the recipe of the search.
    num_samples: number of samples; None for all.
    num_epochs: epochs on these samples.
  """
  total = source.train.num_samples
  num = min(num_samples or total, total)
  name = count(recipe)
  base = recipes.from_spec(dict(recipe)).spec[name]

  def adapt(spec):
    whole = recipes.from_spec(dict(spec)).spec
    length = num_epochs * whole[name] / base
    if name == "num_steps":
      length *= -(-num // min(whole["batch_size"], num))
    return {**spec, name: max(1, round(length))}

  return Arm(
      TRUTH, real_samples(key, source, num), adapt, num,
      num * bytes_of_sample(source))


def early_stopping(key: Array, source, num_rows: int, recipe: Spec) -> Arm:
  """The arm of real samples, with the updates of a set of `num_rows` samples.

  If there are enough samples, none is used twice. Recipes that count epochs
  take a tenth of the samples for ten times the epochs, so that step sizes decay
  as usual.

  Args:
    key: key of the choice of samples; consumed.
    source: the data.
    num_rows: samples of the set.
    recipe: the recipe of the search.
  """
  total, name = source.train.num_samples, count(recipe)
  whole = recipes.from_spec(dict(recipe)).spec
  batch = min(whole["batch_size"], num_rows)
  extra = whole["name"] in _ONE_MORE
  if name == "num_steps":
    num = min(total, whole[name] * batch)
  else:
    processed = (whole[name] + extra) * num_rows
    num = max(1, processed // max(_PASSES, -(-processed // total)))

  def adapt(spec):
    whole = recipes.from_spec(dict(spec)).spec
    found = {**spec, "batch_size": min(whole["batch_size"], num_rows)}
    if name == "num_epochs":
      passes = round((whole[name] + extra) * num_rows / num)
      found[name] = max(1, passes - extra)
    return found

  return Arm(
      EARLY, real_samples(key, source, num), adapt, num,
      num * bytes_of_sample(source))


def real_samples(key: Array, source, num: int) -> TrainingSet:
  """`num` real samples of any class, in model space."""
  split = source.train
  rows = np.asarray(jax.random.permutation(key, split.num_samples))[:num]
  inputs = encoded(split, rows)
  rows = label_rows(split.labels[rows], split.num_classes, inputs.dtype)
  samples = Samples(inputs, rows, jnp.zeros((0,), jnp.float32))
  return TrainingSet(samples, step_order(num, 1))


def _fixed(name: str) -> ConfigError:
  return ConfigError(
      "`arms` must have sets that any network can be trained on; the "
      f"initialisation of {name} is fixed. Distil with fixed=False, or search "
      "settings of the recipe.")
