"""Packs images into files that can be read row by row: data beyond memory.

    python -m distill_jax.data.pack folder:photos photos64 --size=64
    python experiments/distill.py --data=npy:photos64 --workdir=runs/photos

The new folder (photos64 above) holds `x_train.npy` (uint8 [N, H, W, C]),
`y_train.npy` (int32), the same for other parts, and `names.json`. A folder of
images, a table of paths or Parquet files (see `pictures`) are decoded image by
image in threads, and never held in memory as a whole. Any other SPEC is read as
by `data.read`. The folder appears only when everything is written.
"""

import argparse
import collections
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from distill_jax.data import image_folder, parts, pictures, readers
from distill_jax.data.packed import NAMES
from distill_jax.environment import num_cores
from distill_jax.errors import DataError, plain

_AHEAD = 512  # images that are decoded, or wait to be written, at once
_LARGEST = 2**24  # most pixels of an image


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      prog="python -m distill_jax.data.pack",
      description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument(
      "spec",
      help="folder:DIR, csv:FILE?image=COLUMN, parquet:PLACE, or another SPEC")
  parser.add_argument("out", type=Path, help="a new folder")
  parser.add_argument("--size", help="64 or HxW, needed to decode")
  parser.add_argument("--grey", action="store_true", help="one channel")
  parser.add_argument("--ground", default="white", help="behind transparency")
  parser.add_argument("--data_dir", help="folder of data sets")
  options = parser.parse_args(argv)
  began = time.perf_counter()
  try:
    count = pack(
        options.spec,
        options.out,
        size=_sides(options.size),
        grey=options.grey,
        ground=options.ground,
        data_dir=options.data_dir,
        say=print)
  except DataError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
  seconds = time.perf_counter() - began
  print(f"{count:,} images in {seconds:.1f} s: --data=npy:{options.out}")


def pack(
    spec: str,
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    ground: str = "white",
    data_dir: str | None = None,
    say=lambda line: None) -> int:
  """Writes a data set of images row by row.

  Args:
    spec: as in `data.read`, or a SPEC of `pictures`, whose images are decoded
      one by one.
    out: a folder that does not exist yet.
    size: (height, width) that decoded images are resized to.
    grey: whether decoded images become grey; RGB otherwise.
    ground: background colour that transparent pixels get.
    data_dir: as in `data.read`.
    say: a function that is given each line of progress, such as `print`.

  Returns:
    The number of images.

  Raises:
    DataError: there is nothing to pack, no size is given, or the folder exists.
  """
  if out.exists():
    raise DataError(f"`out` must be a new folder; {out} exists already.")
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(
        tempfile.mkdtemp(
            prefix=f".{out.name}.", dir=out.parent, suffix=".part"))
  except OSError as error:
    raise _unwritable(out, error) from error
  kind, _, place = spec.partition(":")
  try:
    place, _, query = place.partition("?")
    of_numbers = kind == "csv" and "image=" not in query
    if kind in pictures.KINDS and place and not of_numbers:
      root = readers.located(spec, place, data_dir)
      counts, names = _of_pictures(
          kind, root, query, partial, size, grey, ground, say)
    else:
      counts, names = _of_arrays(spec, data_dir, partial, size, grey)
    (partial / NAMES).write_text(json.dumps(names))
    partial.chmod(0o755)  # mkdtemp lets only this user read it
    os.rename(partial, out)
  except OSError as error:
    raise _unwritable(out, error) from error
  finally:
    shutil.rmtree(partial, ignore_errors=True)
  return sum(counts.values())


def _unwritable(out: Path, error: OSError) -> DataError:
  return DataError(
      f"`out` must be a new folder that can be written; got {out}: "
      f"{error.strerror}.")


def _sides(text: str | None) -> tuple[int, int] | None:
  found = image_folder.sides(text or "1")
  if not found:
    raise DataError(f"`size` must be 32 or HxW; got {plain(text)!r}.")
  if found[0] * found[1] > _LARGEST:
    raise DataError(
        f"`size` must be at most {_LARGEST:,} pixels in all; got {text}.")
  return found if text else None


def _of_arrays(spec, data_dir, out, size, grey):
  """Writes a SPEC that is read as a whole; returns counts and class names."""
  if size is not None or grey:
    raise DataError(
        "`size` and `grey` must be left out, except for images that are "
        "decoded here: folder:DIR, csv:FILE?image=COLUMN and parquet:PLACE.")
  source = readers.read(spec, data_dir=data_dir)
  if source.raw_dtype == "int32":
    raise DataError("`spec` must name images or numbers; got texts.")
  counts = {}
  for part in parts.NAMES:
    split = getattr(source, part)
    if split is not None:
      np.save(out / f"x_{part}.npy", np.asarray(split.inputs))
      np.save(out / f"y_{part}.npy", np.asarray(split.labels))
      counts[part] = split.num_samples
  return counts, list(source.class_names)


def _of_pictures(kind, root, query, out, size, grey, ground, say):
  """Writes pictures in order, decoded in threads; counts and class names."""
  if size is None:
    raise DataError(
        "`size` must be given, such as --size=64, as the sizes of the images "
        "are not compared first.")
  left_out = collections.Counter()
  found, names = pictures.parts_of(kind, root, query, left_out)
  numbers = {name: number for number, name in enumerate(names)}
  counts, shape = {}, (*size, 1 if grey else 3)
  for part, own in found.items():
    read = image_folder.reader(size, ground, "L" if grey else "RGB", left_out)
    labels = []
    with _Rows(out / f"x_{part}.npy", len(own.labels), shape) as rows:
      for label, image in zip(own.labels, _in_order(read, own.pictures()),
                              strict=True):
        if image is not None:
          rows.write(image.reshape(shape))
          labels.append(numbers[label])
    missing = set(range(len(names))) - set(labels)
    if len(names) < 2 or not labels:
      raise DataError(
          f"`spec` must hold images of two classes or more in {part}; {root} "
          f"has {len(labels)} images; number of classes: {len(set(labels))}.")
    if part == "train" and missing:
      raise DataError(
          f"`spec` must hold images of every class; {names[min(missing)]} has "
          f"none in {root}. Leave it out of the names, or add images.")
    np.save(out / f"y_{part}.npy", np.array(labels, np.int32))
    counts[part] = len(labels)
  if left_out:
    say(image_folder.sentence(left_out))
  return counts, names


def _in_order(read, items: Iterator) -> Iterator:
  """Yields what `read` returns for each item, with several read at once."""
  with ThreadPoolExecutor(num_cores()) as pool:
    while some := list(itertools.islice(items, _AHEAD)):
      yield from pool.map(read, some)


class _Rows:
  """A `.npy` file that grows row by row; its header gets the count last."""

  def __init__(self, path: Path, most: int, shape: tuple[int, ...]):
    self._path, self._most, self._shape, self._count = path, most, shape, 0

  def __enter__(self) -> "_Rows":
    self._file = self._path.open("wb")
    self._begin = self._header(self._most)
    return self

  def write(self, row: np.ndarray) -> None:
    self._file.write(row.tobytes())
    self._count += 1

  def __exit__(self, *error) -> None:
    if not any(error):
      end = self._header(self._count)
      if end != self._begin:  # the longer count did not fit the padded header
        raise DataError(f"`out` could not be written: {self._path}.")
    self._file.close()

  def _header(self, count: int) -> int:
    """Writes the header; returns its length."""
    self._file.seek(0)
    np.lib.format.write_array_header_1_0(
        self._file,
        dict(descr="|u1", fortran_order=False, shape=(count, *self._shape)))
    return self._file.tell()


if __name__ == "__main__":
  main()
