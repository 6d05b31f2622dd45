"""Distribution matching: DM.

Zhao & Bilen, "Dataset Condensation with Distribution Matching", 2021, arXiv
2110.04181, equation 4:

    E_theta sum_c  || mean psi_theta(A(real_c)) - mean psi_theta(A(S_c)) ||^2

A is one draw of augmentation for both batches of a class. psi_theta is the
embedding (the last of `Network.stages`) of a network that is drawn afresh in
every outer step and never trained. There is no classifier and no inner loop, so
labels are not used.

If the network has running statistics, it sees the batches of all classes
together in train mode, as in the published code: its normalisation mixes the
classes.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from distill_jax import distances
from distill_jax.augmentation import Augmentation, identity
from distill_jax.inner_loop import keeps_statistics
from distill_jax.objectives.classes import (
    Anchor,
    check,
    checked_members,
    targets,
)
from distill_jax.parallel import batch_losses, pieces
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


def distribution_matching(
    network: Network,
    members: Array,
    *,
    sample: Sampler,
    distance: Distance = distances.means,
    augmentation: Augmentation | None = None,
    features: Callable[[Array, Array], Array] | None = None,
    member: Callable[[Batch], PyTree] | None = None,
    anchor: Anchor | None = None,
    chunk: int | None = None) -> Objective:
  """Matches the embeddings of real and distilled samples class by class.

  Args:
    network: the network; its `init` is the distribution of theta.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `(key, data) -> Batch` with inputs [K, n, ...], see
      `sampling.per_class`.
    distance: `(real [n, D], distilled [m, D]) -> scalar`, see `distances`; it
      is summed over classes.
    augmentation: augmentation of both batches, one draw per class and step.
    features: `(key, embedding [n, D]) -> [n, D']`, the features that are
      compared, with one key for both batches of a class. By default the
      embedding itself.
    member: `(batch) -> variables`, a network drawn together with the batch; by
      default a fresh network.
    anchor: frozen samples that are matched in addition to the real ones.
    chunk: number of classes processed at once; see `parallel.batch_map`.

  Returns:
    An `Objective` without state or metrics.

  Example:
    objective = dd.distribution_matching(
        dd.mlp(3), members, sample=dd.per_class(64))
  """
  augmentation = augmentation or identity()
  members = checked_members(members)

  def loss(key, samples: Samples, state, batch: Batch):
    check(members, samples.inputs, batch.inputs)
    k_init, k_augment, k_apply, k_features = jax.random.split(key, 4)
    if member is None:
      variables = network.init(k_init, samples.inputs[:1])
    else:
      variables = lax.stop_gradient(member(batch))
    draws = jax.vmap(
        lambda key: augmentation.draw(key, batch.inputs.shape[1:], 1))(
            jax.random.split(k_augment, len(members)))
    keys = jax.random.split(k_features, len(members))
    own = samples.inputs[members]

    def embedded(inputs):
      stages, _ = network.stages(variables, inputs, key=k_apply, train=True)
      return stages[-1]

    matched_with = targets(batch, samples, anchor)

    def compare(key, embeddings, own):

      def seen(embedding):
        return embedding if features is None else features(key, embedding)

      own = seen(own)
      return sum(
          target.weight * distance(seen(lax.stop_gradient(embedding)), own)
          for target, embedding in zip(matched_with, embeddings, strict=True))

    def fetched(items):
      return [
          target.fetch(x)[0]
          for target, x in zip(matched_with, items, strict=True)
      ]

    def apart(own, other):
      key, draw, items = other

      def seen(inputs):
        return embedded(augmentation.apply(draw, inputs))

      def in_pieces(inputs):
        return lax.map(seen, pieces(seen, inputs)).reshape(len(inputs), -1)

      return compare(key, [in_pieces(x) for x in fetched(items)], seen(own))

    def together(inputs):
      """Embeddings [K, n, D] by a network whose normalisation mixes classes."""
      inputs = jax.vmap(augmentation.apply)(draws, inputs)
      embedding = embedded(inputs.reshape(-1, *inputs.shape[2:]))
      return embedding.reshape(*inputs.shape[:2], -1)

    items = [target.items for target in matched_with]
    losses: Any
    if keeps_statistics(variables):
      losses = jax.vmap(compare)(
          keys, [together(x) for x in fetched(items)], together(own))
    else:
      losses = batch_losses(
          apart, own, (keys, draws, items), chunk=chunk, items="classes")
    return losses.sum(), (state, {})

  return Objective(sample, lambda key, samples: (), loss, ("codes",))
