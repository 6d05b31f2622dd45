"""Trajectory matching with the weights on the way held constant: TESLA.

Cui et al., "Scaling Up Dataset Distillation to ImageNet-1K with Constant
Memory", 2023, arXiv 2211.10586. With g_i the gradient at step i, G their sum
and D the squared length of the expert's stretch,

    L = |theta_t - a G - theta_{t+M}|^2 / D
    dL/dX_i = (2 / D) [a (theta_{t+M} - theta_t) + a^2 G]' dg_i/dX_i
    dL/da   = -(2 / D) G' (theta_t - a G - theta_{t+M})

where g_i counts as a function of its own batch X_i alone: that the weights at
which it is taken depend on the batches before is left out. This is therefore an
approximation of `backprop` of the same objective, exact for the last step only
(docs/trajectories.md has how far they are apart). It is computed as the
derivative of an unroll that stops gradients at those weights: one step's graph
at a time, and no derivative of a step with respect to its weights.

The released code applies half of dL/dX_i: a factor 2 meant for the gradient
doubles the length of a tuple. Published rates of the samples belong to that
half; here the gradient is whole, so halve them.
"""

from collections.abc import Callable

from distill_jax.estimators.backprop import backprop
from distill_jax.objectives.mtt import trajectory_matching
from distill_jax.types import Array, Estimator, Network, Parameterization


def tesla(
    network: Network,
    parameterization: Parameterization,
    *,
    positive: Callable[[Array], Array] = lambda raw: raw,
    **settings,
) -> Estimator:
  """TESLA's gradient of `trajectory_matching`.

  Args:
    network: that of the experts.
    parameterization: decodes the set.
    positive: raw step sizes -> step sizes; the identity, as published.
    **settings: of `trajectory_matching`, but for `freeze`.
  """
  objective = trajectory_matching(network, freeze=True, **settings)
  return backprop(objective, parameterization, positive=positive)
