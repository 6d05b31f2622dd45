"""Makes a `Source` of texts.

Token ids [N, s] are held on the device and become word vectors inside `jit`.
The vocabulary comes from the training part only, and so do word vectors that
are learned here (Sucholutsky & Schonlau, 2019, arXiv 1910.02551). As in their
published code, texts are padded and truncated to one length.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax.data import labelling
from distill_jax.data.arrays import check_present, is_missing
from distill_jax.data.making import assemble
from distill_jax.data.parts import (
    TEST_FRACTION,
    check_lengths,
    given_parts,
    stratified,
)
from distill_jax.data.source import Source
from distill_jax.errors import DataError, listed, plain
from distill_jax.text import embedding
from distill_jax.text.embedding import (
    AveragedVectors,
    WordVectors,
    averaged,
    packed,
)
from distill_jax.text.tokens import Tokeniser, repeated, tokenised
from distill_jax.text.vectors import (
    Vectors,
    common_words,
    fit_vectors,
    read_vectors,
)

# The facts that are sentences; a source of any data may have them.
_LINES = ("left_out", "numbering", "test_part", "preprocessing")
_LONGEST = 400  # tokens; the longest default length
PREPROCESSING = ("word_vectors", "averaged_vectors")


def from_texts(
    x_train: Sequence[str],
    y_train: ArrayLike,
    x_test: Sequence[str] | None = None,
    y_test: ArrayLike | None = None,
    *,
    x_validation: Sequence[str] | None = None,
    y_validation: ArrayLike | None = None,
    vectors: (
        Vectors | str | os.PathLike |
        Callable[[list[list[str]]], Vectors]) = fit_vectors,
    length: int | None = None,
    max_words: int | None = None,
    tokens: str | Tokeniser = "words",
    drop_duplicates: bool = False,
    preprocessing: str | WordVectors | AveragedVectors = "word_vectors",
    class_names: Sequence[str] | None = None,
    test_fraction: float | None = None,
    validation_fraction: float = 0.0,
    seed: int = 0,
    name: str = "texts") -> Source:
  """Makes a `Source` of texts.

  Args:
    x_train: N texts.
    y_train: [N] class indices 0..K-1, or strings.
    x_test: texts for testing; if None, `test_fraction` of the training texts
      are held out.
    y_test: the classes of `x_test`, as `y_train`.
    x_validation: texts for choosing settings; if None, `validation_fraction` of
      the training texts are held out.
    y_validation: the classes of `x_validation`, as `y_train`.
    vectors: word vectors, a file of word vectors (see `read_vectors`), or a
      function that makes them from the tokens of the training texts that remain
      after holding out. By default `fit_vectors` learns them from these texts,
      with 100 numbers per word; `lambda t: fit_vectors(t, 50)` learns 50.
    length: s, tokens per text. Longer texts are cut, shorter ones padded at the
      end. By default the length of the longest training text, at most 400.
    max_words: V, size of the vocabulary: the commonest words of the remaining
      training texts, including the padding and the unknown word. By default all
      words.
    tokens: "words" for raw text, "spaces" for texts that are already split into
      tokens by spaces, "characters" for languages without spaces between words,
      or a function; see `text.tokens`.
    drop_duplicates: whether to leave out training texts that also occur in
      `x_test` or `x_validation`. They are counted in either case.
    preprocessing: "word_vectors" for inputs [s, d]; "averaged_vectors" for one
      vector [d] per text; or the `preprocessing` of another source, whose words
      and vectors are then used.
    class_names: K names; see `from_arrays`.
    test_fraction: see `from_arrays`.
    validation_fraction: see `from_arrays`.
    seed: seed of the choice of test and validation texts.
    name: name of what the texts were read from.

  Returns:
    The source. Its inputs are token ids [N, s] int32. Its `facts` say which
    vectors are used, which share of the words they cover, how many texts were
    cut, and how many occur in two parts.

  Raises:
    DataError: the texts are not a classification data set (the message says
      why), or no word of theirs has a vector.

  Example:
    source = dd.from_texts(["who is it", "how many"] * 9, ["who", "number"] * 9)
  """
  parts = given_parts({
      "train": (x_train, y_train),
      "validation": (x_validation, y_validation),
      "test": (x_test, y_test)
  })
  found = {
      part: _tokens(f"x_{part}", texts, tokens)
      for part, (texts, _) in parts.items()
  }
  labels = {
      part: labelling.as_labels(f"y_{part}", y)
      for part, (_, y) in parts.items()
  }
  check_lengths(found, labels)
  if test_fraction is None and "test" not in found:
    test_fraction = TEST_FRACTION
  if test_fraction and "test" not in found:
    _hold_out(found, labels, test_fraction, seed)
    test_fraction = None
  facts: dict[str, Any] = {"tokens": getattr(tokens, "__name__", tokens)}
  repeats = {
      part: repeated(texts, found["train"])
      for part, texts in found.items()
      if part != "train"
  }
  facts["duplicates"] = {part: len(rows) for part, rows in repeats.items()}
  if drop_duplicates:
    others = [found[part][i] for part, rows in repeats.items() for i in rows]
    facts["dropped"] = _drop(found, labels, others)
  if isinstance(preprocessing, str) and preprocessing not in PREPROCESSING:
    raise DataError(
        f"`preprocessing` must be one of {', '.join(PREPROCESSING)}, or a "
        f"record of word vectors; got {preprocessing!r}.")
  if length is None:
    length = min(max(map(len, found["train"])), _LONGEST)
  if length < 1 or (max_words is not None and max_words < 3):
    raise DataError(
        "`length` must be at least 1 and `max_words` at least 3; got "
        f"{length} and {max_words}.")

  def fit(kept):
    record = preprocessing
    texts = [found["train"][i] for i in kept]
    if isinstance(record, str):
      record, name = _vectors_of(texts, vectors, max_words)
      facts["vectors"] = name
    ids = _places(record)
    raw = {part: _ids(texts, ids, length) for part, texts in found.items()}
    if preprocessing == "averaged_vectors":
      record = averaged(record, raw["train"][kept])
    facts.update(_counted(record, found, kept, length))
    return record, raw

  made = assemble(
      labels,
      fit,
      class_names=class_names,
      test_fraction=test_fraction,
      validation_fraction=validation_fraction,
      seed=seed,
      name=name)
  return made._replace(facts=facts)


def with_facts(source: Source, *, per_class: int | None,
               num_rows: int | None) -> tuple[Source, list[str]]:
  """Adds to the facts the classes with fewer texts than the set has rows.

  Args:
    source: a source of any data; only the facts of texts change.
    per_class: label rows per class of the set, or None.
    num_rows: label rows of the whole set, if `per_class` is None.

  Returns:
    The source, and lines to print about its texts.
  """
  facts = dict(source.facts)
  lines = [facts[name] for name in _LINES if name in facts]
  if "vectors" not in facts:
    return source, lines
  counts = np.asarray(source.train.counts)
  each = per_class or -(-num_rows // source.num_classes)
  small = {
      name: int(n)
      for name, n in zip(source.class_names, counts, strict=True)
      if n < each
  }
  covered = ", ".join(
      f"{100 * share:.1f} % of {part}"
      for part, share in facts["tokens_with_vectors"].items())
  lines += [
      f"{facts['words']:,} words, {facts['vectors']}: "
      f"{100 * facts['words_with_vectors']:.1f} % have a vector; of all tokens "
      f"{covered}"
  ]
  hint = "; `drop_duplicates` drops them there"
  if "dropped" in facts:
    hint = ", which lacks them now"
  lines += [
      f"{number} texts of the {part} part also occur in train{hint}"
      for part, number in facts["duplicates"].items()
      if number
  ]
  if small:
    facts["small_classes"] = small
    names = listed([f"{plain(name, 20)} ({n})" for name, n in small.items()],
                   10)
    lines.append(
        f"classes with fewer texts than the {each} rows a class of the set, "
        f"which baselines repeat: {names}")
  return source._replace(facts=facts), lines


def _tokens(argument: str, texts, tokens) -> list[list[str]]:
  """The tokens of texts; refuses what is no list of texts or misses some."""
  if (isinstance(texts, str | bytes | Mapping) or hasattr(texts, "columns") or
      not np.iterable(texts)):
    raise DataError(
        f"`{argument}` must be a list of texts; got {type(texts).__name__}. Of "
        "a data frame, give one column.")
  texts = list(texts)
  check_present(
      argument, [is_missing(text) for text in texts],
      "Drop these rows; texts such as \"None\" and \"NA\" count as missing.")
  return tokenised(argument, texts, tokens)


def _hold_out(found, labels, fraction: float, seed: int) -> None:
  """Moves a fraction of every class of the training part into a test part."""
  texts, given = found["train"], labels["train"]
  rows = stratified(
      given, np.unique(given), fraction, seed, name="test_fraction")
  for part, chosen in zip(("train", "test"), rows, strict=True):
    found[part], labels[part] = [texts[i] for i in chosen], given[chosen]


def _drop(found, labels, others) -> int:
  """Drops training texts that are among others; returns how many."""
  again = set(repeated(found["train"], others))
  kept = [i for i in range(len(found["train"])) if i not in again]
  if not kept:
    raise DataError(
        "`drop_duplicates` must leave training texts; all of them also occur "
        "in another part.")
  found["train"] = [found["train"][i] for i in kept]
  labels["train"] = labels["train"][kept]
  return len(again)


def _vectors_of(texts, vectors, max_words) -> tuple[WordVectors, str]:
  """The vocabulary's words and vectors as a record, and the vectors' name."""
  words = common_words(texts, max_words=max_words and max_words - 2)
  if isinstance(vectors, str | os.PathLike):
    vectors = read_vectors(vectors, wanted=frozenset(words))
  elif not isinstance(vectors, Vectors):
    vectors = vectors(texts)
  known = dict(zip(vectors.words, range(len(vectors.words)), strict=True))
  table = np.zeros((len(words) + 2, vectors.dim), np.float32)
  for row, word in enumerate(words, 2):
    if word in known:
      table[row] = vectors.table[known[word]]
  if not table.any():
    raise DataError(
        "`vectors` must cover some words of the training texts; got "
        f"{vectors} for texts of {listed(words)}. Take vectors of the same "
        "language, in lower case, or other `tokens`.")
  return WordVectors(jnp.asarray(table), packed(words)), vectors.name


def _places(record) -> dict[str, int]:
  if not embedding.is_of_words(record):
    raise DataError(
        "`preprocessing` must be a record of word vectors for texts; got "
        f"{type(record).__name__}.")
  return {
      word: i
      for i, word in enumerate(embedding.vocabulary(record))
      if i > embedding.UNKNOWN
  }


def _ids(texts, places: dict[str, int], length: int) -> np.ndarray:
  """Token ids [N, s] int32, cut or padded to s tokens."""
  ids = np.full((len(texts), length), embedding.PADDING, np.int32)
  for row, tokens in enumerate(texts):
    found = [places.get(t, embedding.UNKNOWN) for t in tokens[:length]]
    ids[row, :len(found)] = found
  return ids


def _counted(record, found, kept, length) -> dict[str, Any]:
  """Facts on words and texts for the report; shares are fractions of 1."""
  words = embedding.vocabulary(record)[2:]
  has: Any = np.asarray(record.table[2:]).any(1)
  covered = {word for word, yes in zip(words, has, strict=True) if yes}
  texts = {**found, "train": [found["train"][i] for i in kept]}
  return {
      "length": length,
      "dim": record.table.shape[1],
      "words": len(words),
      "words_with_vectors": round(float(has.mean()), 4) if len(has) else 0.0,
      "tokens_with_vectors": {
          part: round(_share(lambda t: t in covered, of), 4)
          for part, of in texts.items()
      },
      "texts_cut": {
          part: sum(len(tokens) > length for tokens in of)
          for part, of in texts.items()
      }
  }


def _share(holds, texts) -> float:
  """The fraction of all tokens for which `holds` is true."""
  total = sum(map(len, texts))
  return sum(holds(token) for tokens in texts for token in tokens) / total
