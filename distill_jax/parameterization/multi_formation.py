"""Multi-formation: several small images stored in one, enlarged when used.

Kim et al., "Dataset Condensation via Efficient Synthetic-Data
Parameterization", 2022, arXiv 2205.14959. A code is cut into f x f tiles, each
enlarged bilinearly to the full size, so R codes give f^2 R samples, tile-major:
the first tile of every code, then the second. f = 1 is plain pixels.

If f does not divide the side, the tiles' side is rounded up, and what lies
beyond the border is `fill`. By default this is 0, the mean of the data in model
space; the published code uses middle grey. The start of the published code then
uses a slightly different grid; here start and decoding share one grid.
"""

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.parameterization.images import check_images
from distill_jax.specification import specified
from distill_jax.types import Parameterization


@specified()
def multi_formation(factor: int = 2, *, fill=0.0) -> Parameterization:
  """Stores images [R, H, W, C] that hold f^2 samples each.

  `init` takes f^2 inputs per code, side by side ([R f^2, H, W, C]), and shrinks
  them into its tiles by nearest neighbour.

  Args:
    factor: f, number of tiles along a side, at least 1.
    fill: [C] or a number in model space, the values beyond the border.
  """
  if factor < 1:
    raise ValueError(f"`factor` must be at least 1; got {factor}.")

  def init(key, inputs):
    del key
    check_images(inputs)
    if len(inputs) % factor**2:
      raise ValueError(
          f"`inputs` must be a multiple of the {factor**2} tiles of a code; "
          f"got {len(inputs)}.")
    _, height, width, channels = inputs.shape
    for side in (height, width):
      if (factor - 1) * -(-side // factor) >= side:
        raise ValueError(
            "`factor` must leave every tile some pixels of an image that is "
            f"{height} by {width}; got {factor}.")
    tiles = inputs[:, _nearest(height, factor)][:, :, _nearest(width, factor)]
    tiles = tiles.reshape(-1, factor, factor, *tiles.shape[1:])
    codes = tiles.transpose(0, 1, 3, 2, 4, 5)  # [R, f, h, f, w, C]
    shape = (len(codes), factor * codes.shape[2], factor * codes.shape[4])
    return codes.reshape(*shape, channels)[:, :height, :width]

  def decode(codes):
    _, height, width, channels = codes.shape
    tall, wide = -(-height // factor), -(-width // factor)
    padded = jnp.broadcast_to(
        jnp.asarray(fill, codes.dtype),
        (len(codes), factor * tall, factor * wide,
         channels)).at[:, :height, :width].set(codes)
    tiles = padded.reshape(-1, factor, tall, factor, wide, channels)
    tiles = tiles.transpose(1, 3, 0, 2, 4, 5)  # [f, f, R, h, w, C]
    return jax.image.resize(
        tiles.reshape(-1, tall, wide, channels),
        (factor**2 * len(codes), height, width, channels), "bilinear")

  def owner(codes):
    return jnp.tile(jnp.arange(len(codes), dtype=jnp.int32), factor**2)

  return Parameterization(
      init,
      decode,
      owner,
      inputs_per_row=factor**2,
      separates_classes=True,
      keeps_inputs=True)


def _nearest(size: int, factor: int) -> np.ndarray:
  """Rows that nearest-neighbour shrinking keeps: floor(i * size / small)."""
  small = -(-size // factor)
  return np.arange(small) * size // small
