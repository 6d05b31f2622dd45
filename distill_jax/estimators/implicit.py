"""The gradient of a bilevel problem by the implicit function theorem.

    min_S L_t(v*(S), S),   v*(S) = argmin_v L_S(v)

    dL_t/dS = partial_S L_t - partial_S < u, grad_v L_S(v*) >,   H u = g

with g = grad_v L_t(v*) and H the Hessian of L_S at v*. The direct part holds v*
constant; the implicit part says how v* changes with S (Loo et al., "Dataset
Distillation with Convexified Implicit Gradients", 2023, arXiv 2302.06755). The
memory does not grow with the number of steps that find v*. Both v* and u come
from a `Solver` that is stopped early, so the gradient is exact only in the
limit.

H is never formed: its products with vectors come from one linearisation of grad
L_S (forward over reverse), and < u, grad_v L_S > is the derivative of L_S along
u.

Difference from the published code: by default both are found by conjugate
gradients, which have no rate to tune and cost as much per step as Adam.
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
  """Limits each leaf of the implicit part to the norm of the direct part's.

    implicit min(1, |direct| / |implicit|)

  NaN becomes zero, so that only the direct part is left if a solve fails. The
  paper publishes this as what keeps large images stable.
  """

  def shortened(direct, implicit):
    implicit = jnp.where(jnp.isnan(implicit), 0, implicit)
    length = jnp.linalg.norm(implicit.ravel())
    longest = jnp.linalg.norm(direct.ravel())
    share = jnp.where(length > longest, longest / length, 1)
    return jnp.where(jnp.isnan(share * implicit), 0, share * implicit)

  return jax.tree.map(shortened, direct, implicit)


class ImplicitState(NamedTuple):
  """State of the estimator.

  Attributes:
    problem: state of the problem.
    inner: state of the solver that finds v*.
    hessian: state of the solver that finds u.
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
    problem: the bilevel problem.
    parameterization: decodes the codes; this is done once, here.
    positive: as in `backprop`.
    inner: the solver that finds v*, starting from the problem's start; by
      default 20 conjugate gradient steps, which suit a quadratic problem.
      Published: `by_adam()`.
    hessian: the solver that finds u as the minimiser of `u'Hu / 2 - g'u`,
      starting from zero; the same by default. Published:
      `by_adam(window=None)`.
    limit: `(direct, implicit) -> implicit`, for gradients as `Distilled`; None
      leaves the implicit part unchanged, including NaN.

  Returns:
    An `Estimator`. Metrics: those of the problem; `inner_residual` and
    `hessian_residual`, the norm of each solve's last gradient divided by that
    of its first; `implicit_ratio`, the norm of the implicit part before the
    limit divided by that of the direct part.
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
  """The ratio of two norms; zero if both are zero."""
  below = optax.tree.norm(other)
  return optax.tree.norm(tree) / jnp.where(below > 0, below, 1)
