"""Tokens, word vectors of every format, and vectors learned on a corpus."""

import doctest
import gzip
import itertools
import struct
import zipfile

import numpy as np
import pytest

from distill_jax.errors import DataError
from distill_jax.text import tokens, vectors
from distill_jax.text.tokens import repeated, tokenised
from distill_jax.text.vectors import common_words, fit_vectors, read_vectors

WORDS = ("the", "cat", "naïve")
TABLE = np.array([[1, 2.5], [-3, 0.25], [0, 4]], np.float32)
TEXT = "".join(
    f"{word} {' '.join(map(str, row))}\n"
    for word, row in zip(WORDS, TABLE.tolist(), strict=True))
BINARY = b"3 2\n" + b"".join(
    word.encode() + b" " + row.tobytes() + b"\n"
    for word, row in zip(WORDS, TABLE, strict=True))


def test_examples():
  assert doctest.testmod(tokens).failed == 0


def test_tokens_of_raw_text():
  assert tokens.words("It’s the plot's #1 @fan_club") == [
      "it", "'s", "the", "plot", "'s", "#1", "@fan_club"
  ]
  assert tokens.words("a < b, c > d") == ["a", "<", "b", ",", "c", ">", "d"]


def test_tokenised_refuses_what_has_no_words():
  for texts, message in (("one string", "several texts"), ([], "got none"),
                         (["a", 3], "int in row 1"), (["a",
                                                       " \t "], "in row 1")):
    with pytest.raises(DataError, match=message):
      tokenised("x_train", texts, "words")
  with pytest.raises(DataError, match="line ends; got one in row 1"):
    tokenised("x_train", ["a", "b\nc"], list)
  with pytest.raises(DataError, match="one of characters, spaces, words"):
    tokenised("x_train", ["a"], "letters")
  with pytest.raises(DataError, match="`tokens` must .*got .1. for row 0"):
    tokenised("x_train", ["a"], lambda text: [1])
  with pytest.raises(DataError, match="`x_train` must .*UTF-8.*row 1"):
    tokenised("x_train", ["a", "b \ud800"], "words")


def test_repeated_compares_tokens():
  assert repeated([["a", "b"], ["ab"], ["c"]], [["c"], ["a", "b"]]) == [0, 2]


def _written(tmp_path, kind):
  """A file of each format that holds the same vectors."""
  path = tmp_path / f"vectors.{kind}"
  if kind in ("txt", "vec"):
    head = "3 2\n" if kind == "vec" else ""
    path.write_text(head + TEXT, encoding="utf-8")
  elif kind == "txt.gz":
    path.write_bytes(gzip.compress(TEXT.encode()))
  elif kind == "zip":
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("glove.2d.txt", TEXT)
      archive.writestr("glove.9d.txt", "x" + 9 * " 1")
  elif kind == "bin":
    path.write_bytes(BINARY)
  else:
    np.savez(path, words=np.array(WORDS), table=TABLE)
  return path


@pytest.mark.parametrize("kind", ["txt", "vec", "txt.gz", "zip", "bin", "npz"])
def test_every_format(tmp_path, kind):
  found = read_vectors(_written(tmp_path, kind), dim=2)
  assert found.words == WORDS
  np.testing.assert_array_equal(found.table, TABLE)
  few = read_vectors(tmp_path / f"vectors.{kind}", dim=2, wanted={"cat", "x"})
  assert few.words == ("cat",) and few.table.tolist() == [[-3, 0.25]]


def test_saved_vectors_come_back(tmp_path):
  made = vectors.Vectors(WORDS, TABLE, "a name")
  np.savez(tmp_path / "v.npz", **made._asdict())
  found = read_vectors(tmp_path / "v.npz")
  assert found.words == WORDS and found.name == "a name"
  np.testing.assert_array_equal(found.table, TABLE)


# Without the time, or names of tests would differ between processes.
CUT = gzip.compress(TEXT.encode(), mtime=0)[:-9]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("v.txt", TEXT.encode()[:-4] + b"\n", "in line 3"),
     ("v.txt", TEXT.replace("0.25", "z").encode(), "numbers.*in line 2"),
     ("v.txt", TEXT.encode("latin-1"), "UTF-8.*in line 3"),
     ("v.txt", BINARY, "must"),
     ("v.txt", TEXT.replace("2.5", "nan").encode(), "finite.*'the'"),
     ("v.txt.gz", CUT, "ended before"),
     ("v.zip", b"no zip", "numbers.*in line 1"),
     ("v.txt", b"-1 2\n" + TEXT.encode(), "begins with -1 and 2"),
     ("v.txt", b"9" * 30 + b" 2\n" + TEXT.encode(), "begins with 9999"),
     ("v.txt", b"4 2\n" + TEXT.encode(), "says 4 and has 3"),
     ("v.txt", TEXT.replace(" 0.25", " 1 0.25").encode(), "in line 2"),
     ("v.txt", b"x" * (2**24 + 9), "lines of 16,777,216 bytes"),
     ("v.bin", b"3 -2" + BINARY[3:], "begins with 3 and -2"),
     ("v.bin", b"99 2" + BINARY[3:], "ends within word 4"),
     ("v.bin", b"2 2" + BINARY[3:], "has more"),
     ("v.bin", BINARY[:-5], "ends within word 3"),
     ("v.bin", b"word " + struct.pack("<f", 1), "begins with"),
     ("v.npz", b"no archive", ".npz file")])
def test_broken_files_are_refused(tmp_path, name, content, message):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(DataError, match=message) as caught:
    read_vectors(tmp_path / name)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("words", "table", "message"),
                         [(WORDS, TABLE.astype(str), "of numbers.*<U"),
                          ((b"a", b"b", b"c"), TABLE, r"of text.*\|S1"),
                          (("a", "b", "a"), TABLE, "different words.*'a'"),
                          (("a", "b\ud800", "c"), TABLE, r"UTF-8.*'b\\ud800'"),
                          (WORDS, np.array([{}] * 3), "table of.*pickle")])
def test_tables_of_other_kinds_are_refused(tmp_path, words, table, message):
  np.savez(tmp_path / "v.npz", words=np.array(words), table=table)
  with pytest.raises(DataError, match=message):
    read_vectors(tmp_path / "v.npz")


def test_a_mark_of_utf_8_is_no_part_of_a_word(tmp_path):
  (tmp_path / "v.txt").write_bytes(TEXT.encode("utf-8-sig"))
  assert read_vectors(tmp_path / "v.txt").words == WORDS


def test_packed_binary_vectors(tmp_path):
  (tmp_path / "v.bin.gz").write_bytes(gzip.compress(BINARY))
  np.testing.assert_array_equal(
      read_vectors(tmp_path / "v.bin.gz").table, TABLE)


def test_wrong_dimensions_and_missing_files(tmp_path):
  path = _written(tmp_path, "txt")
  with pytest.raises(DataError, match="dimension 100.*has 2"):
    read_vectors(path, dim=100)
  with pytest.raises(DataError, match="there is no"):
    read_vectors(tmp_path / "absent.txt")
  with pytest.raises(DataError, match="holds glove.2d.txt, glove.9d.txt"):
    read_vectors(_written(tmp_path, "zip"))


def _sentences(number=400):
  """Words of two topics, which never meet, beside common ones."""
  generator = np.random.default_rng(0)
  topics = [[f"{t}{i}" for i in range(6)] for t in "ab"]
  common = ["the", "of"]
  return [[str(w)
           for w in generator.choice(topics[i % 2] + common, 8)]
          for i in range(number)]


def test_learned_vectors_know_topics():
  made = fit_vectors(_sentences(), 4)
  place = {word: row for word, row in zip(made.words, made.table, strict=True)}

  def likeness(one, other):
    a, b = place[one], place[other]
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

  pairs = list(itertools.combinations(range(6), 2))
  inside = np.mean([likeness(f"a{i}", f"a{j}") for i, j in pairs])
  across = np.mean([likeness(f"a{i}", f"b{j}") for i, j in pairs])
  assert inside > 0.5 > across + 0.5
  np.testing.assert_allclose(made.table.mean(0), 0, atol=1e-6)
  np.testing.assert_allclose(made.table.std(), 0.4, rtol=1e-5)


def test_learned_vectors_are_the_same_every_time():
  first, again = (fit_vectors(_sentences(), 4) for _ in range(2))
  np.testing.assert_array_equal(first.table, again.table)


def test_ppmi_by_hand():
  """Window 2 over "a b c | a b", every pair counted by distance."""
  counts = vectors._counts([["a", "b", "c"], ["a", "b"]], ("a", "b", "c"), 2)
  expected = np.array([[0, 2, 0.5], [2, 0, 1], [0.5, 1, 0]])
  np.testing.assert_allclose(counts.toarray(), expected)
  of_word, smooth = expected.sum(1), expected.sum(1)**0.75
  with np.errstate(divide="ignore"):
    pmi = np.log(expected * smooth.sum() / np.outer(of_word, smooth))
  np.testing.assert_allclose(
      vectors._ppmi(counts).toarray(), np.maximum(pmi, 0), rtol=1e-12)


def test_no_window_spans_two_sentences():
  counts = vectors._counts([["a"], ["b"]], ("a", "b"), 5)
  assert not counts.toarray().any()


def test_common_words_are_ordered():
  sentences = [["b", "a", "c"], ["a", "b"], ["a"]]
  assert common_words(sentences) == ("a", "b", "c")
  assert common_words(sentences, min_count=2) == ("a", "b")
  assert common_words(sentences, max_words=1) == ("a",)


def test_what_learning_refuses():
  with pytest.raises(DataError, match="two words that occur 2 times"):
    fit_vectors([["a", "b"]], 2)
  with pytest.raises(DataError, match="words beside each other"):
    fit_vectors([["a"], ["b"]] * 3, 2)
  with pytest.raises(ValueError, match="`dim`"):
    fit_vectors(_sentences(4), 0)
