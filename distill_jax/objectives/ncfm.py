"""Matching of characteristic functions: NCFM.

Wang et al., "Dataset Distillation with Neural Characteristic Function", 2025,
arXiv 2502.20653. With f the embedding of a partly trained network, scaled to
unit length, the characteristic function of a batch is

    Phi(t) = mean_x exp( i t'f(A(x)) ),   t ~ N(0, scale^2 I), drawn each step

    300 sum_c mean_t sqrt( a (|Phi| - |Phi~|)^2
                           + (1 - a) 2 (|Phi| |Phi~| - Re(Phi conj(Phi~))) )

for real (Phi) and distilled samples (Phi~) of class c: amplitudes carry
diversity, phases realism. As the two terms add up to |Phi - Phi~|^2, a = 1/2
does not tell them apart. It is distribution matching on the features cos(t'f)
and sin(t'f), and is written so.

The published code adds the cross-entropy of a trained network on the distilled
samples (`calibration`), which the paper does not discuss; it alternates the two
losses where they are summed here, and takes real samples in file order where
they are drawn here. Frequencies are Gaussian; the learned sampler is left out.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax import distances
from distill_jax.augmentation import Augmentation
from distill_jax.data.source import Split
from distill_jax.inner_loop import train_epoch_on
from distill_jax.mixing import Mixing
from distill_jax.objectives.trained import (
    mixed,
    trained_matching,
    with_networks,
)
from distill_jax.types import (
    Array,
    Batch,
    Network,
    Objective,
    PyTree,
    Sampler,
)

_WEIGHT = 300.0
_normal = jax.random.normal


class Members(NamedTuple):
  """Networks before and after training on real data.

  Attributes:
    start: variables with one leading axis [P].
    end: the same, trained.
  """

  start: PyTree
  end: PyTree


def train_member(
    key: Array,
    network: Network,
    split: Split,
    *,
    num_epochs: int = 60,
    step_size: float = 0.01,
    batch_size: int = 128,
    augmentation: Augmentation | None = None,
    mixing: Mixing | None = None) -> Members:
  """One network of a pool, before and after training on real data.

  Steps with momentum 0.9 and weight decay 5e-4, five times smaller from 2/3 and
  again from 5/6 of the epochs on, as published.

  Args:
    key: consumed.
    network: what is trained.
    split: real data, a `data.Split`.
    num_epochs: at least 1.
    step_size: positive.
    batch_size: at most the split is used.
    augmentation: of each batch; published: color and crop.
    mixing: of each batch; published: CutMix on every other.

  Returns:
    A `Members` without the leading axis; stack several, or `vmap` over keys.
  """
  if num_epochs < 1:
    raise ValueError(f"`num_epochs` must be at least 1; got {num_epochs}.")
  batch_size = min(batch_size, split.num_samples)
  per_epoch = split.num_samples // batch_size
  rate = optax.piecewise_constant_schedule(
      step_size, {
          per_epoch * (2 * num_epochs // 3): 0.2,
          per_epoch * (5 * num_epochs // 6): 0.2
      })
  optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(rate, 0.9))
  k_init, k_epochs = jax.random.split(key)
  start = network.init(k_init, split.encode(split.inputs[:1]))

  def epoch(carry, key):
    variables, state = carry
    return train_epoch_on(
        key,
        variables,
        state,
        split,
        network=network,
        optimizer=optimizer,
        batch_size=batch_size,
        augmentation=augmentation,
        mixing=mixing), None

  carry = start, optimizer.init(start["params"])
  keys = jax.random.split(k_epochs, num_epochs)
  (end, _), _ = lax.scan(epoch, carry, keys)
  return Members(start, end)


def with_member(sample: Sampler) -> Callable[..., Batch]:
  """`trained.with_networks`, for a pool of `Members`."""
  return with_networks(sample, lambda key, member: mixed(key, *member))


def characteristic_matching(
    network: Network,
    members: Array,
    *,
    sample: Sampler,
    num_frequencies: int = 1024,
    scale: float = 1.0,
    amplitude: float = 0.5,
    calibration: float = 1.0,
    augmentation: Augmentation | None = None,
    chunk: int | None = None) -> Objective:
  """Matches characteristic functions class by class, under a pool's networks.

  Args:
    network: that of the pool.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `with_member(per_class(n))`.
    num_frequencies: of t, fresh for each class and step.
    scale: their standard deviation; larger looks beyond the mean.
    amplitude: a in [0, 1].
    calibration: weight of the trained network's mean cross-entropy on the
      samples, summed over classes; 0 for none.
    augmentation: of both batches, one draw for a class and step; of the samples
      alone, one draw, for calibration.
    chunk: classes at once; see `parallel.batch_map`.

  Returns:
    An `Objective`. Metrics: `matching` and `calibration`, before weighting.
  """
  if num_frequencies < 1 or not scale > 0 or not 0 <= amplitude <= 1:
    raise ValueError(
        "`num_frequencies` must be at least 1, `scale` positive, `amplitude` "
        f"in [0, 1]; got {num_frequencies}, {scale} and {amplitude}.")

  def features(key, embedding):
    squares = jnp.square(embedding).sum(-1, keepdims=True)
    unit = embedding * lax.rsqrt(jnp.maximum(squares, 1e-24))
    shape = (unit.shape[-1], num_frequencies)
    frequencies = scale * _normal(key, shape, unit.dtype)
    phase = jnp.matmul(unit, frequencies, precision=lax.Precision.HIGHEST)
    return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], -1)

  return trained_matching(
      network,
      members,
      sample=sample,
      weight=_WEIGHT,
      calibration=calibration,
      features=features,
      distance=distances.characteristic(amplitude),
      augmentation=augmentation,
      chunk=chunk)
