"""RCIG: convexified implicit gradients.

Loo, Hasani, Lechner & Rus, "Dataset Distillation with Convexified Implicit
Gradients", 2023, arXiv 2302.06755. A network with weights theta_0, drawn from a
pool, is linearised in all but its last layer; the last layer is solved for in
closed form. With phi(x) [F] its embedding, f its outputs, and v a change of the
weights,

    out(x) = df(x)/dtheta v                   the tangent of the outputs
    W      = (K + l I)^-1 (Y - out(X)),   K = phi(X) phi(X)'
    p(x)   = out(x) + phi(x) phi(X)' W

    L_S(v) = [ |Y - p(X)|^2 + l tr(W'KW) + l |v|^2 ] / (2 n K)
           = l [ <Y - out(X), W> + |v|^2 ] / (2 n K)
    L_t(v) = mean_B xent( exp(tau) p(x), class )
             - mean_i min( top1(y_i) - top2(y_i), 1 / (2 K) )

for X, Y the distilled samples, n in total with their mirror images. out is
linear in v, and phi does not depend on v, so L_S is a convex quadratic with one
minimum. The last layer is at its own optimum already, so the tangent of its
kernel is left out of `out`; that of its bias is kept. l = l2_rate M is
absolute: it is the ridge of a loss summed over samples, and does not count
mirror images. The label-margin term acts on the learned labels; its authors
doubt that it matters.

The samples, their centred labels and tau (`Distilled.extra`, a scalar that
starts at 0) are learned; `estimators.implicit` computes the gradient.
Published: AdaBelief at 0.003 and 0.03 (tau), a moving average of 0.99, FRePo's
networks with `nn.activations.softplus(60)`, and twenty steps of Adam for each
solve (`solvers.by_adam`).

Differences from the published code:

- Its solve for u also moves the kernel of the last layer, which is not free.
- Its pool trains after an update and starts at age 0, see `objectives.pool`.
- Every sample is differentiated; its code can use a part of a large set.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.extend.core import Var

from distill_jax.kernels.regression import solve
from distill_jax.labels import classes_of, cross_entropy, label_rows
from distill_jax.objectives.frepo import label_margin, mirror_images
from distill_jax.objectives.pool import Pool, network_pool
from distill_jax.parallel import mean_in_pieces
from distill_jax.types import (
    Array,
    Batch,
    InnerProblem,
    Network,
    PyTree,
    Sampler,
    Samples,
)


class Linearised(NamedTuple):
  """A network linearised around its weights, for given inputs.

  Attributes:
    features: [B, F], the embedding at theta_0.
    tangent: `(v) -> [B, K]`, linear; v has the structure of `params`.
  """

  features: Array
  tangent: Callable[[PyTree], Array]


def linearised(
    network: Network,
    variables: PyTree,
    inputs: Array,
    *,
    head: str | None = None) -> Linearised:
  """Returns the embedding at theta_0, and the outputs' linear change with v.

  The network runs in evaluation mode.

  Args:
    network: what is linearised.
    variables: theta_0, with the key `params`.
    inputs: [B, ...] in model space.
    head: name of the last layer in `params`; by default the weights that the
      embedding does not depend on. Its matrices stay, its bias moves.

  Raises:
    ValueError: `params` have no such layer.
  """
  params = variables["params"]
  if head is None:
    of_head = _after_embedding(network, variables, inputs)
  elif head in params:
    of_head = jax.tree_util.tree_map_with_path(
        lambda path, _: path[0].key == head, params)
  else:
    raise ValueError(
        f"`head` must name the last layer in `params`; got {head!r}. They have "
        f"{', '.join(map(repr, params))}.")

  def outputs(params):
    return network.apply({**variables, "params": params}, inputs)[0]

  def freed(leaf, masked):
    return jnp.zeros_like(leaf) if masked and leaf.ndim > 1 else leaf

  def free(v):
    return jax.tree.map(freed, v, of_head)

  stages, _ = network.stages(variables, inputs)
  _, tangent = jax.linearize(outputs, params)
  features = stages[-1].reshape(len(inputs), -1)
  return Linearised(features, lambda v: tangent(free(v)))


def _after_embedding(network, variables, inputs) -> PyTree:
  """Marks the parameters that the embedding does not depend on.

  Raises:
    ValueError: the embedding depends on all weight matrices.
  """

  def embedding(params):
    return network.stages({**variables, "params": params}, inputs)[0][-1]

  params = variables["params"]
  program = jax.make_jaxpr(embedding)(params).jaxpr
  needed = {v for v in program.outvars if isinstance(v, Var)}
  for equation in reversed(program.eqns):
    if not needed.isdisjoint(equation.outvars):
      needed.update(v for v in equation.invars if isinstance(v, Var))
  unused = [v not in needed for v in program.invars]
  if not any(free and v.aval.ndim > 1
             for free, v in zip(unused, program.invars, strict=True)):
    raise ValueError(
        "`network` must have a last layer that reads its last stage; its "
        "embedding depends on all weights. Give it a method `stages`.")
  return jax.tree.unflatten(jax.tree.structure(params), unused)


def head_weights(features: Array, residual: Array, l2: Array | float) -> Array:
  """W of the dual `(phi phi' + l2 I) W = residual`.

  Args:
    features: phi, [n, F].
    residual: [n, K], targets of the last layer.
    l2: positive, absolute ridge.

  Returns:
    [n, K]; the primal kernel is `features' W`.
  """
  gram = _product(features, features.T)
  weights = solve(gram, residual, ridge=l2 * len(gram) / gram.trace())
  return weights.astype(residual.dtype)


def convexified_regression(
    network: Network,
    *,
    sample: Sampler,
    num_classes: int,
    pool: Pool | None = None,
    l2_rate: float = 5e-4,
    mirrored: bool = False,
    head: str | None = None) -> InnerProblem:
  """RCIG's inner problem and outer loss, for `estimators.implicit`.

  Args:
    network: the network of the pool.
    sample: `(key, data) -> Batch`, see `sampling.mixed`; published: 1,024
      samples.
    num_classes: K, number of classes of the real labels.
    pool: the pool that gives theta_0. By default the published one: thirty
      networks, 1 to 15 steps of Adam at 5e-5 per outer step, replaced at 100
      steps.
    l2_rate: positive; l per sample.
    mirrored: whether to add the mirror image of every sample, for images that
      may be flipped.
    head: see `linearised`.

  Returns:
    An `InnerProblem`. Metrics: `accuracy` on the real batch.
  """
  if not l2_rate > 0:
    raise ValueError(f"`l2_rate` must be positive; got {l2_rate}.")

  pool = pool or network_pool(
      network,
      size=30,
      max_age=99,
      optimizer=optax.adam(5e-5),
      num_steps=(1, 15))

  def support(samples: Samples) -> Samples:
    """The samples of the regression, with mirror images if used."""
    if not mirrored:
      return samples
    inputs, labels, *_ = samples
    return samples._replace(
        inputs=jnp.concatenate([inputs, mirror_images(inputs)]),
        labels=jnp.concatenate([labels, labels]))

  def linear(variables, inputs):
    return linearised(network, variables, inputs, head=head)

  def init(key, samples):
    return pool.init(key, support(samples))

  def draw(key, samples, state):
    return pool.draw(key, state, support(samples))

  def start(samples, variables):
    del samples
    return jax.tree.map(jnp.zeros_like, variables["params"])

  def inner_loss(samples, variables):
    l2 = l2_rate * len(samples.inputs)
    inputs, labels, *_ = support(samples)
    features, tangent = linear(variables, inputs)

    def loss(v):
      residual = labels - tangent(v)
      weights = head_weights(features, residual, l2)
      squares = optax.tree.vdot(v, v)
      return l2 / 2 * (jnp.vdot(residual, weights) + squares) / residual.size

    return loss

  def outer_loss(v, samples: Samples, variables, batch: Batch):
    chex.assert_rank(samples.labels, 2)
    if np.shape(samples.extra) != ():
      raise ValueError(
          "`extra` must be the log-temperature tau, a scalar; got shape "
          f"{np.shape(samples.extra)}. Start the set with "
          "`extra=jnp.zeros(())`.")
    inputs, labels, *_ = support(samples)
    features, tangent = linear(variables, inputs)
    weights = head_weights(
        features, labels - tangent(v), l2_rate * len(samples.inputs))
    kernel = _product(features.T, weights)

    def real(args, batch):
      v, kernel, temperature = args
      features, tangent = linear(variables, batch.inputs)
      outputs = tangent(v) + _product(features, kernel)
      labels = label_rows(batch.labels, num_classes, outputs.dtype)
      right = classes_of(outputs) == batch.labels
      accuracy = right.mean(dtype=outputs.dtype)
      return cross_entropy(temperature * outputs, labels), {
          "accuracy": accuracy
      }

    args = v, kernel, jnp.exp(samples.extra)
    value, metrics = mean_in_pieces(real, args, batch)
    ahead = label_margin(samples.labels, at_most=0.5 / num_classes)
    return value - ahead, metrics

  return InnerProblem(sample, init, draw, start, inner_loss, outer_loss)


def _product(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
