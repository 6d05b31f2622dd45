"""Makes two data sets of the results that nobody publishes as files.

  python experiments/make_data.py --made=tissue,thirty --data_dir=DATA

`tissue` draws a folder of small images, DATA/tissue, that look like stained
tissue: openings with a ring of cells around them, the glands (1,200 training
images), and openings among crowded, irregular cells (400). Colour and
brightness vary from image to image in both classes, so that only shapes tell
them apart. The test part has 600 and 200.

`thirty` puts the ten classes each of MNIST, Fashion-MNIST and CIFAR-10 into one
file, DATA/thirty.npz, of 28 x 28 pixels in grey. It reads these three from
--data_dir, arranged as docs/data_sets.md says.
"""

from collections.abc import Mapping
from pathlib import Path

import begin
import launch
import numpy as np
from absl import flags
from PIL import Image, ImageDraw, ImageFilter

from distill_jax import data
from distill_jax.choices import some_of

FLAGS = flags.FLAGS
flags.DEFINE_list("made", None, "What is made: tissue, thirty.")
flags.mark_flags_as_required(["made"])

_SIDE = 32
_SCALE = 4  # images are drawn larger, then reduced, so that edges are smooth
_COUNTS = dict(
    train=dict(glands=1_200, crowded=400), test=dict(glands=600, crowded=200))
_PARTS = {
    "idx:mnist": "digit",
    "idx:fashion_mnist": "garment",
    "npz:cifar10.npz": "photograph of"
}


def main(argv):
  del argv
  if not FLAGS.data_dir:
    raise launch.missing("data_dir", "the data sets are written there")
  for name in some_of(_SETS, "made", FLAGS.made):
    print(f"written to {_SETS[name](Path(FLAGS.data_dir))}")


def tissue(folder: Path) -> Path:
  """Draws the folder of images of two classes, the same ones in each call."""
  rng = np.random.default_rng(0)
  for part, counts in _COUNTS.items():
    for name, count in counts.items():
      place = folder / "tissue" / part / name
      place.mkdir(parents=True, exist_ok=True)
      for number in range(count):
        draw(rng, name == "crowded").save(place / f"{number:04d}.png")
  return folder / "tissue"


def draw(rng: np.random.Generator, crowded: bool) -> Image.Image:
  """One image of tissue, [32, 32] pixels in RGB.

  Args:
    rng: where all that varies comes from.
    crowded: whether its cells are crowded and irregular, rather than in rings
      around the opening of a gland.
  """
  side = _SIDE * _SCALE
  stain = rng.normal(0, 10, 3)
  shade = rng.normal(0, 14)
  image = Image.new("RGB", (side, side), _colour((226, 170, 200), stain, shade))
  pen = ImageDraw.Draw(image)
  for _ in range(30):  # fibres between the cells
    start, turn = rng.uniform(0, side, 2), rng.uniform(0, np.pi)
    end = start + rng.uniform(10, 50) * np.array((np.cos(turn), np.sin(turn)))
    pen.line((*start, *end), _colour((208, 142, 182), stain, shade), width=3)
  dark = _colour((104, 68, 148), stain, shade)
  for centre in rng.uniform(0, side, (rng.integers(1, 4), 2)):
    radius = rng.uniform(14, 32)
    pale = rng.uniform(0, 18, 3) + (226, 190, 214)
    pen.ellipse((*(centre - 0.7 * radius), *(centre + 0.7 * radius)),
                _colour(pale, stain, shade))
    if not crowded:
      number = int(radius / 2)
      for turn in 2 * np.pi * (np.arange(number) + rng.uniform()) / number:
        place = centre + radius * np.array((np.cos(turn), np.sin(turn)))
        _cell(pen, rng, place, rng.uniform(4, 7), 0.1, dark)
  count = rng.integers(10, 26) if crowded else rng.integers(4, 18)
  for centre in rng.uniform(0, side, (count, 2)):
    largest, irregular = (11, 0.35) if crowded else (9, 0.25)
    _cell(pen, rng, centre, rng.uniform(4, largest), irregular, dark)
  small = image.filter(ImageFilter.GaussianBlur(2)).resize((_SIDE, _SIDE))
  noisy = np.asarray(small) + rng.normal(0, 7, (_SIDE, _SIDE, 1))
  return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _cell(pen, rng, centre, radius: float, irregular: float, colour) -> None:
  """Draws the nucleus of a cell, a polygon whose radius varies."""
  turns = np.linspace(0, 2 * np.pi, 9)[:-1]
  radii = radius * (1 + irregular * rng.normal(0, 1, 8)).clip(0.4, 1.8)
  points = centre + radii[:, None] * np.stack((np.cos(turns), np.sin(turns)), 1)
  pen.polygon([tuple(point) for point in points], colour)


def _colour(usual, stain, shade) -> tuple[int, ...]:
  return tuple(int(c) for c in np.clip(np.array(usual) + stain + shade, 0, 255))


def thirty(folder: Path) -> Path:
  """Puts three data sets of ten classes into one file; see `together`."""
  return together(folder, _PARTS)


def together(folder: Path, titles: Mapping[str, str]) -> Path:
  """Puts the classes of data sets of images into one file, in grey.

  Args:
    folder: where the data sets are; the file thirty.npz is written there.
    titles: by SPEC of a data set, the first words of its class names.
  """
  parts = [data.read(spec, data_dir=str(folder)) for spec in titles]
  offsets = np.cumsum([0, *(source.num_classes for source in parts)])
  arrays = {}
  for part in "train", "test":
    found = [getattr(source, part) for source in parts]
    arrays[f"x_{part}"] = np.concatenate(
        [_grey(np.asarray(split.inputs)) for split in found])
    arrays[f"y_{part}"] = np.concatenate([
        np.asarray(split.labels) + offset
        for split, offset in zip(found, offsets, strict=False)
    ])
  names = [
      f"{title} {name}"
      for title, source in zip(titles.values(), parts, strict=True)
      for name in source.class_names
  ]
  np.savez(folder / "thirty.npz", **arrays, class_names=names)
  return folder / "thirty.npz"


def _grey(images: np.ndarray) -> np.ndarray:
  """Images of 28 x 28 pixels and one channel."""
  if images.shape[1:] == (28, 28, 1):
    return images
  return np.stack([
      np.asarray(Image.fromarray(image).convert("L").resize((28, 28)))
      for image in images
  ])[..., None]


_SETS = dict(tissue=tissue, thirty=thirty)

if __name__ == "__main__":
  begin.start(main, computes=False)
