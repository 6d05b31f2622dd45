"""RFAD: random feature regression.

Loo et al., "Efficient Dataset Distillation Using Random Feature Approximation",
2022, arXiv 2210.12067. The kernel of infinitely wide networks (NNGP) is
replaced by the features f_j of N random networks of finite width, D features
each, and the expectation of one more dense layer, whose weights and biases have
the variances w^2 = 2 and b^2 = 0.01:
weights and biases:

    F(x) = ( f_1(x), ..., f_N(x) ) / sqrt(N D)
    k(x, x') = w^2 F(x)'F(x') + b^2

    p = K_ts (K_ss + lam tr(K_ss) / n I)^-1 Y_s

    L = mean (p - y_t)^2 / 2   or   CE( exp(s) p, class )    (Platt scaling)

New networks are drawn in every step, because a set overfits networks that stay.
No gradient goes through the features of real samples.

The published networks are `nn.convnet(K, width=256, norm=None,
initialisation=layers.he_normal())`, real batches have 5,120 samples, labels are
one-hot minus 1/C, and the parameterization is `preconditioned`. AdaBelief (eps
1e-16) learns samples and labels at 1e-3, the preconditioner at 5e-5 and s at
1e-2.

Differences from the published code: grey images of 28 pixels are padded to 32,
as by `nn.convnet` everywhere. A binary task has one output, whose logit is
exp(s) p.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from distill_jax.kernels.regression import predict
from distill_jax.labels import (
    centred_rows,
    classes_of,
    cross_entropy,
    label_rows,
)
from distill_jax.objectives.embedding import embeddings
from distill_jax.parallel import batch_map
from distill_jax.types import (
    Array,
    Batch,
    Network,
    Objective,
    PyTree,
    Sampler,
    Samples,
)


def mean_squared(predictions: Array, classes: Array, extra: PyTree) -> Array:
  """`mean (p - y)^2 / 2` over rows and outputs, with y one-hot minus 1/C.

  Args:
    predictions: [B, K].
    classes: [B] int.
    extra: unused.
  """
  del extra
  targets = centred_rows(classes, _num_classes(predictions), predictions.dtype)
  return 0.5 * jnp.square(predictions - targets).mean()


def platt(predictions: Array, classes: Array, extra: PyTree) -> Array:
  """Cross-entropy of the logits `exp(s) p`.

  Args:
    predictions: [B, K].
    classes: [B] int.
    extra: s [], the `extra` of the set: `Distilled(..., extra=jnp.zeros(()))`,
      learned by `learn(extra=optax.adabelief(1e-2), ...)`.
  """
  if np.shape(extra) != ():
    raise ValueError(
        "`extra` must be the scalar s of Platt scaling; got shape "
        f"{np.shape(extra)}. Start the set with `extra=jnp.zeros(())`.")
  rows = label_rows(classes, _num_classes(predictions), predictions.dtype)
  return cross_entropy(jnp.exp(extra) * predictions, rows)


def random_feature_regression(
    network: Network,
    *,
    sample: Sampler,
    num_classes: int,
    num_networks: int = 8,
    ridge: float = 5e-3,
    loss: Callable[[Array, Array, PyTree], Array] = mean_squared,
    weight_std: float = np.sqrt(2),
    bias_std: float = 0.1,
    chunk: int | None = None) -> Objective:
  """Loss on real data of ridge regression on random features of the set.

  Args:
    network: its `init` is the distribution of the networks.
    sample: `(key, data) -> Batch`, see `sampling.mixed`; published: 5,120
      samples.
    num_classes: C, number of classes of the real labels.
    num_networks: N, drawn in every step. Their features of the real batch, N D
      numbers per sample, are all in memory at once.
    ridge: lam, positive, in units of the mean diagonal. It must be larger than
      for an exact kernel, because random features are noisy.
    loss: `(predictions [B, K], classes [B], extra) -> scalar`: `mean_squared`,
      or `platt`, whose scale is learned.
    weight_std: w of the last layer, times D^-1/2.
    bias_std: b of the last layer.
    chunk: number of networks processed at once; see `parallel.batch_map`.

  Returns:
    An `Objective` without state. Metrics: `accuracy` on the real batch.
  """
  if num_networks < 1 or not ridge > 0:
    raise ValueError(
        "`num_networks` must be at least 1 and `ridge` positive; got "
        f"{num_networks} and {ridge}.")

  def features(keys, inputs):
    return random_features(keys, network, inputs, chunk=chunk)

  def kernel(a, b):
    return _last_layer(a, b, weight_std, bias_std)

  def objective(key, samples: Samples, state, batch: Batch):
    keys = jax.random.split(key, num_networks)
    own = features(keys, samples.inputs)
    real = features(keys, lax.stop_gradient(batch.inputs))
    predictions = predict(
        kernel(real, own), kernel(own, own), samples.labels, ridge=ridge)
    if _num_classes(predictions) != num_classes:
      raise ValueError(
          f"`num_classes` must be that of the set's labels; got {num_classes} "
          f"for {predictions.shape[-1]} columns. Two classes are one column.")
    value = loss(predictions, batch.labels, samples.extra)
    right = classes_of(predictions) == batch.labels
    return value, (state, {"accuracy": right.mean(dtype=value.dtype)})

  return Objective(
      sample, lambda key, samples: (), objective, ("codes", "labels", "extra"))


def random_features(
    keys: Array,
    network: Network,
    inputs: Array,
    *,
    chunk: int | None = None) -> Array:
  """F: embeddings of random networks, times (N D)^-1/2.

  The result is differentiable with respect to the inputs. This needs the memory
  of `chunk` networks in addition to the result, because each network is
  computed again in the backward pass.

  Args:
    keys: [N], one key per network.
    network: its `init` is the distribution of the networks.
    inputs: [n, ...] in model space.
    chunk: number of networks processed at once; see `parallel.batch_map`.

  Returns:
    [N, n, D].
  """

  def of_network(key):

    def embedded(inputs):
      variables = network.init(key, lax.stop_gradient(inputs[:1]))
      return embeddings(network, variables, inputs)

    return jax.checkpoint(embedded, prevent_cse=False)(inputs)

  features = batch_map(of_network, keys, chunk=chunk, items="networks")
  return features / np.sqrt(len(keys) * features.shape[-1])


def _last_layer(a, b, weight_std, bias_std):
  """The kernel [n1, n2] of a dense layer on features [N, n1, D], [N, n2, D]."""
  product = jnp.einsum("jnd,jmd->nm", a, b, precision=lax.Precision.HIGHEST)
  return weight_std**2 * product + bias_std**2


def _num_classes(predictions: Array) -> int:
  """C, the number of classes; two classes have one output."""
  return max(2, predictions.shape[-1])
