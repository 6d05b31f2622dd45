"""Distribution matching on networks that were trained on the real data.

    w sum_c d( mean of psi(A(real_c)), mean of psi(A(S_c)) )
      + a sum_c mean_i CE( g(A(S_ci)), y_ci )

psi is the embedding of a network that is fully or partly trained; g gives the
outputs of a network that is trained as far or farther. psi shows where the real
classes lie, g whether samples can be told apart. The networks are trained on
the real data once, before the first step, and each step draws two of them.
Nothing is trained on the set, so there are no second derivatives and no inner
loop.

TGDD (Ran et al., "TGDD: Trajectory Guided Dataset Distillation with Balanced
Distribution", 2025, arXiv 2512.02469) draws psi among the snapshots of an
expert, one after each epoch, and g among the next few snapshots of the same
expert. DANCE (Zhang et al., 2024, arXiv 2406.01063) mixes the first and the
last weights for psi and takes the last ones for g; NCFM does the same with
another distance (see `ncfm`). Differences from their code: all classes are
updated in one step, and the cross-entropy has its own augmentation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from distill_jax import distances
from distill_jax.augmentation import Augmentation, identity
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
  """Two networks that are drawn together, the `extra` of a batch.

  Attributes:
    features: variables of psi.
    classifier: variables of g.
  """

  features: PyTree
  classifier: PyTree


class PooledData(NamedTuple):
  """Real data and networks that were trained on them.

  Attributes:
    split: real data.
    pool: variables of networks, with leading axes; see `with_networks`.
  """

  split: Any
  pool: PyTree


def with_networks(
    sample: Sampler, draw: Callable[[Array, PyTree],
                                    Trained]) -> Callable[..., Batch]:
  """Returns a sampler whose batches have two networks of a pool as `extra`.

  The leaves of a pool have a leading axis [P]; one of its P members is drawn
  uniformly for each batch.

  Args:
    sample: sampler of the real data.
    draw: `(key, member) -> Trained`, such as `later_snapshots`.

  Returns:
    `(key, PooledData) -> Batch`.
  """

  def both(key, data: PooledData):
    k_batch, k_member, k_draw = jax.random.split(key, 3)
    size = len(jax.tree.leaves(data.pool)[0])
    row = jax.random.randint(k_member, (), 0, size)
    member = jax.tree.map(lambda leaf: leaf[row], data.pool)
    batch = sample(k_batch, data.split)
    return batch._replace(extra=draw(k_draw, member))

  return both


def later_snapshots(span: int = 7) -> Callable[[Array, PyTree], Trained]:
  """Draws psi among the snapshots of an expert, and g at or after psi (TGDD).

  A member of the pool is an expert: variables with a leading axis [E + 1], its
  snapshots before the first epoch and after each epoch.

  Args:
    span: L, at least 1. If psi is snapshot s, g is drawn uniformly from the
      existing ones of s, ..., s + L - 1.
  """
  if span < 1:
    raise ValueError(f"`span` must be at least 1; got {span}.")

  def draw(key, snapshots):
    k_features, k_classifier = jax.random.split(key)
    size = len(jax.tree.leaves(snapshots)[0])
    place = jax.random.randint(k_features, (), 0, size)
    later = jax.random.randint(
        k_classifier, (), place, jnp.minimum(place + span, size))
    return Trained(_at(snapshots, place), _at(snapshots, later))

  return draw


def first_and_last(key: Array, snapshots: PyTree) -> Trained:
  """Applies `mixed` to the first and last snapshot of an expert (DANCE)."""
  return mixed(key, _at(snapshots, 0), _at(snapshots, -1))


def mixed(key: Array, first: PyTree, last: PyTree) -> Trained:
  """Draws psi uniformly on the line between two networks; g is the last one.

  Args:
    key: consumed.
    first: variables.
    last: variables.
  """
  share = jax.random.uniform(key, (), jnp.float32)
  features = jax.tree.map(
      lambda a, b: a + share.astype(a.dtype) * (b - a), first, last)
  return Trained(features, last)


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
    chunk: int | None = None) -> Objective:
  """Matches embeddings under trained networks, which also classify the set.

  Args:
    network: the network of the pool.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `(key, data) -> Batch` whose `extra` is a `Trained`, see
      `with_networks`.
    weight: w, weight of the distances.
    calibration: a, weight of the cross-entropy of g; 0 for none.
    distance: see `distribution_matching`.
    features: see `distribution_matching`.
    augmentation: one draw per class and step for real and distilled samples,
      and one draw for the cross-entropy.
    chunk: number of classes processed at once; see `parallel.batch_map`.

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
      chunk=chunk)
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


def _at(snapshots: PyTree, place) -> PyTree:
  return jax.tree.map(lambda leaf: leaf[place], snapshots)
