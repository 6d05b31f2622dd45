"""Matching of training trajectories: MTT, and what FTD, TESLA, DATM share.

Cazenavette et al., "Dataset Distillation by Matching Training Trajectories",
2022, arXiv 2203.11932. An expert trained on real data left its weights theta_t
after every epoch t. A student starts from theta_t, takes N steps of plain
gradient descent on batches of the distilled samples, each augmented, and is to
arrive where the expert was M epochs later:

    L(S, a) = |theta^_N - theta_{t+M}|^2 / |theta_t - theta_{t+M}|^2

over all weights as one vector. S and the step size a are learned through all N
steps. L = 1 is no progress at all.

FTD is this with other experts (`flatness`) and averaged samples (`tracking`),
DATM with learned soft labels, another choice of t, and steps that are skipped
above a loss (`datm`). TESLA (Cui et al., "Scaling Up Dataset Distillation to
ImageNet-1K with Constant Memory", 2023, arXiv 2211.10586) treats the weights on
the way as constants (`freeze`). With g_i the gradient at step i, G their sum
and D the denominator above,

    dL/dX_i = (2 / D) [a (theta_{t+M} - theta_t) + a^2 G]' dg_i/dX_i
    dL/da   = -(2 / D) G' (theta_t - a G - theta_{t+M})

where g_i is a function of its own batch X_i alone: an approximation that is
exact for the last step only. TESLA's released code applies half of dL/dX_i, so
published rates of the samples must be halved here.

Where the published code takes a smaller last batch of each pass over the set,
samples beyond a whole number of batches sit out here until the next pass, whose
order is new.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from distill_jax.augmentation import Augmentation
from distill_jax.inner_loop import train_in_order
from distill_jax.labels import cross_entropy, probabilities
from distill_jax.nn import vector
from distill_jax.types import Array, Loss, Network, Objective, Sampler, Samples


class Segment(NamedTuple):
  """A stretch of an expert's path, its weights as vectors (`nn.vector`).

  Attributes:
    start: [n] weights from which the student sets out.
    target: [n] where the expert arrived.
  """

  start: Array
  target: Array


def as_fed(key: Array, segment: Segment) -> Segment:
  """The sampler of segments drawn beforehand (`distill(per_step=...)`)."""
  del key
  return segment


def trajectory_matching(
    network: Network,
    *,
    num_steps: int,
    batch_size: int | None = None,
    sample: Sampler = as_fed,
    augmentation: Augmentation | None = None,
    loss: Loss = cross_entropy,
    teacher: bool = False,
    remat: bool = True,
    freeze: bool = False) -> Objective:
  """Distance from an expert's weights after training on the distilled set.

  The set has one step size (`raw_step_sizes` [1]), which all steps share. The
  published rates are for one that is learned as it is: `backprop` with
  `positive=lambda raw: raw`, and `outer_loop.step_size_floor` beside it.

  Args:
    network: that of the experts.
    num_steps: N, steps of the student.
    batch_size: samples a step; by default, and at most, all of them.
    sample: `(key, data) -> Segment`; by default the data are one.
    augmentation: of each batch, one draw an image, fresh each step.
    loss: inner loss, a mean over rows, as in `train_in_order`; for labels that
      are learned as logits `labels.cross_entropy_of_logits`.
    teacher: replaces the labels by what the target's weights say of the
      samples (TESLA's soft labels).
    remat: see `inner_loop.train_in_order`.
    freeze: take TESLA's gradient; see `inner_loop.train_in_order`.

  Returns:
    An `Objective`. Metrics: `step_size`.
  """
  if num_steps < 1 or (batch_size is not None and batch_size < 1):
    raise ValueError(
        "`num_steps` and `batch_size` must be at least 1; got "
        f"{num_steps} and {batch_size}.")

  def init(key, samples):
    del key, samples
    return ()

  def objective(key, samples: Samples, state, segment: Segment):
    if samples.step_sizes.shape != (1,):
      raise ValueError(
          "`raw_step_sizes` must hold the one step size of all steps; got "
          f"shape {samples.step_sizes.shape}.")
    k_init, k_rows, k_train = jax.random.split(key, 3)
    # Statistics start anew; the weights drawn beside them are never computed.
    fresh = network.init(k_init, samples.inputs[:1])

    def with_weights(weights):
      return {**fresh, "params": vector.unflatten(weights, fresh["params"])}

    step_size, = samples.step_sizes
    samples = samples._replace(
        step_sizes=jnp.broadcast_to(step_size, num_steps))
    if teacher:
      logits, _ = network.apply(with_weights(segment.target), samples.inputs)
      labels = jax.lax.stop_gradient(probabilities(logits))
      samples = samples._replace(labels=labels)
    order = random_batches(k_rows, len(samples.inputs), batch_size, num_steps)
    trained = train_in_order(
        k_train,
        network,
        with_weights(segment.start),
        samples,
        order,
        augmentation=augmentation,
        loss=loss,
        remat=remat,
        freeze=freeze)
    missed = _squares(vector.flatten(trained["params"]) - segment.target)
    value = missed / _squares(segment.start - segment.target)
    return value, (state, {"step_size": step_size})

  return Objective(sample, init, objective)


def random_batches(
    key: Array, num_samples: int, batch_size: int | None,
    num_steps: int) -> Array:
  """[N, n] int32, the samples of each step: pass after pass, each shuffled.

  Args:
    key: consumed.
    num_samples: M.
    batch_size: n; for None, or M and more, each step has all samples, and the
      result is [1, M].
    num_steps: N.
  """
  size = min(batch_size or num_samples, num_samples)
  if size == num_samples:
    return jnp.arange(num_samples, dtype=jnp.int32)[None]
  each = num_samples // size
  keys = jax.random.split(key, -(-num_steps // each))
  rows = jnp.arange(num_samples, dtype=jnp.int32)
  passes = jax.vmap(lambda key: jax.random.permutation(key, rows))(keys)
  return passes[:, :each * size].reshape(-1, size)[:num_steps]


def _squares(difference: Array) -> Array:
  return jnp.square(difference).sum()
