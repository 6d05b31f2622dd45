"""A multi-layer perceptron, for features and flattened images."""

import flax.linen as nn

from distill_jax.nn.layers import (
    Classifier,
    Dense,
    Initialisation,
    flatten,
    torch_uniform,
)
from distill_jax.nn.network import from_linen
from distill_jax.nn.specification import specified
from distill_jax.types import Network


@specified
def mlp(
    num_outputs: int,
    *,
    widths: tuple[int, ...] = (128, 128),
    initialisation: Initialisation = torch_uniform()
) -> Network:
  """Flattens, then dense layers with ReLU between them, then a linear layer.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    widths: widths of the hidden layers; () is a linear model.
    initialisation: initialisation of all weights and biases.

  Example:
    network = dd.mlp(3, widths=(64, 64))
  """
  return from_linen(
      Classifier(
          _MLP(tuple(widths), initialisation), num_outputs, initialisation))


class _MLP(nn.Module):
  widths: tuple[int, ...]
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    del train
    features = [flatten(x)]
    for width in self.widths:
      x = nn.relu(Dense(width, self.initialisation)(features[-1]))
      features.append(x)
    return tuple(features)
