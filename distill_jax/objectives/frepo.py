"""FRePo: neural feature regression.

Zhou, Nezhadarya & Ba, "Dataset Distillation using Neural Feature Regression",
2022, arXiv 2206.00719. The inner problem trains only the last layer, in closed
form, on features phi of a network. No gradient goes through the network's
training ("truncated"). The network is drawn from a `pool` whose members are
trained on the set while it changes.

    K = phi(X_s) phi(X_s)'
    p = phi(X_t) phi(X_s)' (K + lam tr(K) / n I)^-1 Y_s

    L = mean_B sum_c (p - y_t)^2 / 2  -  mean_i min( y_i(1) - y_i(2), 1/C )

y_t is one-hot minus 1/C. y_i(1) and y_i(2) are the two largest entries of a
learned label; the second term keeps the largest entry ahead of the next.
Features are computed in evaluation mode, with running statistics if the network
has any; no gradient goes through real features. With `mirrored`, mirror images
of the samples are added under the same labels, so that n is twice their number;
the second term does not include them.

Labels start as `labels.centred_rows / sqrt(C / 10)`, and students train on the
set with `labels.squared_error`. The outer optimizer is LAMB with a rate of 3e-4
that falls to a tenth along a cosine.

Differences from the published code: the pool is drawn with a key. A binary task
has one label column y, which stands for the two columns -y and y; its loss is
half of that of the two columns.
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax.kernels.regression import predict
from distill_jax.labels import centred_rows, classes_of, squared_error
from distill_jax.objectives.embedding import embeddings
from distill_jax.objectives.pool import Pool, network_pool
from distill_jax.types import Array, Batch, Network, Objective, Sampler, Samples


def feature_regression(
    network: Network,
    *,
    sample: Sampler,
    num_classes: int,
    pool: Pool | None = None,
    ridge: float = 1e-6,
    mirrored: bool = False,
    margin: float = 1.0) -> Objective:
  """Loss on real data of ridge regression on a pool's features of the set.

  Args:
    network: the network of the pool.
    sample: `(key, data) -> Batch`, see `sampling.mixed`; published: 1,024
      samples.
    num_classes: C, number of classes of the real labels.
    pool: by default the published one: ten networks, one step of Adam at 3e-4
      per outer step, replaced after 101 steps.
    ridge: lam, positive, in units of the mean diagonal of K.
    mirrored: whether to add the mirror image of every sample, for images that
      may be flipped.
    margin: weight of the second term, at least 0; 0 for none.

  Returns:
    An `Objective`. Metrics: `accuracy` on the real batch, and `margin`, the
    mean of the second term.
  """
  if not ridge > 0 or not margin >= 0:
    raise ValueError(
        "`ridge` must be positive and `margin` at least 0; got "
        f"{ridge} and {margin}.")
  pool = pool or network_pool(
      network, size=10, max_age=101, optimizer=optax.adam(3e-4))

  def loss(key, samples: Samples, state, batch: Batch):
    variables, state = pool.draw(key, state, samples)
    inputs, labels = samples.inputs, samples.labels
    if mirrored:
      inputs = jnp.concatenate([inputs, mirror_images(inputs)])
      labels = jnp.concatenate([labels, labels])
    own = embeddings(network, variables, inputs)
    real = embeddings(network, variables, lax.stop_gradient(batch.inputs))
    predictions = predict(
        _product(real, own), _product(own, own), labels, ridge=ridge)
    targets = centred_rows(batch.labels, num_classes, predictions.dtype)
    ahead = label_margin(samples.labels, at_most=1 / num_classes)
    value = squared_error(predictions, targets) - margin * ahead
    right = classes_of(predictions) == batch.labels
    accuracy = right.mean(dtype=predictions.dtype)
    return value, (state, {"accuracy": accuracy, "margin": ahead})

  return Objective(sample, pool.init, loss, ("codes", "labels"))


def label_margin(labels: Array, *, at_most: float) -> Array:
  """`mean_i min( y_i(1) - y_i(2), at_most )`, the two largest entries of a row.

  One column y stands for the two columns -y and y, whose difference is 2|y|.
  The result for one column is half of that for the two.

  Args:
    labels: [n, K], centred.
    at_most: positive; above this difference, a row has no gradient.
  """
  if labels.shape[-1] == 1:
    return jnp.minimum(jnp.abs(labels[:, 0]), at_most / 2).mean()
  first, second = lax.top_k(labels, 2)[0].T
  return jnp.minimum(first - second, at_most).mean()


def mirror_images(inputs: Array) -> Array:
  """Mirrors images [n, H, W, C] left to right.

  Raises:
    ValueError: the inputs are not images.
  """
  if inputs.ndim != 4:
    raise ValueError(
        "`mirrored` must be False for inputs that are no images [n, H, W, C]; "
        f"got shape {inputs.shape}.")
  return jnp.flip(inputs, 2)


def _product(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
