"""Times packing a folder of images against only decoding them by Pillow.

Random images of `--size` pixels are written as PNG or JPEG files of ten
classes, packed by `data.pack`, and only decoded by Pillow in as many threads as
there are cores. Bar: 5,000 images a second, or 0.9 of the rate of decoding.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import timing
from PIL import Image

from distill_jax.data import pack
from distill_jax.environment import num_cores

RATE, SHARE, CLASSES = 5_000.0, 0.9, 10


def main(argv=None) -> None:
  parser = timing.with_settings(
      argparse.ArgumentParser(description=__doc__, formatter_class=timing.RAW),
      images=50_000,
      size=32,
      kind="png")
  options = parser.parse_args(argv)
  with tempfile.TemporaryDirectory() as folder:
    files = _write(Path(folder) / "images", options)
    _decode(files[0])  # imports what it needs
    packed = _seconds(
        lambda: pack.pack(
            f"folder:{folder}/images",
            Path(folder) / "packed",
            size=(options.size, options.size)))
    with ThreadPoolExecutor(num_cores()) as pool:
      decoded = _seconds(lambda: sum(1 for _ in pool.map(_decode, files)))
  rates = options.images / packed, options.images / decoded
  row = dict(
      images=options.images,
      kind=options.kind,
      packed_per_second=rates[0],
      decoded_per_second=rates[1],
      share=rates[0] / rates[1],
      met=rates[0] >= min(RATE, SHARE * rates[1]))
  timing.report("packing", options, [row])


def _write(folder: Path, options) -> list[Path]:
  generator, files = np.random.default_rng(0), []
  for number in range(options.images):
    file = folder / str(number % CLASSES) / f"{number}.{options.kind}"
    if number < CLASSES:
      file.parent.mkdir(parents=True)
    pixels = generator.integers(
        0, 256, (options.size, options.size, 3), np.uint8)
    Image.fromarray(pixels).save(file)
    files.append(file)
  return files


def _decode(file: Path) -> np.ndarray:
  with Image.open(file) as image:
    return np.asarray(image)


def _seconds(run) -> float:
  began = time.perf_counter()
  run()
  return time.perf_counter() - began


if __name__ == "__main__":
  main()
