"""The ridge solve that all methods of kernel and feature regression share.

    f(x) = k(x, X_s) (K_ss + lam t I)^-1 y_s,   t = tr(K_ss) / n

The ridge is relative to the mean diagonal, so that it does not depend on the
kernel's scale (Nguyen, Chen & Lee, "Dataset Meta-Learning from Kernel
Ridge-Regression", 2020, arXiv 2011.00050); an absolute one is `lam / t`.
"""

import jax
import jax.numpy as jnp
from jax import lax

from distill_jax.types import Array

_TRIES = 8  # each with ten times the previous ridge


def solve(gram: Array, targets: Array, *, ridge: Array | float) -> Array:
  """`(gram + ridge tr(gram) / n I)^-1 targets`, by Cholesky.

  It computes in float64 if JAX has it switched on, whatever the inputs. If
  rounding makes the matrix indefinite, it is solved with ten times the ridge,
  then a hundred times, and so on; the result is NaN if all fail. The result can
  be differentiated to any order, with a single factorisation.

  Args:
    gram: [n, n], symmetric and positive semidefinite.
    targets: [n, K].
    ridge: positive, in units of the mean diagonal.

  Returns:
    [n, K], float64 if JAX has it switched on.
  """
  if gram.ndim != 2 or gram.shape != (len(targets),) * 2:
    raise ValueError(
        "`gram` must be [n, n] with a row for each of the "
        f"{len(targets)} targets; got shape {gram.shape}.")
  wide = widest()
  gram = gram.astype(wide)
  eye = jnp.eye(len(gram), dtype=wide)
  ridge = jnp.asarray(ridge, wide)

  def with_ridge(ridge):
    return gram + ridge * gram.trace() / len(gram) * eye

  def failed(carry):
    tries, _, factor = carry
    return (tries < _TRIES) & ~jnp.isfinite(factor).all()

  def again(carry):
    tries, ridge, _ = carry
    ridge = jnp.maximum(10 * ridge, jnp.finfo(wide).eps)
    return tries + 1, ridge, jnp.linalg.cholesky(with_ridge(ridge))

  first = (0, ridge, jnp.linalg.cholesky(with_ridge(ridge)))
  tries, raised, factor = lax.stop_gradient(
      lax.while_loop(failed, again, lax.stop_gradient(first)))
  matrix = with_ridge(jnp.where(tries == 0, ridge, raised))
  return lax.custom_linear_solve(
      lambda x: _product(matrix, x),
      targets.astype(wide),
      lambda _, b: jax.scipy.linalg.cho_solve((factor, True), b),
      symmetric=True)


def predict(
    cross: Array, gram: Array, labels: Array, *, ridge: Array | float) -> Array:
  """Predictions of kernel ridge regression on a set for other samples.

  Args:
    cross: [B, n], kernel between these samples and the set.
    gram: [n, n], kernel of the set.
    labels: [n, K], labels of the set.
    ridge: positive, in units of the mean diagonal.

  Returns:
    [B, K] in the dtype of `labels`.
  """
  weights = solve(gram, labels, ridge=ridge)
  return product(cross, weights).astype(labels.dtype)


def product(cross: Array, weights: Array) -> Array:
  """`cross` [B, n] times `weights` [n, K] in full precision, as `widest`.

  The weights of a regression are large and of both signs.
  """
  wide = widest()
  return _product(cross.astype(wide), weights.astype(wide))


def widest():
  """float64 if JAX has it switched on, else float32."""
  return jax.dtypes.canonicalize_dtype(jnp.float64)


def _product(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
