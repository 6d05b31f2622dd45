"""Distribution matching on networks that were trained on the real data.

    w sum_c d( mean of psi(A(real_c)), mean of psi(A(S_c)) )
      + a sum_c mean_i CE( g(A(S_ci)), y_ci )

psi is the embedding of one trained or partly trained network, g the outputs of
one that is trained as far or farther: the first says where the classes are, the
second that samples must be told apart. Both are drawn in every step from
networks that are trained once, before the first step. Neither is trained on the
set, so there are no second derivatives and no inner loop.

TGDD (Ran et al., 2025, arXiv 2512.02469) draws psi among the snapshots of an
expert, one after each epoch, and g among the next few of the same expert. DANCE
(Zhang et al., 2024, IJCAI) mixes the first and the last weights for psi and
takes the last for g. NCFM (see `ncfm`) does so too, with another distance. What
differs from their code: all classes are updated in one step, and the loss of
classification has an augmentation of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from distill_jax import distances
from distill_jax.augmentation import Augmentation, identity
from distill_jax.choices import one_of
from distill_jax.labels import cross_entropy
from distill_jax.objectives.dm import distribution_matching
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


class Trained(NamedTuple):
  """Two networks of one draw, the `extra` of a batch.

  Attributes:
    features: variables of psi.
    classifier: variables of g.
  """

  features: PyTree
  classifier: PyTree


class PooledData(NamedTuple):
  """Attributes:
    split: real data.
    pool: networks, as the sampler draws from them.
  """

  split: Any
  pool: PyTree


def with_snapshots(
    sample: Sampler,
    *,
    span: int = 7,
    between: str = "snapshot") -> Callable[[Array, PooledData], Batch]:
  """Batches of a sampler, with two networks of one expert as their `extra`.

  The pool holds variables with two leading axes [P, E + 1]: experts, and their
  snapshots before the first epoch and after each.

  Args:
    sample: of the real data.
    span: L, at least 1; the classifier is psi's snapshot s or one of the L - 1
      after it, as far as there are, uniformly.
    between: "snapshot" draws psi among all snapshots; "mix" puts it uniformly
      on the line between the first and the last, which is the classifier.
  """
  one_of(("snapshot", "mix"), "between", between)
  if span < 1:
    raise ValueError(f"`span` must be at least 1; got {span}.")

  def both(key, data: PooledData):
    k_batch, k_expert, k_features, k_classifier = jax.random.split(key, 4)
    experts, snapshots = jax.tree.leaves(data.pool)[0].shape[:2]
    expert = jax.random.randint(k_expert, (), 0, experts, jnp.int32)

    def at(place):
      return jax.tree.map(lambda leaf: leaf[expert, place], data.pool)

    if between == "mix":
      share = jax.random.uniform(k_features, (), jnp.float32)
      first, last = at(0), at(snapshots - 1)
      drawn = Trained(
          jax.tree.map(
              lambda a, b: b + share.astype(a.dtype) * (a - b), first, last),
          last)
    else:
      place = jax.random.randint(k_features, (), 0, snapshots, jnp.int32)
      later = jax.random.randint(
          k_classifier, (), place, jnp.minimum(place + span, snapshots),
          jnp.int32)
      drawn = Trained(at(place), at(later))
    return sample(k_batch, data.split)._replace(extra=drawn)

  return both


def trained_matching(
    network: Network,
    members: Array,
    *,
    sample: Sampler,
    weight: float = 1.0,
    calibration: float = 1.0,
    distance: Distance = distances.means,
    features: Callable[[Array, Array], Array] | None = None,
    augmentation: Augmentation | None = None,
    chunk: int | None = None,
    mesh: jax.sharding.Mesh | None = None) -> Objective:
  """Matches embeddings under trained networks, which also classify the set.

  Args:
    network: of the pool.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `(key, data) -> Batch` whose `extra` is a `Trained`, see
      `with_snapshots`.
    weight: w, of the distances.
    calibration: a, of the mean cross-entropy on the samples, summed over
      classes; 0 for none.
    distance: see `distribution_matching`.
    features: see `distribution_matching`.
    augmentation: of both batches, one draw for a class and step; of the samples
      alone, one draw, for the cross-entropy.
    chunk: classes at once; see `parallel.batch_map`.
    mesh: shards the classes.

  Returns:
    An `Objective`. Metrics: `matching` and `calibration`, before weighting.
  """
  matching = distribution_matching(
      network,
      members,
      sample=sample,
      features=features,
      distance=distance,
      augmentation=augmentation,
      member=lambda batch: batch.extra.features,
      chunk=chunk,
      mesh=mesh)
  augmentation = augmentation or identity()

  def classified(key, samples: Samples, batch: Batch):
    k_draw, k_apply = jax.random.split(key)
    draw = augmentation.draw(k_draw, samples.inputs.shape, 1)
    logits, _ = network.apply(
        batch.extra.classifier,
        augmentation.apply(draw, samples.inputs),
        key=k_apply)
    return len(members) * cross_entropy(logits, samples.labels)

  def loss(key, samples: Samples, state, batch: Batch):
    k_match, k_classify = jax.random.split(key)
    value, (state, _) = matching.loss(k_match, samples, state, batch)
    parts = {"matching": value}
    total = weight * value
    if calibration:
      parts["calibration"] = classified(k_classify, samples, batch)
      total += calibration * parts["calibration"]
    return total, (state, parts)

  return Objective(sample, matching.init, loss, ("codes", "labels"))
