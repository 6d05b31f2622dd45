"""The convolutional text classifier of text distillation.

TextConvNet of Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text
Dataset Distillation", 2019, arXiv 1910.02551, as in their code. It is the
network of Kim, "Convolutional Neural Networks for Sentence Classification",
2014, arXiv 1408.5882, on word vectors that are not trained.
"""

from typing import Any

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
from distill_jax.nn.specification import specified
from distill_jax.types import Array, Network

# Up to this many words, all windows share one product. An outer step of TDD,
# ten steps of six sentences, 2 CPU cores: 30 words 86 ms, 269 ms by
# convolutions; 400 words 980 and 649 ms.
_FEW = 64


@specified
def text_convnet(
    num_outputs: int,
    *,
    width: int = 100,
    windows: tuple[int, ...] = (3, 4, 5),
    dropout: float = 0.5,
    initialisation: Initialisation = xavier_normal()
) -> Network:
  """Convolutions over words, ReLU, maximum over time, dropout, linear.

  It takes sentences [B, s, d] of any length s of at least the largest window.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    width: number of filters per window.
    windows: numbers of words that filters span.
    dropout: share of features dropped in train mode, in [0, 1).
    initialisation: initialisation of all weights and biases. As in PyTorch, a
      filter [k, d] has k d inputs and counts k d `width` outputs.
  """
  if width < 1 or not windows or min(windows) < 1 or not 0 <= dropout < 1:
    raise ValueError(
        "`width` and `windows` must be at least 1 and `dropout` in [0, 1); got "
        f"{width}, {windows} and {dropout}.")
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
    kernels, biases = [], []
    for window in self.windows:
      kernels.append(
          self.param(
              f"kernel_{window}", self.initialisation.kernel,
              (window, size, 1, self.width), x.dtype))
      biases.append(
          self.param(
              f"bias_{window}", self.initialisation.bias(window * size),
              (self.width,), x.dtype))
    maps = _of_few_words if x.shape[1] <= _FEW else _of_many_words
    # relu(max) equals max(relu) and has fewer values to rectify.
    features = [
        nn.relu(found.max(1) + bias)
        for found, bias in zip(maps(x, kernels), biases, strict=True)
    ]
    joined = jnp.concatenate(features, axis=-1)
    dropped = nn.Dropout(self.dropout, deterministic=not train)(joined)
    return joined, dropped


def _of_few_words(x: Array, kernels: list[Array]) -> list[Array]:
  """Feature maps [B, s - k + 1, width] of each filter bank [k, d, 1, width].

  One product multiplies every word with every row of every filter. The result
  of a filter is the sum of its rows' products, each shifted by one word.
  """
  rows = jnp.concatenate(kernels)[:, :, 0]  # [sum of k, d, width]
  flat = rows.transpose(1, 0, 2).reshape(x.shape[-1], -1)
  products = iter(jnp.split(x @ flat, len(rows), axis=-1))
  found: list[Any] = [
      sum(
          next(products)[:, i:x.shape[1] - len(kernel) + 1 + i]
          for i in range(len(kernel)))
      for kernel in kernels
  ]
  return found


def _of_many_words(x: Array, kernels: list[Array]) -> list[Array]:
  """Like `_of_few_words`, by one convolution per window over d channels."""
  return [
      conv2d(x[:, :, None], kernel.swapaxes(1, 2), padding="VALID")[:, :, 0]
      for kernel in kernels
  ]
