"""Preconditioned pixels: samples times one linear map that is also learned.

Loo et al., "Efficient Dataset Distillation Using Random Feature Approximation",
2022, arXiv 2210.12067:

    X = Z A,   Z [M, d] flattened pixels,  A [d, d], the identity at the start

This changes the path of the optimizer, not what can be stored: at the end,
`decode(codes)` are codes of `pixels`, which need no A.
"""

import jax
import jax.numpy as jnp

from distill_jax.specification import specified
from distill_jax.types import Parameterization


@specified()
def preconditioned() -> Parameterization:
  """Stores pixels Z and the map A, which counts as the decoder.

  `init` takes the inputs [M, ...], which are the first samples. Learned floats:
  M d + d^2, with d the size of a sample. To give A its own optimizer, use
  `optax.partition({"pixels": ..., "decoder": ...}, {"pixels": "pixels",
  "decoder": "decoder"})` for `codes`.
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
