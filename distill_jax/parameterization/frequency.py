"""Frequencies: each image is stored as some coefficients of its DCT.

Shin, Shin & Moon, "Frequency Domain-based Dataset Distillation",
2023, arXiv 2311.08819 (FreD). An image keeps m of the H W frequencies, the same
in all channels:

    X = D_H' scatter(z, places) D_W,   z [m, C]
    D_N[k, i] = sqrt((1 + (k > 0)) / N) cos(pi k (2 i + 1) / (2 N))

D is orthonormal (DCT-II), so that coefficients have the scale of pixels and are
learned at the same rates. The published code does not normalise, and uses other
rates to compensate.

A class keeps the m frequencies in which its real images vary most,

    argmax_m  sum_n ( Z_n - mean_n Z )^2,   Z = mean_channels D_H X D_W'

or the m lowest ones, in the zigzag order of JPEG. The sum is over all real
images of the class; in the published code, over those that the set starts from.
"""

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.choices import one_of
from distill_jax.parameterization.images import check_images, grid, owners
from distill_jax.specification import specified
from distill_jax.types import Array, Parameterization, PyTree

MASKS = ("lowpass", "variance")


@specified()
def frequency(
    keep: int, mask: str = "variance", *, per_row: int = 1) -> Parameterization:
  """Stores m DCT coefficients per channel of an image.

  The floats of one image of pixels hold floor(H W / m) images. Spend them on
  more label rows, or on more images `per_row`, which share a label row as the
  tiles of `multi_formation` do.

  R label rows have R r m C learned floats. With `mask="variance"` the codes
  also have a decoder: one bit per frequency and class, and for each label row
  the number of its class (one byte, or four from 257 classes on).

  `init` takes r inputs per label row, side by side, and keeps their
  coefficients. Without real data it chooses the frequencies by these inputs, as
  if they were one class.

  Args:
    keep: m, at least 1 and at most H W.
    mask: "variance" or "lowpass".
    per_row: r, number of images per label row, at least 1.

  Raises:
    ValueError: a setting is out of range; or, from `init`, inputs are not
      images, are too small, or their number is not a multiple of r.
    ConfigError: an unknown mask.
  """
  if keep < 1 or per_row < 1:
    raise ValueError(
        "`keep` and `per_row` must be at least 1; got "
        f"{keep} and {per_row}.")
  one_of(MASKS, "mask", mask)

  def encode(inputs, decoder):
    check_images(inputs, per_row)
    _, height, width, _ = inputs.shape
    if keep > height * width:
      raise ValueError(
          f"`keep` must be at most the {height * width} frequencies of images "
          f"that are {height} by {width}; got {keep}.")
    codes = {"grid": grid(height, width), **decoder}
    places = _places(codes, keep, len(inputs))
    flat = transform(inputs).reshape(len(inputs), height * width, -1)
    kept = jnp.take_along_axis(flat, places[..., None], axis=1)
    return {"coefficients": kept, **codes}

  def init(key, inputs):
    del key
    check_images(inputs, per_row)
    if mask == "lowpass":
      return encode(inputs, {})
    chosen = largest(_variance([np.asarray(inputs)]), keep)
    rows = np.zeros(len(inputs) // per_row, int)
    return encode(inputs, _decoder(chosen[None], rows))

  def init_for(real, classes):
    present, rows = np.unique(classes, return_inverse=True)
    chosen = [largest(_variance(real(c)), keep) for c in present]
    decoder = _decoder(np.stack(chosen), rows)
    return lambda key, inputs: encode(inputs, decoder)

  def decode(codes):
    kept = codes["coefficients"]
    size, num_kept, channels = kept.shape
    _, height, width = codes["grid"].shape
    places = _places(codes, num_kept, size)
    flat = jnp.zeros((size, height * width, channels), kept.dtype)
    flat = flat.at[jnp.arange(size)[:, None], places].set(kept)
    return inverse(flat.reshape(size, height, width, channels))

  def owner(codes):
    return owners(len(codes["coefficients"]), per_row)

  return Parameterization(
      init,
      decode,
      owner,
      inputs_per_row=per_row,
      keeps_inputs=True,
      init_for=init_for if mask == "variance" else None)


def transform(images: Array) -> Array:
  """Coefficients [B, H, W, C] of images, by the orthonormal DCT-II."""
  return _both_sides(images, cosines(images.shape[1]), cosines(images.shape[2]))


def inverse(coefficients: Array) -> Array:
  """Images [B, H, W, C] of coefficients: the inverse of `transform`."""
  _, height, width, _ = coefficients.shape
  return _both_sides(coefficients, cosines(height).T, cosines(width).T)


def cosines(size: int) -> np.ndarray:
  """D [size, size] float64, the orthonormal DCT-II of a vector."""
  k, i = np.arange(size)[:, None], np.arange(size)
  scale = np.sqrt((1 + (k > 0)) / size)
  return scale * np.cos(np.pi * k * (2 * i + 1) / (2 * size))


def zigzag(height: int, width: int) -> np.ndarray:
  """[H W] int32, the positions i W + j of all frequencies from low to high.

  They go along the diagonals i + j = 0, 1, ... of the [H, W] coefficients:
  upwards along even diagonals, downwards along odd ones.
  """
  i, j = np.divmod(np.arange(height * width), width)
  diagonal = i + j
  along = np.where(diagonal % 2, i, -i)
  return np.lexsort((along, diagonal)).astype(np.int32)


def largest(variance: np.ndarray, keep: int) -> np.ndarray:
  """Bool [H, W], true at the `keep` largest values; ties go to the first."""
  chosen = np.zeros(variance.size, bool)
  chosen[np.argsort(-variance.ravel(), kind="stable")[:keep]] = True
  return chosen.reshape(variance.shape)


def _variance(parts) -> np.ndarray:
  """[H, W] variance of the coefficients of the channel means of images."""
  count, total, squares = 0, 0.0, 0.0
  for part in parts:
    check_images(part)
    grey = np.asarray(part, np.float64).mean(-1)
    _, height, width = grey.shape
    found = cosines(height) @ grey @ cosines(width).T
    count += len(found)
    total = total + found.sum(0)
    squares = squares + np.square(found).sum(0)
  return squares / count - np.square(total / count)


def _decoder(masks: np.ndarray, rows: np.ndarray) -> dict[str, PyTree]:
  """Masks [K', H, W] as bits, and the mask of each label row."""
  bits = np.packbits(masks.reshape(len(masks), -1), axis=1)
  smallest = np.uint8 if len(masks) <= 256 else np.int32
  return {
      "decoder": {
          "masks": jnp.asarray(bits),
          "mask_of_row": jnp.asarray(rows.astype(smallest))
      }
  }


def _places(codes: PyTree, num_kept: int, size: int) -> Array:
  """[R r, m] int32, the positions i W + j of the coefficients of each image."""
  _, height, width = codes["grid"].shape
  if "decoder" not in codes:
    lowest = zigzag(height, width)[:num_kept]
    return jnp.broadcast_to(lowest, (size, num_kept))
  bits, row = codes["decoder"]["masks"], codes["decoder"]["mask_of_row"]
  masks = jnp.unpackbits(bits, axis=1, count=height * width)
  # Frequencies that are kept sort first, in their order.
  places = jnp.argsort(1 - masks, axis=1, stable=True)[:, :num_kept]
  return jnp.repeat(
      places[row], size // len(row), axis=0, total_repeat_length=size)


def _both_sides(x: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
  left, right = (jnp.asarray(m, x.dtype) for m in (rows, columns))
  return jnp.einsum(
      "ki,bijc,lj->bklc", left, x, right, precision=jax.lax.Precision.HIGHEST)
