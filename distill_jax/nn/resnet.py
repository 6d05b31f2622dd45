"""Residual networks for small images.

He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv
1512.03385: ResNet18 with a 3x3 stem as DC and related methods use it (Zhao et
al., 2020, arXiv 2006.05929); its variant with average pooling, which is
smoother in the image and therefore meant for distillation; and IDC's ResNet-10
(Kim et al., 2022, arXiv 2205.14959).
"""

from collections.abc import Callable

import flax.linen as nn

from distill_jax.nn.conv import avg_pool
from distill_jax.nn.layers import (
    Classifier,
    Conv,
    Initialisation,
    torch_uniform,
)
from distill_jax.nn.network import from_linen
from distill_jax.nn.norms import instance_norm
from distill_jax.nn.specification import specified
from distill_jax.types import Network


def fan_out_normal() -> Initialisation:
  """Convolutions N(0, 2 / (k^2 O)), the rest as PyTorch draws it (IDC)."""
  rest = torch_uniform()
  of_convolutions = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

  def kernel(key, shape, dtype):
    draw = of_convolutions if len(shape) == 4 else rest.kernel
    return draw(key, shape, dtype)

  return rest._replace(kernel=kernel)


@specified
def resnet18(
    num_outputs: int,
    *,
    norm: Callable[[bool], nn.Module] = instance_norm,
    average_pooling: bool = False,
    initialisation: Initialisation = torch_uniform()
) -> Network:
  """Four stages of two blocks, of 64 to 512 channels; 11.2 M parameters.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    norm: `(train) -> module`, see `nn.norms`.
    average_pooling: whether stages halve the image by pooling in place of
      strides; the classifier then reads the whole last feature map, not its
      mean.
    initialisation: initialisation of all weights and biases.
  """
  return _resnet(num_outputs, 64, 2, norm, average_pooling, initialisation)


@specified
def resnet10(
    num_outputs: int,
    *,
    norm: Callable[[bool], nn.Module] = instance_norm,
    initialisation: Initialisation | None = None) -> Network:
  """Four stages of one block, of 32 to 256 channels.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    norm: `(train) -> module`, see `nn.norms`.
    initialisation: initialisation of all weights and biases; `fan_out_normal`
      by default.
  """
  return _resnet(
      num_outputs, 32, 1, norm, False, initialisation or fan_out_normal())


def _resnet(num_outputs, width, blocks, norm, average_pooling, initialisation):
  body = _ResNet(width, blocks, norm, average_pooling, initialisation)
  return from_linen(Classifier(body, num_outputs, initialisation))


class _ResNet(nn.Module):
  width: int
  blocks: int
  norm: Callable
  average_pooling: bool
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    if x.ndim != 4 or x.shape[1] < 16:
      raise ValueError(
          "`images` must be [B, H, W, C] of at least 16 pixels for a ResNet; "
          f"got {x.shape}.")
    x = Conv(self.width, 3, 1, 1, self.initialisation, use_bias=False)(x)
    x = nn.relu(self.norm(train)(x))
    features = []
    for stage in range(4):
      for block in range(self.blocks):
        x = _Block(
            self.width * 2**stage, stage > 0 and block == 0, self.norm,
            self.average_pooling, self.initialisation)(x, train)
      features.append(x)
    if not self.average_pooling:
      features.append(x.mean((1, 2)))
    return tuple(features)


class _Block(nn.Module):
  """Two convolutions beside a shortcut."""

  width: int
  halve: bool
  norm: Callable
  average_pooling: bool
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    stride = 2 if self.halve and not self.average_pooling else 1

    def conv(x, size, stride):
      return Conv(
          self.width,
          size,
          size // 2,
          stride,
          self.initialisation,
          use_bias=False)(
              x)

    def pool(x):
      return avg_pool(x, 2) if self.halve and self.average_pooling else x

    y = pool(nn.relu(self.norm(train)(conv(x, 3, stride))))
    y = self.norm(train)(conv(y, 3, 1))
    if self.halve or x.shape[-1] != self.width:
      x = self.norm(train)(pool(conv(x, 1, stride)))
    return nn.relu(x + y)
