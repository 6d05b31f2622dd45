"""From a configuration's strings and numbers to functions, once.

Everything below the launchers takes functions and arrays; this is the one
place where a name becomes one of them.
"""

from typing import NamedTuple

import jax
import numpy as np
import optax

from distill_jax import data, initialisation, nn
from distill_jax.errors import ConfigError
from distill_jax.estimators.backprop import backprop
from distill_jax.evaluation.baselines import BASELINES
from distill_jax.labels import num_outputs
from distill_jax.nn import norms
from distill_jax.objectives.dd import unrolled
from distill_jax.outer_loop import Distiller, State, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.preprocessing import Standardise
from distill_jax.tracking import Tracker, lowest_loss, running_average
from distill_jax.types import Array, Distilled, Estimator, Network

NETWORKS = {
    "alex_cifar_net": nn.alex_cifar_net,
    "convnet": nn.convnet,
    "lenet": nn.lenet,
    "mlp": nn.mlp,
}
NORMS = {
    "batch": norms.batch_norm,
    "group": norms.group_norm,
    "instance": norms.instance_norm,
    "layer": norms.layer_norm,
    "none": None,
}
_LOSSES = 1_000  # steps over which the loss is averaged before comparing
SCHEDULES = ("constant", "cosine", "halving")


class Run(NamedTuple):
  """One method on one data set, ready to go.

  Attributes:
    key: of the outer loop.
    evaluation_key: disjoint from it.
    source: the data.
    network: the student.
    estimator: of the gradient.
    distiller: the outer loop's functions.
    order: [S, n], the samples of each step.
    state: before the first step.
  """

  key: Array
  evaluation_key: Array
  source: data.Source
  network: Network
  estimator: Estimator
  distiller: Distiller
  order: Array
  state: State


def source(config, *, spec=None, data_dir=None) -> data.Source:
  """The data set, preprocessed as the configuration says."""
  if config.seed < 0:
    raise ConfigError(f"`seed` must be at least 0; got {config.seed}.")
  preprocessing = config.preprocessing
  if not isinstance(preprocessing, str):
    preprocessing = _constants(preprocessing)
  return data.read(
      spec or config.data, data_dir=data_dir, preprocessing=preprocessing,
      validation_fraction=config.validation_fraction, seed=config.seed,
  )


def _constants(preprocessing) -> Standardise:
  given = {name: np.asarray(preprocessing.get(name, ()), np.float32)
           for name in ("mean", "std")}
  if not all(v.size for v in given.values()) or not (given["std"] > 0).all():
    raise ConfigError(
        "`preprocessing` must be 'standardise', 'zca', or `mean` and positive "
        f"`std`; got {preprocessing.to_dict()}."
    )
  return Standardise(**given)


def network(spec, num_classes: int) -> Network:
  """A network from `{"name": ..., **arguments}`."""
  spec = dict(spec)
  name = spec.pop("name", None)
  if name not in NETWORKS:
    raise ConfigError(
        f"`network` must be one of {', '.join(sorted(NETWORKS))}; got {name!r}."
    )
  if "norm" in spec:
    spec["norm"] = _one_of(NORMS, "network norm", spec["norm"])
  try:
    return NETWORKS[name](num_outputs(num_classes), **spec)
  except TypeError as error:
    raise ConfigError(f"`network` {name!r}: {error}.") from None


def run(config, source: data.Source) -> Run:
  """Everything a run of DD or SLDD needs.

  Raises:
    ConfigError, DataError, ValueError: a field out of its range.
  """
  _check(config, source)
  key = jax.random.key(config.seed)
  k_start, k_init, k_run, k_evaluation = jax.random.split(key, 4)
  student = network(config.network, source.num_classes)
  jax.eval_shape(student.init, key, source.example)  # refuses the wrong size
  order = initialisation.step_order(
      config.num_samples, config.num_steps_per_epoch
  )
  objective = unrolled(
      student, order,
      sample=data.mixed(min(config.batch_size, source.train.num_samples)),
      num_classes=source.num_classes,
      fixed=config.student_init == "fixed",
      num_networks=config.num_initialisations,
      optimizer=optax.trace(config.momentum) if config.momentum else None,
  )
  parameterization = pixels()
  estimator = backprop(objective, parameterization)
  outer = distiller(
      estimator, optimizer(config),
      tracker=tracker(config),
  )
  start = _start(k_start, config, source, parameterization)
  return Run(
      k_run, k_evaluation, source, student, estimator, outer, order,
      outer.init(k_init, start),
  )


def optimizer(config) -> optax.GradientTransformation:
  """Adam for every learned field, its schedule, and clipping before it.

  Weight decay draws the samples alone towards 0, the mean of the data.
  """

  def adam(learning_rate, weight_decay=0.0):
    decay = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
    return optax.chain(
        optax.scale_by_adam(b1=config.beta1, b2=config.beta2),
        *decay,
        optax.scale_by_learning_rate(schedule(config, learning_rate)),
    )

  fields = dict(
      codes=adam(config.learning_rate, config.weight_decay),
      step_sizes=adam(config.step_size_learning_rate),
  )
  if config.method == "sldd":
    fields["labels"] = adam(config.label_learning_rate)
  if not config.clip_norm:
    return learn(**fields)
  return optax.chain(
      optax.clip_by_global_norm(config.clip_norm), learn(**fields)
  )


def tracker(config) -> Tracker | None:
  """What is saved in the end; None for the last iterate."""
  if config.average:
    return running_average(config.average)
  if config.restart_after:
    return lowest_loss(_LOSSES, start=config.restart_after)
  return None


def schedule(config, learning_rate: float):
  """Learning rate against outer steps.

  `cosine` falls to a hundredth at `num_steps`, after a linear rise over the
  first hundredth; with `restart_after` it does so by then, and again and again
  from half the rate, every `restart_every` steps. `halving` is the published
  halving every tenth.
  """
  _one_of(SCHEDULES, "schedule", config.schedule)
  num_steps = config.num_steps
  if config.schedule == "constant":
    return optax.constant_schedule(learning_rate)
  if config.schedule == "halving":
    every = max(num_steps // 10, 1)
    return optax.exponential_decay(learning_rate, every, 0.5, staircase=True)
  last = learning_rate / 100
  first = config.restart_after or num_steps
  if num_steps <= first:
    return _cosine(learning_rate, num_steps, last)
  every = config.restart_every
  starts = range(first, num_steps, every)
  again = [_cosine(learning_rate / 2, every, last)] * len(starts)
  return optax.join_schedules(
      [_cosine(learning_rate, first, last), *again], list(starts)
  )


def _cosine(peak: float, num_steps: int, last: float):
  return optax.warmup_cosine_decay_schedule(
      0.0, peak, max(num_steps // 100, 1), max(num_steps, 2), last
  )


def baseline_names(text: str) -> tuple[str, ...]:
  """What 'all' or names with commas between them stand for."""
  if text == "all":
    return tuple(BASELINES)
  names = tuple(filter(None, text.split(",")))
  unknown = sorted(set(names) - set(BASELINES))
  if unknown:
    raise ConfigError(
        f"`baselines` must be 'all' or among {', '.join(BASELINES)}; got "
        f"{', '.join(unknown)}."
    )
  return names


def _start(key, config, source, parameterization) -> Distilled:
  k_set, k_labels = jax.random.split(key)
  begin = dict(
      noise=initialisation.from_noise, real=initialisation.from_real
  )
  num_classes = source.num_classes
  classes = initialisation.start_classes(
      config.num_samples, config.num_steps_per_epoch, num_classes
  )
  labels = dict(
      noise=lambda: initialisation.noise_labels(
          k_labels, config.num_samples, num_classes
      ),
      one_hot=lambda: initialisation.one_hot(classes, num_classes),
      shared=lambda: initialisation.shared_labels(classes, num_classes),
  )
  return _one_of(begin, "start", config.start)(
      k_set, source, parameterization,
      num_samples=config.num_samples,
      num_steps=config.num_steps_per_epoch,
      num_epochs=config.num_epochs,
      step_size=config.step_size,
      labels=_one_of(labels, "start_labels", config.start_labels)(),
  )


def _check(config, source):
  if source.test is None:
    raise ConfigError(
        f"`data` must have a test part to evaluate on; {source.name} has none."
        " Add x_test and y_test, or a folder test."
    )
  for field in (
      "num_samples", "num_steps_per_epoch", "num_epochs", "batch_size",
      "num_steps", "log_every", "checkpoint_every", "num_initialisations",
  ):
    if config[field] < 1:
      raise ConfigError(f"`{field}` must be at least 1; got {config[field]}.")
  for field in (
      "learning_rate", "label_learning_rate", "step_size_learning_rate",
      "step_size",
  ):
    if not config[field] > 0:
      raise ConfigError(f"`{field}` must be positive; got {config[field]}.")
  for field in ("average", "momentum", "beta1", "beta2"):
    if not 0 <= config[field] < 1:
      raise ConfigError(f"`{field}` must be in [0, 1); got {config[field]}.")
  for field in ("clip_norm", "weight_decay"):
    if not config[field] >= 0:
      raise ConfigError(
          f"`{field}` must be positive, or 0 for none; got {config[field]}."
      )
  if config.restart_after < 0 or config.restart_every < 1:
    raise ConfigError(
        "`restart_after` must be a step, or 0 for never, and `restart_every` "
        f"at least 1; got {config.restart_after} and {config.restart_every}."
    )
  if config.average and config.restart_after:
    raise ConfigError(
        "`average` must be 0 with `restart_after`, which keeps the lowest "
        f"loss; got {config.average}."
    )
  if config.checkpoint_every % config.log_every:
    raise ConfigError(
        "`checkpoint_every` must be a multiple of `log_every`; got "
        f"{config.checkpoint_every} and {config.log_every}."
    )
  if config.num_samples > source.train.num_samples:
    raise ConfigError(
        "`num_samples` must not exceed the real samples; got "
        f"{config.num_samples} for {source.train.num_samples}. Ask for fewer."
    )
  for field in ("num_networks", "num_sets", "networks_per_set"):
    if config.evaluation[field] < 1:
      raise ConfigError(
          f"`evaluation.{field}` must be at least 1; got "
          f"{config.evaluation[field]}."
      )
  baseline_names(config.evaluation.baselines)
  _one_of(("dd", "sldd"), "method", config.method)
  _one_of(("fixed", "random"), "student_init", config.student_init)
  if config.student_init == "fixed" and config.num_initialisations != 1:
    raise ConfigError(
        "`num_initialisations` must be 1 with `student_init` fixed; got "
        f"{config.num_initialisations}."
    )


def _one_of(known, field: str, value):
  if value not in known:
    raise ConfigError(
        f"`{field}` must be one of {', '.join(sorted(known))}; got {value!r}."
    )
  return known[value] if isinstance(known, dict) else value
