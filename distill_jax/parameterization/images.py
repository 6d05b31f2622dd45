"""Shared parts of the parameterizations of images."""

import jax.numpy as jnp

from distill_jax.types import Array


def check_images(inputs: Array, per_row: int = 1) -> None:
  """Refuses inputs that are not [R * r, H, W, C].

  Args:
    inputs: inputs of all label rows; the r inputs of a row are side by side.
    per_row: r.

  Raises:
    ValueError: a wrong number of axes or of images.
  """
  if inputs.ndim != 4:
    raise ValueError(
        f"`inputs` must be images [R, H, W, C]; got shape {inputs.shape}. "
        "Samples that are no images take the parameterization pixels.")
  if len(inputs) % per_row:
    raise ValueError(
        f"`inputs` must be a multiple of the {per_row} images of a label row; "
        f"got {len(inputs)}.")


def owners(num: int, per_row: int) -> Array:
  """[num] int32: the label row of each image; a row's images are adjacent."""
  return jnp.arange(num, dtype=jnp.int32) // per_row


def grid(height: int, width: int) -> Array:
  """An empty array [0, H, W] that is stored among codes for its shape.

  It tells the size of images whose codes are not pixels, and takes no bytes.
  """
  return jnp.zeros((0, height, width), jnp.uint8)
