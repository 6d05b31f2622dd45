"""VGG11 for small images, with one linear layer.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", 2014, arXiv 1409.1556, in the form that DC and related methods use
(Zhao et al., 2020, arXiv 2006.05929): with normalisation, and without its three
dense layers.
"""

from collections.abc import Callable

import flax.linen as nn

from distill_jax.nn.conv import max_pool
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

_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


@specified
def vgg11(
    num_outputs: int,
    *,
    norm: Callable[[bool], nn.Module] | None = instance_norm,
    initialisation: Initialisation = torch_uniform()
) -> Network:
  """Eight convolutions in five stages that each halve the image; then linear.

  Grey images of 28 pixels are padded to 32 by the first convolution.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    norm: normalisation after each convolution, see `nn.norms`; None for none.
    initialisation: initialisation of all weights and biases.
  """
  return from_linen(
      Classifier(_VGG(norm, initialisation), num_outputs, initialisation))


class _VGG(nn.Module):
  norm: Callable | None
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    grey = x.shape[1:] == (28, 28, 1)
    if x.ndim != 4 or (x.shape[1] < 32 and not grey):
      raise ValueError(
          "`images` must be [B, H, W, C] of at least 32 pixels for VGG11, or "
          f"grey of 28; got {x.shape}. Use a ConvNet.")
    features = []
    for i, widths in enumerate(_STAGES):
      for width in widths:
        padding = 3 if grey and i == 0 else 1
        x = Conv(width, 3, padding, 1, self.initialisation)(x)
        if self.norm is not None:
          x = self.norm(train)(x)
        x = nn.relu(x)
      x = max_pool(x, 2)
      features.append(x)
    return tuple(features)
