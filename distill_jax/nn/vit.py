"""A small vision transformer, a network to test transfer.

Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020, arXiv 2010.11929:
patches, a class token, learned positions, pre-norm blocks.
"""

import flax.linen as nn
import jax.numpy as jnp

from distill_jax.nn.layers import Classifier
from distill_jax.nn.network import from_linen
from distill_jax.nn.specification import specified
from distill_jax.nn.transformer import TransformerBlock, check_width
from distill_jax.types import Network


@specified
def vit(
    num_outputs: int,
    *,
    patch: int = 4,
    depth: int = 6,
    width: int = 128,
    heads: int = 4) -> Network:
  """`depth` blocks of attention and a hidden layer, 4 `width` wide.

  Like other transformers, it trains poorly by plain gradient descent on few
  samples.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    patch: side of a patch in pixels; it must divide the image's sides.
    depth: number of blocks.
    width: number of channels, a multiple of `heads`.
    heads: number of attention heads.
  """
  if patch < 1:
    raise ValueError(f"`patch` must be at least 1; got {patch}.")
  check_width(depth, width, heads)
  return from_linen(Classifier(_ViT(patch, depth, width, heads), num_outputs))


class _ViT(nn.Module):
  patch: int
  depth: int
  width: int
  heads: int

  @nn.compact
  def __call__(self, x, train):
    del train
    size, height, width, channels = x.shape
    p = self.patch
    if height % p or width % p:
      raise ValueError(
          f"`images` must have sides that are multiples of {p} pixels for this "
          f"ViT; got {x.shape}. Give `patch`.")
    x = x.reshape(size, height // p, p, width // p, p, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(size, -1, p * p * channels)
    x = nn.Dense(self.width, param_dtype=x.dtype)(x)
    small = nn.initializers.normal(0.02)
    token = self.param("token", small, (1, 1, self.width), x.dtype)
    x = jnp.concatenate([jnp.tile(token, (size, 1, 1)), x], 1)
    x += self.param("position", small, (1, *x.shape[1:]), x.dtype)
    features = []
    for _ in range(self.depth):
      x = TransformerBlock(self.width, self.heads)(x)
      features.append(x)
    return (*features, nn.LayerNorm(param_dtype=x.dtype)(x[:, 0]))
