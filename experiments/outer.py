"""The outer optimizer of a configuration: rules, schedules, what is kept."""

import optax

from distill_jax.choices import one_of
from distill_jax.clipping import clip_by_average_norm
from distill_jax.errors import ConfigError
from distill_jax.outer_loop import learn
from distill_jax.tracking import Tracker, lowest_loss, running_average

OPTIMIZERS = ("adabelief", "adam", "lamb", "sgd")
SCHEDULES = ("constant", "cosine", "halving")
_LOSSES = 1_000  # steps over which the loss is averaged before comparing


def optimizer(config) -> optax.GradientTransformation:
  """One rule for every learned field, its schedule, and clipping before it.

  Weight decay draws the samples alone towards 0, the mean of the data.
  """

  def rule(learning_rate, weight_decay=0.0, beta1=config.beta1):
    if config.optimizer == "sgd":
      scale = optax.trace(beta1) if beta1 else optax.identity()
    elif config.optimizer == "adabelief":
      scale = optax.scale_by_belief(b1=beta1, b2=config.beta2)
    else:
      scale = optax.scale_by_adam(b1=beta1, b2=config.beta2)
    decay = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
    if config.optimizer == "lamb":
      decay.append(optax.scale_by_trust_ratio())
    return optax.chain(
        scale, *decay,
        optax.scale_by_learning_rate(schedule(config, learning_rate)),
    )

  fields = {}
  if config.get("learn_codes", True):
    fields["codes"] = rule(config.learning_rate, config.weight_decay)
  if config.get("clip_average", 0):
    fields["codes"] = optax.chain(
        clip_by_average_norm(config.clip_average), fields["codes"]
    )
  if config.get("extra_learning_rate", 0):
    fields["extra"] = rule(config.extra_learning_rate)
  if config.step_size:
    fields["step_sizes"] = rule(config.step_size_learning_rate)
  if config.learn_labels:
    fields["labels"] = rule(
        config.label_learning_rate,
        beta1=config.get("label_beta1", config.beta1),
    )
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

  `cosine` falls to a hundredth, or to `last_rate` of it, at `num_steps`, after
  a linear rise over the first hundredth; with `restart_after` it does so by
  then, and again and again from half the rate, every `restart_every` steps.
  `halving` is the published halving every tenth.
  """
  num_steps = config.num_steps
  if config.schedule == "constant":
    return optax.constant_schedule(learning_rate)
  if config.schedule == "halving":
    every = max(num_steps // 10, 1)
    return optax.exponential_decay(learning_rate, every, 0.5, staircase=True)
  last = learning_rate * config.get("last_rate", 0.01)
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


def check(config) -> None:
  """Refuses what `optimizer`, `schedule` and `tracker` cannot use."""
  for field, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
    one_of(known, field, config[field])
  rates = ["learning_rate"]
  rates += ["label_learning_rate"] * bool(config.learn_labels)
  rates += ["step_size_learning_rate"] * bool(config.step_size)
  for field in rates:
    if not config[field] > 0:
      raise ConfigError(f"`{field}` must be positive; got {config[field]}.")
  for field in ("average", "beta1", "beta2"):
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
