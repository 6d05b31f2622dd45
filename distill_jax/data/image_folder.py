"""Images in folders, one folder a class: which files, and their pixels.

  DIR/CLASS/FILE           without parts
  DIR/train/CLASS/FILE     and the same below test/ and validation/ (or valid,
                           val, dev)

Names that begin with a dot, and `__MACOSX`, are skipped, and so are files of
other endings. Pixels become 8 bits a channel, grey where all images are grey
and RGB otherwise: 16 bits are divided by 257, transparent pixels show white,
CMYK and palettes become RGB. A file turned by EXIF is turned upright; of
several frames the first counts.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax.errors import DataError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm",
    ".pgm")
_PARTS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",)
}
_GREY_MODES = ("1", "L", "LA", "La")
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
_SIXTEEN_BITS = ("PNG", "PPM")  # formats whose mode "I" holds 0..65535
_FAILURES = (OSError, SyntaxError, ValueError, EOFError, struct.error)


def read_folder(root: Path, size: tuple[int, int] | None) -> dict[str, Any]:
  """The arguments of `from_arrays`.

  Args:
    root: the folder.
    size: (height, width) that images are resized to; None where they agree.

  Raises:
    DataError: a class without images, a file that is no image of 8 or 16 bits,
      or images of different sizes.
  """
  parts = _parts(root)
  arrays: dict[str, Any] = {
      "class_names": [f.name for f in _class_folders(parts["train"])]
  }
  images = {}
  for part, folder in parts.items():
    files = _image_files(folder)
    images |= {file: _image(file, size) for file in files}
    arrays[f"y_{part}"] = [file.parent.name for file in files]
    arrays[f"x_{part}"] = files
  _check_sizes(images)
  mode = "L" if all(i.mode == "L" for i in images.values()) else "RGB"
  for part in parts:
    files = arrays[f"x_{part}"]
    arrays[f"x_{part}"] = np.stack([images[f].convert(mode) for f in files])
  return arrays


def _parts(root: Path) -> dict[str, Path]:
  """Folders of classes; a class may be called train."""
  if not (root / "train").is_dir() or not _folders(root / "train"):
    return {"train": root}
  found = {}
  for part, names in _PARTS.items():
    there = [root / name for name in names if (root / name).is_dir()]
    if len(there) > 1:
      raise DataError(
          f"`spec` must hold one folder for {part}; {root} has "
          f"{' and '.join(folder.name for folder in there)}.")
    found |= dict.fromkeys([part] * len(there), *there)
  return found


def _shown(path: Path) -> bool:
  return not path.name.startswith(".") and path.name != "__MACOSX"


def _folders(folder: Path) -> list[Path]:
  return sorted(p for p in folder.iterdir() if p.is_dir() and _shown(p))


def _class_folders(folder: Path) -> list[Path]:
  folders = _folders(folder)
  if not folders:
    raise DataError(
        f"`spec` must hold one folder of images per class; {folder} has none.")
  return folders


def _image_files(folder: Path) -> list[Path]:
  """The images of all classes, in order of class and file name."""
  files = []
  for class_folder in _class_folders(folder):
    found = [
        path for path in sorted(class_folder.iterdir())
        if path.suffix.lower() in SUFFIXES and _shown(path) and path.is_file()
    ]
    if not found:
      raise DataError(
          f"`spec` must hold images ({', '.join(SUFFIXES)}) of every class; "
          f"{class_folder} has none.")
    files += found
  return files


def _image(path: Path, size):
  """A PIL image of mode L or RGB, upright."""
  try:
    from PIL import Image, ImageOps
  except ImportError as error:
    raise DataError(
        "`spec` must not be a folder without Pillow. Install it: pip install "
        "'distill_jax[data]'.") from error
  try:
    with Image.open(path) as opened:
      opened.load()
      kind, image = opened.format, ImageOps.exif_transpose(opened)
  except (*_FAILURES, Image.DecompressionBombError) as error:
    raise DataError(
        f"`spec` must hold readable images; got {path}: {error}.") from error
  if image.mode.startswith("I;16") or (image.mode == "I" and
                                       kind in _SIXTEEN_BITS):
    levels = np.round(np.asarray(image) / 257).astype(np.uint8)
    image = Image.fromarray(levels)
  elif image.mode in ("I", "F"):
    raise DataError(
        "`spec` must hold images of 8 or 16 bits per channel; got 32 in "
        f"{path}. Convert it.")
  try:
    image = _opaque(image)
  except ValueError as error:
    raise DataError(
        f"`spec` must hold grey or RGB images; got mode {image.mode} in "
        f"{path}. Convert it.") from error
  if size is None:
    return image
  return image.resize(size[::-1], Image.Resampling.BILINEAR)


def _opaque(image):
  """Of mode L or RGB, on white where it is transparent."""
  from PIL import Image

  mode = "L" if image.mode in _GREY_MODES else "RGB"
  if image.mode in _TRANSPARENT or "transparency" in image.info:
    if image.mode == "La":
      image = image.convert("LA")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  return image.convert(mode)


def _check_sizes(images) -> None:
  first = next(iter(images))
  for file, image in images.items():
    if image.size != images[first].size:
      raise DataError(
          "`spec` must say a size where images differ in theirs; "
          f"got {_size(images[first])} in {first} and {_size(image)} in "
          f"{file}. Add ?size=32 or ?size=HxW to it, which resizes all.")


def _size(image) -> str:
  return f"{image.height}x{image.width}"
