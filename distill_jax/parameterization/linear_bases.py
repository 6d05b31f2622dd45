"""Linear bases: samples are linear combinations of bases shared by classes.

Deng & Russakovsky, "Remember the Past: Distilling Datasets into Addressable
Memories for Neural Networks", 2022, arXiv 2206.02916:

    X = upsample( A M ),   A [R, B] coefficients,  M [B, h, w, C] bases
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from distill_jax.parameterization.images import check_images
from distill_jax.specification import specified
from distill_jax.types import Parameterization


@specified()
def linear_bases(num_bases: int, *, reduction: int = 1) -> Parameterization:
  """Stores B bases and R rows of coefficients.

  `init` draws both Xavier-uniform, as the paper does; its inputs [R, H, W, C]
  give only the number and size of the samples. Learned floats: B (H / r) (W /
  r) C + R B.

  Args:
    num_bases: B, at least 1.
    reduction: r. The sides of bases are smaller by this factor, which must
      divide the sides of images; bases are enlarged bilinearly.
  """
  if num_bases < 1 or reduction < 1:
    raise ValueError(
        "`num_bases` and `reduction` must be at least 1; got "
        f"{num_bases} and {reduction}.")

  def init(key, inputs):
    check_images(inputs)
    rows, height, width, channels = inputs.shape
    if height % reduction or width % reduction:
      raise ValueError(
          f"`reduction` must divide the sides {height} x {width}; got "
          f"{reduction}.")
    shape = (num_bases, height // reduction, width // reduction, channels)
    k_bases, k_coefficients = jax.random.split(key)
    xavier = nn.initializers.glorot_uniform()
    flat = (num_bases, shape[1] * shape[2] * channels)
    return {
        "bases": xavier(k_bases, flat, inputs.dtype).reshape(shape),
        "coefficients": xavier(k_coefficients, (rows, num_bases), inputs.dtype)
    }

  def decode(codes):
    images = jnp.tensordot(
        codes["coefficients"],
        codes["bases"],
        1,
        precision=jax.lax.Precision.HIGHEST)
    size, height, width, channels = images.shape
    return jax.image.resize(
        images, (size, height * reduction, width * reduction, channels),
        "bilinear")

  def owner(codes):
    return jnp.arange(len(codes["coefficients"]), dtype=jnp.int32)

  return Parameterization(init, decode, owner)
