"""Gradient matching: DC, DSA (with augmentation), IDC (networks on real data).

Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", 2020, arXiv
2006.05929. Zhao & Bilen, "Dataset Condensation with Differentiable Siamese
Augmentation", 2021, arXiv 2102.08259. Kim et al., "Dataset Condensation via
Efficient Synthetic-Data Parameterization", 2022, arXiv 2205.14959.

    sum_t sum_c  D( grad_theta L_c(A(real_c, w)), grad_theta L_c(A(S_c, w)) )

where theta_t are the weights after t rounds of training, on the set itself (DC,
DSA) or on real data (IDC), and w is one draw of augmentation for both batches.
One outer step is one t. The published loops train the network after the update
of the set; here the same training happens at the beginning of the next outer
step, on the updated set. IDC uses the distance `of_kernels(squared)` or
`of_kernels(absolute)`, the training `on_real`, and the parameterization
`multi_formation`.

Differences from the published code:

- BatchNorm takes its statistics from the first real samples of the matched
  batches, not from a draw of its own.
- Labels may be soft, and may be learned.
- IDC's code updates the set class by class; here all classes are updated in one
  step.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from distill_jax import distances
from distill_jax.augmentation import Augmentation, identity
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.objectives.classes import (
    Anchor,
    check,
    checked_members,
    targets,
    with_statistics,
)
from distill_jax.objectives.network_training import Training, on_samples
from distill_jax.parallel import batch_losses, mean_in_pieces
from distill_jax.types import (
    Array,
    Batch,
    Distance,
    Network,
    Objective,
    PyTree,
    Sampler,
    Samples,
)


class MatchingState(NamedTuple):
  """State of gradient matching.

  Attributes:
    variables: variables of the network at the last match.
    training: state of the network's optimizer.
    step: [] int32, t of the next match; at 0 a fresh network is drawn.
  """

  variables: PyTree
  training: PyTree
  step: Array


def gradient_matching(
    network: Network,
    members: Array,
    *,
    sample: Sampler,
    num_classes: int,
    distance: Distance = distances.by_output,
    augmentation: Augmentation | None = None,
    training: Training | None = None,
    steps_per_network: int = 10,
    at_most: int | None = None,
    anchor: Anchor | None = None,
    chunk: int | None = None) -> Objective:
  """Matches gradients of the loss on real and distilled samples of a class.

  Args:
    network: the network whose gradients are matched.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `(key, data) -> Batch` with inputs [K, n, ...] and labels [K, n],
      see `sampling.per_class`.
    num_classes: number of classes of the labels. The K groups may be any groups
      of samples, also one mixed group; in the paper they are the classes.
    distance: `(real, distilled) -> scalar` between gradients; it is summed over
      classes.
    augmentation: augmentation of both batches, one draw per class and step.
    training: training of the network between matches; by default `on_samples`
      with the same augmentation.
    steps_per_network: number of matches before a fresh network is drawn (the
      paper's T, the code's `outer_loop`).
    at_most: number of samples per class that are matched in one step, chosen at
      random; None for all (IDC: 128).
    anchor: frozen samples whose gradients are matched in addition to those of
      the real samples.
    chunk: number of classes processed at once; see `parallel.batch_map`.

  Returns:
    An `Objective` without metrics.

  Example:
    objective = dd.gradient_matching(
        dd.mlp(3), members, sample=dd.per_class(64), num_classes=3)
  """
  if steps_per_network < 1 or (at_most is not None and at_most < 1):
    raise ValueError(
        "`steps_per_network` and `at_most` must be at least 1; got "
        f"{steps_per_network} and {at_most}.")
  training = training or on_samples(network, augmentation=augmentation)
  augmentation = augmentation or identity()
  members = checked_members(members)

  def fresh(key, samples):
    variables = network.init(key, samples.inputs[:1])
    return variables, training.init(variables["params"])

  def init(key, samples):
    return MatchingState(*fresh(key, samples), jnp.zeros((), jnp.int32))

  def advance(key, samples: Samples, state: MatchingState, batch):
    """The network of this step; a fresh one at t = 0."""
    k_init, k_train = jax.random.split(key)
    samples = lax.stop_gradient(samples)
    if steps_per_network == 1:
      return fresh(k_init, samples)
    return lax.cond(
        state.step == 0, lambda: fresh(k_init, samples), lambda: training.train(
            k_train, state.variables, state.training, samples, batch))

  def loss(key, samples: Samples, state: MatchingState, batch: Batch):
    check(members, samples.inputs, batch.inputs)
    k_advance, k_statistics, k_augment, k_some = jax.random.split(key, 4)
    variables, trained = advance(k_advance, samples, state, batch)
    matched_with = targets(
        batch, samples, anchor,
        lambda classes: label_rows(classes, num_classes, samples.labels.dtype))
    variables = with_statistics(
        k_statistics, network, variables, matched_with[0])

    def objective(params, draw, inputs, labels):
      logits, _ = network.apply({
          **variables, "params": params
      }, augmentation.apply(draw, inputs))
      return cross_entropy(logits, labels)

    # The cosine sums small differences of gradients, so TF32 is too coarse.
    def gradient(draw, inputs, labels):
      with jax.default_matmul_precision("highest"):
        return jax.grad(objective)(variables["params"], draw, inputs, labels)

    def target_of(draw, inputs, labels):
      """The gradient of a fixed batch, in pieces that suit the machine."""

      def of_piece(params, piece):
        return objective(params, draw, *piece), ()

      with jax.default_matmul_precision("highest"):
        gradient = jax.grad(
            lambda params: mean_in_pieces(of_piece, params,
                                          (inputs, labels))[0])(
                                              variables["params"])
      return lax.stop_gradient(gradient)

    def of_class(own, other):
      key, items = other
      draw = augmentation.draw(key, batch.inputs.shape[1:], 1)
      matched = gradient(draw, *own)
      return sum(
          target.weight * distance(target_of(draw, *target.fetch(x)), matched)
          for target, x in zip(matched_with, items, strict=True))

    rows = members
    if at_most is not None and at_most < members.shape[1]:
      rows = jax.random.permutation(k_some, members, axis=1, independent=True)
      rows = rows[:, :at_most]
    own = (samples.inputs[rows], samples.labels[rows])
    keys = jax.random.split(k_augment, len(members))
    value = batch_losses(
        of_class,
        own, (keys, [target.items for target in matched_with]),
        chunk=chunk,
        items="classes").sum()
    step = (state.step + 1) % steps_per_network
    return value, (MatchingState(variables, trained, step), {})

  return Objective(sample, init, loss, ("codes", "labels"))
