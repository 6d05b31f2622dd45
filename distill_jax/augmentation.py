"""Differentiable augmentation; several batches can share one draw.

Zhao & Bilen, "Dataset Condensation with Differentiable Siamese Augmentation",
2021, arXiv 2102.08259: the same operation with the same parameters is applied
to the real and to the synthetic batch, and gradients flow through it to the
samples. Here a draw is a value, so siamese augmentation applies one draw twice:

    parameters = augmentation.draw(key, images.shape, 1)
    augmentation.apply(parameters, real), augmentation.apply(parameters, images)

Every operation acts in model space, where 0 is the mean of the data, and fills
vacated pixels with 0. Images are [B, H, W, C]; parameters have one row for all
images of a batch, or one row per image. Crop and scale move rows and columns
independently, so they are two small matrix products, as are their derivatives.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from distill_jax.types import Array, PyTree

_EXACT = lax.Precision.HIGHEST  # bilinear weights must add up to 1


class Augmentation(NamedTuple):
  """A random transformation of images.

  Attributes:
    draw: `(key, shape [B, H, W, C], rows) -> parameters`; `rows` is 1 for one
      draw that all images share (siamese), or B for one draw per image.
    apply: `(parameters, images) -> images`, affine in the images.
  """

  draw: Callable[[Array, tuple[int, ...], int], PyTree]
  apply: Callable[[PyTree, Array], Array]


def identity() -> Augmentation:
  """Leaves images as they are."""
  return Augmentation(lambda key, shape, rows: (), lambda _, images: images)


def brightness(strength: float = 1.0) -> Augmentation:
  """Adds one number to an image, uniform in [-strength/2, strength/2)."""

  def apply(shift, images):
    return images + _per_image(shift, images)

  return Augmentation(_uniform(-strength / 2, strength / 2), apply)


def saturation(strength: float = 2.0) -> Augmentation:
  """Scales a pixel's distance from its mean over channels by [0, strength)."""

  def apply(factor, images):
    return _about(images.mean(-1, keepdims=True), factor, images)

  return Augmentation(_uniform(0.0, strength), apply)


def contrast(strength: float = 0.5) -> Augmentation:
  """Scales the distance from the image's mean by [strength, 1 + strength)."""

  def apply(factor, images):
    return _about(images.mean((1, 2, 3), keepdims=True), factor, images)

  return Augmentation(_uniform(strength, 1 + strength), apply)


def color() -> Augmentation:
  """Brightness, then saturation, then contrast."""
  return sequence(brightness(), saturation(), contrast())


def crop(ratio: float = 0.125) -> Augmentation:
  """Shifts by whole pixels, at most `ratio` of the size in each direction."""

  def draw(key, shape, rows):
    reach = np.array([_round(ratio * size) for size in shape[1:3]])
    return jax.random.randint(key, (rows, 2), -reach, reach + 1)

  def apply(shift, images):

    def source(size, axis):
      return jnp.arange(size) + shift[:, axis, None]

    return _resample(images, source)

  return Augmentation(draw, apply)


def resized_crop(least_area: float = 0.08) -> Augmentation:
  """Enlarges a random part of the image to the whole, keeping its aspect ratio.

  Args:
    least_area: least area of the part, as a share of the image, in (0, 1];
      areas are uniform in [least_area, 1).
  """
  if not 0 < least_area <= 1:
    raise ValueError(f"`least_area` must be in (0, 1]; got {least_area}.")

  def draw(key, shape, rows):
    del shape
    k_area, k_place = jax.random.split(key)
    area = jax.random.uniform(k_area, (rows, 1), minval=least_area, maxval=1.0)
    side = jnp.sqrt(area)
    return side, (1 - side) * jax.random.uniform(k_place, (rows, 2))

  def apply(part, images):
    side, corner = part

    def source(size, axis):
      place = (jnp.arange(size) + 0.5) * side - 0.5
      return jnp.clip(place + corner[:, axis, None] * size, 0, size - 1)

    return _resample(images, source)

  return Augmentation(draw, apply)


def cutout(ratio: float = 0.5) -> Augmentation:
  """Zeroes a square with `ratio` of the side, centred anywhere."""

  def draw(key, shape, rows):
    sides = np.array([_round(ratio * size) for size in shape[1:3]])
    # The centre of an even square lies between pixels: one more position.
    places = np.array(shape[1:3]) + (sides + 1) % 2
    return jax.random.randint(key, (rows, 2), 0, places)

  def apply(centre, images):

    def inside(size, axis):
      side = _round(ratio * size)
      place = jnp.arange(size) - centre[:, axis, None] + side // 2
      return (0 <= place) & (place < side)

    _, height, width, _ = images.shape
    square = inside(height, 0)[:, :, None] & inside(width, 1)[:, None, :]
    return jnp.where(square[..., None], 0, images)

  return Augmentation(draw, apply)


def flip(probability: float = 0.5) -> Augmentation:
  """Mirrors left to right. Do not use it for digits."""

  def draw(key, shape, rows):
    del shape
    return jax.random.bernoulli(key, probability, (rows,))

  def apply(mirrored, images):
    chosen = mirrored[:, None, None, None]
    return jnp.where(chosen, jnp.flip(images, 2), images)

  return Augmentation(draw, apply)


def scale(ratio: float = 1.2) -> Augmentation:
  """Stretches height and width by two factors uniform in [1/ratio, ratio).

  A factor above 1 shrinks the content.
  """

  def draw(key, shape, rows):
    del shape
    return jax.random.uniform(key, (rows, 2), minval=1 / ratio, maxval=ratio)

  def apply(factor, images):

    def source(size, axis):
      return _centred(size) * factor[:, axis, None] + (size - 1) / 2

    return _resample(images, source)

  return Augmentation(draw, apply)


def rotate(degrees: float = 15.0) -> Augmentation:
  """Rotates about the centre by an angle uniform in [-degrees, degrees)."""
  bound = np.deg2rad(degrees)

  def apply(angle, images):
    _, height, width, _ = images.shape
    y, x = jnp.meshgrid(_centred(height), _centred(width), indexing="ij")
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    cos, sin = cos[:, None, None], sin[:, None, None]
    rows = sin * x + cos * y + (height - 1) / 2
    columns = cos * x - sin * y + (width - 1) / 2
    return _bilinear(images, rows, columns)

  return Augmentation(_uniform(-bound, bound), apply)


def sequence(*augmentations: Augmentation) -> Augmentation:
  """Applies augmentations one after the other."""

  def draw(key, shape, rows):
    if augmentations and len(shape) != 4:
      raise ValueError(
          "augmentations must be of images [B, H, W, C]; got a batch "
          f"{tuple(shape)}. For other samples set strategy=''.")
    keys = jax.random.split(key, len(augmentations))
    return tuple(
        a.draw(k, shape, rows)
        for a, k in zip(augmentations, keys, strict=True))

  def apply(parameters, images):
    for augmentation, own in zip(augmentations, parameters, strict=True):
      images = augmentation.apply(own, images)
    return images

  return Augmentation(draw, apply)


def one_of(*augmentations: Augmentation) -> Augmentation:
  """Applies one of them, chosen uniformly per draw, to the whole batch."""
  if not augmentations:
    raise ValueError("`augmentations` must hold at least one; got none.")
  together = sequence(*augmentations)

  def draw(key, shape, rows):
    k_choice, k_parameters = jax.random.split(key)
    choice = jax.random.randint(k_choice, (), 0, len(augmentations))
    return choice, together.draw(k_parameters, shape, rows)

  def apply(parameters, images):
    choice, each = parameters
    return lax.switch(
        choice, [
            lambda images, a=a, own=own: a.apply(own, images)
            for a, own in zip(augmentations, each, strict=True)
        ], images)

  return Augmentation(draw, apply)


def each_one_of(*augmentations: Augmentation) -> Augmentation:
  """Applies one of them to each image, chosen uniformly in each draw.

  All operations are computed, so use it for few operations and small batches.
  """
  together = sequence(*augmentations)

  def draw(key, shape, rows):
    k_choice, k_parameters = jax.random.split(key)
    choice = jax.random.randint(k_choice, (rows,), 0, len(augmentations))
    return choice, together.draw(k_parameters, shape, rows)

  def apply(parameters, images):
    choice, each = parameters
    result = images
    for i, (a, own) in enumerate(zip(augmentations, each, strict=True)):
      chosen = (choice == i)[:, None, None, None]
      result = jnp.where(chosen, a.apply(own, images), result)
    return result

  return Augmentation(draw, apply)


OPERATIONS = {
    "color": color,
    "crop": crop,
    "cutout": cutout,
    "flip": flip,
    "rotate": rotate,
    "scale": scale
}


def dsa(strategy: str) -> Augmentation:
  """DSA's augmentation: one of the named operations for each batch.

  Args:
    strategy: names of `OPERATIONS` joined by underscores, such as
      'color_crop_cutout_flip_scale_rotate', or '' for none.

  Raises:
    ValueError: an unknown name, or one given twice.
  """
  names = _names(strategy)
  if not names:
    return identity()
  return one_of(*(OPERATIONS[name]() for name in names))


def dc(strategy: str) -> Augmentation:
  """DC's augmentation, for evaluation only: one named operation per image.

  Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", 2020,
  arXiv 2006.05929, as in its code, with rotation by up to 45 degrees. The code
  fills with the mean of a batch; this fills with the mean of the data and
  interpolates bilinearly.

  Args:
    strategy: names among crop, scale and rotate, joined by underscores.
  """
  known = dict(crop=crop(), rotate=rotate(45.0), scale=scale())
  names = _names(strategy, known)
  return each_one_of(*(known[name] for name in names)) if names else identity()


def idc(strategy: str) -> Augmentation:
  """IDC's augmentation: flip, color and cutout if named, and one of the rest.

  Kim et al., "Dataset Condensation via Efficient Synthetic-Data
  Parameterization", 2022, arXiv 2205.14959: flip, then color, then one of crop,
  scale and rotate, then cutout.

  Args:
    strategy: as in `dsa`.
  """
  names = _names(strategy)
  either = [OPERATIONS[n]() for n in ("crop", "scale", "rotate") if n in names]
  steps = [OPERATIONS[n]() for n in ("flip", "color") if n in names]
  steps += [one_of(*either)] if either else []
  steps += [cutout()] if "cutout" in names else []
  return sequence(*steps)


def _names(strategy: str, known=OPERATIONS) -> list[str]:
  names = strategy.split("_") if strategy else []
  if not set(names) <= set(known) or len(set(names)) != len(names):
    raise ValueError(
        "`strategy` must join different names among "
        f"{', '.join(known)} by underscores; got {strategy!r}.")
  return names


def _uniform(low: float, high: float):

  def draw(key, shape, rows):
    del shape
    return jax.random.uniform(key, (rows,), minval=low, maxval=high)

  return draw


def _round(value: float) -> int:
  return int(value + 0.5)


def _per_image(values: Array, images: Array) -> Array:
  return values[:, None, None, None].astype(images.dtype)


def _about(centre: Array, factor: Array, images: Array) -> Array:
  return (images - centre) * _per_image(factor, images) + centre


def _centred(size: int) -> Array:
  """Pixel coordinates [size] whose origin is the middle of the image."""
  return jnp.arange(size) - (size - 1) / 2


def _resample(images: Array, source: Callable[[int, int], Array]) -> Array:
  """Resamples bilinearly; rows and columns move independently.

  Args:
    images: [B, H, W, C].
    source: `(size, axis) -> [1 or B, size]`, the position, in pixels, that each
      row or column comes from.
  """

  def weights(axis):
    size = images.shape[1 + axis]
    distance = source(size, axis)[..., None] - jnp.arange(size)
    hat = jnp.maximum(1 - jnp.abs(distance), 0).astype(images.dtype)
    return jnp.broadcast_to(hat, (len(images), size, size))

  images = jnp.einsum("bij,bjwc->biwc", weights(0), images, precision=_EXACT)
  return jnp.einsum("bij,bhjc->bhic", weights(1), images, precision=_EXACT)


def _bilinear(images: Array, rows: Array, columns: Array) -> Array:
  """Values at fractional positions [1 or B, H, W]; zero outside the image."""
  size, height, width, channels = images.shape
  top, left = jnp.floor(rows), jnp.floor(columns)
  pixels = images.reshape(size, height * width, channels)
  total = 0.0
  for row in (top, top + 1):
    for column in (left, left + 1):
      weight = (1 - jnp.abs(rows - row)) * (1 - jnp.abs(columns - column))
      known = (0 <= row) & (row < height) & (0 <= column) & (column < width)
      weight = jnp.where(known, weight, 0).astype(images.dtype)
      place = jnp.where(known, row * width + column, 0).astype(jnp.int32)
      place = place.reshape(len(place), -1)
      if len(place) == 1:
        values = pixels[:, place[0]]
      else:
        values = jnp.take_along_axis(pixels, place[..., None], axis=1)
      total += weight[..., None] * values.reshape(images.shape)
  return total
