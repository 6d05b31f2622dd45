"""Word vectors: read from the usual files, or learned on a corpus.

`read_vectors` knows GloVe's text (`.txt`, also gzipped or zipped), word2vec's
text and binary, and `.npz`. `fit_vectors` needs no download: positive pointwise
mutual information of words within a window, with smoothed contexts, factorised
by a truncated SVD (Levy, Goldberg & Dagan, "Improving Distributional Similarity
with Lessons Learned from Word Embeddings", TACL 2015):

    PPMI(w, c) = max(0, log #(w, c) #() / (#(w) #(c)^0.75 / sum #(c)^0.75))
    PPMI ~ U diag(s) V',    vectors = U diag(s)^p
"""

import collections
import contextlib
import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distill_jax import storage
from distill_jax.errors import DataError

_SMOOTHING = 0.75
# Standard deviation of an entry, which is about what GloVe's have at d = 100.
_SCALE = 0.4
_CHUNK = 4_000_000  # pairs of words counted at once


class Vectors(NamedTuple):
  """Attributes:
    words: V different words.
    table: [V, d] float32, a row for each.
    name: what they were read from or learned on.
  """

  words: tuple[str, ...]
  table: np.ndarray
  name: str

  def __repr__(self) -> str:
    return f"Vectors: {len(self.words):,} words x {self.dim}, {self.name}"

  @property
  def dim(self) -> int:
    """d."""
    return self.table.shape[1]


def fit_vectors(
    sentences: Iterable[Sequence[str]],
    dim: int = 100,
    *,
    window: int = 5,
    min_count: int = 2,
    max_words: int = 50_000,
    power: float = 0.5,
    name: str = "the training texts") -> Vectors:
  """Learns word vectors on tokenised sentences; the same ones every time.

  Args:
    sentences: tokens of each; the training part alone.
    dim: d; at most the words, and fewer where their matrix has a lower rank.
    window: words on each side that are context; a nearer one counts for more,
      1 / distance.
    min_count: a word must occur so often.
    max_words: the commonest so many.
    power: p, of the singular values; 0 gives every direction one variance.
    name: of the corpus.

  Returns:
    Vectors of mean zero whose entries have a standard deviation of 0.4 on
    average, words from the commonest to the rarest.

  Raises:
    DataError: fewer than two words that occur often enough.
    ValueError: a number out of its range.
  """
  if min(dim, window, min_count) < 1 or max_words < 2 or not 0 <= power <= 1:
    raise ValueError(
        "`dim`, `window`, `min_count` must be at least 1, `max_words` 2 and "
        f"`power` in [0, 1]; got {dim}, {window}, {min_count}, {max_words} and "
        f"{power}.")
  sentences = [list(tokens) for tokens in sentences]
  words = common_words(sentences, min_count=min_count, max_words=max_words)
  if len(words) < 2:
    raise DataError(
        f"`sentences` must hold two words that occur {min_count} times or more;"
        f" got {len(words)} in {len(sentences)} sentences. Lower `min_count`.")
  matrix = _ppmi(_counts(sentences, words, window))
  if not matrix.nnz:
    raise DataError(
        "`sentences` must hold words beside each other to learn vectors; got "
        "none. Give `vectors`.")
  table = _factorised(matrix, dim, power)
  return Vectors(words, table, f"PPMI and SVD, learned on {name}")


def common_words(
    sentences: Iterable[Sequence[str]],
    *,
    min_count: int = 1,
    max_words: int | None = None) -> tuple[str, ...]:
  """Words from the commonest to the rarest, of equals in alphabetical order."""
  counts = collections.Counter(word for tokens in sentences for word in tokens)
  frequent = (item for item in counts.items() if item[1] >= min_count)
  ordered = sorted(frequent, key=lambda item: (-item[1], item[0]))
  return tuple(word for word, _ in ordered[:max_words])


def _counts(sentences, words: Sequence[str], window: int):
  """Symmetric co-occurrences [V, V], weighted by 1 / distance."""
  import scipy.sparse

  place = {word: i for i, word in enumerate(words)}
  # One row of ids, with a gap between sentences that no window spans.
  gap = [-1] * window
  ids = np.array([
      i for tokens in sentences
      for i in (*(place.get(word, -1) for word in tokens), *gap)
  ])
  size = len(words)
  total = scipy.sparse.csr_array((size, size))
  for distance in range(1, window + 1):
    left, right = ids[:-distance], ids[distance:]
    known = (left >= 0) & (right >= 0)
    left, right = left[known], right[known]
    for start in range(0, len(left), _CHUNK):
      part = slice(start, start + _CHUNK)
      pairs = np.full(len(left[part]), 1 / distance)
      total += scipy.sparse.csr_array((pairs, (left[part], right[part])),
                                      shape=(size, size))
  return (total + total.T).tocoo()


def _ppmi(counts):
  """Positive PMI of a sparse matrix of counts."""
  import scipy.sparse

  of_word = np.asarray(counts.sum(1)).ravel()
  of_context = of_word**_SMOOTHING
  expected = of_word[counts.row] * of_context[counts.col] / of_context.sum()
  values = np.log(counts.data / expected)
  kept = values > 0
  return scipy.sparse.csr_array(
      (values[kept], (counts.row[kept], counts.col[kept])), shape=counts.shape)


def _factorised(matrix, dim: int, power: float) -> np.ndarray:
  """[V, d] float32 of the leading singular vectors, centred and scaled."""
  from scipy.sparse.linalg import svds

  dim = min(dim, matrix.shape[0] - 1)
  left, values, _ = svds(
      matrix, k=dim, v0=np.ones(matrix.shape[0]), random_state=0)
  found = values > 1e-6 * max(values.max(), 1e-6)
  left, values = left[:, found][:, ::-1], values[found][::-1]
  # A singular vector has no sign of its own: its largest entry is positive.
  largest = np.abs(left).argmax(0)
  left = left * np.sign(left[largest, np.arange(left.shape[1])])
  table = left * values**power
  table -= table.mean(0)
  return (table * (_SCALE / table.std())).astype(np.float32)


# -------------------------------------------------------------------- reading


def read_vectors(
    path: str | os.PathLike,
    *,
    dim: int | None = None,
    wanted: Collection[str] | None = None) -> Vectors:
  """Reads word vectors.

  Args:
    path: of `.npz` (arrays `words` and `table`), `.bin` (word2vec's binary), or
      text, one word and its numbers a line: GloVe's `.txt`, word2vec's with its
      first line of two numbers, `.vec`; also `.gz`, or `.zip` that holds one
      text file, or one of `dim` in its name (`glove.6B.100d.txt`).
    dim: d that they must have, or any.
    wanted: words to keep; all of them by default.

  Raises:
    DataError: nothing there, another dimension, not UTF-8, or a line that is
      no vector, with its number.
  """
  path = Path(path).expanduser()
  if not path.is_file():
    raise DataError(f"`vectors` must name a file; there is no {path}.")
  if path.suffix == ".npz":
    found = _from_npz(path)
  elif path.suffix == ".bin":
    found = _from_binary(path, wanted)
  else:
    with _opened(path, dim) as stream:
      found = _from_text(path, stream, wanted)
  if not found.dim:
    raise DataError(f"`vectors` must hold vectors; {path} has none.")
  if dim is not None and found.dim != dim:
    raise DataError(
        f"`vectors` must have dimension {dim}; {path} has {found.dim}. Set "
        "`dim` (of a configuration `text.dim`), or take another file.")
  if not np.isfinite(found.table).all():
    bad = int(np.argmin(np.isfinite(found.table).all(1)))
    raise DataError(
        f"`vectors` must be finite; {path} has NaN or infinite numbers for "
        f"{found.words[bad]!r}.")
  if wanted is not None:
    found = _kept(found, wanted)
  return found


def save_vectors(vectors: Vectors, path: str | os.PathLike) -> None:
  """Writes vectors as `.npz`, whole or not at all; `read_vectors` reads them.
  """
  buffer = io.BytesIO()
  np.savez(
      buffer,
      words=np.array(vectors.words),
      table=vectors.table,
      name=np.array(vectors.name))
  storage.replace(Path(path), buffer.getvalue())


def _kept(found: Vectors, wanted: Collection[str]) -> Vectors:
  rows = [i for i, word in enumerate(found.words) if word in wanted]
  return found._replace(
      words=tuple(found.words[i] for i in rows), table=found.table[rows])


def _from_npz(path: Path) -> Vectors:
  try:
    with np.load(path, allow_pickle=False) as archive:
      words, table = archive["words"], archive["table"]
      name = str(archive["name"]) if "name" in archive else path.name
  except (KeyError, ValueError, OSError, EOFError, zlib.error,
          zipfile.BadZipFile) as error:
    raise DataError(
        f"`vectors` must hold plain arrays words and table; {path}: {error}."
    ) from error
  if table.ndim != 2 or words.shape != table.shape[:1] or not table.size:
    raise DataError(
        "`vectors` must hold words [V] and table [V, d]; "
        f"{path} has {words.shape} and {table.shape}.")
  return Vectors(
      tuple(words.astype(str).tolist()), table.astype(np.float32), name)


@contextlib.contextmanager
def _opened(path: Path, dim: int | None) -> Iterator[io.BufferedIOBase]:
  """The bytes of a text file, unpacked."""
  try:
    if path.suffix == ".gz":
      with gzip.open(path) as stream:
        yield stream
    elif path.suffix == ".zip":
      with zipfile.ZipFile(path) as archive:
        with archive.open(_member(path, archive, dim)) as stream:
          yield stream
    else:
      with path.open("rb") as stream:
        yield stream
  except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
    raise DataError(
        f"`vectors` must be a readable file; {path}: {error}. Fetch it again."
    ) from error


def _member(path: Path, archive: zipfile.ZipFile, dim: int | None) -> str:
  """The text file that an archive holds."""
  names = [n for n in archive.namelist() if n.endswith((".txt", ".vec"))]
  if len(names) > 1:
    names = [n for n in names if f".{dim}d." in n]
  if len(names) != 1:
    raise DataError(
        "`vectors` must be an archive of one text file, or of one for `dim`; "
        f"{path} holds {', '.join(archive.namelist())}. Set `dim`, or unpack "
        "it and name the file.")
  return names[0]


def _from_text(path: Path, stream, wanted) -> Vectors:
  words, rows, size = {}, [], None
  for number, line in enumerate(stream, 1):
    fields = _decoded(path, number, line).rstrip().split(" ")
    if number == 1 and len(fields) == 2 and all(map(str.isdigit, fields)):
      continue  # word2vec: number of words, dimension
    size = size or len(fields) - 1
    word = " ".join(fields[:-size])  # GloVe 840B has words with spaces
    if not size or not word:
      raise DataError(
          f"`vectors` must have a word and its {size or ''} numbers in every "
          f"line; {path} has not in line {number}.")
    if word in words or (wanted is not None and word not in wanted):
      continue
    try:
      rows.append(np.array(fields[-size:], np.float32))
    except ValueError:
      raise DataError(
          f"`vectors` must have {size} numbers after every word; {path} has "
          f"not in line {number}.") from None
    words[word] = None
  return _gathered(path, words, rows, size or 0)


def _decoded(path: Path, number: int, line: bytes) -> str:
  try:
    return line.decode("utf-8")
  except UnicodeDecodeError as error:
    raise DataError(
        f"`vectors` must be UTF-8; {path} is not in line {number}: "
        f"{error.reason}. Convert it; word2vec's binary must end in .bin."
    ) from None


def _from_binary(path: Path, wanted) -> Vectors:
  """word2vec: a line of two numbers, then word, space and float32 numbers."""
  content = path.read_bytes()
  head, _, _ = content.partition(b"\n")
  try:
    number, size = map(int, head.split())
  except ValueError:
    raise DataError(
        "`vectors` must begin with the number of words and the dimension where "
        f"they are binary; {path} begins with {head[:40]!r}.") from None
  words, rows, place = {}, [], len(head) + 1
  for index in range(number):
    end = content.find(b" ", place)
    begin, place = place, end + 1 + 4 * size
    if end < 0 or place > len(content):
      raise DataError(
          f"`vectors` must hold {number} words x {size}; {path} ends within "
          f"word {index + 1}. Fetch it again.")
    word = content[begin:end].lstrip(b"\n").decode("utf-8", "replace")
    if word not in words and (wanted is None or word in wanted):
      words[word] = None
      rows.append(np.frombuffer(content, "<f4", size, end + 1))
  return _gathered(path, words, rows, size)


def _gathered(path: Path, words, rows, size: int) -> Vectors:
  table = np.stack(rows) if rows else np.zeros((0, size), np.float32)
  return Vectors(tuple(words), table.astype(np.float32), path.name)
