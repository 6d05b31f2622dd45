"""Rotated images, as a new domain of the same classes."""

import math

import jax.numpy as jnp
import numpy as np

from distill_jax.applications.settings import is_number
from distill_jax.data.source import Source, check_source
from distill_jax.errors import ConfigError, DataError, shown
from distill_jax.preprocessing import Encoded


def rotated(source: Source, degrees: float) -> Source:
  """Rotates images counter-clockwise about their centre.

  Quarter turns of square images only move pixels. Other angles interpolate
  linearly, and corners that come from outside the image are 0.

  Args:
    source: images [N, H, W, C], uint8 or in [0, 1].
    degrees: angle of the rotation.

  Returns:
    The source with all splits rotated and the same preprocessing.

  Raises:
    ConfigError: `degrees` is not a finite number.
    DataError: the data are not images, or are encoded images.
  """
  check_source(source)
  encoded = isinstance(source.train.preprocessing, Encoded)
  if source.train.inputs.ndim != 4 or encoded:
    raise DataError(
        "`source` must hold raw images [N, H, W, C] to be rotated; got samples "
        f"of shape {source.train.inputs.shape[1:]}.")
  if not is_number(degrees) or not math.isfinite(degrees):
    raise ConfigError(
        "`degrees` must be a finite number, as each of `rotations` must; got "
        f"{shown(degrees)}.")
  if not degrees % 360:
    return source

  def turn(split):
    return split and split._replace(
        inputs=jnp.asarray(_turned(np.asarray(split.inputs), degrees)))

  return source._replace(
      train=turn(source.train),
      validation=turn(source.validation),
      test=turn(source.test),
      name=f"{source.name} turned by {degrees:g}")


def _turned(images: np.ndarray, degrees: float) -> np.ndarray:
  square = images.shape[1] == images.shape[2]
  if not degrees % (90 if square else 180):
    return np.ascontiguousarray(np.rot90(images, int(degrees // 90), (1, 2)))
  from scipy import ndimage

  whole = images.dtype == np.uint8
  found = ndimage.rotate(
      images.astype(np.float32), degrees, (2, 1), reshape=False, order=1)
  return np.clip(np.round(found), 0, 255).astype(np.uint8) if whole else found
