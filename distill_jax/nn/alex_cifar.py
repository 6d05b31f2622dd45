"""AlexCifarNet, dataset distillation's network for CIFAR (arXiv 1811.10959)."""

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
from distill_jax.nn.norms import local_response_norm
from distill_jax.nn.specification import specified
from distill_jax.types import Network


@specified
def alex_cifar_net(
    num_outputs: int, *,
    initialisation: Initialisation = xavier_normal()) -> Network:
  """Two conv5-64 with local response norm, dense 384-192; for 32 pixels.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    initialisation: initialisation of all weights and biases.
  """
  return from_linen(
      Classifier(_AlexCifarNet(initialisation), num_outputs, initialisation))


class _AlexCifarNet(nn.Module):
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    del train
    init = self.initialisation

    def pool(x):
      return max_pool(x, 3, stride=2, padding=1)

    first = nn.relu(pool(Conv(64, 5, 2, 1, init)(x)))
    first = local_response_norm(first)
    second = local_response_norm(nn.relu(Conv(64, 5, 2, 1, init)(first)))
    second = pool(second)
    hidden = nn.relu(Dense(384, init)(flatten(second)))
    return first, second, nn.relu(Dense(192, init)(hidden))
