"""Sources of features: of images, of texts, of a network; what is refused."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import nn, preprocessing
from distill_jax.data import from_arrays, per_class
from distill_jax.data.features import (
    from_features,
    unchanged,
    with_features,
)
from distill_jax.errors import DataError
from distill_jax.objectives.embedding import embeddings

X = np.random.default_rng(0).integers(0, 256, (25, 4, 4, 1)).astype(np.uint8)
Y = np.arange(25) % 3
TEXTS = ["a bb", "ccc", "dd d d", "e", "ff", "g g g"]
NAMES = ["x", "y", "y", "x", "x", "y"]


def _source(**options):
  return from_arrays(X, Y, X[:7], Y[:7], class_names=[*"abc"], **options)


def _summary(x):
  """Three features, by NumPy."""
  x = np.asarray(x).reshape(len(x), -1)
  return np.stack([x.mean(1), x.max(1), x[:, 3]], axis=1).astype(np.float64)


def _lengths(texts):
  return np.array([[len(t), t.count(" "), 1] for t in texts])


class FeaturesSourceTest(parameterized.TestCase):

  @parameterized.parameters(4, 256)
  def test_every_split(self, rows):
    source = _source(validation_fraction=0.3)
    sizes = []

    def features(x):
      sizes.append(len(x))
      return _summary(x)

    made = with_features(source, features, rows=rows, preprocessing=unchanged)
    assert max(sizes) <= rows and sum(sizes) == 25 + 7
    for part in ("train", "validation", "test"):
      own, of = getattr(source, part), getattr(made, part)
      expected = _summary(own.encode(own.inputs))  # in model space
      assert of.inputs.dtype == jnp.float32
      np.testing.assert_allclose(of.inputs, expected, rtol=1e-6)
      chex.assert_trees_all_equal(of.encode(of.inputs), of.inputs)
      chex.assert_trees_all_equal((own.labels, own.members, own.counts),
                                  (of.labels, of.members, of.counts))
    assert made.class_names == ("a", "b", "c")
    assert made.name == "features of arrays"
    chex.assert_shape(made.example, (1, 3))
    batch = per_class(2)(jax.random.key(0), made.train)
    chex.assert_shape(batch.inputs, (3, 2, 3))

  def test_standardised_on_train(self):
    source = _source(validation_fraction=0.3)
    made = with_features(source, _summary, name="three")
    x = made.train.encode(made.train.inputs)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-5)
    held = made.validation
    assert np.abs(held.encode(held.inputs).mean(0)).max() > 1e-3
    chex.assert_trees_all_equal(
        made.preprocessing, made.test.preprocessing, held.preprocessing)
    assert made.name == "three"
    given = preprocessing.Standardise(jnp.ones(3), 2 * jnp.ones(3))
    made = with_features(source, _summary, preprocessing=given)
    assert made.preprocessing is given

  def test_classes_that_are_numbers_out_of_order(self):
    source = from_arrays(X, Y.astype(str), class_names=("2", "0", "1"))
    made = with_features(source, _summary)
    chex.assert_trees_all_equal(made.train.labels, source.train.labels)

  def test_without_test_part_and_with_few_members(self):
    source = from_arrays(X, Y, test_fraction=0).narrow([0, 1, 2])
    made = with_features(source, _summary)
    assert made.test is None and made.validation is None
    np.testing.assert_array_equal(made.train.counts, [1, 1, 1])
    assert made.train.num_samples == 25

  def test_of_a_network(self):
    network = nn.mlp(3, widths=(8,))
    source = _source()
    variables = network.init(jax.random.key(0), source.example)
    features = jax.jit(partial(embeddings, network, variables))
    made = with_features(source, features, rows=25)
    x = source.test.encode(source.test.inputs)
    stages, _ = network.stages(variables, x)
    assert made.test.inputs.shape == (7, 8)
    np.testing.assert_allclose(made.test.inputs, stages[-1], rtol=1e-5)

  def test_of_texts(self):
    made = from_features(
        _lengths,
        TEXTS,
        NAMES,
        TEXTS[:2],
        NAMES[:2],
        rows=4,
        preprocessing=unchanged,
        name="texts")
    np.testing.assert_array_equal(made.train.inputs, _lengths(TEXTS))
    np.testing.assert_array_equal(made.test.inputs, _lengths(TEXTS[:2]))
    assert made.class_names == ("x", "y") and made.name == "texts"
    np.testing.assert_array_equal(made.train.labels, [0, 1, 1, 0, 0, 1])
    held = from_features(
        _lengths, TEXTS, NAMES, test_fraction=0, validation_fraction=0.3)
    assert held.validation.num_samples == 2 and held.test is None
    assert from_features(_lengths, TEXTS, NAMES).test.num_samples == 2
    assert held.name == "features"

  def test_same_features_either_way(self):
    raw = X / np.float32(255)
    plain = preprocessing.Standardise(jnp.zeros(1), jnp.ones(1))
    one = with_features(from_arrays(X, Y, preprocessing=plain), _summary)
    other = from_features(_summary, raw, Y)
    chex.assert_trees_all_close(one.train, other.train, rtol=1e-6)

  @parameterized.named_parameters(
      (
          "rank", lambda x: x,
          r"\[9, d\] for 9 samples; got shape \(9, 4, 4, 1\)"),
      ("length", lambda x: _summary(x)[:1], r"\[9, d\].*\(1, 3\)"),
      ("pooled", lambda x: x.mean(), r"got shape \(\)"),
      ("empty", lambda x: _summary(x)[:, :0], r"got shape \(9, 0\)"),
      ("text", lambda x: np.full((len(x), 2), "a"), "numbers; got <U1"), (
          "nan", lambda x: np.where(
              np.arange(len(x))[:, None] == 5, np.nan, _summary(x)),
          "got 3 NaN or infinite values, the first for train sample 5"),
      ("masked", lambda x: np.ma.masked_less(_summary(x), 1e9), "missing"),
      ("float32", lambda x: _summary(x) + 1e39, "finite float32; got 27 NaN"),
      ("calls", lambda x: np.ones((len(x), len(x))), "got 9, then 7"))
  def test_refused(self, features, message):
    with pytest.raises(DataError, match=message) as caught:
      with_features(_source(), features, rows=9)
    assert "\n" not in str(caught.value)

  def test_refused_parts(self):
    counts = iter([2, 3])
    with pytest.raises(DataError, match="'train': 2, 'test': 3"):
      from_features(
          lambda x: np.ones((len(x), next(counts))), TEXTS, NAMES, TEXTS, NAMES)
    with pytest.raises(DataError, match="at least one train sample; got none"):
      from_features(_lengths, [], [])
    with pytest.raises(DataError, match="`rows` must be at least 1; got 0"):
      from_features(_lengths, TEXTS, NAMES, rows=0)
    with pytest.raises(DataError, match="got 5 NaN.*test sample 4"):
      from_features(
          lambda x: np.full((len(x), 5), np.nan if x == ["ff"] else 1.0),
          TEXTS[:4],
          NAMES[:4],
          TEXTS,
          NAMES,
          rows=1)
    with pytest.raises(DataError, match="given together"):
      from_features(_lengths, TEXTS, NAMES, TEXTS)
