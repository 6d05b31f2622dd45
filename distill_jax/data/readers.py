"""Data sets named by one line of text: the only parser of SPEC.

  digits          scikit-learn's digits, embedded
  idx:DIR         the four files of MNIST and its relatives, gzipped or not
  npz:FILE        arrays x_train, y_train and optionally x_test, y_test,
                  class_names
  folder:DIR      class_name/*.png|jpg|jpeg, also below train/ and test/;
                  folder:DIR?resize=HxW where they differ in size
  csv:PLACE?...   texts or tables of numbers, see `delimited`
  tfds:NAME       TensorFlow Datasets

Each reader returns the arguments of `from_arrays`, which does the checking.
"""

import functools
import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from distill_jax.data import delimited, tfds
from distill_jax.data.corpus import from_texts
from distill_jax.data.embedded import digits
from distill_jax.data.source import Source, from_arrays
from distill_jax.errors import DataError

_KINDS = "digits, idx:DIR, npz:FILE, folder:DIR, csv:PLACE, tfds:NAME"
_PARTS = ("x_train", "y_train", "x_test", "y_test")
_TEXT_OPTIONS = ("vectors", "length", "max_words", "tokens", "drop_duplicates")
_SUFFIXES = (".png", ".jpg", ".jpeg")
_GREY_MODES = ("1", "L", "LA")


def read(
    spec: str,
    *,
    data_dir: str | os.PathLike | None = None,
    text: Mapping[str, Any] = MappingProxyType({}),
    **options) -> Source:
  """Reads the data set that a specification names.

  Args:
    spec: as in the module's table.
    data_dir: where relative paths are tried after the working directory, and
      where tfds keeps its data; by default the environment variable
      DISTILL_JAX_DATA.
    text: further options of `from_texts`, where the data are texts: vectors,
      length, max_words, tokens, drop_duplicates.
    **options: of `from_arrays` and `from_texts`: class_names, preprocessing,
      test_fraction (0 by default), validation_fraction, seed.

  Returns:
    The source, named `spec`.

  Raises:
    DataError: an unknown kind, nothing there, or unusable content.
  """
  data_dir = data_dir or os.environ.get("DISTILL_JAX_DATA")
  kind, _, place = spec.partition(":")
  options = {"test_fraction": 0, **options, "name": spec}
  if kind == "csv" and place:
    return _table(spec, place, data_dir, text, options)
  resize = None
  if kind == "folder":
    place, resize = _sized(spec, place)
  files = {
      "idx": _idx,
      "npz": _npz,
      "folder": functools.partial(_folder, resize=resize)
  }
  if spec == "digits":
    arrays = dict(zip(_PARTS, digits(), strict=True))
  elif kind == "tfds" and place:
    arrays = tfds.arrays(place, data_dir)
  elif kind in files and place:
    arrays = files[kind](_find(spec, place, data_dir))
  else:
    raise DataError(f"`spec` must be one of {_KINDS}; got {spec!r}.")
  if kind == "npz" and np.ndim(arrays["x_train"]) == 3:
    options.setdefault("kind", "image")
  return from_arrays(**{**arrays, **options})


def texts(spec: str,
          *,
          data_dir: str | os.PathLike | None = None) -> dict[str, Any] | None:
  """The raw texts and labels of a SPEC, and how to cut them into tokens.

  Labels are not checked: texts that vectors are learned on need none.

  Returns:
    `x_train`, `y_train`, those of the other parts, and `tokens` where the SPEC
    says it, as `from_texts` takes them; None where the data are no texts.
  """
  kind, _, place = spec.partition(":")
  if kind != "csv":
    return None
  place, wanted = delimited.columns(place)
  if wanted.text is None:
    return None
  data_dir = data_dir or os.environ.get("DISTILL_JAX_DATA")
  found = delimited.read_table(
      _find(spec, place, data_dir), wanted, check_labels=False)
  return found | ({"tokens": wanted.tokens} if wanted.tokens else {})


def _table(spec, place, data_dir, text, options):
  """A source of texts, or of columns of numbers."""
  place, wanted = delimited.columns(place)
  place = _find(spec, place, data_dir)
  if wanted.text is None:
    return from_arrays(**delimited.read_table(place, wanted), **options)
  if options.get("preprocessing") == "standardise":
    raise DataError(
        "`preprocessing` must be word_vectors or averaged_vectors for texts; "
        "got 'standardise'.")
  unknown = sorted(set(text) - set(_TEXT_OPTIONS))
  if unknown:
    raise DataError(
        f"`text` must have keys among {', '.join(_TEXT_OPTIONS)}; got "
        f"{', '.join(unknown)}.")
  if wanted.tokens is not None:
    text = {**text, "tokens": wanted.tokens}
  return from_texts(**delimited.read_table(place, wanted), **text, **options)


def _sized(spec, place):
  """DIR and the (H, W) asked for after it, if any."""
  place, marked, option = place.partition("?")
  if not marked:
    return place, None
  size = re.fullmatch(r"resize=([1-9]\d*)x([1-9]\d*)", option)
  if not size:
    raise DataError(
        f"`spec` must end in ?resize=HxW, pixels, where it has a ?; got "
        f"{spec!r}.")
  return place, (int(size[1]), int(size[2]))


def _find(spec, place, data_dir):
  """The path as given, else below `data_dir`."""
  paths = [Path(place).expanduser()]
  if data_dir is not None:
    paths.append(Path(data_dir).expanduser() / place)
  for path in paths:
    if path.exists():
      return path
  raise DataError(
      f"`spec` must name what exists; got {spec!r}, and there is no "
      f"{' or '.join(map(str, dict.fromkeys(paths)))}. Correct it or set "
      "--data_dir or $DISTILL_JAX_DATA.")


def _require_folder(path):
  if not path.is_dir():
    raise DataError(f"`spec` must name a folder; got {path}, a file.")


# ---------------------------------------------------------------------- idx


def _idx(folder):
  """The four files by their published names."""
  _require_folder(folder)
  names = {
      "x_train": "train-images-idx3-ubyte",
      "y_train": "train-labels-idx1-ubyte",
      "x_test": "t10k-images-idx3-ubyte",
      "y_test": "t10k-labels-idx1-ubyte"
  }
  return {part: _idx_array(folder, name) for part, name in names.items()}


def _idx_array(folder, name):
  """One file: 0, 0, type, rank, the sizes (big-endian), then the bytes."""
  path = folder / name
  if not path.exists():
    path = folder / f"{name}.gz"
  if not path.exists():
    raise DataError(f"`spec` must hold {name} or {name}.gz; {folder} has none.")
  try:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
  except (OSError, EOFError, zlib.error) as error:
    raise DataError(
        f"`spec` must hold readable files; got {path} of "
        f"{path.stat().st_size} bytes: {error}. Fetch it again.") from error
  rank = 3 if "idx3" in name else 1
  magic, header = bytes([0, 0, 8, rank]), 4 + 4 * rank
  if content[:4] != magic:
    raise DataError(
        f"`spec` must hold idx files; {path} should begin with the bytes "
        f"{magic.hex()}, got {content[:4].hex() or 'none'}. Fetch it again.")
  shape = np.frombuffer(content[4:header].ljust(4 * rank, b"\0"), ">u4")
  expected = header + int(np.prod(shape, dtype=np.int64))
  if len(content) != expected:
    raise DataError(
        f"`spec` must hold whole files; {path} should have {expected} bytes "
        f"unpacked, got {len(content)}. Fetch it again.")
  return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


# ---------------------------------------------------------------------- npz


def _npz(path):
  """Arrays by name, none of them a pickle."""
  if path.is_dir() or not zipfile.is_zipfile(path):
    raise DataError(
        f"`spec` must name an .npz file; got {path}, which is none. Write it "
        "with numpy.savez.")
  arrays = {}
  with np.load(path, allow_pickle=False) as archive:
    missing = {"x_train", "y_train"} - set(archive.files)
    if missing:
      raise DataError(
          f"`spec` must hold {' and '.join(sorted(missing))}; {path} holds "
          f"{', '.join(archive.files) or 'nothing'}.")
    for part in {*_PARTS, "class_names"} & set(archive.files):
      arrays[part] = _npz_array(path, archive, part)
  return arrays


def _npz_array(path, archive, part):
  try:
    return archive[part]
  except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
    if "allow_pickle" not in str(error):
      raise DataError(
          f"`spec` must hold readable arrays; {part} of {path} fails: {error}."
      ) from error
    raise DataError(
        f"`spec` must hold plain arrays; {part} of {path} is a pickle, which "
        "could run code. Save numbers or fixed-length strings.") from error


# ------------------------------------------------------------------- folder


def _folder(root, resize):
  """Images by class, below `root` or below its train/ and test/."""
  _require_folder(root)
  parts = {"train": root}
  if (root / "train").is_dir():
    parts = {p: root / p for p in ("train", "test") if (root / p).is_dir()}
  arrays = {"class_names": [f.name for f in _class_folders(parts["train"])]}
  images = {}
  for part, folder in parts.items():
    files = _image_files(folder)
    images |= {file: _image(file, resize) for file in files}
    arrays[f"y_{part}"] = [file.parent.name for file in files]
    arrays[f"x_{part}"] = files
  _check_sizes(images)
  grey = all(image.mode in _GREY_MODES for image in images.values())
  mode = "L" if grey else "RGB"
  for part in parts:
    files = arrays[f"x_{part}"]
    arrays[f"x_{part}"] = np.stack([images[f].convert(mode) for f in files])
  return arrays


def _class_folders(folder):
  folders = sorted(
      path for path in folder.iterdir()
      if path.is_dir() and not path.name.startswith("."))
  if not folders:
    raise DataError(
        f"`spec` must hold one folder of images per class; {folder} has none.")
  return folders


def _image_files(folder):
  """The images of all classes, in order of class and file name."""
  files = []
  for class_folder in _class_folders(folder):
    found = [
        path for path in sorted(class_folder.iterdir())
        if path.suffix.lower() in _SUFFIXES
    ]
    if not found:
      raise DataError(
          f"`spec` must hold images ({', '.join(_SUFFIXES)}) of every class; "
          f"{class_folder} has none.")
    files += found
  return files


def _image(path, resize):
  """A decoded PIL image of 8 bits per channel."""
  try:
    from PIL import Image
  except ImportError as error:
    raise DataError(
        "`spec` must not be a folder without Pillow. Install it: pip install "
        "'distill_jax[data]'.") from error
  try:
    with Image.open(path) as image:
      image.load()
  except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises
    raise DataError(
        f"`spec` must hold readable images; got {path}: {error}.") from error
  if image.mode in ("I", "F") or image.mode.startswith("I;"):
    raise DataError(
        f"`spec` must hold images of 8 bits per channel; got {path} in mode "
        f"{image.mode}. Convert it.")
  if resize is None:
    return image
  image = image.convert("L" if image.mode in _GREY_MODES else "RGB")
  return image.resize(resize[::-1], Image.Resampling.BILINEAR)


def _check_sizes(images):
  first = next(iter(images))
  for file, image in images.items():
    if image.size != images[first].size:
      raise DataError(
          "`spec` must say a size where images differ in theirs; "
          f"got {_size(images[first])} in {first} and {_size(image)} in "
          f"{file}. Add ?resize=HxW to it.")


def _size(image):
  return f"{image.height}x{image.width}"
