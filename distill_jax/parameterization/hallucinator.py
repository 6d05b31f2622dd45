"""Hallucinators (HaBa): every base image is combined with every style.

Liu et al., "Dataset Distillation via Factorization", 2022, arXiv 2210.16774
(HaBa):

    H_j(u) = deconv3( scale_j * conv3(u) + shift_j )

conv3 is unpadded, deconv3 is its transpose, and both have biases; scale and
shift are maps of the smaller image. R bases and m styles give m R samples, in
style-major order. The paper's feature extractor and adversarial loss are not
implemented: any objective trains bases and styles alike. Styles start with
PyTorch's initialisation of convolutions, with scale one and shift zero.
"""

import jax
import jax.numpy as jnp

from distill_jax.nn.conv import conv2d
from distill_jax.nn.layers import torch_uniform
from distill_jax.parameterization.images import check_images
from distill_jax.specification import specified
from distill_jax.types import Parameterization


@specified()
def hallucinator(num_styles: int = 5) -> Parameterization:
  """Stores R base images and m styles; the styles count as the decoder.

  `init` takes the bases, [R, H, W, C] with at least 3 pixels per side. Learned
  floats: R H W C + m (2 (9 C^2 + C) + 2 (H - 2) (W - 2) C).
  floats: R H W C + m (2 (9 C^2 + C) + 2 (H - 2) (W - 2) C).

  Args:
    num_styles: m, number of styles, at least 1.
  """
  if num_styles < 1:
    raise ValueError(f"`num_styles` must be at least 1; got {num_styles}.")

  def init(key, inputs):
    check_images(inputs)
    _, height, width, channels = inputs.shape
    if min(height, width) < 3:
      raise ValueError(
          f"`inputs` must be at least 3 pixels a side; got {inputs.shape}.")
    maps = (num_styles, height - 2, width - 2, channels)

    def layer(key):
      k_kernel, k_bias = jax.random.split(key)
      initialisation = torch_uniform()
      fan_in = 9 * channels
      keys = jax.random.split(k_kernel, num_styles)
      shape = (3, 3, channels, channels)
      return {
          "kernel":
              jax.vmap(lambda k: initialisation.kernel(k, shape, inputs.dtype))
              (keys),
          "bias":
              initialisation.bias(fan_in)
              (k_bias, (num_styles, channels), inputs.dtype)
      }

    k_conv, k_deconv = jax.random.split(key)
    return {
        "bases": inputs,
        "decoder": {
            "conv": layer(k_conv),
            "scale": jnp.ones(maps, inputs.dtype),
            "shift": jnp.zeros(maps, inputs.dtype),
            "deconv": layer(k_deconv)
        }
    }

  def decode(codes):

    def style(decoder):
      conv, deconv = decoder["conv"], decoder["deconv"]
      inner = conv2d(codes["bases"], conv["kernel"], padding="VALID")
      inner = decoder["scale"] * (inner + conv["bias"]) + decoder["shift"]
      return conv2d(inner, deconv["kernel"], padding=2) + deconv["bias"]

    styled = jax.lax.map(style, codes["decoder"])
    return styled.reshape(-1, *styled.shape[2:])

  def owner(codes):
    rows = jnp.arange(len(codes["bases"]), dtype=jnp.int32)
    return jnp.tile(rows, len(codes["decoder"]["scale"]))

  return Parameterization(init, decode, owner)
