"""LeNet, as dataset distillation uses it (arXiv 1811.10959)."""

import flax.linen as nn

from distill_jax.nn.conv import max_pool
from distill_jax.nn.layers import (
    Classifier,
    Conv,
    Dense,
    Initialisation,
    flatten,
    xavier_normal,
)
from distill_jax.nn.network import from_linen
from distill_jax.nn.specification import specified
from distill_jax.types import Network


@specified
def lenet(
    num_outputs: int,
    *,
    width: int = 1,
    initialisation: Initialisation = xavier_normal()) -> Network:
  """conv5-6, conv5-16 with max-pooling, dense 120-84; 61,706 parameters.

  Images of 28 pixels are padded by 2; larger ones (32) are not.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    width: factor by which all these layers are wider, for features of LeNet's
      kind.
    initialisation: initialisation of all weights and biases.

  Example:
    network = dd.lenet(10)
  """
  if width < 1:
    raise ValueError(f"`width` must be at least 1; got {width}.")
  return from_linen(
      Classifier(_LeNet(width, initialisation), num_outputs, initialisation))


class _LeNet(nn.Module):
  width: int
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    del train
    if x.ndim != 4 or x.shape[1] < 28:
      raise ValueError(
          "`images` must be [B, H, W, C] of at least 28 pixels for LeNet; got "
          f"{x.shape}. Use a ConvNet or an MLP.")
    init, w = self.initialisation, self.width
    padding = 2 if x.shape[1] == 28 else 0
    first = nn.relu(max_pool(Conv(6 * w, 5, padding, 1, init)(x), 2))
    second = nn.relu(max_pool(Conv(16 * w, 5, 0, 1, init)(first), 2))
    hidden = nn.relu(Dense(120 * w, init)(flatten(second)))
    return first, second, nn.relu(Dense(84 * w, init)(hidden))
