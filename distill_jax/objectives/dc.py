"""Gradient matching: DC, and DSA with augmentation.

Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", 2020, arXiv
2006.05929. Zhao & Bilen, "Dataset Condensation with Differentiable Siamese
Augmentation", 2021, arXiv 2102.08259.

    sum_t sum_c  D( grad_theta L_c(A(real_c, w)), grad_theta L_c(A(S_c, w)) )

at theta_t, the weights after t rounds of training on the set itself; w is one
draw of augmentation for both batches. One outer step is one t. The published
loop trains the network after the update of the set; here the same training
opens the next step, on the set as the update left it.

Differences from the published code: BatchNorm takes its statistics from the
first real samples of the matched batches, not from a draw of their own; labels
may be soft, and learned; `threshold` replaces a network early.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax import distances
from distill_jax.augmentation import Augmentation, identity
from distill_jax.inner_loop import train_epochs
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.objectives.classes import (
    check,
    checked_members,
    with_statistics,
)
from distill_jax.parallel import batch_losses
from distill_jax.types import Array, Batch, Network, Objective, PyTree, Samples


class MatchingState(NamedTuple):
  """Attributes:
    variables: of the last match.
    step: [] int32, t of the next match; at 0 a fresh network is drawn.
  """

  variables: PyTree
  step: Array


def gradient_matching(
    network: Network,
    members: Array,
    *,
    sample: Callable[[Array, PyTree], Batch],
    num_classes: int,
    distance: Callable[[PyTree, PyTree], Array] = distances.by_output,
    augmentation: Augmentation | None = None,
    steps_per_network: int = 10,
    epochs_between: int = 50,
    step_size: float = 0.01,
    batch_size: int = 256,
    threshold: float = 0.0,
    chunk: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> Objective:
  """Matches the gradients that real and distilled samples of a class give.

  Args:
    network: on which gradients are taken.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `(key, data) -> Batch` of inputs [K, n, ...] and labels [K, n], see
      `sampling.per_class`.
    num_classes: of the labels. K groups of any samples may be matched, one
      mixed group too; the paper's groups are the classes.
    distance: `(real, distilled) -> scalar` between gradients; summed over
      classes.
    augmentation: of both batches, one draw for a class and step; also of the
      batches the network is trained on, one draw an image.
    steps_per_network: matches before a fresh network is drawn (the paper's T,
      the code's `outer_loop`).
    epochs_between: epochs on the set between matches (the code's `inner_loop`).
    step_size: of that training, plain gradient descent.
    batch_size: of that training.
    threshold: a network whose distance falls below it is replaced; 0 for never.
    chunk: classes at once; see `parallel.batch_map`.
    mesh: shards the classes.

  Returns:
    An `Objective` without metrics.
  """
  if steps_per_network < 1 or epochs_between < 0:
    raise ValueError(
        "`steps_per_network` must be at least 1 and `epochs_between` at least "
        f"0; got {steps_per_network} and {epochs_between}."
    )
  augmentation = augmentation or identity()
  members = checked_members(members)

  def init(key, samples):
    variables = network.init(key, samples.inputs[:1])
    return MatchingState(variables, jnp.zeros((), jnp.int32))

  def advance(key, samples: Samples, state: MatchingState):
    """theta_t for this step, fresh at t = 0."""
    k_init, k_train = jax.random.split(key)
    samples = lax.stop_gradient(samples)

    def fresh():
      return network.init(k_init, samples.inputs[:1])

    def trained():
      return train_epochs(
          k_train, network, state.variables, samples.inputs, samples.labels,
          optimizer=optax.sgd(step_size), num_epochs=epochs_between,
          batch_size=batch_size, augmentation=augmentation,
      )

    if steps_per_network == 1:
      return fresh()
    return lax.cond(state.step == 0, fresh, trained)

  def loss(key, samples: Samples, state: MatchingState, batch: Batch):
    check(members, samples.inputs, batch.inputs)
    k_advance, k_statistics, k_augment = jax.random.split(key, 3)
    variables = advance(k_advance, samples, state)
    variables = with_statistics(
        k_statistics, network, variables, batch.inputs
    )

    def gradient(draw, inputs, labels):
      def objective(params):
        logits, _ = network.apply(
            {**variables, "params": params}, augmentation.apply(draw, inputs)
        )
        return cross_entropy(logits, labels)

      # A cosine of gradients is a sum of small differences: no TF32.
      with jax.default_matmul_precision("highest"):
        return jax.grad(objective)(variables["params"])

    def of_class(own, other):
      key, real = other
      draw = augmentation.draw(key, real.inputs.shape, 1)
      inputs, labels = own
      rows = label_rows(real.labels, num_classes, labels.dtype)
      target = lax.stop_gradient(gradient(draw, real.inputs, rows))
      return distance(target, gradient(draw, inputs, labels))

    own = (samples.inputs[members], samples.labels[members])
    keys = jax.random.split(k_augment, len(members))
    value = batch_losses(
        of_class, own, (keys, batch), chunk=chunk, mesh=mesh
    ).sum()
    step = (state.step + 1) % steps_per_network
    if threshold:
      step = jnp.where(value < threshold, 0, step)
    return value, (MatchingState(variables, step), {})

  return Objective(sample, init, loss)
