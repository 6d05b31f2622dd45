"""Where the pictures of a large data set are, and what class each is of.

  folder:DIR                              CLASS/FILE, see `image_folder`
  csv:PLACE?image=COLUMN[&label=COLUMN]   paths of files, relative to the table,
                                          see `delimited`
  parquet:PLACE[?image=COLUMN&label=COLUMN]  encoded images in a column, as
                                          Hugging Face data sets keep them

PLACE of parquet is a file or a folder of files whose names begin with a part,
such as `train-00000-of-00002.parquet`; a file of no part is the training part.
Columns are `image` or `img`, and `label`, by default. Nothing is decoded here.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

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
  given = dict(item.partition("=")[::2] for item in query.split("&") if item)
  if not set(given) <= {"image", "label"} or not all(given.values()):
    raise DataError(
        "`spec` must go on with image=COLUMN and label=COLUMN after its ?, "
        f"joined by &; got {plain(query)!r}.")
  return given


def _named(found: dict[str, Part]) -> tuple[dict[str, Part], list[str]]:
  """Parts with one name for each class, and these in their usual order."""
  plain_ones = {
      name:
          part._replace(
              labels=labelling.as_labels(f"y_{name}", part.labels).astype(str))
      for name, part in found.items()
  }
  every = {label for part in plain_ones.values() for label in part.labels}
  names = list(labelling.in_order(map(str, every)))
  return {
      name:
          part._replace(
              labels=np.array(names)[labelling.indices(
                  f"y_{name}", part.labels, names)])
      for name, part in plain_ones.items()
  }, names


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
      files = [folder / path for path in table[f"x_{name}"]]
      found[name] = Part(
          np.array(table[f"y_{name}"]), lambda files=files: map(Picture, files))
  return _named(found)


# -------------------------------------------------------------------- Parquet


def _of_parquet(root: Path, columns):
  parquet = _pyarrow()
  files = [root] if root.is_file() else [
      file for file in unpacking.entries(root) if file.suffix == ".parquet"
  ]
  by_part: dict[str, list[Path]] = {}
  for file in files:
    name = parts.part_of(file.stem.partition("-")[0])
    by_part.setdefault(name or "train", []).append(file)
  if "train" not in by_part:
    raise DataError(
        "`spec` must hold .parquet files of a training part, such as "
        f"train-0.parquet; {root} has none.")
  with unpacking.reading(by_part["train"][0]):
    schema = parquet.ParquetFile(by_part["train"][0]).schema_arrow
  label = _column(schema, columns, "label", ("label",), root)
  image = _column(schema, columns, "image", _IMAGES, root)
  names = _class_names(schema, label)
  found = {}
  for part, own in by_part.items():
    labels = np.array(
        [value for file in own for value in _read(parquet, file, label, names)])
    found[part] = Part(
        labels,
        lambda own=own: (
            picture for file in own
            for picture in _pictures(parquet, file, image)))
  ordered = {part: found[part] for part in parts.NAMES if part in found}
  return (ordered, names) if names else _named(ordered)


def _pyarrow():
  try:
    from pyarrow import parquet
  except ImportError as error:
    raise DataError(
        "`spec` must not be of Parquet files without pyarrow. Install it: pip "
        "install 'distill_jax[data]'.") from error
  return parquet


def _column(schema, columns, role: str, usual, root: Path) -> str:
  """The column that plays a role; by default the first usual one there is."""
  wanted = [columns[role]] if role in columns else usual
  there = [name for name in wanted if name in schema.names]
  if not there:
    raise DataError(
        f"`spec` must name a column of {root} as {role}; got "
        f"{' or '.join(wanted)}, of {plain(', '.join(schema.names), 150)}. "
        f"Write ?{role}=COLUMN.")
  return there[0]


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
