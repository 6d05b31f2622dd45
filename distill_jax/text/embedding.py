"""Records that map token ids to model space.

Like every preprocessing they are pytrees of arrays, so that they can be
arguments of `jit` and are saved with a set: a set contains its words. The table
of word vectors is frozen; it is not a parameter of any network.

  WordVectors      ids [B, s] -> vectors [B, s, d], and back to nearest words
  AveragedVectors  ids [B, s] -> the mean of a sentence's vectors [B, d]

Id 0 is padding and 1 is a word outside the vocabulary; both have zero vectors,
as have words without a vector.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

PADDING, UNKNOWN = 0, 1
_SHOWN = ("", "<unknown>")
_ROWS = 256  # positions that are compared with the vocabulary at once
_CANDIDATES = 4  # nearest words by rounded distance, then compared exactly


class WordVectors(NamedTuple):
  """A vector for every token.

  Attributes:
    table: [V, d] float32, rows `PADDING` and `UNKNOWN` zero.
    words: [n] uint8, the other words in order: UTF-8, joined by newlines.
  """

  table: Array
  words: Array

  def apply(self, raw: Array) -> Array:
    """Maps ids [...] int to vectors [..., d]."""
    return self.table[raw]

  def invert(self, x: Array) -> Array:
    """Maps vectors [..., d] to the ids [...] int32 of the nearest words."""
    return nearest_words(self.table, x)

  def sentences(self, ids) -> list[list[str]]:
    """The words of ids [M, s]; see `words_of`."""
    return words_of(self, ids)


class AveragedVectors(NamedTuple):
  """One standardised vector per sentence.

  Attributes:
    table: as in `WordVectors`.
    words: as in `WordVectors`.
    mean: [d] float32, mean of the sentences that it was fitted to.
    std: [d] float32, their standard deviation, positive.
  """

  table: Array
  words: Array
  mean: Array
  std: Array

  def apply(self, raw: Array) -> Array:
    """Maps ids [..., s] int to vectors [..., d]."""
    return (averages(self.table, raw) - self.mean) / self.std

  def invert(self, x: Array) -> Array:
    """Maps vectors [..., d] to the ids [..., 1] of the nearest word."""
    return nearest_words(self.table, x * self.std + self.mean)[..., None]

  def sentences(self, ids) -> list[list[str]]:
    """The words of ids [M, s]; see `words_of`."""
    return words_of(self, ids)


def is_of_words(record) -> bool:
  """Whether a preprocessing takes token ids, and so has words and vectors."""
  return isinstance(record, WordVectors | AveragedVectors)


def averages(table: Array, ids: Array) -> Array:
  """Mean vectors [..., d] of ids [..., s], without padding."""
  present = (ids != PADDING)[..., None]
  count = jnp.maximum(present.sum(-2), 1)
  return (table[ids] * present).sum(-2) / count


def averaged(vectors: Any, ids) -> AveragedVectors:
  """Fits `AveragedVectors` to sentences.

  Args:
    vectors: the vocabulary's words and vectors.
    ids: [N, s] int, sentences of the training part.
  """
  of_chunk = jax.jit(averages)
  means = np.concatenate([
      np.asarray(of_chunk(vectors.table, ids[i:i + 1024]), np.float64)
      for i in range(0, len(ids), 1024)
  ])
  std = means.std(0)
  return AveragedVectors(
      vectors.table, vectors.words, jnp.asarray(means.mean(0), jnp.float32),
      jnp.asarray(np.where(std > 0, std, 1.0), jnp.float32))


def nearest_words(table: Array, x: Array) -> Array:
  """The nearest word of each vector, by Euclidean distance.

  Sucholutsky & Schonlau, 2019, arXiv 1910.02551, section 3.3. Words without a
  vector, including padding and the unknown word, are never the nearest; but a
  zero vector is mapped to padding. Of equally near words, the commoner is
  taken.

  Args:
    table: [V, d].
    x: [..., d].

  Returns:
    [...] int32.
  """
  flat = x.reshape(-1, x.shape[-1])
  if not len(flat):
    return jnp.zeros(x.shape[:-1], jnp.int32)
  squares = jnp.square(table).sum(-1)
  distance = jnp.where(squares > 0, squares, jnp.inf)
  num = min(_CANDIDATES, len(table))

  def nearest(rows):
    product = jnp.matmul(rows, table.T, precision=jax.lax.Precision.HIGHEST)
    _, close = jax.lax.top_k(2 * product - distance, num)
    close = jnp.sort(close, axis=1)
    # Sums of differences do not cancel, so a word's own vector maps to itself.
    exact = jnp.square(rows[:, None] - table[close]).sum(-1)
    exact = jnp.where(jnp.isinf(distance[close]), jnp.inf, exact)
    best = exact.argmin(1)[:, None]
    found = jnp.take_along_axis(close, best, axis=1)[:, 0]
    return jnp.where((rows != 0).any(1), found, PADDING)

  rows = min(_ROWS, len(flat))
  index = jnp.minimum(jnp.arange(-(-len(flat) // rows) * rows), len(flat) - 1)
  found = jax.lax.map(nearest, flat[index].reshape(-1, rows, x.shape[-1]))
  return found.ravel()[:len(flat)].reshape(x.shape[:-1]).astype(jnp.int32)


def packed(words: Sequence[str]) -> Array:
  """Words in the form of `WordVectors.words`."""
  return jnp.asarray(np.frombuffer("\n".join(words).encode(), np.uint8))


def vocabulary(record) -> tuple[str, ...]:
  """The V words of a record, with "" for padding."""
  joined = np.asarray(record.words).tobytes().decode()
  return _SHOWN + tuple(joined.split("\n") if joined else ())


def words_of(record, ids) -> list[list[str]]:
  """The words of ids [M, s], without padding."""
  known = vocabulary(record)
  return [[known[i] for i in row if i != PADDING] for row in np.asarray(ids)]
