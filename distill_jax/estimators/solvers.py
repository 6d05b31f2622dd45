"""Solvers of smooth convex problems, for `estimators.implicit`.

Adam with the automatic rate of RCIG (Loo et al., "Dataset Distillation with
Convexified Implicit Gradients", 2023, arXiv 2302.06755), and conjugate
gradients, which have none. Both stop after a number of steps, converged or not.

Differences from the published code: the first rate is found at the first solve
of a run and not before it; a loss that is not a number counts as a failure.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax.types import Array, PyTree

_FIRST_RATE = 1e-5
_MOST_TRIALS = 100  # of 1.2 times the rate each: a factor of 8e7
_FAILED, _MONOTONE = 0.29, 0.7  # shares of solves


class Solver(NamedTuple):
  """How a convex function is minimised.

  Attributes:
    init: `() -> state`.
    solve: `(gradient_of, start, state) -> v, state`, with `gradient_of(v)` a
      value and its gradient.
  """

  init: Callable[[], PyTree]
  solve: Callable[..., tuple[PyTree, PyTree]]


def by_conjugate_gradients(num_steps: int = 20) -> Solver:
  """A Newton step, its system solved by conjugate gradients from zero.

  Exact for a quadratic once `num_steps` reaches the number of different
  eigenvalues of its Hessian.

  Args:
    num_steps: Hessian-vector products, at least 1.
  """
  _check_steps(num_steps)

  def solve(gradient_of, start, state):
    gradient, product = jax.linearize(lambda v: gradient_of(v)[1], start)
    step, _ = jax.scipy.sparse.linalg.cg(
        product,
        gradient,
        maxiter=num_steps,
        tol=float(jnp.finfo(jax.tree.leaves(start)[0].dtype).eps))
    return jax.tree.map(jnp.subtract, start, step), state

  return Solver(lambda: (), solve)


class Rate(NamedTuple):
  """Attributes:
    rate: [] step size of Adam; 0 before it is tuned.
    solves: [] int32, since it was last reconsidered.
    failed: [] int32, those whose last loss was not below their first.
    monotone: [] int32, those whose loss fell at every step.
  """

  rate: Array
  solves: Array
  failed: Array
  monotone: Array


def by_adam(
    num_steps: int = 20,
    *,
    rate: float | None = None,
    window: int | None = 50) -> Solver:
  """Steps of Adam, at a rate that tunes itself as published.

  The first solve finds the rate: from 1e-5, 1.2 times more for as long as the
  loss falls at every step, and 0.7 times what comes after. From then on, every
  `window` solves it becomes 0.9 times itself where at least 29 % of them failed
  to lower the loss, else 1.05 times where at least 70 % lowered it at every
  step. RCIG leaves the rate of u as it was found: `window=None`.

  Args:
    num_steps: at least 2.
    rate: positive, where it starts instead.
    window: solves, at least 1, or None for never.
  """
  _check_steps(num_steps, 2)
  if rate is not None and not rate > 0:
    raise ValueError(f"`rate` must be positive or None; got {rate}.")
  if window is not None and window < 1:
    raise ValueError(f"`window` must be at least 1 or None; got {window}.")
  adam = optax.scale_by_adam()

  def init():
    zero = jnp.zeros((), jnp.int32)
    return Rate(jnp.asarray(rate or 0.0, float), zero, zero, zero)

  def descend(gradient_of, start, rate):

    def step(carry, _):
      v, state = carry
      loss, gradient = gradient_of(v)
      direction, state = adam.update(gradient, state)
      v = jax.tree.map(lambda p, d: p - rate.astype(p.dtype) * d, v, direction)
      return (v, state), loss

    (v, _), losses = lax.scan(step, (start, adam.init(start)), length=num_steps)
    return v, losses

  def tuned(gradient_of, start):

    def falling(carry):
      trials, _, losses = carry
      return (trials < _MOST_TRIALS) & _is_monotone(losses)

    def raised(carry):
      trials, rate, _ = carry
      return trials + 1, 1.2 * rate, descend(gradient_of, start, rate)[1]

    shape = jax.eval_shape(lambda v: gradient_of(v)[0], start)
    first = -jnp.arange(num_steps, dtype=shape.dtype)
    begin = jnp.asarray(_FIRST_RATE, float)
    return 0.7 * lax.while_loop(falling, raised, (0, begin, first))[1]

  def solve(gradient_of, start, state: Rate):
    current = lax.cond(
        state.rate > 0, lambda: state.rate, lambda: tuned(gradient_of, start))
    v, losses = descend(gradient_of, start, current)
    state = Rate(
        current, state.solves + 1, state.failed + ~(losses[-1] <= losses[0]),
        state.monotone + _is_monotone(losses))
    return v, state if window is None else _reconsidered(state, window)

  return Solver(init, solve)


def _is_monotone(losses: Array) -> Array:
  return (jnp.diff(losses) < 0).all()


def _reconsidered(state: Rate, window: int) -> Rate:
  """The rate after `window` solves; the counts then begin anew."""
  due = state.solves >= window
  factor = jnp.where(
      state.failed >= _FAILED * window, 0.9,
      jnp.where(state.monotone >= _MONOTONE * window, 1.05, 1.0))
  rate = state.rate * jnp.where(due, factor, 1.0)
  return Rate(rate, *(jnp.where(due, 0, count) for count in state[1:]))


def _check_steps(num_steps: int, least: int = 1):
  if num_steps < least:
    raise ValueError(f"`num_steps` must be at least {least}; got {num_steps}.")
