"""What parameterizations of images ask of their inputs and keep of them."""

import jax.numpy as jnp

from distill_jax.types import Array


def check_images(inputs: Array, per_row: int = 1) -> None:
  """Refuses what is not [R * r, H, W, C].

  Args:
    inputs: of label rows, those of a row side by side.
    per_row: r.

  Raises:
    ValueError: another number of axes, or of images.
  """
  if inputs.ndim != 4:
    raise ValueError(
        f"`inputs` must be images [R, H, W, C]; got shape {inputs.shape}.")
  if len(inputs) % per_row:
    raise ValueError(
        f"`inputs` must be a multiple of the {per_row} images of a label row; "
        f"got {len(inputs)}.")


def owners(num: int, per_row: int) -> Array:
  """[num] int32: the label row of each image, those of a row side by side."""
  return jnp.arange(num, dtype=jnp.int32) // per_row


def grid(height: int, width: int) -> Array:
  """An empty array that is kept among codes for its shape: [0, H, W].

  Codes that are no pixels say with it how large images are. It has no bytes.
  """
  return jnp.zeros((0, height, width), jnp.uint8)
