"""Texts as sources: ids, vectors under jit, coverage, duplicates, decoding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from distill_jax import artifact, evaluate_set, schema, selection
from distill_jax.data.corpus import from_texts
from distill_jax.data.making import from_arrays
from distill_jax.errors import ArtifactError, DataError
from distill_jax.evaluation.learners import nearest_neighbours
from distill_jax.exchange import export, import_npz
from distill_jax.merging import merge
from distill_jax.text import embedding, words
from distill_jax.text.vectors import Vectors, fit_vectors

TRAIN = ["the cat sat", "a dog ran far away", "the dog sat", "a cat ran"] * 3
LABELS = ["cat", "dog", "dog", "cat"] * 3
TEST, TEST_LABELS = ["the dog sat", "a bird ran"], ["dog", "cat"]
WORDS = ("the", "a", "cat", "dog", "sat", "ran", "far")
VECTORS = Vectors(
    WORDS,
    np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32), "by hand")


def _source(**options):
  options = {"vectors": VECTORS, **options}
  return from_texts(TRAIN, LABELS, TEST, TEST_LABELS, **options)


def test_ids_and_vectors():
  source = _source()
  ids = np.asarray(source.train.inputs)
  assert ids.dtype == np.int32 and ids.shape == (12, 5)
  known = embedding.vocabulary(source.preprocessing)
  assert known[:2] == ("", "<unknown>")
  assert [known[i] for i in ids[1]] == TRAIN[1].split()
  assert ids[0, 3:].tolist() == [embedding.PADDING] * 2
  assert source.test.inputs[1, 1] == embedding.UNKNOWN
  encoded = jax.jit(source.train.encode)(source.train.inputs[:2])
  np.testing.assert_array_equal(encoded[0, 1], VECTORS.table[2])
  np.testing.assert_array_equal(encoded[0, 3:], 0)  # padding
  np.testing.assert_array_equal(encoded[1, 4], 0)  # away: no vector
  assert source.example.shape == (1, 5, 5)
  assert source.class_names == ("cat", "dog")


def test_facts():
  facts = _source(length=4).facts
  assert facts["vectors"] == "by hand"
  assert (facts["dim"], facts["length"], facts["words"]) == (5, 4, 8)
  assert facts["words_with_vectors"] == 0.875
  assert facts["tokens_with_vectors"] == {"train": 0.9286, "test": 0.8333}
  assert facts["texts_cut"] == {"train": 3, "test": 0}
  assert facts["duplicates"] == {"test": 1}
  assert facts["tokens"] == "words"


def test_duplicates_are_dropped_from_train():
  source = _source(drop_duplicates=True)
  assert source.train.num_samples == 9
  assert source.facts["dropped"] == 3
  with pytest.raises(DataError, match="must leave training texts"):
    _source(x_validation=TRAIN, y_validation=LABELS, drop_duplicates=True)
  assert source.facts["duplicates"] == {"test": 1}


@pytest.mark.parametrize("part", ["validation", "test"])
def test_vocabulary_is_of_the_texts_that_stay(part):
  texts = [f"word{i} same" for i in range(20)]
  seen = []

  def learn(sentences):
    seen.extend(w for tokens in sentences for w in tokens)
    return Vectors(("same",), np.ones((1, 3), np.float32), "")

  source = from_texts(
      texts, [0, 1] * 10,
      vectors=learn,
      **{
          "test_fraction": 0,
          f"{part}_fraction": 0.2
      })
  known = set(embedding.vocabulary(source.preprocessing))
  held = np.asarray(getattr(source, part).inputs)
  assert (held[:, 0] == embedding.UNKNOWN).all()
  assert len(known) == 2 + 17 and set(seen) == known - {"", "<unknown>"}


def test_two_lists_are_enough():
  source = from_texts(TRAIN * 2, LABELS * 2)
  assert (source.train.num_samples, source.test.num_samples) == (20, 4)
  assert source.facts["vectors"].endswith("learned on the training texts")
  assert source.raw_dtype == "int32" and source.validation is None


def test_a_validation_part_of_its_own():
  source = _source(
      x_validation=TEST, y_validation=TEST_LABELS, validation_fraction=0.5)
  assert source.validation.num_samples == 2 and source.train.num_samples == 12
  images = from_arrays(
      np.eye(4), [0, 1, 0, 1],
      x_validation=np.eye(4)[:1],
      y_validation=[1],
      validation_fraction=0.5,
      test_fraction=0)
  assert images.validation.labels.tolist() == [1]
  assert images.train.num_samples == 4


def test_max_words_keeps_the_commonest():
  known = embedding.vocabulary(_source(max_words=4).preprocessing)
  assert known[2:] == ("a", "cat")


def test_a_record_of_another_source():
  record = _source().preprocessing
  source = from_texts(["dog dog", "cat"], [0, 1],
                      preprocessing=record,
                      test_fraction=0)
  known = embedding.vocabulary(record)
  assert [known[i] for i in np.asarray(source.train.inputs)[0]] == ["dog"] * 2


def test_averages():
  source = _source(preprocessing="averaged_vectors")
  record = source.preprocessing
  raw = np.asarray(source.train.inputs)
  table = np.asarray(record.table)
  means = np.stack([table[row[row > 0]].mean(0) for row in raw])
  expected = (means - means.mean(0)) / means.std(0)
  found = source.train.encode(source.train.inputs)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  word = jnp.asarray((table[3] - record.mean) / record.std)
  assert record.invert(word[None]).tolist() == [[3]]


def test_nearest_words_give_sentences_back():
  """Check: decoding of real embedded sentences is exact."""
  source = _source()
  record = source.preprocessing
  ids = record.invert(source.train.encode(source.train.inputs))
  known = np.asarray(source.train.inputs)
  covered = np.asarray(record.table).any(1)[known]
  np.testing.assert_array_equal(np.asarray(ids)[covered], known[covered])
  assert record.sentences(ids[:1]) == [["the", "cat", "sat"]]


def test_nearest_words_by_hand():
  generator = np.random.default_rng(1)
  table = generator.normal(size=(40, 6)).astype(np.float32)
  table[:2] = 0
  x = generator.normal(size=(300, 3, 6)).astype(np.float32)
  distance = np.linalg.norm(
      x[:, :, None].astype(np.float64) - table.astype(np.float64), axis=-1)
  distance[..., :2] = np.inf
  found = embedding.nearest_words(jnp.asarray(table), jnp.asarray(x))
  np.testing.assert_array_equal(found, distance.argmin(-1))


def test_near_twins_are_told_apart():
  """Distances that a rounded product cannot tell."""
  table = np.full((6, 64), 30.0, np.float32)
  table[:2] = 0
  table += np.arange(6)[:, None] * np.float32(1e-4) * (table > 0)
  found = embedding.nearest_words(jnp.asarray(table), jnp.asarray(table[2:]))
  assert found.tolist() == [2, 3, 4, 5]


def test_sets_are_tested_in_their_own_vectors():
  source = _source(length=4)
  made = artifact.from_samples(
      source.train.inputs[:2], [0, 1],
      class_names=source.class_names,
      preprocessing=source.preprocessing,
      raw=True)
  learner = nearest_neighbours()
  key = jax.random.key(0)
  evaluate_set(key, made, source.test, learner=learner)
  other = _source(vectors=VECTORS._replace(table=VECTORS.table + 1), length=4)
  with pytest.raises(ValueError, match="words and vectors of the set"):
    evaluate_set(key, made, other.test, learner=learner)


def test_vectors_from_a_file(tmp_path):
  np.savez(tmp_path / "v.npz", **VECTORS._asdict())
  for place in (tmp_path / "v.npz", str(tmp_path / "v.npz")):
    source = _source(vectors=place)
    assert source.facts["vectors"] == "by hand"
    np.testing.assert_array_equal(
        source.preprocessing.table,
        _source().preprocessing.table)
  (tmp_path / "empty.txt").write_text("")
  with pytest.raises(DataError, match="has none"):
    _source(vectors=tmp_path / "empty.txt")


def test_the_fingerprint_knows_the_vectors():
  other = VECTORS._replace(table=VECTORS.table + 1)
  assert _source().fingerprint() == _source().fingerprint()
  assert _source().fingerprint() != _source(vectors=other).fingerprint()


def test_a_set_of_sentences_in_a_file(tmp_path):
  source = _source()
  made = artifact.from_samples(
      source.train.inputs[:2], [0, 1],
      class_names=source.class_names,
      preprocessing=source.preprocessing,
      raw=True)
  assert made.modality == "text" and made.storage_bytes["vectors"] > 0
  assert made.raw_dtype == "int32"
  assert made.to_numpy()[0].tolist() == ["the cat sat", "a dog ran far"]
  twice = merge([made, made])
  assert twice.storage_bytes["vectors"] == made.storage_bytes["vectors"]
  artifact.save(made, tmp_path / "set.safetensors")
  again = artifact.load(tmp_path / "set.safetensors")
  assert words.sentences(again)[0] == ["the", "cat", "sat"]
  export(again, tmp_path / "set.npz")
  imported = import_npz(tmp_path / "set.npz")
  assert words.sentences(imported) == words.sentences(again)
  record = source.preprocessing
  for change, message in ((record._replace(words=record.words[:-4]),
                           "of the table"),
                          (record._replace(table=record.table[:, :3]),
                           "word vectors of 5"),
                          (record._replace(words=record.words.at[0].set(255)),
                           "be UTF-8"), (_source(
                               preprocessing="averaged_vectors").preprocessing,
                                         r"\[M, d\]")):
    with pytest.raises(ArtifactError, match=message):
      schema.check(made._replace(preprocessing=change))


def test_encoding_under_jit_takes_the_table_as_an_argument():
  source = _source()
  jaxpr = jax.make_jaxpr(lambda split: split.encode(split.inputs))(source.train)
  assert not jaxpr.consts


@pytest.mark.parametrize(("options", "message"), [
    (dict(length=0), "`length`"), (dict(max_words=2), "`max_words`"),
    (dict(preprocessing="zca"), "one of word_vectors, averaged_vectors"),
    (
        dict(
            preprocessing=from_arrays(np.eye(2), [0, 1], test_fraction=0).
            preprocessing), "record of word vectors"),
    (
        dict(vectors=Vectors(("chat",), np.ones((1, 2), np.float32), "French")),
        "cover some words.*French"),
    (dict(validation_fraction=1.0), "`validation_fraction`")
])
def test_what_is_refused(options, message):
  with pytest.raises(DataError, match=message) as caught:
    _source(**options)
  assert "\n" not in str(caught.value)


CHINESE = [f"这部电影{('不好', '很好')[i % 2]}看，我喜欢！" for i in range(12)]


def test_texts_without_spaces():
  with pytest.raises(DataError, match="这部电影.*tokens=.characters"):
    from_texts(CHINESE, LABELS)
  with pytest.raises(DataError, match="occur 2 times.*tokens=.characters"):
    fit_vectors([["一"], ["二"]])
  source = from_texts(CHINESE, LABELS, tokens="characters", test_fraction=0)
  assert source.facts["length"] == 12 and source.facts["words"] == 13
  apart = [" ".join(text) for text in CHINESE]  # cut already
  assert from_texts(apart, LABELS).facts["length"] == 12


@pytest.mark.parametrize("texts", ["ab", 5, {"a": 1}])
def test_what_is_no_list_of_texts(texts):
  with pytest.raises(DataError, match="`x_train` must be a list of texts; got"):
    from_texts(texts, LABELS, vectors=VECTORS)


def test_texts_of_a_generator_are_read_once():
  made = from_texts((text for text in TRAIN), LABELS, vectors=VECTORS)
  assert made.train.num_samples + made.test.num_samples == len(TRAIN)


@pytest.mark.parametrize("missing", [None, np.nan, "NaN", " ", "1.#QNAN"])
def test_missing_texts(missing):
  with pytest.raises(DataError, match="`x_train` must have no.*first in row 2"):
    from_texts([*TRAIN[:2], missing, *TRAIN[3:]], LABELS, vectors=VECTORS)


def test_labels_are_checked():
  with pytest.raises(DataError, match="at least two classes"):
    from_texts(["a b", "c d"], ["x", "x"], vectors=VECTORS)
  with pytest.raises(DataError, match="classes cat, dog; got 'fish'"):
    from_texts(TRAIN, LABELS, TEST, ["dog", "fish"], vectors=VECTORS)
  with pytest.raises(DataError, match="equal length; got 12 and 11"):
    from_texts(TRAIN, LABELS[1:], vectors=VECTORS)


def test_summaries_of_sentences():
  source = _source()
  classes = np.array([0, 0, 1, 1])
  means = selection.class_mean(source.train, classes)
  assert means.shape == (1, 4, 5, 5)
  encoded = np.asarray(source.train.encode(source.train.inputs))
  cats = np.asarray(source.train.labels) == 0
  np.testing.assert_allclose(means[0, 0], encoded[cats].mean(0), atol=1e-6)
  for found in (selection.kmeans(jax.random.key(0), source.train, classes,
                                 2), selection.random_real(jax.random.key(0),
                                                           source.train,
                                                           classes, 2)):
    assert found.shape == (2, 4, 5, 5)
  centroids = np.asarray(
      selection.kmeans(jax.random.key(0), source.train, classes, 1)[0, :2])
  kinds = np.unique(encoded[cats], axis=0)  # two different sentences
  distance = np.abs(centroids[:, None] - kinds).max((2, 3))
  np.testing.assert_allclose(distance.min(1), 0, atol=1e-5)


def test_duplicates_of_texts_held_out_are_counted():
  texts = ["the cat sat", "a dog ran far"] * 10
  labels = ["cat", "dog"] * 10
  source = from_texts(texts, labels, vectors=VECTORS)
  assert source.facts["duplicates"] == {"test": 4}
  assert (source.train.num_samples, source.test.num_samples) == (16, 4)
