"""Gradients that lead to flat minima: SAM and GSAM.

Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
Generalization", 2020, arXiv 2010.01412; Zhuang et al., "Surrogate Gap
Minimization Improves Sharpness-Aware Training", 2022, arXiv 2203.08065. FTD
trains its experts with them (Du et al., "Minimizing the Accumulated Trajectory
Error to Improve Dataset Distillation", 2023, arXiv 2211.11004). g is the
gradient of a batch at theta, and e a step that increases the loss:

    e  = rho theta^2 g / || |theta| g ||        (adaptive; else rho g / ||g||)
    g' = gradient of the same batch at theta + e
    direction = g' - a (g's part orthogonal to g')

Norms are over all weights together. With a = 0 the direction is SAM's.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from distill_jax.types import PyTree

_SMALL = 1e-12

# `(gradient_of, params) -> (value, aux), direction`. `gradient_of` is the
# `jax.value_and_grad` of a batch's loss, with aux.
GradientRule = Callable[[Callable, PyTree], tuple]


def plain(gradient_of: Callable, params: PyTree):
  """The gradient itself."""
  return gradient_of(params)


def flat_minima(
    radius: float = 0.01,
    *,
    surrogate_gap: float = 0.0,
    adaptive: bool = True) -> GradientRule:
  """SAM's direction; GSAM's if the surrogate gap has a weight.

  Args:
    radius: rho, positive.
    surrogate_gap: a, weight of the surrogate gap, at least 0.
    adaptive: whether the step e is scaled by the weights.

  Returns:
    A rule for `inner_loop.training_step`; it takes two gradients per step.
  """
  if not radius > 0 or not surrogate_gap >= 0:
    raise ValueError(
        "`radius` must be positive and `surrogate_gap` at least 0; got "
        f"{radius} and {surrogate_gap}.")

  def rule(gradient_of, params):
    result, gradient = gradient_of(params)
    step = gradient
    scaled = gradient
    if adaptive:
      step = jax.tree.map(lambda p, g: p * p * g, params, gradient)
      scaled = jax.tree.map(lambda p, g: jnp.abs(p) * g, params, gradient)
    reach = radius / (optax.tree.norm(scaled) + _SMALL)
    _, there = gradient_of(
        jax.tree.map(lambda p, e: p + reach * e, params, step))
    if not surrogate_gap:
      return result, there
    length = optax.tree.norm(there) + _SMALL
    along = optax.tree.vdot(gradient, there) / length**2
    return result, jax.tree.map(
        lambda g, new: new - surrogate_gap * (g - along * new), gradient, there)

  return rule
