"""The recipe `views`: training on a teacher's labels of seeded views.

It is the students' training of the decoupled methods: Yin, Xing & Shen,
"Squeeze, Recover and Relabel" (SRe2L), 2023, arXiv 2306.13092, and Sun et al.,
"On the Diversity and Realism of Distilled Dataset" (RDED), 2023, arXiv
2312.03526.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from distill_jax.evaluation.recipe import Recipe, check_counts, check_rule
from distill_jax.inner_loop import training_step
from distill_jax.labels import cross_entropy, probabilities, squared_error
from distill_jax.types import TrainingSet
from distill_jax.views import Views, seen, view

LOSSES = ("kl", "mse")


@functools.cache
def views(
    num_epochs: int = 300,
    *,
    strategy: str = "flip",
    mix: float = 1.0,
    step_size: float = 1e-3,
    weight_decay: float = 0.01,
    batch_size: int = 50,
    temperature: float = 20.0,
    loss: str = "kl",
    num_views: int = 0,
    seed: int = 0) -> Recipe:
  """AdamW on seeded views, each labelled by the set's teacher.

  Epoch e trains on view e modulo `num_views`. The step size falls to half along
  the first half of a cosine, as in RDED's code. If a set has no labels of
  views, students train on the same views with the set's label rows, mixed as
  the samples are, by cross-entropy.

  Args:
    num_epochs: E, at least 1.
    strategy: see `augmentation.idc`; leave out flip for digits.
    mix: share of batches that CutMix mixes.
    step_size: initial step size, positive.
    weight_decay: weight decay of AdamW, at least 0.
    batch_size: B, at most the size of the set; see `views`.
    temperature: both logits are divided by it, positive; used for kl only.
    loss: kl, the divergence of the student's probabilities from the teacher's;
      or mse, half the squared distance of logits.
    num_views: number of views that epochs go through in turn; 0 for a new view
      in each epoch.
    seed: seed of all views.
  """
  check_counts(num_epochs=num_epochs, batch_size=batch_size)
  check_rule(step_size, weight_decay=weight_decay)
  if not 0 <= mix <= 1:
    raise ValueError(f"`mix` must be in [0, 1]; got {mix}.")
  if not temperature > 0:
    raise ValueError(f"`temperature` must be positive; got {temperature}.")
  if loss not in LOSSES:
    raise ValueError(
        f"`loss` must be one of {', '.join(LOSSES)}; got {loss!r}.")
  if num_views < 0:
    raise ValueError(f"`num_views` must be at least 0; got {num_views}.")
  period = num_views or num_epochs
  how = Views(strategy, mix, batch_size, seed)
  apply = seen(how)

  def divergence(logits, taught):
    return cross_entropy(
        logits / temperature, probabilities(taught / temperature))

  of_teacher = divergence if loss == "kl" else squared_error

  def train(key, network, variables, training_set: TrainingSet):
    samples = training_set.samples
    taught, size = samples.view_labels, len(samples.inputs)
    soft = not isinstance(taught, tuple)
    if soft and len(taught) < min(period, num_epochs):
      raise ValueError(
          f"`num_views` must be at most the {len(taught)} views that the set "
          f"has labels of; got {min(period, num_epochs)}.")
    num_steps = num_epochs * -(-size // min(batch_size, size))
    optimizer = optax.adamw(
        lambda t: step_size * (1 + jnp.cos(jnp.pi * t / (2 * num_steps))) / 2,
        weight_decay=weight_decay)

    def step(carry, batch):
      variables, state = carry
      rows, k_view, logits, key = batch
      x, y = apply(k_view, samples.inputs[rows], samples.labels[rows])
      return training_step(
          key,
          network,
          variables,
          state,
          x,
          logits.astype(x.dtype) if soft else y,
          optimizer=optimizer,
          loss=of_teacher if soft else cross_entropy)[:2], None

    def epoch(carry, item):
      number, key = item
      chosen = view(how, number % period, size)
      num = len(chosen.rows)
      logits: Any = ()
      if soft:
        logits = taught[number % period]
        logits = logits.reshape(*chosen.rows.shape, -1)
      keys = jax.random.split(key, num)
      return jax.lax.scan(step, carry, (*chosen, logits, keys))[0], None

    start = (variables, optimizer.init(variables["params"]))
    keys = jax.random.split(key, num_epochs)
    return jax.lax.scan(epoch, start, (jnp.arange(num_epochs), keys))[0][0]

  return Recipe(
      "views", train,
      (("num_epochs", num_epochs), ("strategy", strategy), ("mix", mix),
       ("step_size", step_size), ("weight_decay", weight_decay),
       ("batch_size", batch_size), ("temperature", temperature), ("loss", loss),
       ("num_views", num_views), ("seed", seed)))
