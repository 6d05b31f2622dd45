"""Classes, label rows and losses, in one place for every task.

A task with K > 2 classes has K outputs and a softmax. A binary task has two
classes but one output, the logit of class 1. Label rows have the shape of the
outputs: [B, K] or [B, 1].

The loss is that of SLDD (Sucholutsky & Schonlau, "Soft-Label Dataset
Distillation and Text Dataset Distillation", 2019, arXiv 1910.02551, section
3.2): cross-entropy with unrestricted real labels, which need not be
probabilities.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from distill_jax.types import Array


def num_outputs(num_classes: int) -> int:
  """Number of outputs of a network: 1 for two classes, else one per class."""
  return 1 if num_classes == 2 else num_classes


@partial(jax.jit, static_argnames=("num_classes", "dtype"))
def label_rows(
    classes: Array, num_classes: int, dtype: DTypeLike = jnp.float32) -> Array:
  """Class indices [..., B] as label rows [..., B, K]: one-hot, or 0/1."""
  if num_classes == 2:
    return classes[..., None].astype(dtype)
  return jax.nn.one_hot(classes, num_classes, dtype=dtype)


def classes_of(outputs: Array) -> Array:
  """The class [B] int32 of logits [B, K]; a single logit is split at 0."""
  if outputs.shape[-1] == 1:
    return (outputs[..., 0] > 0).astype(jnp.int32)
  return outputs.argmax(-1).astype(jnp.int32)


def classes_of_labels(labels: Array) -> Array:
  """The class [B] int32 of label rows [B, K]; one label is split at 1/2."""
  return classes_of(labels - 0.5 if labels.shape[-1] == 1 else labels)


def cross_entropy(logits: Array, labels: Array) -> Array:
  """`mean_i sum_c -y_ic log p_ic`, for any real labels.

  Args:
    logits: [B, K].
    labels: [B, K], unrestricted; with K = 1 the label y of
      `-y log p - (1 - y) log(1 - p)`, p the sigmoid of the logit.

  Returns:
    A scalar.
  """
  if logits.shape != labels.shape:
    raise ValueError(
        "`logits` and `labels` must have one shape; got "
        f"{logits.shape} and {labels.shape}. Two classes are one output.")
  if logits.shape[-1] == 1:
    return (jax.nn.softplus(logits) - labels * logits).sum(-1).mean()
  return -(labels * jax.nn.log_softmax(logits)).sum(-1).mean()


def probabilities(logits: Array) -> Array:
  """Probabilities [..., K] of logits: the softmax, or the sigmoid of one."""
  if logits.shape[-1] == 1:
    return jax.nn.sigmoid(logits)
  return jax.nn.softmax(logits)


def cross_entropy_of_logits(logits: Array, labels: Array) -> Array:
  """`cross_entropy` for labels that are learned as logits (DATM)."""
  return cross_entropy(logits, probabilities(labels))


def centred_rows(
    classes: Array, num_classes: int, dtype: DTypeLike = jnp.float32) -> Array:
  """Label rows [..., K] minus their mean over classes: targets of a regression.

  They are one-hot minus 1/K; for two classes -1/2 and 1/2. `classes_of` reads
  the predictions of a regression on them.
  """
  return label_rows(classes, num_classes, dtype) - 1 / num_classes


def uncentred(labels: Array) -> Array:
  """Label rows [..., K] from centred ones, for `classes_of_labels`."""
  return labels + 1 / max(labels.shape[-1], 2)


def hardened(labels: Array, *, centred: bool = False) -> Array:
  """Replaces label rows [..., K] by the hard label rows of their classes.

  Args:
    labels: [..., K].
    centred: whether the labels are centred; the new ones are then centred too.
  """
  classes = classes_of_labels(uncentred(labels) if centred else labels)
  rows = centred_rows if centred else label_rows
  return rows(classes, max(labels.shape[-1], 2), labels.dtype)


def label_regime(labels: np.ndarray, label_space: str) -> str:
  """The `label_regime` of a set: "hard" if each row is exactly a hard label.

  Args:
    labels: [M, K].
    label_space: what the labels are; see `artifact.Artifact`.
  """
  if labels.ndim != 2 or not labels.size:
    return "soft_fixed"  # such labels are refused elsewhere, with a reason
  hard = hardened(labels, centred=label_space == "centred")
  return "hard" if np.array_equal(labels, hard) else "soft_fixed"


def squared_error(
    outputs: Array, labels: Array, *, target_scale: float = 1.0) -> Array:
  """`mean_i sum_c (outputs_ic - a labels_ic)^2 / 2`.

  Args:
    outputs: [B, K].
    labels: [B, K], usually centred.
    target_scale: a. Targets much larger than the network's first outputs make
      it learn features, not only the last layer, and depend less on its
      initialisation (Chizat, Oyallon & Bach, "On Lazy Training in
      Differentiable Programming", 2018, arXiv 1812.07956).

  Returns:
    A scalar.
  """
  if outputs.shape != labels.shape:
    raise ValueError(
        "`outputs` and `labels` must have one shape; got "
        f"{outputs.shape} and {labels.shape}. Two classes are one output.")
  return 0.5 * jnp.square(outputs - target_scale * labels).sum(-1).mean()
