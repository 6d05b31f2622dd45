"""What published settings depend on: a few facts about a data set."""

from typing import NamedTuple

import numpy as np

from distill_jax.preprocessing import Standardise


class Traits(NamedTuple):
  """Facts about a data set.

  Attributes:
    channels: number of channels of images; 0 for data that are not images.
    side: shorter side of an image in pixels; 0 for data that are not images.
    mirrored: whether an image and its mirror image are of the same class.
    std: standard deviation of the pixels of the first channel, in [0, 1].
    reference_side: image side, in pixels, for which IDC's rate was published.
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
    """Names of the usual differentiable augmentation; "" if not images."""
    if not self.channels:
      return ""
    names = ["color", "crop", "cutout", "flip", "scale", "rotate"]
    return "_".join(n for n in names if self.mirrored or n != "flip")


def traits_of(source, *, mirrored: bool = False) -> Traits:
  """Derives the traits of a data set from its arrays.

  Args:
    source: a `data.Source`.
    mirrored: whether an image and its mirror image are of the same class. This
      cannot be derived from the arrays; False by default, which is safe for
      digits and writing.
  """
  shape = source.example.shape[1:]
  if len(shape) != 3:
    return Traits()
  record, std = source.preprocessing, 1.0
  if isinstance(record, Standardise):
    std = float(np.ravel(record.std)[0])
  return Traits(shape[2], min(shape[:2]), mirrored, std)
