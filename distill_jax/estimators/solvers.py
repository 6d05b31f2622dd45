"""Solvers of smooth convex problems, for `estimators.implicit`.

Adam with the automatic rate of RCIG (Loo et al., "Dataset Distillation with
Convexified Implicit Gradients", 2023, arXiv 2302.06755), and conjugate
gradients, which need no rate. Both stop after a number of steps, converged or
not.

Differences from the published code: the first rate is found at the first solve
of a run and not before it; a NaN loss counts as a failure.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax.types import Array, PyTree

_FIRST_RATE = 1e-5
_MOST_TRIALS = 100  # each multiplies the rate by 1.2: at most 8e7 in total
_FAILED, _MONOTONE = 0.29, 0.7  # shares of solves, see `by_adam`


class Solver(NamedTuple):
  """How a convex function is minimised.

  Attributes:
    init: `() -> state`.
    solve: `(gradient_of, start, state) -> v, state`, where `gradient_of(v)`
      returns the value and its gradient.
  """

  init: Callable[[], PyTree]
  solve: Callable[..., tuple[PyTree, PyTree]]


def by_conjugate_gradients(num_steps: int = 20) -> Solver:
  """A Newton step; its linear system is solved by conjugate gradients.

  It is exact for a quadratic once `num_steps` reaches the number of different
  eigenvalues of its Hessian.

  Args:
    num_steps: number of Hessian-vector products, at least 1.
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
  """State of Adam's rate.

  Attributes:
    rate: [] step size of Adam; 0 before it is tuned.
    solves: [] int32, number of solves since the rate was last changed.
    failed: [] int32, solves whose last loss was not below their first.
    monotone: [] int32, solves whose loss fell at every step.
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
  """Steps of Adam with a rate that is tuned automatically, as published.

  The first solve finds the rate. It starts from 1e-5 and multiplies the rate by
  1.2 as long as the loss falls at every step; the result times 0.7 is used.
  From then on, the rate is changed after every `window` solves: times 0.9 if at
  least 29 % of them failed to lower the loss, else times 1.05 if at least 70 %
  lowered it at every step. RCIG keeps the first rate for u: `window=None`.

  Args:
    num_steps: at least 2.
    rate: a positive first rate, in place of the automatic one.
    window: number of solves, at least 1; None to keep the rate.
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
  """The rate after `window` solves; the counts then start again."""
  due = state.solves >= window
  factor = jnp.where(
      state.failed >= _FAILED * window, 0.9,
      jnp.where(state.monotone >= _MONOTONE * window, 1.05, 1.0))
  rate = state.rate * jnp.where(due, factor, 1.0)
  return Rate(rate, *(jnp.where(due, 0, count) for count in state[1:]))


def _check_steps(num_steps: int, least: int = 1):
  if num_steps < least:
    raise ValueError(f"`num_steps` must be at least {least}; got {num_steps}.")
