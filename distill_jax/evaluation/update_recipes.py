"""Recipes that count updates, as used with kernels and unrolled training.

  rat_bptt   Adam at one step size, or on a cosine, cross-entropy
  frepo      Adam, a linear rise and a cosine, squared error on centred labels
  kip        SGD with momentum and a cosine, squared error on centred labels

A batch is the whole set, or random samples of a larger set. Sets with centred
labels lose much of their accuracy under cross-entropy. Recipes therefore say
whether they are regressions, and `evaluate_set` refuses the wrong kind.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from distill_jax import augmentation as augmentations
from distill_jax.evaluation.recipe import Recipe, check_counts, check_rule
from distill_jax.inner_loop import training_step
from distill_jax.labels import cross_entropy, squared_error
from distill_jax.types import TrainingSet


@functools.cache
def rat_bptt(
    num_steps: int = 300,
    *,
    step_size: float = 1e-3,
    last_rate: float = 1.0,
    batch_size: int = 5_000,
    strategy: str = "") -> Recipe:
  """Adam at one step size, as in the inner loop of RaT-BPTT, or on a cosine.

  Feng, Vedantam & Kempe, "Embarrassingly Simple Dataset Distillation", 2023,
  arXiv 2311.07025.

  Args:
    num_steps: number of updates.
    step_size: initial step size, positive.
    last_rate: final step size of a cosine, as a share of the initial one, in
      [0, 1]; 1 keeps the step size constant.
    batch_size: B; at most the whole set is used.
    strategy: see `augmentation.dsa`; none by default.
  """
  if not 0 <= last_rate <= 1:
    raise ValueError(f"`last_rate` must be in [0, 1]; got {last_rate}.")

  def optimizer(step_size):
    return optax.adam(
        optax.cosine_decay_schedule(step_size, num_steps, last_rate))

  return _recipe(
      "rat_bptt",
      optimizer,
      loss=cross_entropy,
      num_steps=num_steps,
      step_size=step_size,
      batch_size=batch_size,
      strategy=strategy,
      last_rate=last_rate)


@functools.cache
def frepo(
    num_steps: int = 2_000,
    *,
    step_size: float = 3e-4,
    warm_up: int = 500,
    target_scale: float = 1.0,
    batch_size: int = 500,
    strategy: str = "") -> Recipe:
  """Regression by Adam: a linear rise, then a cosine to a hundredth.

  Zhou, Nezhadarya & Ba, "Dataset Distillation using Neural Feature
  Regression", 2022, arXiv 2206.00719, which trains 1,000 updates on 10 samples
  and 2,000 on 100. RCIG (2023, arXiv 2302.06755) uses a step size of 1e-4.

  Args:
    num_steps: number of updates.
    step_size: the largest step size, positive.
    warm_up: number of updates of the linear rise, at least 0; at most half of
      all.
    target_scale: factor of the labels, positive; see `labels.squared_error`.
    batch_size: B; at most the whole set is used.
    strategy: see `augmentation.dsa`; none by default.
  """
  if warm_up < 0:
    raise ValueError(f"`warm_up` must be at least 0; got {warm_up}.")
  if not target_scale > 0:
    raise ValueError(f"`target_scale` must be positive; got {target_scale}.")

  def optimizer(step_size):
    return optax.adam(_cosine(step_size, num_steps, warm_up))

  return _recipe(
      "frepo",
      optimizer,
      loss=functools.partial(squared_error, target_scale=target_scale),
      num_steps=num_steps,
      step_size=step_size,
      batch_size=batch_size,
      strategy=strategy,
      regression=True,
      warm_up=warm_up,
      target_scale=target_scale)


@functools.cache
def kip(
    num_steps: int = 5_000,
    *,
    step_size: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 1e-3,
    batch_size: int = 100,
    strategy: str = "") -> Recipe:
  """Regression by SGD with momentum and a cosine to zero.

  Nguyen et al., "Dataset Distillation with Infinitely Wide Convolutional
  Networks", 2021, arXiv 2107.13034. The published step size is the largest one
  that the empirical NTK allows; here it is a setting.

  Args:
    num_steps: number of updates.
    step_size: initial step size, positive.
    momentum: in [0, 1).
    weight_decay: factor of the weights in the gradient, at least 0.
    batch_size: B; at most the whole set is used.
    strategy: see `augmentation.dsa`; none by default.
  """
  check_rule(step_size, momentum, weight_decay)

  def optimizer(step_size):
    schedule = optax.cosine_decay_schedule(step_size, num_steps)
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(schedule, momentum))

  return _recipe(
      "kip",
      optimizer,
      loss=squared_error,
      num_steps=num_steps,
      step_size=step_size,
      batch_size=batch_size,
      strategy=strategy,
      regression=True,
      momentum=momentum,
      weight_decay=weight_decay)


def _recipe(
    name: str,
    optimizer: Callable[[float], optax.GradientTransformation],
    *,
    loss: Callable,
    num_steps: int,
    step_size: float,
    batch_size: int,
    strategy: str,
    regression: bool = False,
    **others) -> Recipe:
  check_counts(num_steps=num_steps, batch_size=batch_size)
  check_rule(step_size)
  rule = optimizer(step_size)
  augmentation = augmentations.dsa(strategy) if strategy else None

  def train(key, network, variables, training_set: TrainingSet):
    inputs, labels = training_set.samples.inputs, training_set.samples.labels
    size = len(inputs)

    def step(carry, t):
      variables, state = carry
      k_rows, k_step = jax.random.split(jax.random.fold_in(key, t))
      x, y = inputs, labels
      if batch_size < size:
        rows = jax.random.choice(k_rows, size, (batch_size,), replace=False)
        x, y = inputs[rows], labels[rows]
      return training_step(
          k_step,
          network,
          variables,
          state,
          x,
          y,
          optimizer=rule,
          augmentation=augmentation,
          loss=loss)[:2], None

    start = (variables, rule.init(variables["params"]))
    return jax.lax.scan(step, start, jnp.arange(num_steps))[0][0]

  return Recipe(
      name,
      train,
      tuple(
          dict(
              num_steps=num_steps,
              step_size=step_size,
              batch_size=batch_size,
              strategy=strategy,
              **others).items()),
      regression=regression)


def _cosine(peak: float, num_steps: int, warm_up: int) -> optax.Schedule:
  rise = min(warm_up, num_steps // 2)
  return optax.warmup_cosine_decay_schedule(
      peak / max(rise, 1), peak, rise, num_steps, peak / 100)
