"""What all the data give: the accuracy that a distilled set is measured by.

Adam with a cosine schedule on random batches, one compiled scan an epoch.
"""

import time
from functools import partial
from typing import NamedTuple

import jax
import optax

from distill_jax.data.source import Source
from distill_jax.evaluation import metrics
from distill_jax.evaluation.cost import Cost, cost_of_all
from distill_jax.evaluation.evaluator import outcome_on
from distill_jax.evaluation.learners import classifier
from distill_jax.inner_loop import train_epoch_on
from distill_jax.types import Array, Network


class FullData(NamedTuple):
  """Attributes:
    accuracy: on the test split, after the last step.
    cost: of training.
    macro_f1: on the test split too.
    diverged: 1 if its weights or outputs are not finite.
  """

  accuracy: float
  cost: Cost
  macro_f1: float | None = None
  diverged: int = 0


def train_on_all(
    key: Array,
    network: Network,
    source: Source,
    *,
    num_epochs: int | None = None,
    batch_size: int = 256,
    learning_rate: float = 1e-3) -> FullData:
  """Trains one network on the train split and tests it.

  Args:
    key: consumed.
    network: what is trained.
    source: real data with a test split.
    num_epochs: passes over the train split, each in a new order; the samples
      beyond a whole number of batches sit out that pass. By default 10, or
      what makes 500 steps.
    batch_size: B; at most the train split.
    learning_rate: at the first step; falls to 0 along a cosine.

  Returns:
    A `FullData`; its seconds leave the first epoch's compilation out.

  Raises:
    ValueError: no test split, or a number that is not positive.
  """
  if source.test is None:
    raise ValueError("`source` must have a test split; got none.")
  if batch_size < 1 or (num_epochs is not None and num_epochs < 1):
    raise ValueError(
        "`num_epochs` and `batch_size` must be at least 1; got "
        f"{num_epochs} and {batch_size}.")
  batch_size = min(batch_size, source.train.num_samples)
  per_epoch = source.train.num_samples // batch_size
  num_epochs = num_epochs or max(10, -(-500 // per_epoch))
  num_steps = num_epochs * per_epoch
  optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
  k_init, k_train = jax.random.split(key)
  variables = network.init(k_init, source.example)
  state = optimizer.init(variables["params"])
  epoch = jax.jit(
      partial(
          train_epoch_on,
          network=network,
          optimizer=optimizer,
          batch_size=batch_size)).lower(
              k_train, variables, state, source.train).compile()
  start = time.perf_counter()
  for i in range(num_epochs):
    variables, state = epoch(
        jax.random.fold_in(k_train, i), variables, state, source.train)
  jax.block_until_ready(variables)
  seconds = time.perf_counter() - start
  confusion, diverged = jax.jit(
      lambda variables, split: outcome_on(
          classifier(network, variables), split))(variables, source.test)
  cost = cost_of_all(
      network,
      source,
      num_steps=num_steps,
      batch_size=batch_size,
      seconds=seconds)
  return FullData(
      float(metrics.accuracy(confusion)), cost,
      float(metrics.macro_f1(confusion)), int(diverged))
