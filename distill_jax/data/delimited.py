"""CSV and TSV files: texts with labels, or tables of numbers with labels.

  csv:PLACE?text=COLUMN[&label=COLUMN]         texts; &tokens=spaces where they
                                               are tokens already
  csv:PLACE[?features=A,B][&label=COLUMN]      numbers, of all other columns
  csv:PLACE?...&test=0.3                       that share of each class for
                                               testing, where there is no test
                                               file; a fifth if nothing is said

PLACE is a file, or a folder with train.csv and maybe test.csv and
validation.csv, see `parts` for other names; `.tsv`, whose quotes are characters
as every other, `.gz` and `.xz` too. The first line names the columns; the
label's is `label` unless it is said. In a name & is written %26 and % is %25.
"""

import csv
import io
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distill_jax import unpacking
from distill_jax.data.parts import by_part
from distill_jax.errors import DataError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PACKED = (".gz", ".xz")
_OPTIONS = ("text", "tokens", "label", "features", "test")
# Beyond this a cell is taken for an unclosed quote.
_LARGEST_CELL = 2**20


class Columns(NamedTuple):
  """Which columns are read; see the module.

  Attributes:
    text: of the texts; None for a table of numbers.
    tokens: how texts are cut into tokens, see `text.tokens`; None for unsaid.
    label: of the classes.
    features: of the numbers; () for all but the label.
    test: share of every class that is held out where there is no test file;
      None for unsaid.
  """

  text: str | None = None
  tokens: str | None = None
  label: str = "label"
  features: tuple[str, ...] = ()
  test: float | None = None


def columns(spec: str) -> tuple[str, Columns]:
  """PLACE and what a SPEC, without its `csv:`, says after it.

  Raises:
    DataError: an unknown option, or a value that makes no sense.
  """
  place, _, query = spec.partition("?")
  options = {}
  for item in filter(None, query.split("&")):
    name, _, value = item.partition("=")
    options[name] = urllib.parse.unquote(value)
  unknown = [name for name in options if name not in _OPTIONS]
  if unknown or not all(options.values()):
    raise DataError(
        f"`spec` must go on with {', '.join(f'{o}=...' for o in _OPTIONS)} "
        f"after its ?, joined by &; got {query!r}.")
  if "text" in options and "features" in options:
    raise DataError("`spec` must name text or features, not both.")
  try:
    test = float(options.pop("test")) if "test" in options else None
  except ValueError:
    test = -1.0
  if test is not None and not 0 <= test < 1:
    raise DataError(f"`spec` must have test in [0, 1); got {query!r}.")
  features = options.pop("features", "").split(",")
  features = tuple(filter(None, map(str.strip, features)))
  found = Columns(features=features, test=test, **options)
  if found.label in (found.text, *features):
    raise DataError(
        f"`spec` must name another column as label; got {found.label!r} for "
        "both.")
  return place, found


def read_table(path: Path,
               wanted: Columns,
               *,
               check_labels: bool = True) -> dict[str, Any]:
  """Inputs and labels of every part.

  Args:
    path: a file, or a folder of parts.
    wanted: which columns.
    check_labels: whether those of the training part must be all there are.

  Returns:
    `x_train`, `y_train` and those of the other parts: lists of strings, or
    [N, D] float64 arrays and lists of strings; of tables also `columns`, D
    names.

  Raises:
    DataError: a file or column that is missing, or a line that cannot be read
      or has a label that the training part has not, with its number.
  """
  found = {}
  for part, file in _files(path).items():
    found[f"x_{part}"], labels, names = _read(file, wanted)
    if wanted.text is None:  # of the training part, in its order
      found["columns"] = names
      wanted = wanted._replace(features=names)
    found[f"y_{part}"] = [label for _, label in labels]
    if check_labels:
      _check_known(file, labels, known=set(found["y_train"]))
  return found


def _files(path: Path) -> dict[str, Path]:
  if not path.is_dir():
    return {"train": path}
  found = by_part(
      path, [(file.name.partition(".")[0], file)
             for file in unpacking.listed(path)
             if _delimiter(file)])
  if "train" not in found:
    raise DataError(
        f"`spec` must hold train.csv or train.tsv; {path} has none.")
  return found


def _delimiter(file: Path) -> str | None:
  """Of a file by its name; None for one that is no table."""
  suffixes = file.suffixes
  if suffixes and suffixes[-1] in _PACKED:
    suffixes = suffixes[:-1]
  return _DELIMITERS.get(suffixes[-1]) if suffixes else None


def _read(file: Path, wanted: Columns):
  """Inputs of a file, lines and values of its labels, names of its columns."""
  header, rows = _rows(file)
  places = {name: i for i, name in enumerate(header)}
  features = wanted.features
  if wanted.text is None and not features:
    features = tuple(name for name in header if name != wanted.label)
  named = (wanted.text,) if wanted.text is not None else features
  for name in (*named, wanted.label):
    if name not in places:
      raise DataError(
          f"`spec` must name columns that are there; {file} has no {name!r}, "
          f"only {', '.join(header)}. Say text=COLUMN&label=COLUMN.")
  if not named:
    raise DataError(
        f"`spec` must have columns besides the label; {file} has "
        "none.")
  labels = [(line, _cell(file, line, cells, wanted.label, places).strip())
            for line, cells in rows]
  if wanted.text is not None:
    return [
        _cell(file, line, cells, wanted.text, places) for line, cells in rows
    ], labels, named
  return np.array(
      [[_number(file, line, cells, name, places)
        for name in features]
       for line, cells in rows]), labels, named


def _rows(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
  """The column names, and every row with the number of its first line."""
  text = _text(file)
  delimiter = _delimiter(file) or ","
  reader = csv.reader(
      io.StringIO(text, newline=""),
      delimiter=delimiter,
      strict=True,
      quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL)
  limit = csv.field_size_limit(_LARGEST_CELL)
  table, line = [], 1
  try:
    for cells in reader:
      if cells:
        table.append((line, cells))
      line = reader.line_num + 1
  except csv.Error as error:
    hint = " Is a quote not closed?" if delimiter == "," else ""
    raise DataError(
        f"`spec` must hold well-formed rows; {file} has not in line {line}: "
        f"{error}.{hint}") from error
  finally:
    csv.field_size_limit(limit)
  if len(table) < 2:
    raise DataError(
        f"`spec` must hold rows below column names; {file} has "
        "none.")
  header = [name.strip() for name in table[0][1]]
  if len(set(header)) < len(header):
    raise DataError(
        f"`spec` must have columns of different names; {file} has "
        f"{', '.join(header)}.")
  for line, cells in table[1:]:
    if len(cells) != len(header):
      raise DataError(
          f"`spec` must hold rows of {len(header)} cells; {file} has "
          f"{len(cells)} in line {line}. Quote cells that hold the separator.")
  return header, table[1:]


def _check_known(file: Path, labels, known) -> None:
  """Refuses a label that is not among those `known`."""
  for line, label in labels:
    if label not in known:
      raise DataError(
          f"`spec` must have the labels of the training part; {file} has "
          f"{label!r} in line {line}. Drop the row.")


def _text(file: Path) -> str:
  content = unpacking.content(file)
  try:
    return content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    line = content[:error.start].count(b"\n") + 1
    raise DataError(
        f"`spec` must hold UTF-8; {file} does not in line {line}: "
        f"{error.reason}. Convert it.") from error


def _cell(file, line, cells: Sequence[str], name: str, places) -> str:
  cell = cells[places[name]]
  if not cell.strip():
    raise DataError(
        f"`spec` must have something in column {name!r} of every row; {file} "
        f"has nothing in line {line}. Drop the row.")
  return cell


def _number(file, line, cells, name, places) -> float:
  cell = cells[places[name]]
  try:
    return float(cell)
  except ValueError:
    raise DataError(
        f"`spec` must hold numbers in the column {name!r}; {file} has "
        f"{cell[:40]!r} in line {line}. Name the columns of numbers with "
        "features=A,B, or one of text with text=.") from None
