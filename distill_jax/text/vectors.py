"""Word vectors: read from the usual files, or learned on a corpus.

`read_vectors` reads GloVe's text (`.txt`, also gzipped or zipped), word2vec's
text and binary, and `.npz`. `fit_vectors` needs no download. It factorises the
positive pointwise mutual information of words within a window, with smoothed
contexts, by a truncated SVD (Levy, Goldberg & Dagan, "Improving Distributional
Similarity with Lessons Learned from Word Embeddings", TACL 2015):

    PPMI(w, c) = max(0, log #(w, c) #() / (#(w) #(c)^0.75 / sum #(c)^0.75))
    PPMI ~ U diag(s) V',    vectors = U diag(s)^p
"""

import codecs
import collections
import os
import re
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distill_jax import unpacking
from distill_jax.errors import DataError, fitting, plain, shown
from distill_jax.text.tokens import in_utf8

_SMOOTHING = 0.75
# Standard deviation of an entry; GloVe's vectors have about this at d = 100.
_SCALE = 0.4
_CHUNK = 4_000_000  # pairs of words that are counted at once
_MOST_WORDS, _MOST_NUMBERS = 10**7, 10**6
_LONGEST_WORD, _BLOCK = 2**16, 2**20  # bytes
_WHOLE = re.compile(r"[-+]?[0-9]{1,30}")
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


class Vectors(NamedTuple):
  """Word vectors.

  Attributes:
    words: V different words.
    table: [V, d] float32, one row per word.
    name: what they were read from or learned on.
  """

  words: tuple[str, ...]
  table: np.ndarray
  name: str

  def __repr__(self) -> str:
    return f"Vectors: {len(self.words):,} words x {self.dim}, {self.name}"

  @property
  def dim(self) -> int:
    """d, the dimension of the vectors."""
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
  """Learns word vectors on tokenised sentences; the result is deterministic.

  Args:
    sentences: tokens of each sentence, of the training part only.
    dim: d; at most the number of words, and fewer if their matrix has a lower
      rank.
    window: number of words on each side that are context, with weight 1 /
      distance.
    min_count: least number of occurrences of a word.
    max_words: maximal number of words; the commonest are kept.
    power: p, exponent of the singular values; 0 gives every direction the same
      variance.
    name: name of the corpus.

  Returns:
    Vectors with mean zero, whose entries have a standard deviation of 0.4 on
    average; words are sorted from the commonest to the rarest.

  Raises:
    DataError: fewer than two words occur often enough.
    ValueError: a number is out of range.
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
        f" got {len(words)} in {len(sentences)} sentences. Lower `min_count`; "
        "of texts without spaces take tokens=\"characters\".")
  matrix = _ppmi(_counts(sentences, words, window))
  if not matrix.nnz:
    raise DataError(
        "`sentences` must hold words beside each other to learn vectors; got "
        "none. Give `vectors`; of texts without spaces take "
        "tokens=\"characters\".")
  table = _factorised(matrix, dim, power)
  return Vectors(words, table, f"PPMI and SVD, learned on {name}")


def common_words(
    sentences: Iterable[Sequence[str]],
    *,
    min_count: int = 1,
    max_words: int | None = None) -> tuple[str, ...]:
  """Words from the commonest to the rarest; equally common ones by alphabet."""
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
  given: Any = dict(v0=np.ones(matrix.shape[0]), random_state=0)
  left, values, _ = svds(matrix, k=dim, **given)
  found = values > 1e-6 * max(values.max(), 1e-6)
  left, values = left[:, found][:, ::-1], values[found][::-1]
  # The sign of a singular vector is arbitrary: its largest entry is positive.
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
    path: path of an `.npz` file (arrays `words` and `table`), a `.bin` file
      (word2vec's binary), or a text file with one word and its numbers per
      line: GloVe's `.txt`, or word2vec's text or `.vec` with a first line of
      two numbers. Text may also be in a `.gz`, `.xz` or `.zip` file; a `.zip`
      holds one text file, or one with `dim` in its name (`glove.6B.100d.txt`).
    dim: required d; None for any.
    wanted: words to keep; all of them by default.

  Raises:
    DataError: the file does not exist, has another dimension, is not UTF-8, has
      fewer or more words than it says, or has a line that is not a vector (the
      message names the line).
  """
  path = Path(path).expanduser()
  if not path.exists():
    raise DataError(f"`vectors` must name a file; there is no {path}.")
  if path.suffix == ".npz":
    found = _from_npz(path)
  else:
    read = _from_binary if ".bin" in path.suffixes else _from_text
    with unpacking.opened(path, "vectors", partial(_members, dim=dim)) as file:
      found = read(path, file, wanted)
  if not found.dim:
    raise DataError(f"`vectors` must hold vectors; {path} has none.")
  if dim is not None and found.dim != dim:
    raise DataError(
        f"`vectors` must have dimension {dim}; {path} has {found.dim}. Set "
        "`dim` (of a configuration `text.dim`), or take another file.")
  if wanted is not None:
    found = _kept(found, wanted)
  return found


def _kept(found: Vectors, wanted: Collection[str]) -> Vectors:
  rows = [i for i, word in enumerate(found.words) if word in wanted]
  return found._replace(
      words=tuple(found.words[i] for i in rows), table=found.table[rows])


def _from_npz(path: Path) -> Vectors:
  with unpacking.arrays(path, "vectors") as archive:
    missing = {"words", "table"} - set(archive)
    if missing:
      raise DataError(
          f"`vectors` must hold words and table; {path} holds "
          f"{fitting(archive, 100) or 'nothing'}. Write it with "
          "numpy.savez(path, words=words, table=table).")
    words, table = archive["words"], archive["table"]
    name = str(archive["name"]) if "name" in archive else path.name
  return of_arrays(path, words, table, plain(name, 100))


def of_arrays(
    path: Path, words: np.ndarray, table: np.ndarray, name: str) -> Vectors:
  """Makes vectors of the arrays of a file.

  Args:
    path: path of the file, for messages.
    words: [V] texts.
    table: [V, d] numbers.
    name: name of the vectors.

  Raises:
    DataError: the arrays have another form or are not finite, or a word is
      repeated.
  """
  if (table.ndim != 2 or words.shape != table.shape[:1] or not table.size or
      words.dtype.kind != "U" or table.dtype.kind not in "fiu"):
    raise DataError(
        "`vectors` must hold words [V] of text and a table [V, d] of numbers; "
        f"{path} has {words.shape} {words.dtype} and {table.shape} "
        f"{table.dtype}.")
  words = words.tolist()
  if not in_utf8("".join(words)):
    wrong = next(word for word in words if not in_utf8(word))
    raise DataError(
        f"`vectors` must hold words that UTF-8 can hold; {path} has "
        f"{shown(wrong)}. Decode it another way.")
  if len(set(words)) < len(words):
    again = next(w for w, n in collections.Counter(words).items() if n > 1)
    raise DataError(
        f"`vectors` must hold different words; {path} has {plain(again)!r} "
        "twice. Drop one of them.")
  return _finite(path, words, table, name)


def _members(names: list[str], dim: int | None) -> list[str]:
  """The files of an archive that may hold the vectors."""
  found = [n for n in names if n.endswith((".txt", ".vec"))] or names
  if len(found) > 1 and dim is not None:
    found = [n for n in found if f".{dim}d." in n]
  return found


def _from_text(path: Path, stream, wanted) -> Vectors:
  words, rows, size, number = {}, [], None, None
  last = 0
  for last, line in enumerate(unpacking.lines(stream, path, "vectors"), 1):
    if last > _MOST_WORDS + 1:
      raise DataError(
          f"`vectors` must hold at most {_MOST_WORDS:,} words; {path} has "
          "more. Keep the most frequent ones.")
    line = line.removeprefix(codecs.BOM_UTF8 if last == 1 else b"")
    fields = _decoded(path, last, line).rstrip().split(" ")
    if last == 1 and len(fields) == 2 and all(map(_WHOLE.fullmatch, fields)):
      number, size = _counts_said(path, *fields)  # word2vec
      continue
    size = size or len(fields) - 1
    word = " ".join(fields[:-size])  # GloVe 840B has words with spaces
    if not size or not word or _are_numbers(fields[1:-size]):
      raise DataError(
          f"`vectors` must have a word and its {size or ''} numbers in every "
          f"line; {path} differs in line {last}.")
    if word in words or (wanted is not None and word not in wanted):
      continue
    try:
      rows.append(np.array(fields[-size:], np.float32))
    except ValueError:
      raise DataError(
          f"`vectors` must have {size} numbers after every word; {path} "
          f"differs in line {last}.") from None
    words[word] = None
  if number not in (None, last - 1):
    raise DataError(
        f"`vectors` must have as many words as the first line says; {path} "
        f"says {number:,} and has {last - 1:,}. Download the file again, or "
        "correct the line.")
  return _gathered(path, words, rows, size or 0)


def _counts_said(path: Path, *fields) -> tuple[int, int]:
  """Number of words and dimension, from a first line of two numbers."""
  number, size = map(int, fields)
  if not 0 < number <= _MOST_WORDS or not 0 < size <= _MOST_NUMBERS:
    raise DataError(
        "`vectors` must begin with the number of words and the dimension; "
        f"{path} begins with {plain(number)} and {plain(size)}. Download "
        "the file again.")
  return number, size


def _are_numbers(fields: Sequence[str]) -> bool:
  """Whether there are fields, and all are numbers as in a vector."""
  return bool(fields) and all(map(_NUMBER.fullmatch, fields))


def _decoded(path: Path, number: int, line: bytes) -> str:
  try:
    return line.decode("utf-8")
  except UnicodeDecodeError as error:
    raise DataError(
        f"`vectors` must be UTF-8; {path} is not in line {number}: "
        f"{error.reason}. Convert it; word2vec's binary must end in .bin."
    ) from None


def _from_binary(path: Path, stream, wanted) -> Vectors:
  """word2vec: a line of two numbers; then word, space and float32 numbers."""
  head = stream.readline(_LONGEST_WORD)
  said = head.decode("latin-1").split()
  if len(said) != 2 or not all(map(_WHOLE.fullmatch, said)):
    raise DataError(
        "`vectors` must begin with the number of words and the dimension where "
        f"they are binary; {path} begins with {shown(head)}.")
  number, size = _counts_said(path, *said)
  packed = path.stat().st_size
  unpacking.check_size(number * 4 * size, packed, path, "vectors")
  words, rows, content, place = {}, [], b"", 0
  enough = _LONGEST_WORD + 4 * size
  for index in range(number):
    if len(content) - place < enough:
      content = content[place:] + stream.read(max(enough, _BLOCK))
      place = 0
    end = content.find(b" ", place)
    begin, place = place, end + 1 + 4 * size
    if end < 0 or place > len(content):
      raise DataError(
          f"`vectors` must hold {number} words x {size}; {path} ends within "
          f"word {index + 1}. Download the file again.")
    word = content[begin:end].lstrip(b"\n").decode("utf-8", "replace")
    if word not in words and (wanted is None or word in wanted):
      words[word] = None
      rows.append(np.frombuffer(content, "<f4", size, end + 1).copy())
  if (content[place:] + stream.read(1)).strip():
    raise DataError(
        f"`vectors` must hold {number} words x {size}; {path} has more. Fetch "
        "it again.")
  return _gathered(path, words, rows, size)


def _gathered(path: Path, words, rows, size: int) -> Vectors:
  table = np.stack(rows) if rows else np.zeros((0, size), np.float32)
  return _finite(path, words, table, path.name)


def _finite(path: Path, words, table: np.ndarray, name: str) -> Vectors:
  with np.errstate(over="ignore"):
    table = table.astype(np.float32)
  found, sound = tuple(words), np.isfinite(table).all(1)
  if not sound.all():
    raise DataError(
        f"`vectors` must be finite; {path} has NaN or infinite numbers for "
        f"{shown(found[int(np.argmin(sound))])}.")
  return Vectors(found, table, name)
