"""ConvNet, the field's default network (Gidaris & Komodakis 2018; used from
Zhao et al., "Dataset Condensation with Gradient Matching", 2020, arXiv
2006.05929, on).
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
from distill_jax.types import Array, Network


@specified
def convnet(
    num_outputs: int,
    *,
    depth: int = 3,
    width: int = 128,
    norm: Callable[[bool], nn.Module] | None = instance_norm,
    activation: Callable[[Array], Array] = nn.relu,
    pool: Callable[[Array], Array] | None = None,
    initialisation: Initialisation = torch_uniform()
) -> Network:
  """`depth` blocks of conv3, norm, activation, pooling; then linear.

  The first block pads grey images of 28 pixels to 32. `stages` are the outputs
  of each block before its pooling, and of the last block after it.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    depth: number of blocks; 3 for 32 pixels, 4 for 64; each halves the image.
    width: channels of every block.
    norm: `(train) -> module`, see `nn.norms`; None for none.
    activation: activation after the norm.
    pool: pooling of every block; average pooling 2x2 by default.
    initialisation: initialisation of all weights and biases.

  Example:
    network = dd.convnet(10, depth=2, width=32)
  """
  return from_linen(
      Classifier(
          Blocks(
              widths(depth, width), norm, activation, pool or halve,
              initialisation), num_outputs, initialisation))


def widths(depth: int, width: int, growth: int = 1) -> tuple[int, ...]:
  """Channels of each block, each `growth` times those of the previous one."""
  if depth < 1 or width < 1:
    raise ValueError(
        f"`depth` and `width` must be positive; got {depth} and {width}.")
  return tuple(width * growth**block for block in range(depth))


def halve(x: Array) -> Array:
  """Average pooling 2x2."""
  return avg_pool(x, 2)


class Blocks(nn.Module):
  """The body of a ConvNet.

  Attributes:
    widths: channels of each block.
    norm: `(train) -> module`, or None.
    activation: activation after each convolution.
    pool: pooling of every block.
    initialisation: initialisation of the convolutions.
    norm_first: whether the norm of a block precedes its convolution, with none
      in the first block; otherwise the norm is between convolution and
      activation.
  """

  widths: tuple[int, ...]
  norm: Callable | None
  activation: Callable
  pool: Callable
  initialisation: Initialisation
  norm_first: bool = False

  @nn.compact
  def __call__(self, x, train):
    least = 2**len(self.widths)
    if x.ndim != 4 or x.shape[1] < least:
      raise ValueError(
          f"`images` must be [B, H, W, C] of at least {least} pixels a side "
          f"for a ConvNet of depth {len(self.widths)}; got {x.shape}. Lower "
          "`depth`.")
    features = []
    for block, width in enumerate(self.widths):
      padding = 3 if block == 0 and x.shape[1:] == (28, 28, 1) else 1
      if self.norm is not None and self.norm_first and block > 0:
        x = self.norm(train)(x)
      x = Conv(width, 3, padding, 1, self.initialisation)(x)
      if self.norm is not None and not self.norm_first:
        x = self.norm(train)(x)
      x = self.activation(x)
      features.append(x)
      x = self.pool(x)
    return (*features, x)
