"""FRePo's ConvNet, whose width doubles from block to block.

Zhou, Nezhadarya & Ba, "Dataset Distillation using Neural Feature Regression",
2022, arXiv 2206.00719. It distils with `norms.fast_batch_norm` and is evaluated
without a norm.
"""

from collections.abc import Callable

import flax.linen as nn

from distill_jax.nn.conv import avg_pool
from distill_jax.nn.layers import (
    Classifier,
    Conv,
    Initialisation,
    lecun_normal,
)
from distill_jax.nn.network import from_linen
from distill_jax.types import Array, Network


def frepo_convnet(
    num_outputs: int,
    *,
    depth: int = 3,
    width: int = 128,
    norm: Callable[[bool], nn.Module] | None = None,
    activation: Callable[[Array], Array] = nn.relu,
    initialisation: Initialisation | None = None,
) -> Network:
  """`depth` blocks of norm, conv3, activation, average pooling; then linear.

  The first block has no norm. Grey images of 28 pixels are padded to 32 by it.
  `stages` gives each block before its pooling, and the last block after it.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    depth: blocks; 3 for 32 pixels, 4 for 64, 5 for 128; each halves the image.
    width: channels of the first block; block i has `width * 2**i`.
    norm: `(train) -> module`, see `nn.norms`; None for none.
    activation: of the convolutions.
    initialisation: of all weights and biases; `lecun_normal` by default.
  """
  if depth < 1 or width < 1:
    raise ValueError(
        f"`depth` and `width` must be positive; got {depth} and {width}."
    )
  initialisation = initialisation or lecun_normal()
  body = _ConvNet(depth, width, norm, activation, initialisation)
  return from_linen(Classifier(body, num_outputs, initialisation))


class _ConvNet(nn.Module):
  depth: int
  width: int
  norm: Callable | None
  activation: Callable
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
      if self.norm is not None and block > 0:
        x = self.norm(train)(x)
      x = Conv(
          self.width * 2**block, 3, padding, 1, self.initialisation
      )(x)
      x = self.activation(x)
      features.append(x)
      x = avg_pool(x, 2)
    return (*features, x)
