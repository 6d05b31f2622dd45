"""From a configuration's strings and numbers to functions, once.

Everything below the launchers takes functions and arrays; this is the one
place where a name becomes one of them.
"""

import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import corpus
import jax
import jax.numpy as jnp
import methods
import numpy as np
import outer
import performance
import saved_start
from methods import (
  TRAJECTORIES,
  UNROLLED,
  Rows,
  sees_labels,
  start_epochs,
)

from distill_jax import data, initialisation, models
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError, DataError
from distill_jax.estimators.backprop import backprop
from distill_jax.labels import centred_rows
from distill_jax.objectives import datm, rat_bptt
from distill_jax.objectives.classes import Anchor
from distill_jax.outer_loop import (
  Distiller,
  State,
  distiller,
  label_floor,
  step_size_floor,
)
from distill_jax.parameterization import from_spec
from distill_jax.preprocessing import Standardise
from distill_jax.runs.assess import check_evaluation
from distill_jax.trajectories import buffer
from distill_jax.types import (
  Array,
  Distilled,
  Estimator,
  Network,
  Parameterization,
  PyTree,
)

METHODS = methods.METHODS | performance.METHODS
STARTS = {
    "class_mean": initialisation.from_class_means,
    "correct": initialisation.from_real,  # until there are experts to ask
    "herding": initialisation.from_herding,
    "kmeans": initialisation.from_kmeans,
    "noise": initialisation.from_noise,
    "real": initialisation.from_real,
}


class Run(NamedTuple):
  """One method on one data set, ready to go.

  Attributes:
    key: of the outer loop.
    evaluation_key: disjoint from it.
    source: the data.
    data: what is sampled from: its train split, or that beside a pool.
    network: the student; None where a kernel stands in its place.
    estimator: of the gradient.
    distiller: the outer loop's functions.
    rows: the decoded samples of each step, and of each class.
    recipe: JSON document, how students train on the set.
    state: before the first step.
    feed: `(step, size, attempt)` -> what so many steps sample from, in place of
      `data`; or None.
    label_space: of the set; see `artifact.Artifact`.
    finish: what is done to the set in the end, or None.
    measured: what the report says besides.
  """

  key: Array
  evaluation_key: Array
  source: data.Source
  data: PyTree
  network: Network | None
  estimator: Estimator
  distiller: Distiller
  rows: Rows
  recipe: dict[str, Any]
  state: State
  feed: Callable[[int, int, int], PyTree] | None = None
  label_space: str = "raw"
  finish: Callable[[Distilled], Distilled] | None = None
  measured: Mapping[str, Any] = MappingProxyType({})


def source(
    config, *, spec=None, data_dir=None, cache: Path | None = None
) -> data.Source:
  """The data set, preprocessed as the configuration says.

  Args:
    config: what to run.
    spec: SPEC, instead of the configuration's.
    data_dir: a folder of data sets, or None.
    cache: a folder for word vectors that are learned, or None.
  """
  if config.seed < 0:
    raise ConfigError(f"`seed` must be at least 0; got {config.seed}.")
  preprocessing = config.preprocessing
  if not isinstance(preprocessing, str):
    preprocessing = _constants(preprocessing)
  read = data.read(
      spec or config.data, data_dir=data_dir, preprocessing=preprocessing,
      validation_fraction=config.validation_fraction, seed=config.seed,
      text=corpus.options(config.get("text"), data_dir, cache),
  )
  if (isinstance(preprocessing, Standardise)
      and preprocessing.mean.shape != read.example.shape[-1:]):
    raise ConfigError(
        "`preprocessing` must give `mean` and `std` of each of the "
        f"{read.example.shape[-1]} channels; got {preprocessing.mean.size}."
    )
  return read


def source_of(
    artifact, spec: str, *, data_dir: str | None, validation_fraction: float = 0
) -> data.Source:
  """The real data of a set, with its classes and preprocessing.

  Args:
    artifact: the set.
    spec: SPEC of the data.
    data_dir: a folder of data sets, or None.
    validation_fraction: of train, held out for choices.

  Raises:
    DataError: the data cannot be read, or has other classes.
  """
  try:
    return data.read(
        spec, data_dir=data_dir, preprocessing=artifact.preprocessing,
        validation_fraction=validation_fraction,
        class_names=artifact.class_names, text=corpus.options_of(artifact),
    )
  except DataError as error:
    classes = textwrap.shorten(", ".join(artifact.class_names), 60)
    raise DataError(f"{error} The set's classes are {classes}.") from error


def _constants(preprocessing) -> Standardise:
  given = {name: np.asarray(preprocessing.get(name, ()), np.float32)
           for name in ("mean", "std")}
  if not all(v.size for v in given.values()) or not (given["std"] > 0).all():
    raise ConfigError(
        "`preprocessing` must be 'standardise', 'zca', 'relative_zca', or "
        f"`mean` and positive `std`; got {preprocessing.to_dict()}."
    )
  return Standardise(**given)


def run(
    config,
    source: data.Source,
    *,
    start: Distilled | None = None,
    anchor: Anchor | None = None,
) -> Run:
  """Everything a run needs.

  Args:
    config: what to run.
    source: the data.
    start: where the set starts, instead of what the configuration says.
    anchor: frozen samples that are matched too.

  Raises:
    ConfigError, DataError, ValueError: a field out of its range.
  """
  _check(config, source)
  key = jax.random.key(config.seed)
  k_start, k_init, k_run, k_evaluation = jax.random.split(key, 4)
  student = None
  if not models.is_kernel(config.network):
    student = models.from_spec(config.network, source.num_classes)
    jax.eval_shape(student.init, key, source.example)  # refuses the wrong size
  stored = from_spec(config.parameterization)
  start = start or _start(k_start, config, source, stored)
  if student is not None and config.get("text", {}).get("sample_length"):
    variables = jax.eval_shape(student.init, key, source.example)
    corpus.check_length(student, variables, start.codes)
  rows = _rows(config, source, stored.owner(start.codes))
  rows = rows._replace(anchor=anchor)
  objective = METHODS[config.method](config, source, student, rows)
  follows = config.method in TRAJECTORIES
  estimate = backprop
  if follows:
    estimate = partial(backprop, positive=lambda raw: raw)
  elif config.method == "rcig":
    estimate = performance.implicit_gradient(config)
  estimator = estimate(objective, stored)
  loop = distiller(
      estimator, outer.optimizer(config), tracker=outer.tracker(config),
      project=_project(config, source.preprocessing),
      skip_above=config.get("skip_above") or None,
  )
  return Run(
      k_run, k_evaluation, source, source.train, student, estimator, loop,
      rows, _recipe(config), loop.init(k_init, start),
      label_space=config.get("label_space", "raw"),
  )


def num_rows(config, source) -> int:
  """Label rows of the set: as configured, or so many for each class."""
  if config.samples_per_class:
    return config.samples_per_class * source.num_classes
  return config.num_samples


def _recipe(config) -> dict[str, Any]:
  if config.method in UNROLLED:
    return dict(name="in_order", momentum=config.momentum)
  return config.recipe.to_dict()


def _rows(config, source, owner) -> Rows:
  size, steps = num_rows(config, source), config.num_steps_per_epoch
  order = initialisation.step_order(size, steps)
  members = None
  if config.method not in UNROLLED + performance.REGRESSIONS:
    classes = initialisation.start_classes(size, steps, source.num_classes)
    members = initialisation.owned(
        initialisation.class_members(classes, source.num_classes), owner
    )
  return Rows(initialisation.owned(order, owner), members)


def _project(config, preprocessing):
  """The constraints of a configuration, one after the other; or None."""
  chosen = []
  if config.clamp:
    chosen.append(_in_range(preprocessing))
  if config.method in TRAJECTORIES:
    chosen.append(step_size_floor(config.step_size_floor))
  if (config.method == "rat_bptt" and config.learn_labels
      and not performance.regresses(config)):
    chosen.append(label_floor())

  def project(distilled: Distilled) -> Distilled:
    for each in chosen:
      distilled = each(distilled)
    return distilled

  return project if chosen else None


def _in_range(preprocessing: Standardise):
  """Keeps codes within what black and white pixels are in model space."""
  low, high = (
      (value - preprocessing.mean) / preprocessing.std for value in (0.0, 1.0)
  )

  def project(distilled: Distilled) -> Distilled:
    return distilled._replace(codes=distilled.codes.clip(low, high))

  return project


def _start(key, config, source, stored: Parameterization) -> Distilled:
  k_set, k_labels = jax.random.split(key)
  size, num_classes = num_rows(config, source), source.num_classes
  classes = initialisation.start_classes(
      size, config.num_steps_per_epoch, num_classes
  )
  labels = dict(
      noise=lambda: initialisation.noise_labels(k_labels, size, num_classes),
      # Those of experts follow, see trajectory.py.
      experts=lambda: initialisation.one_hot(classes, num_classes),
      centred=lambda: centred_rows(jnp.asarray(classes), num_classes),
      one_hot=lambda: initialisation.one_hot(classes, num_classes),
      shared=lambda: initialisation.shared_labels(classes, num_classes),
  )
  saved = saved_start.is_saved(config.start)
  begun = one_of(STARTS, "start", "noise" if saved else config.start)(
      k_set, source, stored,
      num_samples=size,
      num_steps=config.num_steps_per_epoch,
      num_epochs=config.num_epochs,
      step_size=config.step_size or None,
      labels=one_of(labels, "start_labels", config.start_labels)(),
  )
  if config.get("text", {}).get("sample_length"):
    begun = begun._replace(codes=corpus.cut(config, begun.codes))
  if saved:
    begun = saved_start.read(config, source, stored, begun)
  if config.method in TRAJECTORIES:  # learned as it is
    return begun._replace(raw_step_sizes=jnp.full((1,), config.step_size))
  if config.method in performance.WITH_SCALAR:
    return begun._replace(extra=jnp.zeros(()))
  if config.get("unit_norm", False) and not saved:
    return begun._replace(codes=rat_bptt.unit_norm(begun.codes))
  return begun


def _check(config, source):
  if source.test is None:
    raise ConfigError(
        f"`data` must have a test part to evaluate on; {source.name} has none."
        " Add x_test and y_test, a folder test, or &test=0.2 to a csv SPEC."
    )
  one_of(METHODS, "method", config.method)
  counts = ["num_steps_per_epoch", "num_epochs", "batch_size", "num_steps",
            "log_every", "checkpoint_every"]
  if not config.samples_per_class:
    counts.append("num_samples")
  if config.method in UNROLLED:
    counts.append("num_initialisations")
  for field in counts:
    if config[field] < 1:
      raise ConfigError(f"`{field}` must be at least 1; got {config[field]}.")
  for field in ("num_steps_per_epoch", "num_epochs"):
    if config.method not in UNROLLED and config[field] != 1:
      raise ConfigError(
          f"`{field}` must be 1 with {config.method}, whose sets have no steps "
          f"of their own; got {config[field]}. The recipe says how to train."
      )
  if config.samples_per_class < 0:
    raise ConfigError(
        "`samples_per_class` must be positive, or 0 for `num_samples`; got "
        f"{config.samples_per_class}."
    )
  saved_start.check(config)
  performance.check(config)
  outer.check(config)
  if config.checkpoint_every % config.log_every:
    raise ConfigError(
        "`checkpoint_every` must be a multiple of `log_every`; got "
        f"{config.checkpoint_every} and {config.log_every}."
    )
  if num_rows(config, source) > source.train.num_samples:
    raise ConfigError(
        "`num_samples` must not exceed the real samples; got "
        f"{num_rows(config, source)} for {source.train.num_samples}. Ask for "
        "fewer."
    )
  for field in ("num_networks", "num_sets", "networks_per_set"):
    if config.evaluation[field] < 1:
      raise ConfigError(
          f"`evaluation.{field}` must be at least 1; got "
          f"{config.evaluation[field]}."
      )
  check_evaluation(config.evaluation, config.network)
  if config.clamp and not isinstance(source.preprocessing, Standardise):
    raise ConfigError(
        "`clamp` must be off where `preprocessing` is not by mean and std; got "
        f"{config.preprocessing!r}."
    )
  if config.clamp and not from_spec(config.parameterization).separates_classes:
    raise ConfigError(
        "`clamp` must be off where codes are not pixels; got "
        f"{config.parameterization.name}. Clamp pixels or multi_formation."
    )
  if config.learn_labels and not sees_labels(config):
    raise ConfigError(
        f"`learn_labels` must be off with {config.method}, whose loss has no "
        "labels; got True. Gradient matching learns them, and ncfm with "
        "`calibration`."
    )
  if config.method in UNROLLED:
    _check_unrolled(config)
  if config.method in TRAJECTORIES:
    _check_trajectory(config)
  elif config.start == "correct" or config.start_labels == "experts":
    raise ConfigError(
        "`start` correct and `start_labels` experts are for methods that follow"
        f" experts, {', '.join(TRAJECTORIES)}; got {config.method}."
    )
  if "segments" in config:
    _check_segments(config)
  corpus.check(config)


def _check_segments(config):
  number, size = config.segments.num, config.samples_per_class
  if number < 1 or not size or size % number or config.num_steps % number:
    raise ConfigError(
        "`segments.num` must divide `samples_per_class` and `num_steps`; got "
        f"{number} for {size} and {config.num_steps}. Change one of them."
    )
  if config.segments.at_least < config.batch_size:
    raise ConfigError(
        "`segments.at_least` must be at least `batch_size`; got "
        f"{config.segments.at_least} and {config.batch_size}. Raise it, or "
        "lower `batch_size`."
    )
  if not 0 <= config.segments.drop_correct <= 1:
    raise ConfigError(
        "`segments.drop_correct` must be in [0, 1]; got "
        f"{config.segments.drop_correct}."
    )
  if not config.segments.anchor_weight >= 0:
    raise ConfigError(
        "`segments.anchor_weight` must be positive, or 0 for none; got "
        f"{config.segments.anchor_weight}."
    )
  if not from_spec(config.parameterization).separates_classes:
    raise ConfigError(
        "`parameterization` must keep classes apart for segments: pixels or "
        f"multi_formation; got {config.parameterization.name}."
    )


def _check_trajectory(config):
  counts = [("experts", "num"), ("experts", "num_epochs"),
            ("experts", "batch_size"), ("student", "num_steps")]
  for part, field in counts:
    if config[part][field] < 1:
      raise ConfigError(
          f"`{part}.{field}` must be at least 1; got {config[part][field]}."
      )
  datm.check_span(
      start_epochs(config.segment), config.segment.span,
      config.experts.num_epochs,
  )
  one_of(("logits", "probabilities", "raw"), "label_space", config.label_space)
  one_of(buffer.DTYPES, "experts.dtype", config.experts.dtype)
  if (config.start_labels == "experts") != (config.label_space == "logits"):
    raise ConfigError(
        "`start_labels` must be experts with `label_space` logits, and with no "
        f"other; got {config.start_labels} and {config.label_space}."
    )
  if config.learn_labels and config.label_space == "probabilities":
    raise ConfigError(
        "`learn_labels` must be off with `label_space` probabilities, which "
        "are a teacher's; got True. Learn logits."
    )
  for part, field in (
      (config, "step_size"), (config, "step_size_floor"),
      (config.experts, "step_size"),
  ):
    if not part[field] > 0:
      name = f"experts.{field}" if part is config.experts else field
      raise ConfigError(f"`{name}` must be positive; got {part[field]}.")
  for field in ("skip_above", "spike"):
    if not config[field] >= 0:
      raise ConfigError(
          f"`{field}` must be positive, or 0 for none; got {config[field]}."
      )
  if config.rollbacks < 0:
    raise ConfigError(
        f"`rollbacks` must be at least 0; got {config.rollbacks}."
    )


def _check_unrolled(config):
  if not config.step_size > 0:
    raise ConfigError(f"`step_size` must be positive; got {config.step_size}.")
  if not 0 <= config.momentum < 1:
    raise ConfigError(f"`momentum` must be in [0, 1); got {config.momentum}.")
  one_of(("fixed", "random"), "student_init", config.student_init)
  if config.student_init == "fixed" and config.num_initialisations != 1:
    raise ConfigError(
        "`num_initialisations` must be 1 with `student_init` fixed; got "
        f"{config.num_initialisations}."
    )
