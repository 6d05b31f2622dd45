"""KIP: a set on which kernel ridge regression predicts real data.

Nguyen, Chen & Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", 2020,
arXiv 2011.00050, and Nguyen et al., "Dataset Distillation with Infinitely Wide
Convolutional Networks", 2021, arXiv 2107.13034:

    L = 1/2 mean (K_ts (K_ss + lam tr(K_ss) / n I)^-1 y_s - y_t)^2

over all entries, with centred labels y = e_c - 1/K. No network is trained. Any
`kernel_fn(x1, x2) -> [n1, n2]` can be used: of infinitely wide networks
(`kernels.closed_form`), of neural-tangents, or of the user's own features.

Label solve (LS) keeps the samples and computes the labels with the smallest
loss,

    y_s* = argmin_y |K_ts K_reg^-1 y - y_t|^2

over all targets. The published code adds absolute jitter to the normal
equations. Here the targets are streamed into a QR decomposition in float64,
which does not square the condition number, and the ridge is relative, as in
KIP.
"""

from typing import Any

import chex
import jax
import numpy as np
import scipy.linalg

from distill_jax.augmentation import Augmentation
from distill_jax.data.source import Split
from distill_jax.kernels.closed_form import Kernel
from distill_jax.kernels.regression import predict
from distill_jax.labels import (
    centred_rows,
    classes_of,
    num_outputs,
    squared_error,
)
from distill_jax.types import Array, Batch, Objective, Sampler, Samples

_LABEL_RIDGE = 1e-6  # ridge of label solve, in units of the mean diagonal


def kernel_regression(
    kernel_fn: Kernel,
    *,
    sample: Sampler,
    num_classes: int,
    ridge: float = 1e-6,
    augmentation: Augmentation | None = None) -> Objective:
  """Loss on real data of kernel ridge regression on the distilled set.

  The labels of the set are centred (`labels.centred_rows`), whether learned or
  not. With many samples, a small ridge needs more precision than float32 has.
  In JAX's x64 mode, the solve (and nothing else) is computed in float64.

  Args:
    kernel_fn: `(x1, x2) -> [n1, n2]`; use `kernels.tiled` if it needs much
      memory.
    sample: `(key, data) -> Batch`, the targets of one outer step, mixed or
      class by class.
    num_classes: number of classes of the real labels.
    ridge: lam, positive, in units of the mean diagonal.
    augmentation: augmentation of the targets, one draw per image.

  Returns:
    An `Objective` without state. Metrics: `accuracy` on the targets.
  """
  if not ridge > 0:
    raise ValueError(f"`ridge` must be positive; got {ridge}.")

  def init(key, samples):
    del key, samples
    return ()

  def loss(key, samples: Samples, state, batch: Batch):
    chex.assert_rank(samples.labels, 2)
    classes = batch.labels.ravel()
    targets = batch.inputs.reshape(-1, *samples.inputs.shape[1:])
    targets = targets.astype(samples.inputs.dtype)
    if augmentation is not None:
      draw = augmentation.draw(key, targets.shape, len(targets))
      targets = augmentation.apply(draw, targets)
    outputs = predict(
        kernel_fn(targets, samples.inputs),
        kernel_fn(samples.inputs, samples.inputs),
        samples.labels,
        ridge=ridge)
    wanted = centred_rows(classes, num_classes, outputs.dtype)
    accuracy = (classes_of(outputs) == classes).mean(dtype=outputs.dtype)
    value = squared_error(outputs, wanted) / wanted.shape[-1]
    return value, (state, {"accuracy": accuracy})

  return Objective(sample, init, loss, ("codes", "labels"))


def label_solve(
    kernel_fn: Kernel,
    inputs: Array,
    split: Split,
    *,
    ridge: float = 1e-6,
    label_ridge: float = _LABEL_RIDGE,
    rows: int = 1_000) -> np.ndarray:
  """Computes the labels with which given samples best predict a whole split.

  Args:
    kernel_fn: `(x1, x2) -> [n1, n2]`.
    inputs: [M, ...] in model space.
    split: real data, a `data.Split`; it is encoded in chunks.
    ridge: ridge of the regression that will use the labels.
    label_ridge: positive ridge of the least-squares problem for the weights, in
      units of the mean diagonal of K_st K_ts.
    rows: number of targets processed at once.

  Returns:
    [M, K] float64, centred.
  """
  if not (ridge > 0 and label_ridge > 0 and rows > 0):
    raise ValueError(
        "`ridge`, `label_ridge` and `rows` must be positive; got "
        f"{ridge}, {label_ridge} and {rows}.")

  @jax.jit
  def chunk(inputs, raw):
    return kernel_fn(split.encode(raw).astype(inputs.dtype), inputs)

  size = len(inputs)
  triangle = np.zeros((0, size + num_outputs(split.num_classes)))
  for start in range(0, split.num_samples, rows):
    part = slice(start, start + rows)
    cross = chunk(inputs, split.inputs[part])
    wanted = centred_rows(split.labels[part], split.num_classes)
    stacked = np.hstack([np.float64(cross), np.float64(wanted)])
    triangle = _triangle(np.vstack([triangle, stacked]))
  scale = np.square(triangle[:, :size]).sum() / size
  penalty = np.hstack([
      np.sqrt(label_ridge * scale) * np.eye(size),
      np.zeros((size, triangle.shape[1] - size))
  ])
  triangle = _triangle(np.vstack([triangle, penalty]))
  weights = scipy.linalg.solve_triangular(
      triangle[:size, :size], triangle[:size, size:])
  gram = np.asarray(jax.jit(kernel_fn)(inputs, inputs), np.float64)
  return gram @ weights + ridge * gram.trace() / size * weights


def _triangle(stacked: np.ndarray) -> np.ndarray:
  """R of a QR decomposition; it has the same least squares as all rows."""
  found: Any = scipy.linalg.qr(stacked, mode="r", overwrite_a=True)
  (factor,) = found
  return factor[:stacked.shape[1]]
