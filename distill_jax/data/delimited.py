"""CSV and TSV files: texts with labels, or tables of numbers with labels.

  csv:PLACE?text=COLUMN[&label=COLUMN]         texts; add &tokens=spaces if they
                                               are already split into tokens
  csv:PLACE[?features=A,B][&label=COLUMN]      numbers; by default all columns
                                               but the label
  csv:PLACE?...&test=0.3                       share of each class held out for
                                               testing if there is no test file;
                                               a fifth by default

PLACE is a file, or a folder with train.csv and optionally test.csv and
validation.csv (see `parts` for other names). A file may end in `.tsv`; quotes
then have no special meaning. It may be compressed: `.gz`, `.xz`, or a `.zip` of
one table. The first line names the columns. The label column is called `label`
by default. In a column name, write & as %26 and % as %25.

The delimiter follows from the file's ending. If the first line does not contain
it, comma, semicolon, tab and | are tried in this order. A first line `sep=;`,
or &delimiter=semicolon (or comma, tab, pipe, or a character), sets the
delimiter. If no column has the wanted name, one that differs in upper and lower
case is taken. Where `features` is not given, columns without a name are left
out, and so are columns that number the rows: their name ends in the word id,
idx, index, no or row, and each row has the next whole number. Other columns
that count in this way, such as years, stay and are named.
"""

import codecs
import collections
import csv
import io
import re
import unicodedata
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distill_jax import unpacking
from distill_jax.choices import nearest
from distill_jax.data.arrays import is_missing, is_nameless
from distill_jax.data.labelling import meaning
from distill_jax.data.parts import by_part, share_of
from distill_jax.errors import DataError, fitting, listed, plain, shown

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_NAMED = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_PACKED = (".gz", ".xz", ".zip")
# First bytes of other encodings; those of UTF-32 come first, as they begin like
# those of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16"
}
_COUNTERS = ("id", "idx", "index", "no", "row")  # last words of row numbers
_WORDS = re.compile("[A-Z]?[a-z]+|[A-Z]+|[0-9]+")  # of a name like SampleId
_FEWEST = 3  # rows that a column can number
_OPTIONS = ("text", "tokens", "label", "features", "test", "delimiter")
# A small packed file may hold so many blank lines that they take minutes.
_BLANK, _MOST_BLANK = ("\n\n", "\n\r\n", "\r\r"), 10**6
# A larger cell is taken for a quote that was not closed.
_LARGEST_CELL = 2**20


class Columns(NamedTuple):
  """Which columns are read, and how; see the module's description.

  Attributes:
    text: column of the texts; None for a table of numbers.
    tokens: how texts are split into tokens, see `text.tokens`; None if the SPEC
      does not say.
    label: column of the classes.
    features: columns of the numbers; () for all columns but the label.
    test: share of every class that is held out if there is no test file; None
      if the SPEC does not say.
    delimiter: character between cells; None if the SPEC does not say.
  """

  text: str | None = None
  tokens: str | None = None
  label: str = "label"
  features: tuple[str, ...] = ()
  test: float | None = None
  delimiter: str | None = None


def columns(spec: str) -> tuple[str, Columns]:
  """Splits a SPEC, without its `csv:`, into PLACE and the columns to read.

  Raises:
    DataError: an unknown option, or a value that is not allowed.
  """
  place, _, query = spec.partition("?")
  options = {}
  items = [*filter(None, query.split("&"))]
  for item in items:
    name, _, value = item.partition("=")
    options[name] = urllib.parse.unquote(value)
  unknown = [name for name in options if name not in _OPTIONS]
  if unknown or not all(options.values()) or len(options) < len(items):
    raise DataError(
        f"`spec` must go on with {', '.join(f'{o}=...' for o in _OPTIONS)} "
        f"after its ?, joined by &, each once; got {shown(query, 60)}.")
  if "text" in options and "features" in options:
    raise DataError("`spec` must name text or features, not both.")
  test = share_of(options.pop("test", None))
  if "delimiter" in options:
    said: Any = options["delimiter"]
    known: Any = _NAMED.get(said, said)
    options["delimiter"] = known
    if len(known) != 1:
      raise DataError(
          f"`spec` must have one character, or one of {', '.join(_NAMED)}, as "
          f"delimiter; got {shown(said)}.")
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
  """Reads inputs and labels of every part.

  Args:
    path: a file, or a folder of parts.
    wanted: which columns to read.
    check_labels: whether to refuse labels of other parts that the training part
      does not have.

  Returns:
    A dict with `x_train`, `y_train` and the same of the other parts. Texts and
    labels are lists of strings, numbers are [N, D] float64 arrays. A table of
    numbers also has `columns`, its D names; `left_out`, a sentence, if columns
    were left out; and `numbering`, a sentence, if one that stays counts up.

  Raises:
    DataError: a file or column is missing, a line cannot be read, or a line has
      a label that the training part does not have. The message names the line.
  """
  found: dict[str, Any] = {}
  for part, file in _files(path).items():
    header, rows, delimiter = _rows(file, wanted)
    header = _as_wanted(header, wanted)
    if wanted.text is None and not wanted.features:
      # Those of the training part; the other parts must have them too.
      features, said = _features(file, header, rows, wanted.label)
      wanted = wanted._replace(features=features)
      found.update(said)
    if wanted.text is None:
      found["columns"] = wanted.features
    places = _places(file, header, delimiter, wanted, part)
    _check_lengths(file, header, rows, delimiter)
    read = _texts if wanted.text is not None else _numbers
    found[f"x_{part}"] = read(file, rows, places, wanted)
    found[f"y_{part}"] = [
        _cell(
            file, line, cells, wanted.label, places,
            "Drop the line or fill the cell; a class needs another name.").
        strip() for line, cells in rows
    ]
    if check_labels:
      _check_known(file, rows, found[f"y_{part}"], found["y_train"])
  return found


def _files(path: Path) -> dict[str, Path]:
  if not path.is_dir():
    return {"train": path}
  found = by_part(
      path, [(file.name.partition(".")[0], file)
             for file in unpacking.entries(path)
             if _delimiter(file)])
  if "train" not in found:
    raise DataError(
        f"`spec` must hold train.csv or train.tsv; {path} has none.")
  return found


def _delimiter(file: Path) -> str | None:
  """The delimiter by the file's name; None for a file that is no table."""
  suffixes = Path(file.name.lower()).suffixes
  if suffixes and suffixes[-1] in _PACKED:
    suffixes = suffixes[:-1]
  return _DELIMITERS.get(suffixes[-1]) if suffixes else None


def _as_wanted(header: list[str], wanted: Columns) -> list[str]:
  """Column names, with the spelling of a wanted one that only differs in case.

  Two names that could be meant are left as they are.
  """
  header = list(header)
  for name in filter(None, (wanted.label, wanted.text, *wanted.features)):
    like = [i for i, own in enumerate(header) if _folded(own) == _folded(name)]
    if name not in header and len(like) == 1:
      header[like[0]] = name
  return header


def _folded(name: str) -> str:
  return unicodedata.normalize("NFC", name).casefold()


def _features(file: Path, header, rows,
              label) -> tuple[tuple[str, ...], dict[str, str]]:
  """The columns of numbers in their order, and what is said of the others."""
  named = [name for name in header if name != label]
  nameless = [name for name in named if is_nameless(name)]
  counting = [name for name in named if _counts_up(header.index(name), rows)]
  counters = [name for name in counting if _is_of_counters(name)]
  unused = {*nameless, *counters}
  others = [name for name in counting if name not in unused]
  left_out, said = [], {}
  if nameless:
    left_out.append(
        "columns without a name, such as row numbers, are left out: "
        f"{len(nameless)} of {file.name}")
  if counters:
    left_out.append(
        f"columns that number the rows are left out of {file.name}: "
        f"{listed(counters)}")
  if left_out:
    said["left_out"] = "; ".join(left_out)
  if others:
    said["numbering"] = (
        f"columns of {file.name} that count up by one in each row: "
        f"{listed(others)}; if they are row numbers, name the other columns "
        "with features=A,B")
  return tuple(name for name in named if name not in unused), said


def _is_of_counters(name: str) -> bool:
  words = _WORDS.findall(name)
  return bool(words) and words[-1].casefold() in _COUNTERS


def _counts_up(place: int, rows) -> bool:
  """Whether the cells of a column are whole numbers without a gap, in order."""
  column = (
      cells[place].strip() if place < len(cells) else "" for _, cells in rows)
  first = next(column)
  if len(rows) < _FEWEST or not re.fullmatch("0|[1-9][0-9]{0,17}", first):
    return False
  return all(
      cell == str(number) for number, cell in enumerate(column,
                                                        int(first) + 1))


def _places(file, header, delimiter, wanted: Columns, part) -> dict[str, int]:
  """The index of every column; raises if a wanted one is missing."""
  named = wanted.features if wanted.text is None else (wanted.text,)
  if not named:
    raise DataError(
        f"`spec` must have columns besides the label; {file} has none.")
  numbers = collections.Counter(header)
  for name in (wanted.label, *named):
    number = numbers[name]
    if number > 1:
      raise DataError(
          "`spec` must name columns of different names; "
          f"{file} has {number} called {shown(name)}. Rename them.")
    if not number:
      remedy = "Its first line must be names."
      if name == wanted.label:
        remedy = (
            "Write FILE?label=NAME for another column; the first line must be "
            "names.")
      if header[0].startswith("#"):
        remedy = "Its first line is a comment: delete it."
      elif part != "train" and name == wanted.label:
        remedy = "Move a file without labels elsewhere."
      elif any(d in header[0] for d in _NAMED.values()):
        remedy = "Give another delimiter=."
      raise DataError(
          f"`spec` must name columns that exist; {file} has no "
          f"{shown(name)}, only {fitting(header, 40)}, between delimiters "
          f"{delimiter!r}. {remedy}{nearest(header, name)}")
  return {name: i for i, name in enumerate(header)}


def _texts(file, rows, places, wanted: Columns) -> list[str]:
  return [_cell(file, line, cells, wanted.text, places) for line, cells in rows]


def _numbers(file, rows, places, wanted: Columns) -> np.ndarray:
  """Finite numbers [N, D] float64."""
  used = [places[name] for name in wanted.features]
  try:
    table = np.array([[float(cells[i]) for i in used] for _, cells in rows])
    odd = any("_" in cells[i] for _, cells in rows for i in used)  # "1_0" is 10
    if np.isfinite(table).all() and not odd:
      return table
  except ValueError:
    pass
  return np.array(  # slower, but its error names the cell
      [[_number(file, line, cells, name, places)
        for name in wanted.features]
       for line, cells in rows])


def _rows(file: Path, wanted: Columns):
  """Returns column names, pairs of line number and cells, and the delimiter."""
  text = _text(file)
  if 2 * max(map(text.count, _BLANK)) > _MOST_BLANK:  # pairs of ends of lines
    raise DataError(
        f"`spec` must hold at most {_MOST_BLANK:,} blank lines; {file} has "
        "more. Delete them.")
  stream = io.StringIO(text, newline="")
  first = next(filter(str.strip, stream), "").rstrip("\r\n")
  if "\0" in first:
    raise DataError(
        f"`spec` must be a text in UTF-8; {file} has NUL characters in its "
        "first line. Convert it, for instance from UTF-16.")
  stream.seek(0)
  said = re.fullmatch('"?sep=(.)"?', first, re.IGNORECASE)
  delimiter = wanted.delimiter or (said and said[1]) or _delimiter(file) or ","
  if not wanted.delimiter and not said and delimiter not in first:
    others = [d for d in _NAMED.values() if d in first]
    delimiter = others[0] if others else delimiter
  quotes = delimiter != "\t" or _delimiter(file) != "\t"
  reader = csv.reader(
      stream,
      delimiter=delimiter,
      strict=True,
      quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
  limit = csv.field_size_limit(_LARGEST_CELL)
  table, line = [], 1
  try:
    for cells in reader:
      if len(cells) > 1 or "".join(cells).strip():
        table.append((line, cells))
      line = reader.line_num + 1
  except csv.Error as error:
    hint = " Is a quote not closed?" if quotes else ""
    raise DataError(
        f"`spec` must hold well-formed rows; {file} has a bad one in line "
        f"{line}: {plain(error)}.{hint}") from error
  finally:
    csv.field_size_limit(limit)
  while table and not "".join(table[-1][1]).strip():
    table.pop()  # spreadsheets may end in rows of delimiters only
  table = table[1:] if said else table
  if len(table) < 2:
    raise DataError(
        f"`spec` must hold rows below column names; {file} has none.")
  header = [name.strip() for name in table[0][1]]
  return header, table[1:], delimiter


def _check_lengths(file, header, rows, delimiter) -> None:
  for line, cells in rows:
    if len(cells) != len(header):
      raise DataError(
          f"`spec` must hold rows of {len(header)} cells, as the first line "
          f"has; {file} has {len(cells)} in line {line}, between delimiters "
          f"{delimiter!r}. Quote cells that hold the delimiter, and delete "
          "comments.")


def _check_known(file: Path, rows, labels, known) -> None:
  """Refuses a label that is not one of the `known` classes."""
  means = set(map(meaning, known))
  for (line, _), label in zip(rows, labels, strict=True):
    if meaning(label) not in means:
      raise DataError(
          f"`spec` must have the labels of the training part; {file} has "
          f"{shown(label)} in line {line}. Drop the row.")


def _text(file: Path) -> str:
  content = unpacking.content(file)
  marked = (name for mark, name in _MARKS.items() if content.startswith(mark))
  try:
    return content.decode(next(marked, "utf-8-sig"))
  except UnicodeDecodeError as error:
    line = content[:error.start].count(b"\n") + 1
    raise DataError(
        f"`spec` must be UTF-8; {file} is not in line {line}: "
        f"{error.reason}. Convert it.") from error


def _cell(
    file,
    line,
    cells: Sequence[str],
    name: Any,
    places,
    remedy="Drop the line or fill the cell.") -> str:
  cell: Any = cells[places[name]]
  if is_missing(cell):
    raise DataError(
        f"`spec` must have no missing values in column {shown(name)}; {file} "
        f"has {cell!r} in line {line}. {remedy}")
  return cell


def _number(file, line, cells, name, places) -> float:
  cell = _cell(file, line, cells, name, places)
  remedy = "Write FILE?features=A,B for columns of numbers, ?text=A for a text"
  try:
    if np.isfinite(number := float(cell)) and "_" not in cell:
      return number
    remedy = "Drop the row, or fill the cell"
  except ValueError:
    pass
  if re.fullmatch(r"\s*[-+]?\d[\d.,]*\s*", cell):
    remedy = "Write numbers without commas, decimals with a point"
  raise DataError(
      f"`spec` must hold finite numbers in column {shown(name)}; {file} has "
      f"{shown(cell)} in line {line}. {remedy}.")
