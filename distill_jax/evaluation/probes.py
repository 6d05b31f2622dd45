"""The linear probe, a learner on features.

Ridge regression with a linear kernel (`kernels.regression`) on centred inputs:

    W = Z' (Z Z' + lam I)^-1 Y = (Z' Z + lam I)^-1 Z' Y,
    f(z) = (z - m)' W + offset,

where the rows of Z and Y are sqrt(w_i) times z_i - m and y_i - offset. A
`probe_set.ProbeSet` stores m, the offset, the weights and lam. On a plain set,
this learner equals `learners.kernel_ridge` with the kernel `k = (x1 - m)' (x2 -
m)` on labels minus their mean.
"""

import functools
from collections.abc import Mapping

import jax.numpy as jnp

from distill_jax.evaluation.learners import Learner, classes_if_finite
from distill_jax.kernels import regression
from distill_jax.types import TrainingSet


@functools.cache
def linear_probe(ridge: float = 1e-3) -> Learner:
  """Ridge regression on flattened inputs, with the set's own ridge if stored.

  Args:
    ridge: ridge for sets that store none, in units of the mean of their Gram
      matrix's diagonal; positive. Such sets are centred by their own means.

  Returns:
    A learner for centred labels; it computes in float64 if JAX has it switched
    on.
  """
  if not ridge > 0:
    raise ValueError(f"`ridge` must be positive; got {ridge}.")

  def solved(training_set: TrainingSet):
    samples = training_set.samples
    z, y = samples.inputs.reshape(len(samples.inputs), -1), samples.labels
    own = _own(samples.extra)
    if own is None:
      mean, offset = z.mean(0), y.mean(0)
      z, y, relative = z - mean, y - offset, ridge
    else:
      mean, offset = own["input_offset"], own["label_offset"]
      root = jnp.sqrt(own["weights"])[:, None]
      z, y = root * (z - mean), root * (y - offset)
      relative = own["ridge"] * len(z) / jnp.square(z).sum()
    if len(z) <= z.shape[1]:
      weights = regression.product(
          z.T, regression.solve(regression.product(z, z.T), y, ridge=relative))
    else:  # with more points than features, Z Z' is singular
      weights = regression.solve(
          regression.product(z.T, z),
          regression.product(z.T, y),
          ridge=relative * z.shape[1] / len(z))

    def outputs(inputs):
      x = inputs.reshape(len(inputs), -1) - mean
      return regression.product(x, weights) + offset

    return outputs, weights

  def fit(key, training_set: TrainingSet):
    del key
    return classes_if_finite(*solved(training_set))

  return Learner(
      fit, "linear probe", False, True,
      (("name", "linear_probe"), ("ridge", ridge)),
      lambda training_set: solved(training_set)[0])


def _own(extra):
  """The way of fitting that a set stores, or None."""
  return extra.get("probe") if isinstance(extra, Mapping) else None
