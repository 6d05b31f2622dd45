"""The data sets that `make_data.py` makes."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from distill_jax import data, storage

_SIDE = 32
_SCALE = 4  # images are drawn larger, then reduced, so that edges are smooth
_COUNTS = dict(
    train=dict(glands=1_200, crowded=400), test=dict(glands=600, crowded=200))
_THIRTY = MappingProxyType({
    "idx:mnist": "digit",
    "idx:fashion_mnist": "garment",
    "npz:cifar10.npz": "photograph of"
})


def tissue(folder: Path, counts: Mapping = MappingProxyType(_COUNTS)) -> Path:
  """Draws small images of two classes, the same ones in each call.

  Args:
    folder: where the folder `tissue` is written.
    counts: by part, the number of images of each class.

  Returns:
    The folder, for `folder:`.
  """
  generator = np.random.default_rng(0)
  for part, numbers in counts.items():
    for name, number in numbers.items():
      place = folder / "tissue" / part / name
      place.mkdir(parents=True, exist_ok=True)
      for i in range(number):
        image = draw(generator, crowded=name == "crowded")
        image.save(place / f"{i:04d}.png")
  return folder / "tissue"


def draw(generator: np.random.Generator, *, crowded: bool) -> Image.Image:
  """One image that looks like stained tissue, 32 x 32 pixels in RGB.

  Args:
    generator: draws all that varies.
    crowded: whether cells are crowded and irregular, rather than in rings
      around the openings of glands.
  """
  side = _SIDE * _SCALE
  tint = generator.normal(0, 10, 3) + generator.normal(0, 14)
  image = Image.new("RGB", (side, side), _colour((226, 170, 200), tint))
  pen = ImageDraw.Draw(image)
  for _ in range(30):  # fibres between the cells
    start = generator.uniform(0, side, 2)
    turn = generator.uniform(0, np.pi)
    end = start + generator.uniform(10, 50) * np.array(
        (np.cos(turn), np.sin(turn)))
    pen.line((*start, *end), _colour((208, 142, 182), tint), width=3)
  dark = _colour((104, 68, 148), tint)
  for centre in generator.uniform(0, side, (generator.integers(1, 4), 2)):
    radius = generator.uniform(14, 32)
    pale = generator.uniform(0, 18, 3) + (226, 190, 214)
    pen.ellipse((*(centre - 0.7 * radius), *(centre + 0.7 * radius)),
                _colour(pale, tint))
    if not crowded:
      number = int(radius / 2)
      turns = np.arange(number) + generator.uniform()
      for turn in 2 * np.pi * turns / number:
        place = centre + radius * np.array((np.cos(turn), np.sin(turn)))
        _cell(pen, generator, place, generator.uniform(4, 7), 0.1, dark)
  fewest, most, largest, irregular = ((10, 26, 11, 0.35) if crowded else
                                      (4, 18, 9, 0.25))
  number = generator.integers(fewest, most)
  for centre in generator.uniform(0, side, (number, 2)):
    radius = generator.uniform(4, largest)
    _cell(pen, generator, centre, radius, irregular, dark)
  small = image.filter(ImageFilter.GaussianBlur(2)).resize((_SIDE, _SIDE))
  noisy = np.asarray(small) + generator.normal(0, 7, (_SIDE, _SIDE, 1))
  return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _cell(pen, generator, centre, radius, irregular, colour) -> None:
  """Draws the nucleus of a cell, a polygon whose radius varies."""
  turns = np.linspace(0, 2 * np.pi, 9)[:-1]
  radii = radius * (1 + irregular * generator.normal(0, 1, 8)).clip(0.4, 1.8)
  points = centre + radii[:, None] * np.stack((np.cos(turns), np.sin(turns)), 1)
  pen.polygon([tuple(point) for point in points], colour)


def _colour(usual, tint) -> tuple[int, ...]:
  return tuple(int(c) for c in np.clip(np.add(usual, tint), 0, 255))


def thirty(folder: Path, titles: Mapping[str, str] = _THIRTY) -> Path:
  """Puts the classes of several data sets of images into one file, in grey.

  Args:
    folder: where the data sets are, and where thirty.npz is written.
    titles: by SPEC of a data set, the first words of its class names.

  Returns:
    The file, for `npz:`; its images have 28 x 28 pixels.
  """
  parts = [data.read(spec, data_dir=str(folder)) for spec in titles]
  offsets = np.cumsum([0, *(source.num_classes for source in parts)])[:-1]
  arrays = {}
  for part in "train", "test":
    found = [getattr(source, part) for source in parts]
    arrays[f"x_{part}"] = np.concatenate(
        [_grey(np.asarray(split.inputs)) for split in found])
    arrays[f"y_{part}"] = np.concatenate([
        np.asarray(split.labels) + offset
        for split, offset in zip(found, offsets, strict=True)
    ])
  names = [
      f"{title} {name}"
      for title, source in zip(titles.values(), parts, strict=True)
      for name in source.class_names
  ]
  content, file = io.BytesIO(), folder / "thirty.npz"
  np.savez(content, **arrays, class_names=names)
  storage.replace(file, content.getvalue())
  return file


def _grey(images: np.ndarray) -> np.ndarray:
  """Images of 28 x 28 pixels and one channel."""
  if images.shape[1:] == (28, 28, 1):
    return images
  return np.stack([
      np.asarray(Image.fromarray(image).convert("L").resize((28, 28)))
      for image in images
  ])[..., None]
