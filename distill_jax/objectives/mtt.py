"""Trajectory matching: MTT, and the parts that FTD, TESLA and DATM share.

Cazenavette et al., "Dataset Distillation by Matching Training Trajectories",
2022, arXiv 2203.11932. An expert is a network trained on real data; its weights
theta_t were saved after every epoch t. A student starts from theta_t and takes
N steps of plain gradient descent on batches of augmented distilled samples. It
should arrive at the expert's weights M epochs later:

    L(S, a) = |theta^_N - theta_{t+M}|^2 / |theta_t - theta_{t+M}|^2

over all weights as one vector. The samples S and the step size a are learned
through all N steps. L = 1 means no progress at all.

FTD is this objective with other experts (`flatness`) and averaged samples
(`tracking`). DATM uses learned soft labels, another choice of t, and skips
outer steps with a high loss (`datm`). TESLA (Cui et al., "Scaling Up Dataset
Distillation to ImageNet-1K with Constant Memory", 2023, arXiv 2211.10586)
treats the intermediate weights as constants (`freeze`). With g_i the gradient
at step i, G their sum and D the denominator above,
and D the denominator above,

    dL/dX_i = (2 / D) [a (theta_{t+M} - theta_t) + a^2 G]' dg_i/dX_i
    dL/da   = -(2 / D) G' (theta_t - a G - theta_{t+M})

where g_i is a function of its own batch X_i only. This approximation is exact
for the last step only. TESLA's released code applies half of dL/dX_i, so its
published rates of the samples must be halved here.

The published code uses a smaller last batch in each pass over the set. Here,
samples beyond a whole number of batches are left out until the next pass, whose
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
  """A segment of an expert's trajectory; weights are vectors (`nn.vector`).

  Attributes:
    start: [n] weights from which the student starts.
    target: [n] weights of the expert at the end of the segment.
  """

  start: Array
  target: Array


def as_fed(key: Array, segment: Segment) -> Segment:
  """The sampler for segments that are fed (`distill(per_step=...)`)."""
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
  """Distance to an expert's weights after training on the distilled set.

  The set has one step size (`raw_step_sizes` [1]) for all steps. The published
  rates are for a step size that is learned directly: use `backprop` with
  `positive=lambda raw: raw`, and `outer_loop.step_size_floor`.

  Args:
    network: the network of the experts.
    num_steps: N, number of steps of the student.
    batch_size: samples per step; by default, and at most, all of them.
    sample: `(key, data) -> Segment`; by default the data are a segment.
    augmentation: augmentation of each batch, one draw per image and step.
    loss: inner loss, a mean over rows, as in `train_in_order`; for labels that
      are learned as logits, `labels.cross_entropy_of_logits`.
    teacher: whether to replace the labels by the predictions of the target's
      weights (TESLA's soft labels).
    remat: see `inner_loop.train_in_order`.
    freeze: whether to use TESLA's gradient; see `inner_loop.train_in_order`.

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
    # Statistics start anew; only they are used of these variables, so the fresh
    # weights are never computed.
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
  """[N, n] int32, the samples of each step; every pass is shuffled anew.

  Args:
    key: consumed.
    num_samples: M.
    batch_size: n. If it is None, or at least M, each step uses all samples, and
      the result is [1, M].
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
