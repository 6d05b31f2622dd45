"""Prototypes with soft labels whose nearest neighbours classify real data.

Sucholutsky & Schonlau, 2019, arXiv 1910.02551, section 3.1: a distilled set
without a network. The labels are learned as logits, so that each one is a
distribution. The loss asks that the class which the neighbours favour is the
true one:

    L(S) = E_{(x, y) real}  -log softmax(p(x) / temperature)_y

with p of `neighbours.soft_predictions`. The likelihood p_y itself would not
work: between two prototypes no class has a large probability, but one may have
the largest. Save such a set with `label_space` "logits" and evaluate it with
`learners.soft_nearest_neighbours`.
"""

import jax
import jax.numpy as jnp

from distill_jax.labels import num_outputs, probabilities
from distill_jax.neighbours import soft_predictions
from distill_jax.types import Batch, Objective, Sampler, Samples


def soft_neighbours(
    *,
    sample: Sampler,
    num_classes: int,
    k: int,
    temperature: float = 0.1) -> Objective:
  """Cross-entropy of real data under the votes of their soft neighbours.

  Args:
    sample: `(key, data) -> Batch`.
    num_classes: number of classes of the real labels.
    k: number of neighbours that vote; all M for a smooth loss.
    temperature: positive; the lower it is, the closer the loss is to the error
      rate.

  Returns:
    An `Objective` whose labels are logits. Metrics: `accuracy` on the batch.

  Raises:
    ValueError: `k` or `temperature` is out of range.
  """
  if k < 1:
    raise ValueError(f"`k` must be at least 1; got {k}.")
  if not temperature > 0:
    raise ValueError(f"`temperature` must be positive; got {temperature}.")

  def init(key, samples):
    del key, samples
    return ()

  def loss(key, samples: Samples, state, batch: Batch):
    del key
    if samples.labels.shape[1] != num_outputs(num_classes):
      raise ValueError(
          f"`labels` must have {num_outputs(num_classes)} columns for "
          f"{num_classes} classes; got {samples.labels.shape[1]}.")
    labels = probabilities(samples.labels)
    found = soft_predictions(batch.inputs, samples.inputs, labels, k)
    if num_classes == 2:
      found = jnp.concatenate([1 - found, found], axis=1)
    rows = jnp.arange(len(batch.labels))
    favoured = jax.nn.log_softmax(found / temperature)[rows, batch.labels]
    right = found.argmax(1) == batch.labels
    metrics = {"accuracy": right.mean(dtype=found.dtype)}
    return -favoured.mean(), (state, metrics)

  return Objective(sample, init, loss, ("codes", "labels"))
