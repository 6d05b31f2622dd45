"""What published settings depend on: a few facts about a data set."""

from typing import NamedTuple

import numpy as np

from distill_jax.preprocessing import Standardise


class Traits(NamedTuple):
  """Attributes:
    channels: of images; 0 for data that are no images.
    side: pixels of the shorter side of an image, or 0.
    mirrored: whether a mirrored image is of the same class.
    std: standard deviation of the pixels of the first channel, in [0, 1].
    reference_side: side of the images that IDC's published rate is for.
  """

  channels: int = 0
  side: int = 0
  mirrored: bool = False
  std: float = 1.0
  reference_side: int = 32

  @property
  def grey(self) -> bool:
    """Whether images have one channel."""
    return self.channels == 1

  @property
  def strategy(self) -> str:
    """Names of the usual differentiable augmentation; "" without images."""
    if not self.channels:
      return ""
    names = ["color", "crop", "cutout", "flip", "scale", "rotate"]
    return "_".join(n for n in names if self.mirrored or n != "flip")


def traits_of(source, *, mirrored: bool = False) -> Traits:
  """The traits of a data set, as far as its arrays tell them.

  Args:
    source: a `data.Source`.
    mirrored: whether a mirrored image is of the same class, which no array
      tells; not by default, which is safe for digits and writing.
  """
  shape = source.example.shape[1:]
  if len(shape) != 3:
    return Traits()
  record, std = source.preprocessing, 1.0
  if isinstance(record, Standardise):
    std = float(np.ravel(record.std)[0])
  return Traits(shape[2], min(shape[:2]), mirrored, std)
