"""Backdoors: a trigger in some of the real images, and what becomes of it.

Whoever distils may have stamped a trigger on some images and called them all
one class, the target. A network that learns this from the set calls every
stamped image the target (Liu et al., "Backdoor Attacks Against Dataset
Distillation", 2023, arXiv 2301.01197, their "naive" attack: the images are
poisoned once, before any method sees them). Their trigger is a white square of
2x2 pixels, one pixel away from the lower right corner.

  ASR  attack success rate: the share of test images of OTHER classes that are
       called the target once they are stamped
  CTA  clean test accuracy: on the test images as they are

Here only images of other classes are stamped, so that a count is one of wrong
labels. Attacks that tune the trigger while a set is distilled ("DoorPing") are
left out on purpose.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax.applications.settings import distinct, is_number
from distill_jax.artifact import Artifact
from distill_jax.data.source import Source, Split
from distill_jax.errors import ConfigError, DataError, shown
from distill_jax.labels import label_rows
from distill_jax.preprocessing import Encoded, unit_scale
from distill_jax.types import Array

_NONE = 'For none set poison=(), or --config.settings.poison="()".'


class Pattern(NamedTuple):
  """A trigger.

  Attributes:
    mask: [H, W] bool, the pixels that it covers.
    value: of all channels there, in [0, 1].
  """

  mask: np.ndarray
  value: float = 1.0


def square(
    shape: tuple[int, ...],
    size: int = 2,
    margin: int = 1,
    value: float = 1.0) -> Pattern:
  """A square near the lower right corner; the paper's by default.

  Args:
    shape: [H, W, ...] of an image.
    size: pixels along its side.
    margin: pixels between it and the edges.
    value: in [0, 1].

  Raises:
    ConfigError: it does not fit the image.
  """
  height, width = shape[:2]
  if size < 1 or margin < 0 or size + margin > min(height, width):
    raise ConfigError(
        f"`size` and `margin` must fit images of {height} x {width} pixels; "
        f"got {size} and {margin}.")
  if not 0 <= value <= 1:
    raise ConfigError(f"`value` must be in [0, 1]; got {value}.")
  mask = np.zeros((height, width), bool)
  rows, columns = (
      slice(n - margin - size, n - margin) for n in (height, width))
  mask[rows, columns] = True
  return Pattern(mask, value)


def has_pixels(source: Source) -> bool:
  """Whether the data are images; nothing can be stamped on others."""
  return len(source.example.shape) == 4


def target_of(source: Source, target: int | str) -> int:
  """The number of a class, of which the name may be given.

  Raises:
    ConfigError: no class.
  """
  names = list(source.class_names)
  if isinstance(target, str) and target in names:
    return names.index(target)
  if isinstance(target, int | np.integer) and 0 <= target < len(names):
    return int(target)
  raise ConfigError(
      f"`target` must be a class, 0 to {len(names) - 1}, or its name; got "
      f"{shown(target)}.")


def shares_of(source: Source, poison: Any, target: int) -> tuple[float, ...]:
  """Shares of the training images that a harness poisons, checked.

  Args:
    source: real data.
    poison: shares, or one number.
    target: see `poison_rows`.

  Raises:
    ConfigError: what cannot be a share, or images that no trigger fits.
  """
  given = (poison,) if is_number(poison) else poison
  given = distinct("poison", given)
  others = np.asarray(source.train.labels) != target
  for share in given:
    if not isinstance(share, int | float) or not 0 < share < 1:
      raise ConfigError(
          "`poison` must hold shares of the training images, between 0 and 1; "
          f"got {shown(share)}. {_NONE}")
    if round(share * len(others)) > others.sum():
      raise ConfigError(
          f"`poison` must be at most {others.mean():.3g}, the share of images "
          f"of other classes; got {share}. Ask for fewer.")
  if given and has_pixels(source) and min(source.example.shape[1:3]) < 3:
    raise ConfigError(
        "`poison` must be empty for images of fewer than 3 x 3 pixels, which "
        f"no trigger fits; got {shown(given)}. {_NONE}")
  return tuple(given)


def stamped(images: Array, pattern: Pattern) -> Array:
  """Images [B, H, W, C] with the trigger, uint8 or pixels in [0, 1]."""
  scale = 255 if images.dtype == np.uint8 else 1
  value = jnp.asarray(round(scale * pattern.value, 6), images.dtype)
  return jnp.where(pattern.mask[..., None], value, images)


def poison_rows(
    key: Array, source: Source, fraction: float, target: int = 0) -> np.ndarray:
  """Rows of the train split to poison: of other classes, by chance.

  Args:
    key: consumed.
    source: real images.
    fraction: of the whole train split, in (0, 1); at least one image.
    target: the class that is not drawn from.

  Returns:
    [n] int, ascending. The rows of a smaller fraction are among those of a
    larger one.

  Raises:
    ConfigError: a fraction or a target out of range, or more than there are.
    DataError: no images, or images that were encoded.
  """
  check_poisonable(source)
  if not 0 < fraction < 1:
    raise ConfigError(f"`fraction` must be in (0, 1); got {fraction}.")
  if not 0 <= target < source.num_classes:
    raise ConfigError(
        f"`target` must be a class, 0 to {source.num_classes - 1}; got "
        f"{target}.")
  others = np.flatnonzero(np.asarray(source.train.labels) != target)
  wanted = max(1, round(fraction * source.train.num_samples))
  if wanted > len(others):
    raise ConfigError(
        f"`fraction` must leave some of the {len(others)} images of other "
        f"classes; got {fraction}.")
  drawn = np.asarray(jax.random.permutation(key, len(others)))[:wanted]
  return np.sort(others[drawn])


def poisoned(
    source: Source,
    rows: ArrayLike,
    target: int = 0,
    pattern: Pattern | None = None) -> Source:
  """The source with some training images stamped and called the target.

  Args:
    source: real images.
    rows: [n] int of the train split; see `poison_rows`.
    target: their new class.
    pattern: by default `square`.

  Returns:
    A source with the other splits as they were, and the same preprocessing:
    whoever trains on the set knows nothing of it.

  Example:
    rows = poison_rows(key, source, 0.01)
    made = dd.condense(poisoned(source, rows), dd.methods.dm(), per_class=10)
  """
  check_poisonable(source)
  rows, train = np.asarray(rows), source.train
  pattern = pattern or square(train.inputs.shape[1:])
  changed = train._replace(
      inputs=jnp.asarray(train.inputs).at[rows].set(
          stamped(train.inputs[rows], pattern)),
      labels=jnp.asarray(train.labels).at[rows].set(target))
  return source._replace(train=changed).take(np.arange(train.num_samples))


def triggered(
    split: Split, target: int = 0, pattern: Pattern | None = None) -> Split:
  """The test images of other classes, all stamped, with their true labels."""
  pattern = pattern or square(split.inputs.shape[1:])
  others = np.flatnonzero(np.asarray(split.labels) != target)
  return split._replace(
      inputs=stamped(split.inputs[others], pattern),
      labels=split.labels[others])


def success_rate(confusion: ArrayLike, target: int = 0) -> np.ndarray:
  """ASR of confusion matrices [..., K, K] on `triggered` images."""
  confusion = np.asarray(confusion, np.float64)
  return confusion[..., target].sum(-1) / confusion.sum((-2, -1))


def count_stamped(artifact: Artifact, pattern: Pattern) -> int:
  """Samples of a set that carry the whole trigger, to half a grey level."""
  pixels = np.asarray(artifact.preprocessing.invert(artifact.inputs))
  carried = np.abs(pixels[:, pattern.mask] - pattern.value) < 0.5 / 255
  return int(carried.all((1, 2)).sum())


def with_poison(
    key: Array,
    artifact: Artifact,
    source: Source,
    count: int,
    target: int = 0,
    pattern: Pattern | None = None) -> Artifact:
  """A set of real images with so many of the target's replaced by poison.

  What a sender of real images could do with the same count; to be compared with
  a set that was distilled from poisoned images.

  Args:
    key: consumed; draws training images of other classes.
    artifact: a set of clean real images with hard labels.
    source: the clean data.
    count: images that are replaced, at most those of the target.
    target: the class.
    pattern: by default `square`.
  """
  pattern = pattern or square(source.train.inputs.shape[1:])
  label = np.asarray(label_rows(jnp.array([target]), source.num_classes))
  places = np.flatnonzero((artifact.labels == label).all(1))
  if not 1 <= count <= len(places):
    raise ConfigError(
        f"`count` must be 1 to {len(places)}, the samples of the target; got "
        f"{count}.")
  others = np.flatnonzero(np.asarray(source.train.labels) != target)
  drawn = np.asarray(jax.random.permutation(key, len(others)))[:count]
  images = stamped(source.train.inputs[others[drawn]], pattern)
  inputs = artifact.inputs.copy()
  inputs[places[:count]] = source.train.encode(images)
  return artifact._replace(inputs=inputs)


def check_poisonable(source: Source) -> None:
  """Refuses data that no trigger can be stamped on.

  Raises:
    DataError: no images, or images in model space.
  """
  if not has_pixels(source):
    raise DataError(
        "`source` must hold images to be poisoned; got samples "
        f"{source.example.shape[1:]}. {_NONE}")
  if isinstance(source.train.preprocessing, Encoded):
    raise DataError(
        "`source` must hold images as pixels to be poisoned; got encoded ones. "
        "Poison it before `encoded()`.")
  lowest = float(unit_scale(source.train.inputs[:1024]).min())
  if lowest < 0:
    raise DataError(
        "`source` must have pixels in [0, 1] to be poisoned; got "
        f"{lowest:g}.")
