"""AlexNet for small images, as DC and related methods use it to test transfer.

Zhao et al., "Dataset Condensation with Gradient Matching", 2020, arXiv
2006.05929.
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
from distill_jax.nn.specification import specified
from distill_jax.types import Network


@specified
def alexnet(
    num_outputs: int,
    *,
    norm: Callable[[bool], nn.Module] | None = None,
    initialisation: Initialisation = torch_uniform()
) -> Network:
  """Five convolutions, three poolings, one linear layer; no dropout.

  Grey images of 28 pixels are padded to 32 by the first convolution.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    norm: normalisation after each convolution, see `nn.norms`; None for none.
    initialisation: initialisation of all weights and biases.
  """
  return from_linen(
      Classifier(_AlexNet(norm, initialisation), num_outputs, initialisation))


class _AlexNet(nn.Module):
  norm: Callable | None
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    if x.ndim != 4 or x.shape[1] < 8:
      raise ValueError(
          "`images` must be [B, H, W, C] of at least 8 pixels for AlexNet; got "
          f"{x.shape}.")
    first = 4 if x.shape[1:] == (28, 28, 1) else 2
    features = []
    for width, size, padding, halve in ((128, 5, first, True),
                                        (192, 5, 2, True), (256, 3, 1, False),
                                        (192, 3, 1, False), (192, 3, 1, True)):
      x = Conv(width, size, padding, 1, self.initialisation)(x)
      if self.norm is not None:
        x = self.norm(train)(x)
      x = nn.relu(x)
      x = max_pool(x, 2) if halve else x
      features.append(x)
    return tuple(features)
