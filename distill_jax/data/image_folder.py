"""Reads images from folders, with one folder per class.

  DIR/CLASS/FILE           a data set without parts
  DIR/train/CLASS/FILE     a data set with parts: also test/ and validation/, or
                           other names of these, see `parts`

A file is read if its content is a raster image, whatever its name ends in.
Files whose names begin with a dot, and `__MACOSX`, are skipped; all other files
that are left out are counted and reported.

Pixels become 8 bits per channel: grey if all images are grey, and RGB
otherwise. 16-bit values are divided by 257. Transparent pixels get the
background colour (the "ground"), white by default. CMYK and palette images
become RGB. An image with an EXIF orientation is turned upright. Of an
animation, the first frame is used.
"""

import collections
import contextlib
import functools
import io
import os
import re
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax import unpacking
from distill_jax.data.parts import NAMES, by_part, part_of
from distill_jax.errors import DataError, listed, plain
from distill_jax.text.tokens import in_utf8

# Formats that hold plain pixels. Others, such as PostScript, start programs.
_FORMATS = (
    "PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF", "DIB", "ICO",
    "JPEG2000", "PCX", "QOI", "SGI")
# A file with such an ending that is no image is damaged: an error. Others that
# are no images are left out.
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm",
    ".pgm")
# Where an image may store its orientation; TIFF has tags.
_TURNS = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
_GREY_MODES = ("1", "L", "LA", "La")
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
_SIXTEEN_BITS = ("PNG", "PPM")  # formats whose mode "I" holds 0..65535
_LARGE = 2**24  # pixels; for larger images, headers and sizes are checked first


def read_folder(
    root: Path,
    size: tuple[int, int] | None = None,
    ground: str = "white") -> dict[str, Any]:
  """Returns the arguments of `from_arrays`, and `left_out`, a sentence.

  Args:
    root: the folder.
    size: (height, width) that images are resized to; None if all have one size.
    ground: background colour that transparent pixels get.

  Raises:
    DataError: a class has no images, a file is not an image of 8 or 16 bits per
      channel, images differ in size, or they do not fit into memory.
  """
  colour = _colour(ground)
  left_out = collections.Counter()
  files = files_of(root, left_out)
  images = _images(sum(files.values(), []), root, size, colour, left_out)
  mode = "L" if all(i.mode == "L" for i in images.values()) else "RGB"
  arrays: dict[str, Any] = {}
  for part, folder in _parts(root, collections.Counter()).items():
    found = [file for file in files[part] if file in images]
    _check_classes(folder, {file.parent for file in found})
    arrays[f"y_{part}"] = [file.parent.name for file in found]
    arrays[f"x_{part}"] = np.stack([_of_mode(images[f], mode) for f in found])
  if left_out:
    arrays["left_out"] = sentence(left_out)
  return arrays


def sentence(left_out: collections.Counter) -> str:
  """A sentence on what was left out of a folder, by kind of file."""
  kinds = ", ".join(f"{num} {kind}" for kind, num in left_out.most_common())
  return f"left out of the folder: {plain(kinds, 200)}"


def sides(text: str) -> tuple[int, int] | None:
  """(height, width) of a text such as `32` or `24x32`; None for other text."""
  found = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
  return found and (int(found[1]), int(found[2] or found[1]))


def files_of(root: Path, left_out) -> dict[str, list[Path]]:
  """Returns the possible image files of each part, by class and file name.

  Args:
    root: the folder.
    left_out: a counter of skipped files, by kind; it is updated.
  """
  return {
      part: _files(folder, left_out)
      for part, folder in _parts(root, left_out).items()
  }


def reader(size: tuple[int, int], ground: str, mode: str, left_out):
  """Returns a function that decodes one picture.

  The function is `picture -> uint8 [H, W] or [H, W, 3]`; it returns None for a
  file that is no image. A picture has a `path`, and as `content` the bytes of
  the file or None.

  Args:
    size: (height, width) of the results.
    ground: background colour that transparent pixels get.
    mode: "L" (grey) or "RGB".
    left_out: as in `files_of`; several threads may use the function at once.
  """
  colour, one_by_one = _colour(ground), threading.Lock()

  def read(picture) -> np.ndarray | None:
    skipped, file = collections.Counter(), picture.path
    with unpacking.reading(file), _opened(file, skipped,
                                          picture.content) as opened:
      if opened is None:
        with one_by_one:
          left_out.update(skipped)
        return None
      _check_header(file, opened, None, picture.content)
      return np.asarray(_of_mode(_image(opened, file, size, colour), mode))

  return read


def _colour(name: str) -> tuple[int, ...]:
  try:
    from PIL import ImageColor
  except ImportError as error:
    raise DataError(
        "`spec` must not be a folder without Pillow. Install it: pip install "
        "'distill_jax[experiments]', or pillow alone.") from error
  try:
    return ImageColor.getrgb(name)[:3]
  except ValueError:
    raise DataError(
        "`spec` must give a colour as ground, such as white or #808080; got "
        f"{plain(name)!r}.") from None


# -------------------------------------------------------------------- folders


def _shown(folder: Path) -> list[Path]:
  """What a folder holds, by name, without hidden files."""
  return [
      path for path in unpacking.entries(folder)
      if not path.name.startswith(".") and path.name != "__MACOSX"
  ]


def _parts(root: Path, left_out) -> dict[str, Path]:
  """The folder of each part; a class may also be called train."""
  shown = _shown(root)
  folders = [path for path in shown if path.is_dir()]
  train = [path for path in folders if part_of(path.name) == "train"]
  if not train:
    return {"train": root}
  inside = _shown(train[0])
  if (any(path.suffix.lower() in SUFFIXES for path in inside) or
      not any(path.is_dir() for path in inside)):
    if any(part_of(path.name) is None for path in folders):
      return {"train": root}
    raise DataError(
        "`spec` must hold one folder of images per class in each part; "
        f"{train[0]} has images or nothing. Move them into such folders.")
  found = by_part(root, [(path.name, path) for path in folders])
  if beside := [path.name for path in shown if path not in found.values()]:
    left_out[f"beside the parts ({listed(beside)})"] += len(beside)
  return found


def _class_folders(folder: Path) -> list[Path]:
  found = [path for path in _shown(folder) if path.is_dir()]
  if not found:
    raise DataError(
        f"`spec` must hold one folder of images per class; {folder} has none.")
  for path in found:
    if not in_utf8(path.name):
      raise DataError(
          f"`spec` must hold folders named in UTF-8; {folder} has "
          f"{plain(os.fsencode(path.name))}. Rename it.")
  return found


def _files(folder: Path, left_out) -> list[Path]:
  """Possible image files of all classes, by class and file name."""
  classes = _class_folders(folder)
  beside = len(_shown(folder)) - len(classes)
  shown = [path for own in classes for path in _shown(own)]
  found = [path for path in shown if path.is_file()]
  for kind, num in (("beside the classes", beside),
                    ("folders or pipes within classes",
                     len(shown) - len(found))):
    if num:
      left_out[kind] += num
  return found


def _check_classes(folder: Path, found: set[Path]) -> None:
  """Refuses a class without images."""
  for path in _class_folders(folder):
    if path not in found:
      raise DataError(
          f"`spec` must hold images ({', '.join(SUFFIXES)}) of every class; "
          f"{path} has none. Parts are called {', '.join(NAMES)}.")


# --------------------------------------------------------------------- images


def _images(files, root: Path, size, ground, left_out) -> dict[Path, Any]:
  """The files that are images, as upright PIL images of mode L or RGB."""
  from PIL import Image

  images, first, upright = {}, None, None
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    for file in files:
      with unpacking.reading(file), _opened(file, left_out) as opened:
        if opened is None:
          continue
        if first is None:
          first = file, opened.size
          _check_memory(files, root, opened, size)
          if size is None and _is_large(opened):
            _check_headers(files, first)
        _check_header(file, opened, None if size else first)
        image = images[file] = _image(opened, file, size, ground)
      upright = upright or (file, image.size)
      _check_size(upright, (file, image.size))
  return images


def _opened(path: Path, left_out, content: bytes | None = None):
  """Opens an image without decoding it; a context of None for other files."""
  from PIL import Image

  suffix = path.suffix.lower()
  known = _known()
  if suffix == ".tga":  # a format that cannot be told from the content
    known = (*known, "TGA")
  try:
    file = path if content is None else io.BytesIO(content)
    return Image.open(file, formats=known)
  except Image.DecompressionBombError as error:
    raise DataError(
        f"`spec` must hold smaller images; {path}: {plain(error, 100)}. Shrink "
        "it.") from error
  except Image.UnidentifiedImageError as error:
    if suffix in SUFFIXES:
      raise DataError(
          f"`spec` must hold readable images; got {path}, which is no "
          "image. Download it again.") from error
  left_out[plain(suffix, 12) if suffix else "without an ending"] += 1
  return contextlib.nullcontext()


@functools.cache
def _known() -> tuple[str, ...]:
  """The formats that the installed Pillow supports."""
  from PIL import Image

  Image.init()
  return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_memory(files, root: Path, image, size) -> None:
  """Refuses images whose pixels would not fit if all were as large as this."""
  width, height = image.size
  height, width = size or (height, width)
  each = width * height * (1 if image.mode in _GREY_MODES else 3)
  if each * len(files) > _LARGE:
    packed = sum(file.stat().st_size for file in files)
    unpacking.check_size(each * len(files), packed, root, "spec")


def _check_headers(files, first) -> None:
  """Compares the sizes of large images before any of them is decoded."""
  for file in files:
    with unpacking.reading(file), _opened(file,
                                          collections.Counter()) as opened:
      if opened is not None:
        _check_header(file, opened, first)


def _check_header(
    file: Path, image, first, content: bytes | None = None) -> None:
  """Refuses an image that is too large or differs in size from the first."""
  if first is not None:  # EXIF may still turn either of them by 90 degrees
    _check_size(first, (file, image.size), turned=True)
  if _is_large(image):
    unpacking.check_size(
        _bytes_each(image) * image.width * image.height,
        file.stat().st_size if content is None else len(content), file, "spec")


def _bytes_each(image) -> int:
  """Bytes of a pixel in memory while an image is converted."""
  if image.mode in _TRANSPARENT or "transparency" in image.info:
    return 16  # the image, the ground, both together, and the result
  if image.mode in _GREY_MODES:
    return 1
  return 4 if image.mode == "RGB" else 8


def _is_large(image) -> bool:
  return image.width * image.height > _LARGE


def _check_size(first, other, turned: bool = False) -> None:
  """Refuses two images of different sizes, given as (file, (width, height))."""
  sizes = first[1], other[1]
  if sizes[0] == sizes[1] or (turned and sizes[0] == sizes[1][::-1]):
    return
  one, two = (f"{height}x{width}" for width, height in sizes)
  raise DataError(
      "`spec` must give a size where images differ in size; "
      f"got {one} in {first[0]} and {two} in {other[0].parent.name}/"
      f"{other[0].name}. Add ?size=32 or ?size=HxW to resize all.")


def _image(opened, path: Path, size, ground):
  """A PIL image of mode L or RGB, upright."""
  from PIL import Image, ImageOps

  opened.load()
  kind, image = opened.format, opened
  if hasattr(image, "tag_v2") or image.info.keys() & _TURNS:
    ImageOps.exif_transpose(image, in_place=True)  # slow, and seldom needed
  if image.mode.startswith("I;16") or (image.mode == "I" and
                                       kind in _SIXTEEN_BITS):
    image = _of_eight_bits(image)
  elif image.mode in ("I", "F"):
    raise DataError(
        "`spec` must hold images of 8 or 16 bits per channel; got 32 in "
        f"{path}. Convert it.")
  try:
    image = _opaque(image, ground)
  except ValueError as error:
    raise DataError(
        f"`spec` must hold grey or RGB images; got mode {image.mode} in "
        f"{path}. Convert it.") from error
  if size is None or image.size == size[::-1]:
    return image
  return image.resize(size[::-1], Image.Resampling.BILINEAR)


def _of_eight_bits(image):
  """Converts 16-bit grey, maybe with a transparent level, to mode L or LA."""
  from PIL import Image

  levels = np.asarray(image)
  grey = Image.fromarray(
      np.stack([np.round(row / 257).astype(np.uint8) for row in levels]))
  clear = image.info.get("transparency")
  if clear is not None:
    grey.putalpha(Image.fromarray(np.uint8(255) * (levels != clear)))
  return grey


def _opaque(image, ground):
  """Converts to mode L or RGB, with the ground in place of transparency."""
  from PIL import Image

  mode = "L" if image.mode in _GREY_MODES else "RGB"
  if image.mode in _TRANSPARENT or "transparency" in image.info:
    if image.mode == "La":
      image = image.convert("LA")
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    mode = mode if len(set(ground)) == 1 else "RGB"
  return _of_mode(image, mode)


def _of_mode(image, mode: str):
  return image if image.mode == mode else image.convert(mode)
