"""NCFM: matching of characteristic functions.

Wang et al., "Dataset Distillation with Neural Characteristic Function", 2025,
arXiv 2502.20653. With f the embedding of a partly trained network, scaled to
unit length, the characteristic function of a batch is

    Phi(t) = mean_x exp( i t'f(A(x)) ),   t ~ N(0, scale^2 I), drawn each step

    300 sum_c mean_t sqrt( a (|Phi| - |Phi~|)^2
                           + (1 - a) 2 (|Phi| |Phi~| - Re(Phi conj(Phi~))) )

for real (Phi) and distilled (Phi~) samples of class c. Amplitudes represent
diversity, phases realism. As the two terms add up to |Phi - Phi~|^2, a = 1/2
weighs them equally. The objective equals distribution matching on the features
cos(t'f) and sin(t'f), and is implemented so.

The published code adds the cross-entropy of a trained network on the distilled
samples (`calibration`), which the paper does not discuss. It alternates the two
losses; here they are summed. It takes real samples in file order; here they are
drawn at random. Frequencies are Gaussian; the learned sampler is left out.
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
    start: variables before training, with one leading axis [P].
    end: variables after training, likewise.
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
  """Trains one network of a pool on real data.

  SGD with momentum 0.9 and weight decay 5e-4. As published, the step size falls
  to a fifth after 2/3 of the epochs, and again after 5/6.

  Args:
    key: consumed.
    network: the network that is trained.
    split: real data, a `data.Split`.
    num_epochs: at least 1.
    step_size: positive.
    batch_size: at most the whole split is used.
    augmentation: augmentation of each batch; published: color and crop.
    mixing: mixing of each batch; published: CutMix on every other batch.

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
    network: the network of the pool.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `with_member(per_class(n))`.
    num_frequencies: number of frequencies t, drawn for each class and step.
    scale: standard deviation of the frequencies; a larger one compares more
      than the means.
    amplitude: a in [0, 1].
    calibration: weight of the trained network's mean cross-entropy on the
      distilled samples, summed over classes; 0 for none.
    augmentation: one draw per class and step for both batches, and one draw for
      the samples in `calibration`.
    chunk: number of classes processed at once; see `parallel.batch_map`.

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
