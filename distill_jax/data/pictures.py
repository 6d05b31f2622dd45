"""Where the pictures of a large data set are, and what class each is of.

  folder:DIR                              CLASS/FILE, see `image_folder`
  csv:PLACE?image=COLUMN[&label=COLUMN]   paths of files, relative to the table,
                                          see `delimited`
  parquet:PLACE[?image=COLUMN&label=COLUMN]  encoded images in a column, as
                                          Hugging Face data sets keep them

PLACE of parquet is a file, or a folder of files (or its folder `data`) whose
names begin with a part, such as `train-00000-of-00002.parquet`; where none
does, all are the training part.
Columns are `image` or `img`, and `label`, by default. Nothing is decoded here.
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
from distill_jax.errors import DataError, plain

KINDS = ("folder", "csv", "parquet")
_IMAGES = ("image", "img")
_ROWS = 256  # of a Parquet file, read at once


class Picture(NamedTuple):
  """An image that is not decoded yet.

  Attributes:
    path: of the file, or a label for messages where `content` is given.
    content: bytes of a file; None to read `path`.
  """

  path: Path
  content: bytes | None = None


class Part(NamedTuple):
  """Attributes:
    labels: [N] str, the class of each picture.
    pictures: `() -> iterator` over them, in the same order.
  """

  labels: np.ndarray
  pictures: Callable[[], Iterator[Picture]]


def parts_of(kind: str, root: Path, query: str,
             left_out) -> tuple[dict[str, Part], list[str]]:
  """The parts of a data set and the names of its classes, in order.

  Args:
    kind: of `KINDS`.
    root: PLACE.
    query: what stands behind the ? of the SPEC.
    left_out: a counter of what is skipped, by kind.

  Raises:
    DataError: no such column, file or part.
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
  """Names of the columns `image` and `label` that a SPEC says."""
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
  """Parts with the name of each picture's class, and the names in order."""
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
      # Each file says what its own numbers mean.
      known = _class_names(_schema(parquet, file), label)
      names = names or known
      labels += _read(parquet, file, label, known)
    found[part] = Part(
        np.array(labels, str if names else None),
        lambda own=own: (
            picture for file in own
            for picture in _pictures(parquet, file, image)))
  made, present = _named(found)
  if set(present) == set(names):  # in the order that the data set gives them
    present = names
  return made, present


def _files_by_part(root: Path) -> dict[str, list[Path]]:
  """Files by the part that their names begin with."""
  files = [root]
  if root.is_dir():
    places = [root, root / "data"]  # as in a repository of Hugging Face
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
  """The column that plays a role in all files; by default the first usual one.
  """
  wanted = [columns[role]] if role in columns else usual
  found: Any = None
  for file in (file for own in by_part.values() for file in own):
    names = _schema(parquet, file).names
    there = [name for name in wanted if name in names]
    if not there or found not in (None, there[0]):
      raise DataError(
          f"`spec` must name a column of {file} as {role}; got "
          f"{found or ' or '.join(wanted)}, of {plain(', '.join(names), 150)}. "
          f"Write ?{role}=COLUMN.")
    found = there[0]
  return found


def _class_names(schema, label: str) -> list[str]:
  """Names that a Hugging Face data set gives its numbers; [] for none."""
  try:
    known = json.loads((schema.metadata or {})[b"huggingface"])
    return list(known["info"]["features"][label]["names"])
  except (KeyError, TypeError, ValueError):
    return []


def _read(parquet, file: Path, label: str, names: list[str]) -> list:
  """The labels of a file: as they are, or their names."""
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
  """The pictures of a file, a few rows at a time."""
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
