"""MobileNetV2 for small images, a network to test transfer.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018,
arXiv 1801.04381, table 2, without the first two of its strides.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from distill_jax.nn.layers import (
    Classifier,
    Conv,
    Initialisation,
    torch_uniform,
)
from distill_jax.nn.network import from_linen
from distill_jax.nn.norms import batch_norm
from distill_jax.nn.specification import specified
from distill_jax.types import Network

# Expansion, channels, number of blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2),
           (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


@specified
def mobilenet_v2(
    num_outputs: int,
    *,
    norm: Callable[[bool], nn.Module] = batch_norm,
    initialisation: Initialisation = torch_uniform()
) -> Network:
  """Seventeen inverted residuals; 2.3 M parameters.

  BatchNorm on a handful of samples is unreliable: `instance_norm` often
  transfers better.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    norm: `(train) -> module`, see `nn.norms`.
    initialisation: initialisation of all weights and biases.
  """
  return from_linen(
      Classifier(_MobileNet(norm, initialisation), num_outputs, initialisation))


class _MobileNet(nn.Module):
  norm: Callable
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    if x.ndim != 4 or x.shape[1] < 16:
      raise ValueError(
          "`images` must be [B, H, W, C] of at least 16 pixels for MobileNetV2;"
          f" got {x.shape}.")
    init, features = self.initialisation, []
    x = Conv(32, 3, 1, 1, init, use_bias=False)(x)
    x = nn.relu(self.norm(train)(x))
    for expansion, width, blocks, stride in _STAGES:
      for block in range(blocks):
        x = _InvertedResidual(
            expansion, width, stride if block == 0 else 1, self.norm,
            init)(x, train)
      features.append(x)
    x = Conv(1280, 1, 0, 1, init, use_bias=False)(x)
    x = nn.relu(self.norm(train)(x))
    return (*features, x.mean((1, 2)))


class _InvertedResidual(nn.Module):
  """Widens, filters each channel, narrows; with a shortcut beside it."""

  expansion: int
  width: int
  stride: int
  norm: Callable
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    init = self.initialisation
    inner = self.expansion * x.shape[-1]
    y = Conv(inner, 1, 0, 1, init, use_bias=False)(x)
    y = nn.relu(self.norm(train)(y))
    y = _Depthwise(self.stride, init)(y)
    y = nn.relu(self.norm(train)(y))
    y = self.norm(train)(Conv(self.width, 1, 0, 1, init, use_bias=False)(y))
    if self.stride != 1:
      return y
    if x.shape[-1] != self.width:
      x = Conv(self.width, 1, 0, 1, init, use_bias=False)(x)
      x = self.norm(train)(x)
    return x + y


class _Depthwise(nn.Module):
  """One 3x3 filter per channel, as nine scaled and shifted images."""

  stride: int
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    kernel = self.param(
        "kernel", self.initialisation.kernel, (3, 3, 1, channels), x.dtype)
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(
        padded[:, i:i + height:self.stride, j:j + width:self.stride] *
        kernel[i, j, 0] for i in range(3) for j in range(3))
