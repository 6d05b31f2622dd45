"""Weighted sums of objectives, for hybrids of the field's methods."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax.types import FIELDS, Array, Objective, PyTree, Samples


def weighted_sum(
    *objectives: Objective, weights: tuple[float, ...]) -> Objective:
  """`sum_i w_i L_i / |grad L_i|`, with gradient norms of the first outer step.

  The loss of gradient matching is in the thousands, that of distribution
  matching in units. Each part is therefore divided by the norm of its own first
  gradient with respect to samples and labels, so that the weights are
  comparable.

  Args:
    *objectives: the parts; each draws its own real data and keeps its own
      state.
    weights: one positive weight per part.

  Returns:
    An `Objective`. Metrics are `part0`, `part1`, ... before weighting, and the
    metrics of each part below `part0/`, ...

  Example:
    objective = dd.weighted_sum(objective, objective, weights=(1.0, 0.5))
  """
  if len(weights) != len(objectives) or not weights or min(weights) <= 0:
    raise ValueError(
        "`weights` must be positive, one for each objective; got "
        f"{weights} for {len(objectives)}.")

  def sample(key, data):
    keys = jax.random.split(key, len(objectives))
    return tuple(
        o.sample(k, data) for o, k in zip(objectives, keys, strict=True))

  def init(key, samples):
    keys = jax.random.split(key, len(objectives))
    states = tuple(
        o.init(k, samples) for o, k in zip(objectives, keys, strict=True))
    return states, jnp.zeros((len(objectives),), samples.inputs.dtype)

  def loss(key, samples: Samples, state, batches):
    states, scales = state
    keys = jax.random.split(key, len(objectives))
    total: Any = 0.0
    after, used, metrics = [], [], {}
    for i, objective in enumerate(objectives):
      value, gradient, (own, info) = _with_gradient(
          objective.loss, keys[i], samples, states[i], batches[i])
      norm = optax.tree.norm(gradient).astype(scales.dtype)
      scale = jnp.where(scales[i] > 0, scales[i], norm)
      scale = jnp.where(scale > 0, scale, 1)  # for a part without gradient
      total += weights[i] / scale * _tangent(value, gradient, samples)
      after.append(own)
      used.append(scale)
      metrics[f"part{i}"] = value
      metrics |= {f"part{i}/{name}": value for name, value in info.items()}
    return total, ((tuple(after), jnp.stack(used)), metrics)

  reads = tuple(f for f in FIELDS if any(f in o.reads for o in objectives))
  return Objective(sample, init, loss, reads)


def _with_gradient(
    loss: Callable, key: Array, samples: Samples, state: PyTree,
    batch: PyTree) -> tuple[Array, Samples, tuple]:
  gradient_of = jax.value_and_grad(loss, argnums=1, has_aux=True)
  (value,
   aux), gradient = gradient_of(key, lax.stop_gradient(samples), state, batch)
  return value, gradient, aux


def _tangent(value: Array, gradient: Samples, samples: Samples) -> Array:
  """`value`, with `gradient` as its derivative; not differentiable twice."""
  here = lax.stop_gradient(samples)
  slopes = jax.tree.map(
      lambda g, x, x0: jnp.vdot(lax.stop_gradient(g), x - x0), gradient,
      samples, here)
  return lax.stop_gradient(value) + sum(jax.tree.leaves(slopes))
