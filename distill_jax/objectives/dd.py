"""Dataset distillation by meta-gradients through unrolled training.

DD: Wang, Zhu, Torralba & Efros, "Dataset Distillation", 2018, arXiv
1811.10959. SLDD: Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and
Text Dataset Distillation", 2019, arXiv 1910.02551. Both are one objective:

    L(S) = E_{theta_0}  E_{(x, y) real}  l( f(x; theta_T), y )

where theta_T = `inner_loop.train_in_order(theta_0, S)`. SLDD also learns the
labels; for DD, leave them out of `learn`. The loss on real data uses hard
labels.

Differences from the published code: in inner steps the network runs in train
mode, and its running statistics are carried from step to step (the published
code treats them as constants); gradients are exact through every inner step.
"""

from collections.abc import Callable

import chex
import jax
import numpy as np
import optax

from distill_jax.errors import ConfigError
from distill_jax.inner_loop import train_in_order
from distill_jax.labels import classes_of, cross_entropy, label_rows
from distill_jax.parallel import batch_mean, mean_in_pieces
from distill_jax.types import (
    Array,
    Batch,
    Loss,
    Network,
    Objective,
    PyTree,
    Sampler,
    Samples,
)


def unrolled(
    network: Network,
    order: Array,
    *,
    sample: Sampler,
    num_classes: int,
    fixed: bool = False,
    num_networks: int = 1,
    optimizer: optax.GradientTransformation | None = None,
    loss: Loss = cross_entropy,
    remat: bool = True) -> Objective:
  """Loss on real data after training on the distilled set.

  Args:
    network: the student. Its `init` is the distribution of theta_0; replace it
      to start from trained weights or from a pool.
    order: [S, n] int, the samples of each step (`initialisation.step_order`).
    sample: `(key, data) -> Batch`, the real batch of one outer step.
    num_classes: number of classes of the real labels.
    fixed: whether one theta_0 is drawn by the objective's `init` and kept in
      its state ("fixed initialisation"); otherwise fresh ones are drawn in
      every outer step.
    num_networks: number of initialisations per outer step; their losses are
      averaged.
    optimizer: optimizer of the inner loop; see `train_in_order`.
    loss: inner loss; see `train_in_order`.
    remat: see `train_in_order`.

  Returns:
    An `Objective`. Metrics: `accuracy` on the real batch.

  Example:
    objective = dd.unrolled(
        dd.mlp(3), dd.step_order(6, 2), sample=dd.mixed(64), num_classes=3)
  """
  if num_networks < 1 or (fixed and num_networks != 1):
    raise ValueError(
        "`num_networks` must be at least 1, and 1 with a fixed "
        f"initialisation; got {num_networks}.")

  last_row = int(np.max(order))
  on_real = loss_on_real(network, num_classes)

  def init(key, samples):
    if not samples.step_sizes.size:
      raise ConfigError(
          "`step_size` must be a number for an unrolled objective, whose inner "
          "steps it starts; got a set without step sizes. Start it with "
          "from_real(..., step_size=0.02).")
    return network.init(key, samples.inputs[:1]) if fixed else ()

  def objective(key, samples: Samples, state, batch: Batch):
    chex.assert_rank(samples.labels, 2)
    chex.assert_equal_shape_prefix([samples.inputs, samples.labels], 1)
    if last_row >= len(samples.inputs):
      raise ValueError(
          f"`order` must name rows of the {len(samples.inputs)} samples; got "
          f"{last_row}. Give `step_order` the number of samples of the set.")

    def after_training(samples, key):
      k_init, k_train = jax.random.split(key)
      start = state if fixed else network.init(k_init, samples.inputs[:1])
      trained = train_in_order(
          k_train,
          network,
          start,
          samples,
          order,
          optimizer=optimizer,
          loss=loss,
          remat=remat)
      return mean_in_pieces(on_real, trained, batch)

    if num_networks == 1:
      value, metrics = after_training(samples, key)
    else:
      keys = jax.random.split(key, num_networks)
      value, metrics = batch_mean(
          after_training, samples, keys, items="initialisations")
    return value, (state, metrics)

  return Objective(sample, init, objective)


def loss_on_real(
    network: Network, num_classes: int
) -> Callable[[PyTree, Batch], tuple[Array, dict[str, Array]]]:
  """Cross-entropy and accuracy of a student on a real batch.

  Args:
    network: the student; it is applied as in evaluation, not in train mode.
    num_classes: number of classes of the real labels.

  Returns:
    `(variables, batch) -> loss, {"accuracy"}`, means over the rows of the
    batch, as `parallel.mean_in_pieces` takes it.
  """

  def loss(variables, batch):
    logits, _ = network.apply(variables, batch.inputs)
    labels = label_rows(batch.labels, num_classes, logits.dtype)
    accuracy = (classes_of(logits) == batch.labels).mean(dtype=logits.dtype)
    return cross_entropy(logits, labels), {"accuracy": accuracy}

  return loss
