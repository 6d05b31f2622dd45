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
from distill_jax.types import Array, Network


def convnet(
    num_outputs: int,
    *,
    depth: int = 3,
    width: int = 128,
    norm: Callable[[bool], nn.Module] | None = instance_norm,
    activation: Callable[[Array], Array] = nn.relu,
    pool: Callable[[Array], Array] | None = None,
    initialisation: Initialisation = torch_uniform(),
) -> Network:
  """`depth` blocks of conv3, norm, activation, pooling; then linear.

  Grey images of 28 pixels are padded to 32 by the first block. `stages` gives
  each block before its pooling, and the last block after it.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    depth: blocks; 3 for 32 pixels, 4 for 64; each halves the image.
    width: channels of every block.
    norm: `(train) -> module`, see `nn.norms`; None for none.
    activation: after the norm.
    pool: of every block; average pooling 2x2 by default.
    initialisation: of all weights and biases.
  """
  if depth < 1 or width < 1:
    raise ValueError(
        f"`depth` and `width` must be positive; got {depth} and {width}."
    )
  body = _ConvNet(
      depth, width, norm, activation, pool or _halve, initialisation
  )
  return from_linen(Classifier(body, num_outputs, initialisation))


def _halve(x: Array) -> Array:
  return avg_pool(x, 2)


class _ConvNet(nn.Module):
  depth: int
  width: int
  norm: Callable | None
  activation: Callable
  pool: Callable
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    if x.ndim != 4 or x.shape[1] < 2**self.depth:
      raise ValueError(
          f"`images` must be [B, H, W, C] of at least {2**self.depth} pixels "
          f"a side for a ConvNet of depth {self.depth}; got {x.shape}. Lower "
          "`depth`."
      )
    features = []
    for block in range(self.depth):
      padding = 3 if block == 0 and x.shape[1:] == (28, 28, 1) else 1
      x = Conv(self.width, 3, padding, 1, self.initialisation)(x)
      if self.norm is not None:
        x = self.norm(train)(x)
      x = self.activation(x)
      features.append(x)
      x = self.pool(x)
    return (*features, x)
