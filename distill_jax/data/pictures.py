"""Finds the images of a large data set, and the class of each.

  folder:DIR                              CLASS/FILE, see `image_folder`
  csv:PLACE?image=COLUMN[&label=COLUMN]   paths of files, relative to the table,
                                          see `delimited`
  parquet:PLACE[?image=COLUMN&label=COLUMN]  encoded images in a column, as
                                          Hugging Face data sets store them

PLACE of parquet is a file, or a folder of files. The files may also be in its
subfolder `data`. Their names begin with a part, such as
`train-00000-of-00002.parquet`; if no name does, all files are the training
part. By default the columns are `image` or `img`, and `label`. Nothing is
decoded here.
"""

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distill_jax import unpacking
from distill_jax.data import delimited, image_folder, labelling, parts
from distill_jax.errors import DataError, fitting, plain

KINDS = ("folder", "csv", "parquet")
_IMAGES = ("image", "img")
_ROWS = 256  # rows of a Parquet file that are read at once


class Picture(NamedTuple):
  """An image that is not decoded yet.

  Attributes:
    path: path of the file; a label for messages if `content` is given.
    content: the bytes of the file; None to read `path`.
  """

  path: Path
  content: bytes | None = None


class Part(NamedTuple):
  """One part of a data set.

  Attributes:
    labels: [N] str, the class of each picture.
    pictures: `() -> iterator` over the pictures, in the same order.
  """

  labels: np.ndarray
  pictures: Callable[[], Iterator[Picture]]


def parts_of(kind: str, root: Path, query: str,
             left_out) -> tuple[dict[str, Part], list[str]]:
  """Returns the parts of a data set, and its class names in order.

  Args:
    kind: one of `KINDS`.
    root: PLACE.
    query: what follows the ? in the SPEC.
    left_out: a counter of skipped files, by kind; it is updated.

  Raises:
    DataError: a column, file or part does not exist.
  """
  if kind == "folder":
    if query:
      raise DataError(
          "`spec` must have no ? where a folder is packed; got "
          f"?{plain(query)}. Write --size and --ground.")
    return _of_folder(root, left_out)
  columns = _columns(query)
  return (_of_table if kind == "csv" else _of_parquet)(root, columns)


def _columns(query: str) -> dict[str, str]:
  """The names of the columns `image` and `label` that a SPEC gives."""
  given = {
      name: urllib.parse.unquote(value) for name, _, value in (
          item.partition("=") for item in query.split("&") if item)
  }
  if not set(given) <= {"image", "label"} or not all(given.values()):
    raise DataError(
        "`spec` must go on with image=COLUMN and label=COLUMN alone after its "
        f"?, joined by &; got {plain(query)!r}.")
  return given


def _named(found: dict[str, Part]) -> tuple[dict[str, Part], list[str]]:
  """Parts with each picture's class by name, and the class names in order."""
  texts = {
      name: labelling.as_labels(f"y_{name}", part.labels).astype(str)
      for name, part in found.items()
  }
  names = labelling.name_classes(texts["train"])
  return {
      name:
          part._replace(
              labels=np.array(names)[labelling.indices(
                  f"y_{name}", texts[name], names)])
      for name, part in found.items()
  }, list(names)


def _of_folder(root, left_out):
  found = {}
  for name, files in image_folder.files_of(root, left_out).items():
    labels = np.array([file.parent.name for file in files])
    found[name] = Part(labels, lambda files=files: map(Picture, files))
  return _named(found)


def _of_table(root: Path, columns):
  if "image" not in columns:
    raise DataError(
        "`spec` must name the column of the paths, csv:FILE?image=COLUMN; got "
        "none.")
  wanted = delimited.Columns(
      text=columns["image"], label=columns.get("label", "label"))
  table = delimited.read_table(root, wanted)
  folder = root if root.is_dir() else root.parent
  found = {}
  for name in parts.NAMES:
    if f"x_{name}" in table:
      files = [folder / path.strip() for path in table[f"x_{name}"]]
      found[name] = Part(
          np.array(table[f"y_{name}"]), lambda files=files: map(Picture, files))
  return _named(found)


# -------------------------------------------------------------------- Parquet


def _of_parquet(root: Path, columns):
  parquet = _pyarrow()
  by_part = _files_by_part(root)
  label = _column(parquet, by_part, columns, "label", ("label",))
  image = _column(parquet, by_part, columns, "image", _IMAGES)
  names: list[str] = []
  found = {}
  for part, own in by_part.items():
    labels = []
    for file in own:
      # Each file defines the meaning of its own class numbers.
      known = _class_names(_schema(parquet, file), label)
      names = names or known
      labels += _read(parquet, file, label, known)
    found[part] = Part(
        np.array(labels, str if names else None),
        lambda own=own: (
            picture for file in own
            for picture in _pictures(parquet, file, image)))
  made, present = _named(found)
  if set(present) == set(names):  # keeps the order of the data set's own names
    present = names
  return made, present


def _files_by_part(root: Path) -> dict[str, list[Path]]:
  """Files sorted by the part that their names begin with."""
  files = [root]
  if root.is_dir():
    places = [root, root / "data"]  # as repositories of Hugging Face have it
    files = next(
        filter(
            None, ([
                file
                for file in unpacking.entries(place)
                if file.suffix.lower() == ".parquet" and
                not file.name.startswith(".")
            ]
                   for place in places
                   if place.is_dir())), [])
  by_part: dict[str, list[Path]] = {}
  for file in files:
    name = re.match(r"[A-Za-z]*", file.stem)[0]
    by_part.setdefault(parts.part_of(name) or "", []).append(file)
  unknown = by_part.pop("", [])
  if unknown and by_part:
    raise DataError(
        "`spec` must hold .parquet files whose names begin with a part; got "
        f"{unknown[0].name} beside {next(iter(by_part.values()))[0].name}. "
        f"Rename it, or move it away: parts are {', '.join(parts.NAMES)}.")
  if unknown:
    by_part = {"train": unknown}
  if "train" not in by_part:
    raise DataError(
        "`spec` must hold .parquet files of a training part, such as "
        f"train-0.parquet; {root} has none.")
  return {part: by_part[part] for part in parts.NAMES if part in by_part}


def _pyarrow():
  try:
    from pyarrow import parquet
  except ImportError as error:
    raise DataError(
        "`spec` must not be of Parquet files without pyarrow. Install it: pip "
        "install 'distill_jax[data]'.") from error
  return parquet


def _schema(parquet, file: Path):
  with unpacking.reading(file):
    return parquet.ParquetFile(file).schema_arrow


def _column(parquet, by_part, columns, role: str, usual) -> str:
  """The column for a role in all files; by default the first usual one found.
  """
  wanted = [columns[role]] if role in columns else usual
  found: Any = None
  for file in (file for own in by_part.values() for file in own):
    names = _schema(parquet, file).names
    there = [name for name in wanted if name in names]
    if not there or found not in (None, there[0]):
      raise DataError(
          f"`spec` must name a column of {file} as {role}; got "
          f"{found or ' or '.join(wanted)}, of {fitting(names, 150)}. "
          f"Write ?{role}=COLUMN.")
    found = there[0]
  return found


def _class_names(schema, label: str) -> list[str]:
  """The class names of a Hugging Face data set; [] if it has none."""
  try:
    known = json.loads((schema.metadata or {})[b"huggingface"])
    return list(known["info"]["features"][label]["names"])
  except (KeyError, TypeError, ValueError):
    return []


def _read(parquet, file: Path, label: str, names: list[str]) -> list:
  """The labels of a file: its numbers or texts, or the names of its classes."""
  with unpacking.reading(file):
    values = parquet.read_table(file, columns=[label])[label].to_pylist()
  for row, value in enumerate(values):
    bad = value is None or (
        names and not (isinstance(value, int) and 0 <= value < len(names)))
    if bad:
      raise DataError(
          f"`spec` must have a label in every row; row {row} of {file} has "
          f"{plain(value)}.")
  return [names[value] if names else value for value in values]


def _pictures(parquet, file: Path, image: str) -> Iterator[Picture]:
  """Yields the pictures of a file, a few rows at a time."""
  with unpacking.reading(file):
    opened, row = parquet.ParquetFile(file), 0
    for batch in opened.iter_batches(_ROWS, columns=[image]):
      for value in batch.column(0).to_pylist():
        named, content = None, value
        if isinstance(value, dict):
          named, content = value.get("path"), value.get("bytes")
        suffix = Path(named).suffix if named else ".png"
        if not isinstance(content, bytes):
          raise DataError(
              f"`spec` must hold encoded images in column {image}; row {row} "
              f"of {file} has {type(content).__name__}.")
        yield Picture(file / f"row {row}{suffix}", content)
        row += 1
