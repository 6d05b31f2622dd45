"""The convolutional text classifier of text distillation.

TextConvNet of Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text
Dataset Distillation", 2019, arXiv 1910.02551, in the form of their code: that
of Kim, "Convolutional Neural Networks for Sentence Classification", 2014, arXiv
1408.5882, on vectors that are not trained.
"""

import flax.linen as nn
import jax.numpy as jnp

from distill_jax.nn.conv import conv2d
from distill_jax.nn.layers import (
    Classifier,
    Initialisation,
    check_sentences,
    xavier_normal,
)
from distill_jax.nn.network import from_linen
from distill_jax.types import Network


def text_convnet(
    num_outputs: int,
    *,
    width: int = 100,
    windows: tuple[int, ...] = (3, 4, 5),
    dropout: float = 0.5,
    initialisation: Initialisation = xavier_normal(),
) -> Network:
  """Convolutions over words, ReLU, largest over time, dropout, linear.

  It takes sentences [B, s, d] of any length s that the windows fit into.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    width: filters of each window.
    windows: words that a filter spans.
    dropout: share of features dropped in train mode, in [0, 1).
    initialisation: of all weights and biases. As in PyTorch a filter [k, d] has
      k d inputs and counts k d `width` outputs.
  """
  if width < 1 or not windows or min(windows) < 1 or not 0 <= dropout < 1:
    raise ValueError(
        "`width` and `windows` must be at least 1 and `dropout` in [0, 1); got "
        f"{width}, {windows} and {dropout}."
    )
  body = _TextConvNet(width, tuple(windows), dropout, initialisation)
  return from_linen(Classifier(body, num_outputs, initialisation))


class _TextConvNet(nn.Module):
  width: int
  windows: tuple[int, ...]
  dropout: float
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    check_sentences(x, self.windows)
    size = x.shape[-1]
    features = []
    for window in self.windows:
      kernel = self.param(
          f"kernel_{window}", self.initialisation.kernel,
          (window, size, 1, self.width), x.dtype,
      )
      bias = self.param(
          f"bias_{window}", self.initialisation.bias(window * size),
          (self.width,), x.dtype,
      )
      # One column of d channels: the same products as of [s, d] "pixels".
      filters = kernel.reshape(window, 1, size, self.width)
      found = conv2d(x[:, :, None], filters, padding="VALID")
      # relu(max) is max(relu) of fewer values.
      features.append(nn.relu(found.max((1, 2)) + bias))
    joined = jnp.concatenate(features, axis=-1)
    dropped = nn.Dropout(self.dropout, deterministic=not train)(joined)
    return joined, dropped
