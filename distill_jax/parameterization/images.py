"""What parameterizations of images ask of their inputs."""

from distill_jax.types import Array


def check_images(inputs: Array) -> None:
  """Refuses what is not [R, H, W, C].

  Raises:
    ValueError: another number of axes.
  """
  if inputs.ndim != 4:
    raise ValueError(
        f"`inputs` must be images [R, H, W, C]; got shape {inputs.shape}.")
