"""The outer optimizer from a method's settings: rules, schedules, averages."""

from types import SimpleNamespace

import optax

from distill_jax.choices import one_of
from distill_jax.clipping import clip_by_average_norm
from distill_jax.errors import ConfigError
from distill_jax.outer_loop import learn
from distill_jax.tracking import Tracker, lowest_loss, running_average

OPTIMIZERS = ("adabelief", "adam", "lamb", "sgd")
SCHEDULES = ("constant", "cosine", "halving")
_LOSSES = 1_000  # steps; losses are averaged over them before comparison

# Settings of the outer optimizer that every method has.
OUTER = dict(
    optimizer="adam",
    learning_rate=0.02,
    schedule="cosine",
    last_rate=0.01,
    beta1=0.9,
    beta2=0.999,
    clip_norm=0.0,
    weight_decay=0.0,
    average=0.0)
# Settings of methods whose loss depends on the labels of the set.
LABELS = dict(
    learn_labels=False, label_learning_rate=0.02, start_labels="one_hot")


def learned(s: SimpleNamespace, **rates: float):
  """`Method.learned`: gradient clipping, then one rule per learned field.

  Weight decay applies to the samples only and pulls them towards 0, the mean of
  the data.

  Args:
    s: settings of the method, including `OUTER` and optionally `LABELS`.
    **rates: learning rates of further fields; a field with rate 0 is not
      learned.
  """
  one_of(OPTIMIZERS, "optimizer", s.optimizer)
  one_of(SCHEDULES, "schedule", s.schedule)
  restart_after = getattr(s, "restart_after", 0)
  if s.average and restart_after:
    raise ConfigError(
        "`average` must be 0 with `restart_after`, which keeps the lowest "
        f"loss; got {s.average}.")

  def transformation(num_steps: int) -> optax.GradientTransformation:

    def rule(rate, weight_decay=0.0, beta1=s.beta1):
      if s.optimizer == "sgd":
        scale = optax.trace(beta1) if beta1 else optax.identity()
      elif s.optimizer == "adabelief":
        scale = optax.scale_by_belief(b1=beta1, b2=s.beta2)
      else:
        scale = optax.scale_by_adam(b1=beta1, b2=s.beta2)
      decay = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
      if s.optimizer == "lamb":
        decay.append(optax.scale_by_trust_ratio())
      return optax.chain(
          scale, *decay,
          optax.scale_by_learning_rate(schedule(s, rate, num_steps)))

    fields = {name: rule(rate) for name, rate in rates.items() if rate}
    if getattr(s, "learn_codes", True):
      fields["codes"] = rule(s.learning_rate, s.weight_decay)
      if getattr(s, "clip_average", 0):
        fields["codes"] = optax.chain(
            clip_by_average_norm(s.clip_average), fields["codes"])
    if getattr(s, "learn_labels", False):
      beta1 = getattr(s, "label_beta1", s.beta1)
      fields["labels"] = rule(s.label_learning_rate, beta1=beta1)
    if getattr(s, "clip_each", 0):
      clip = optax.clip_by_global_norm(s.clip_each)
      fields = {k: optax.chain(clip, field) for k, field in fields.items()}
    if not s.clip_norm:
      return learn(**fields)
    return optax.chain(optax.clip_by_global_norm(s.clip_norm), learn(**fields))

  return transformation


def tracker(s: SimpleNamespace) -> Tracker | None:
  """Decides what a run returns at the end; None for the last iterate."""
  if s.average:
    return running_average(s.average)
  if getattr(s, "restart_after", 0):
    return lowest_loss(_LOSSES, start=s.restart_after)
  return None


def schedule(s: SimpleNamespace, learning_rate: float, num_steps: int):
  """The learning rate as a function of the outer step.

  `cosine` rises linearly over the first hundredth of the steps, and then falls
  to the share `last_rate` of the learning rate at `num_steps`. With
  `restart_after`, it falls within that number of steps, and then restarts from
  half the rate every `restart_every` steps. `halving` halves the rate after
  every tenth of the steps, as published for DM.
  """
  if s.schedule == "constant":
    return optax.constant_schedule(learning_rate)
  if s.schedule == "halving":
    every = max(num_steps // 10, 1)
    return optax.exponential_decay(learning_rate, every, 0.5, staircase=True)
  last = learning_rate * s.last_rate
  first = getattr(s, "restart_after", 0) or num_steps
  if num_steps <= first:
    return _cosine(learning_rate, num_steps, last)
  every = s.restart_every
  starts = range(first, num_steps, every)
  again = [_cosine(learning_rate / 2, every, last)] * len(starts)
  return optax.join_schedules([_cosine(learning_rate, first, last), *again],
                              list(starts))


def _cosine(peak: float, num_steps: int, last: float):
  return optax.warmup_cosine_decay_schedule(
      0.0, peak, max(num_steps // 100, 1), max(num_steps, 2), last)
