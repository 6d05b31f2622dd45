"""DP-SGD as a recipe: training with differential privacy.

Abadi et al., "Deep Learning with Differential Privacy", 2016, arXiv 1607.00133,
algorithm 1. In each step every sample is drawn with the same probability q,
independently of the others (Poisson sampling, which the accounting assumes).
The gradient of each drawn sample is clipped to length C:

    g = ( sum_i g_i min(1, C / |g_i|) + N(0, sigma^2 C^2 I) ) / (q N)

The recipe only adds the noise. The privacy guarantee follows from q, the number
of steps and sigma; see `applications.accounting`.
"""

import functools

import jax
import jax.numpy as jnp
import optax

from distill_jax.evaluation.recipe import Recipe, check_counts, check_rule
from distill_jax.inner_loop import keeps_statistics
from distill_jax.labels import cross_entropy
from distill_jax.types import TrainingSet

RARE = 1e-15  # probability that a step draws more samples than fit


@functools.cache
def dp_sgd(
    num_steps: int = 100,
    *,
    noise_multiplier: float = 1.0,
    batch_size: int = 500,
    clip_norm: float = 1.0,
    step_size: float = 1.0,
    momentum: float = 0.0) -> Recipe:
  """SGD on clipped gradients of single samples, with Gaussian noise.

  Networks with batch statistics are refused, because these statistics would
  reveal something about the samples without noise.

  Args:
    num_steps: T, number of updates.
    noise_multiplier: sigma, the standard deviation of the noise divided by
      `clip_norm`; positive.
    batch_size: q N, mean number of samples per step; at most the size of the
      set.
    clip_norm: C, largest norm of the gradient of one sample; positive.
    step_size: constant step size, positive.
    momentum: in [0, 1).
  """
  check_counts(num_steps=num_steps, batch_size=batch_size)
  check_rule(step_size, momentum)
  for name, value in (("noise_multiplier", noise_multiplier), ("clip_norm",
                                                               clip_norm)):
    if not value > 0:
      raise ValueError(f"`{name}` must be positive; got {value}.")

  def train(key, network, variables, training_set: TrainingSet):
    if keeps_statistics(variables):
      raise ValueError(
          "`network` must keep no statistics of its batches for dp_sgd, as "
          "they would tell of samples without noise. Take norm instance, "
          "group or none.")
    inputs, labels = training_set.samples.inputs, training_set.samples.labels
    size = len(inputs)
    rate = min(1.0, batch_size / size)
    room = capacity(size, rate)
    k_noise, k_steps = jax.random.split(key)
    # The mean is over `room` gradients, of which q N are not zero on average.
    optimizer = optax.chain(
        optax.contrib.differentially_private_aggregate(
            clip_norm, noise_multiplier, k_noise),
        optax.sgd(step_size * room / (rate * size), momentum or None))
    rest = {k: v for k, v in variables.items() if k != "params"}

    def loss(params, k_apply, x, y):
      logits, _ = network.apply({
          **rest, "params": params
      },
                                x[None],
                                key=k_apply,
                                train=True)
      return cross_entropy(logits, y[None])

    def step(carry, k_step):
      params, state = carry
      k_rows, k_apply = jax.random.split(k_step)
      taken = jax.random.bernoulli(k_rows, jnp.float32(rate), (size,))
      rows = jnp.nonzero(taken, size=room, fill_value=0)[0]
      counts = jnp.arange(room) < taken.sum()
      gradients = jax.vmap(jax.grad(loss), (None, 0, 0, 0))(
          params, jax.random.split(k_apply, room), inputs[rows], labels[rows])
      gradients = jax.tree.map(
          lambda leaf: jnp.where(
              counts.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0), gradients)
      updates, state = optimizer.update(gradients, state, params)
      return (optax.apply_updates(params, updates), state), None

    params = variables["params"]
    (params, _), _ = jax.lax.scan(
        step, (params, optimizer.init(params)),
        jax.random.split(k_steps, num_steps))
    return {**rest, "params": params}

  return Recipe(
      "dp_sgd", train,
      (("num_steps", num_steps), ("noise_multiplier", noise_multiplier),
       ("batch_size", batch_size), ("clip_norm", clip_norm),
       ("step_size", step_size), ("momentum", momentum)))


def capacity(size: int, rate: float) -> int:
  """Number of samples per step to make room for; see `RARE`.

  Args:
    size: N.
    rate: q, in (0, 1].
  """
  from scipy.stats import binom

  return size if rate >= 1 else min(size, int(binom.isf(RARE, size, rate)) + 1)
