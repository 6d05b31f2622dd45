"""The gradient of a bilevel problem by the implicit-function theorem.

    min_S L_t(v*(S), S),   v*(S) = argmin_v L_S(v)

    dL_t/dS = partial_S L_t - partial_S < u, grad_v L_S(v*) >,   H u = g

with g = grad_v L_t(v*) and H the Hessian of L_S at v*: the direct part holds v*
constant, the implicit part says how v* follows S (Loo et al., "Dataset
Distillation with Convexified Implicit Gradients", 2023, arXiv 2302.06755).
Memory does not grow with the steps that find v*. Both v* and u come from a
`Solver` that is stopped early, so the gradient is exact in the limit only.

H is never formed: its products are those of one linearisation of grad L_S
(forward over reverse), and < u, grad_v L_S > is the derivative of L_S along u.

Difference from the published code: both are found by conjugate gradients by
default, which have no rate to tune and cost as much a step as Adam.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from distill_jax.constants import learnable, with_constants
from distill_jax.estimators.backprop import decoder
from distill_jax.estimators.solvers import Solver, by_conjugate_gradients
from distill_jax.types import (
    Array,
    Distilled,
    Estimator,
    InnerProblem,
    Parameterization,
    PyTree,
)


def no_longer_than_direct(direct: PyTree, implicit: PyTree) -> PyTree:
  """The implicit part, each leaf at most as long as that of the direct part.

    implicit min(1, |direct| / |implicit|)

  What is not a number becomes zero, so that a solve that fails leaves the
  direct part alone. Published as what keeps large images stable.
  """

  def shortened(direct, implicit):
    implicit = jnp.where(jnp.isnan(implicit), 0, implicit)
    length = jnp.linalg.norm(implicit.ravel())
    longest = jnp.linalg.norm(direct.ravel())
    share = jnp.where(length > longest, longest / length, 1)
    return jnp.where(jnp.isnan(share * implicit), 0, share * implicit)

  return jax.tree.map(shortened, direct, implicit)


class ImplicitState(NamedTuple):
  """Attributes:
    problem: state of the problem.
    inner: of the solver that finds v*.
    hessian: of the solver that finds u.
  """

  problem: PyTree
  inner: PyTree
  hessian: PyTree


def implicit(
    problem: InnerProblem,
    parameterization: Parameterization,
    *,
    positive: Callable[[Array], Array] = jax.nn.softplus,
    inner: Solver | None = None,
    hessian: Solver | None = None,
    limit: Callable[[PyTree, PyTree], PyTree] | None = no_longer_than_direct
) -> Estimator:
  """Direct and implicit gradient of the outer loss at the inner optimum.

  Args:
    problem: what is solved.
    parameterization: decodes once, here.
    positive: as in `backprop`.
    inner: finds v*, from the problem's start; 20 conjugate gradients by
      default, which suit a problem that is a quadratic. Published: `by_adam()`.
    hessian: finds u as the minimiser of `u'Hu / 2 - g'u`, from zero; the same
      by default. Published: `by_adam(window=None)`.
    limit: `(direct, implicit) -> implicit`, of gradients in `Distilled`; None
      leaves the implicit part as it is, NaN included.

  Returns:
    An `Estimator`. Metrics: those of the problem; `inner_residual` and
    `hessian_residual`, what is left of the gradient that each solve began with
    (norms, 0 to 1 and more); `implicit_ratio`, the length of the implicit part
    before the limit to that of the direct one.
  """
  inner = inner or by_conjugate_gradients()
  hessian = hessian or by_conjugate_gradients()
  samples_of = decoder(parameterization, positive)

  def init(key, distilled):
    state = problem.init(key, samples_of(distilled))
    return ImplicitState(state, inner.init(), hessian.init())

  def estimate(key, distilled, state: ImplicitState, batch):
    samples, pull_back = jax.vjp(
        lambda floats: samples_of(with_constants(floats, distilled)),
        learnable(distilled))
    context, problem_state = problem.draw(key, samples, state.problem)

    inner_loss = problem.inner_loss(samples, context)
    start = problem.start(samples, context)
    v, inner_state = inner.solve(
        jax.value_and_grad(inner_loss), start, state.inner)

    (value, metrics), (g, direct) = jax.value_and_grad(
        problem.outer_loss, argnums=(0, 1),
        has_aux=True)(v, samples, context, batch)

    left, product = jax.linearize(jax.grad(inner_loss), v)

    def quadratic(u):
      missed = jax.tree.map(jnp.subtract, product(u), g)
      value = optax.tree.vdot(u, jax.tree.map(jnp.subtract, missed, g)) / 2
      return value, missed

    u, hessian_state = hessian.solve(
        quadratic, jax.tree.map(jnp.zeros_like, g), state.hessian)

    def along(samples):
      return jax.jvp(problem.inner_loss(samples, context), (v,), (u,))[1]

    follows = jax.tree.map(jnp.negative, jax.grad(along)(samples))
    (direct,), (follows,) = pull_back(direct), pull_back(follows)
    metrics = {
        **metrics, "inner_residual": _ratio(left,
                                            jax.grad(inner_loss)(start)),
        "hessian_residual": _ratio(quadratic(u)[1], g),
        "implicit_ratio": _ratio(follows, direct)
    }
    if limit is not None:
      follows = limit(direct, follows)
    gradients: Distilled = jax.tree.map(jnp.add, direct, follows)
    state = ImplicitState(problem_state, inner_state, hessian_state)
    return value, gradients, state, metrics

  reads = ("codes", "labels", "extra")  # no inner problem has step sizes
  return Estimator(
      problem.sample, init, estimate, samples_of, parameterization, reads)


def _ratio(tree: PyTree, other: PyTree) -> Array:
  """The norm of one to that of another; zero where both are."""
  below = optax.tree.norm(other)
  return optax.tree.norm(tree) / jnp.where(below > 0, below, 1)
