"""The inner loop: training a network on a distilled set, step by step.

`train_in_order` is the loop that meta-gradients run through and the loop by
which a finished set is used, so both are this one function. Step t trains on
the samples `order[t mod S]` with the step size `step_sizes[t]` (Wang et al.,
"Dataset Distillation", 2018, arXiv 1811.10959, algorithm 1):

    theta_{t+1} = theta_t - eta_t u( grad_theta l(f(x_s; theta_t), y_s) )

with u the identity for plain gradient descent.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from distill_jax.labels import cross_entropy
from distill_jax.types import Array, Network, PyTree, Samples


def train_in_order(
    key: Array,
    network: Network,
    variables: PyTree,
    samples: Samples,
    order: Array,
    *,
    optimizer: optax.GradientTransformation | None = None,
    loss: Callable[[Array, Array], Array] = cross_entropy,
    remat: bool = True,
) -> PyTree:
  """Trains on the steps of a distilled set in their order.

  Args:
    key: consumed; a fresh child for each step's dropout, the same in
      recomputation.
    network: what is trained.
    variables: theta_0, with the key `params`.
    samples: inputs [M, ...], labels [M, K], step_sizes [T].
    order: [S, n] int, the samples of each step; T must be a multiple of S.
    optimizer: turns a gradient into a direction before it is multiplied by
      the step size (`optax.trace(0.9)` is momentum); plain gradient descent by
      default. Its update must be differentiable.
    loss: `(logits [n, K], labels [n, K]) -> scalar`.
    remat: recompute a step's activations on the way back, so that a
      differentiated loop keeps the weights of every step and the activations
      of one.

  Returns:
    The trained variables.
  """
  num_steps = check_steps(samples.step_sizes.shape, order.shape[0])
  optimizer = optimizer or optax.identity()
  samples, order = jax.tree.map(jnp.asarray, (samples, order))  # from files

  def step(carry, t):
    variables, state = carry
    rows = order[t % order.shape[0]]
    x, y = samples.inputs[rows], samples.labels[rows]

    def objective(params):
      logits, updated = network.apply(
          {**variables, "params": params}, x,
          key=jax.random.fold_in(key, t), train=True,
      )
      return loss(logits, y), updated

    params = variables["params"]
    gradient, updated = jax.grad(objective, has_aux=True)(params)
    direction, state = optimizer.update(gradient, state, params)
    eta = samples.step_sizes[t]
    params = jax.tree.map(lambda p, u: p - eta * u, params, direction)
    return ({**updated, "params": params}, state), None

  body = jax.checkpoint(step, prevent_cse=False) if remat else step
  start = (variables, optimizer.init(variables["params"]))
  (variables, _), _ = jax.lax.scan(body, start, jnp.arange(num_steps))
  return variables


def check_steps(shape: tuple[int, ...], num_batches: int) -> int:
  """T, after checking that it is a whole number of epochs over S steps."""
  if len(shape) != 1 or not shape[0] or shape[0] % num_batches:
    raise ValueError(
        "`step_sizes` must have shape [T] with T a multiple of the "
        f"{num_batches} steps in `order`; got shape {shape}."
    )
  return shape[0]
