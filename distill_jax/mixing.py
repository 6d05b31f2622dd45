"""Transforms that mix samples and their labels.

CutMix: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers
with Localizable Features", 2019, arXiv 1905.04899.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from distill_jax.types import Array

Mixing = Callable[[Array, Array, Array], tuple[Array, Array]]


def cutmix(probability: float = 0.5) -> Mixing:
  """Pastes a box of other images of the batch; mixes labels by its area.

  The box has the proportions of the image. Its area is uniform in [0, 1) before
  it is cut at the border, and its centre lies anywhere. A batch has one box.

  Args:
    probability: probability that a batch is mixed, in [0, 1].

  Returns:
    `(key, images [B, H, W, C], labels [B, K]) -> images, labels`.
  """
  if not 0 <= probability <= 1:
    raise ValueError(f"`probability` must be in [0, 1]; got {probability}.")

  def mix(key, images, labels):
    size, height, width, _ = images.shape
    k_whether, k_order, k_area, k_row, k_column = jax.random.split(key, 5)
    side = jnp.sqrt(jax.random.uniform(k_area))

    def inside(key, length):
      cut = jnp.floor(length * side).astype(jnp.int32)
      centre = jax.random.randint(key, (), 0, length)
      place = jnp.arange(length)
      return (centre - cut // 2 <= place) & (place < centre + cut // 2)

    box = inside(k_row, height)[:, None] & inside(k_column, width)
    box &= jax.random.bernoulli(k_whether, probability)
    other = jax.random.permutation(k_order, size)
    share = box.mean(dtype=labels.dtype)
    images = jnp.where(box[..., None], images[other], images)
    return images, (1 - share) * labels + share * labels[other]

  return mix
