"""Transformer encoders: the block, and a small text classifier made of it.

Vaswani et al., "Attention Is All You Need", 2017, arXiv 1706.03762, with the
norm before each part. The code of text distillation (Sucholutsky & Schonlau,
2019, arXiv 1910.02551) left its transformer unfinished; this one is ours.
"""

import flax.linen as nn
import jax.numpy as jnp

from distill_jax.nn.layers import Classifier, check_sentences
from distill_jax.nn.network import from_linen
from distill_jax.nn.specification import specified
from distill_jax.types import Array, Network


@specified
def transformer(
    num_outputs: int,
    *,
    depth: int = 2,
    width: int = 64,
    heads: int = 4,
    masked: bool = True) -> Network:
  """Word vectors plus positions, `depth` blocks, their mean, linear.

  Positions are sines and cosines, so that sentences may have any length. Like
  other transformers, it trains slowly by plain gradient descent.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    depth: number of blocks, each of attention and a hidden layer of size 4
      `width`.
    width: number of channels, even and a multiple of `heads`.
    heads: number of attention heads.
    masked: whether to ignore zero vectors, which are padding and unknown words.
  """
  check_width(depth, width, heads)
  if width % 2:
    raise ValueError(f"`width` must be even; got {width}.")
  return from_linen(
      Classifier(_Transformer(depth, width, heads, masked), num_outputs))


def check_width(depth: int, width: int, heads: int) -> None:
  """Refuses sizes that are not possible in a transformer."""
  if min(depth, heads, width) < 1 or width % heads:
    raise ValueError(
        "`depth`, `heads` must be at least 1 and `width` a multiple of "
        f"`heads`; got {depth}, {heads} and {width}.")


class TransformerBlock(nn.Module):
  """Attention and a hidden layer, each with a norm before it and a residual."""

  width: int
  heads: int

  @nn.compact
  def __call__(self, x, mask=None):

    def norm(x):
      return nn.LayerNorm(param_dtype=x.dtype)(x)

    y = norm(x)
    x += nn.MultiHeadDotProductAttention(
        self.heads, qkv_features=self.width, param_dtype=x.dtype)(
            y, y, mask=mask)
    y = nn.Dense(4 * self.width, param_dtype=x.dtype)(norm(x))
    return x + nn.Dense(self.width, param_dtype=x.dtype)(nn.gelu(y))


class _Transformer(nn.Module):
  depth: int
  width: int
  heads: int
  masked: bool

  @nn.compact
  def __call__(self, x, train):
    del train
    check_sentences(x)
    present = (x != 0).any(-1) if self.masked else jnp.ones(x.shape[:2], bool)
    x = nn.Dense(self.width, param_dtype=x.dtype)(x)
    x += _positions(x.shape[1], self.width, x.dtype)
    mask = nn.make_attention_mask(jnp.ones_like(present), present)
    features = []
    for _ in range(self.depth):
      x = TransformerBlock(self.width, self.heads)(x, mask)
      features.append(x)
    x = nn.LayerNorm(param_dtype=x.dtype)(x) * present[..., None]
    return (*features, x.sum(1) / jnp.maximum(present.sum(1), 1)[:, None])


def _positions(length: int, width: int, dtype) -> Array:
  """[s, width]: sines and cosines of wavelengths from 2 pi to 20,000 pi."""
  rates = 10_000.0**(-jnp.arange(0, width, 2, dtype=dtype) / width)
  angles = jnp.arange(length, dtype=dtype)[:, None] * rates
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
