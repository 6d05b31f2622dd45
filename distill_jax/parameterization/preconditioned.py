"""Preconditioned pixels: samples behind one linear map that is learned too.

Loo et al., "Efficient Dataset Distillation Using Random Feature Approximation",
2022, arXiv 2210.12067:

    X = Z A,   Z [M, d] flattened pixels,  A [d, d], at first the identity

It changes the path of the optimizer, not what can be stored: afterwards
`decode(codes)` are codes of `pixels`, which need no A.
"""

import jax
import jax.numpy as jnp

from distill_jax.specification import specified
from distill_jax.types import Parameterization


@specified()
def preconditioned() -> Parameterization:
  """Codes of pixels, and A counted as the decoder.

  `init` takes the inputs [M, ...], which are the first samples. Learned floats:
  M d + d^2, d the size of a sample. A has its own optimizer where `codes` has
  `optax.partition({"pixels": ..., "decoder": ...}, {"pixels": "pixels",
  "decoder": "decoder"})`.
  """

  def init(key, inputs):
    del key
    size = inputs[0].size
    return {"pixels": inputs, "decoder": jnp.eye(size, dtype=inputs.dtype)}

  def decode(codes):
    pixels = codes["pixels"]
    flat = jnp.matmul(
        pixels.reshape(len(pixels), -1),
        codes["decoder"],
        precision=jax.lax.Precision.HIGHEST)
    return flat.reshape(pixels.shape)

  def owner(codes):
    return jnp.arange(len(codes["pixels"]), dtype=jnp.int32)

  return Parameterization(init, decode, owner)
