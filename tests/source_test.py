"""Sources: what is accepted, what is refused and how, what is derived."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import preprocessing
from distill_jax.data import sampling
from distill_jax.data.making import from_arrays
from distill_jax.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 1)).astype(np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 0, 0, 1])


class _Frame(dict):
  """What of a pandas data frame is read."""

  columns = property(lambda self: list(self))

  def to_numpy(self):
    raise AssertionError("columns are read one by one")


_whole = partial(from_arrays, test_fraction=0)


def _nan():
  x = X.astype(np.float32)
  x[3, 1, 2] = np.nan
  x[5, 0, 0] = np.inf
  return x


class SourceTest(parameterized.TestCase):

  def test_split(self):
    source = _whole(X, Y, X[:4], Y[:4])
    train = source.train
    assert train.inputs.dtype == jnp.uint8 and train.labels.dtype == jnp.int32
    assert (train.num_classes, train.num_samples) == (3, 12)
    np.testing.assert_array_equal(train.counts, [6, 4, 2])
    np.testing.assert_array_equal(
        train.members,
        [[0, 3, 6, 8, 9, 10], [1, 4, 7, 11, 1, 4], [2, 5, 2, 5, 2, 5]])
    assert source.class_names == ("0", "1", "2")
    assert source.validation is None and source.test.num_samples == 4
    chex.assert_shape(source.example, (1, 4, 4, 1))
    x = train.encode(train.inputs)
    assert x.dtype == jnp.float32 and abs(float(x.mean())) < 1e-5

  @parameterized.named_parameters(
      ("grey", X[..., 0], (4, 4, 1), jnp.uint8),
      ("colour", np.repeat(X, 3, -1), (4, 4, 3), jnp.uint8),
      ("int64_pixels", X.astype(np.int64), (4, 4, 1), jnp.uint8),
      ("features", X.reshape(12, -1) / 7, (16,), jnp.float32),
      ("int_features", X.reshape(12, -1).astype(int), (16,), jnp.float32))
  def test_shapes(self, inputs, shape, dtype):
    train = _whole(inputs, Y).train
    assert train.inputs.shape[1:] == shape and train.inputs.dtype == dtype

  def test_a_test_part_is_held_out(self):
    x = np.arange(40, dtype=np.float32)[:, None]
    y = np.repeat([0, 1], [30, 10])
    source = from_arrays(x, y, validation_fraction=0.25)
    np.testing.assert_array_equal(source.test.counts, [6, 2])
    np.testing.assert_array_equal(source.validation.counts, [6, 2])
    parts = [source.train.inputs, source.validation.inputs, source.test.inputs]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts), 0), x)
    np.testing.assert_allclose(
        source.preprocessing.mean, [source.train.inputs.mean()], rtol=1e-6)
    assert from_arrays(x, y, seed=1).fingerprint() != source.fingerprint()
    assert from_arrays(x, y, test_fraction=0.5).test.num_samples == 20
    assert from_arrays(x, y, x[:3], y[:3]).test.num_samples == 3
    assert from_arrays(x, y, test_fraction=0).test is None

  def test_series(self):
    x = np.random.default_rng(0).normal(3, 2, (12, 5, 2))
    x[..., 1] = 7  # a constant channel
    source = from_arrays(x, Y, kind="series", test_fraction=0)
    train = source.train
    chex.assert_shape(train.inputs, (12, 5, 2))
    chex.assert_shape(source.preprocessing.mean, (2,))
    z = np.asarray(train.encode(train.inputs))
    np.testing.assert_allclose(z[..., 1], 0, atol=1e-5)
    np.testing.assert_allclose((z[..., 0].mean(), z[..., 0].std()), (0, 1),
                               atol=1e-5)
    grey = from_arrays(x, Y, kind="image", test_fraction=0)
    chex.assert_shape(grey.train.inputs, (12, 5, 2, 1))
    counts = from_arrays(X[..., 0], Y, kind="series", test_fraction=0)
    assert counts.raw_dtype == "float32" and _whole(X, Y).raw_dtype == "uint8"

  def test_truth_values_are_black_and_white(self):
    made = _whole(X > 99, Y)
    assert made.raw_dtype == "uint8"
    np.testing.assert_array_equal(made.train.inputs, 255 * (X > 99))
    made = _whole(X[:, :, 0, 0] > 99, Y)
    np.testing.assert_array_equal(made.train.inputs, X[:, :, 0, 0] > 99)

  def test_pictures_of_pillow(self):
    image = pytest.importorskip("PIL.Image")
    grey = [image.fromarray(x[..., 0]) for x in X]
    colour = [one.convert("RGB") for one in grey]
    expected = _whole(np.repeat(X, 3, axis=-1), Y).train.inputs
    for pictures in (colour, [one.quantize(256) for one in colour],
                     np.array([*colour, None], object)[:-1]):
      np.testing.assert_array_equal(_whole(pictures, Y).train.inputs, expected)
    with pytest.raises(DataError, match="4, 3. in row 0 and .4, 4. in"):
      _whole([*colour[:5], *grey[5:]], Y)

  def test_data_frames(self):
    frame = _Frame(a=[1, 2, 3, 4], b=[0.5, 0.5, 2, 1])
    source = from_arrays(
        frame, [0, 1, 0, 1], _Frame(b=[9.0], a=[1], c=["x"]), [1])
    np.testing.assert_array_equal(
        source.train.inputs, [[1, 0.5], [2, 0.5], [3, 2], [4, 1]])
    np.testing.assert_array_equal(source.test.inputs, [[1, 9]])
    with pytest.raises(DataError, match="`x_train` .* <U1 in column 'c'"):
      from_arrays(_Frame(a=[1, 2], c=["x", "y"]), [0, 1])
    with pytest.raises(DataError, match="`x_train.'b'.`.*first in row 1"):
      from_arrays(_Frame(a=[1, 2], b=[1.0, np.nan]), [0, 1])
    with pytest.raises(DataError, match="'Unnamed: 0'.*row numbers.*Drop it"):
      from_arrays(_Frame({"Unnamed: 0": [1, 2]}), [0, 1])
    with pytest.raises(DataError, match="`x_test` must have column 'b'"):
      from_arrays(frame, [0, 1, 0, 1], _Frame(a=[1]), [1])

  def test_data_frames_of_repeated_columns_or_none(self):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match="`x_train`.*column 'a'.*2 times"):
      from_arrays(pandas.DataFrame(X[:, 0, :, 0], columns=[*"abca"]), Y)
    with pytest.raises(DataError, match="`x_train` must hold samples"):
      from_arrays(pandas.DataFrame(index=range(12)), Y)

  def test_names(self):
    words = np.array(["c", "a", "b"])[Y]
    source = _whole(X, words, X, words)
    assert source.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(source.train.labels[:3], [2, 0, 1])
    np.testing.assert_array_equal(source.test.labels, source.train.labels)
    source = _whole(X, words.astype(object), class_names=("c", "a", "b"))
    np.testing.assert_array_equal(source.train.labels, Y)
    source = _whole(X, Y[:, None], class_names=("x", "y", "z"))
    assert source.class_names == ("x", "y", "z")

  @parameterized.named_parameters(
      ("objects", Y.astype(object)), ("floats", Y / 1.0),
      ("strings", Y.astype(str)), ("bytes", Y.astype("S")),
      ("spaces", [f"{y} " for y in Y]), ("column", Y[:, None]))
  def test_spellings_of_one_label(self, labels):
    source = _whole(X, labels, X, Y.astype(str))
    assert source.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(source.train.labels, Y)
    np.testing.assert_array_equal(source.test.labels, Y)

  def test_classes_that_are_numbers(self):
    numbers = np.array([2, 10, 33])[Y]
    source = _whole(X, numbers.astype(str))
    assert source.class_names == ("2", "10", "33")
    other = _whole(X, numbers, class_names=source.class_names)
    np.testing.assert_array_equal(source.train.labels, other.train.labels)
    turned = _whole(X, numbers.astype(str), class_names=("33", "2", "10"))
    np.testing.assert_array_equal(turned.train.labels, (Y + 1) % 3)
    with pytest.raises(DataError, match="out of order, 33, 2, 10.*Sort"):
      _whole(X, numbers, class_names=("33", "2", "10"))
    with pytest.raises(DataError, match="one of the classes 1, 2, 3; got 0 in"):
      _whole(X, Y, class_names=(1, 2, 3))

  def test_names_in_a_dict_in_bytes_and_in_two_unicode_forms(self):
    names = {5: "owl", 2: b"cat", 3: "e\u0301t\u00e9"}
    source = _whole(X, np.array([2, 3, 5])[Y], class_names=names)
    assert source.class_names == ("cat", "\u00e9t\u00e9", "owl")
    np.testing.assert_array_equal(source.train.labels, Y)
    words = np.array(["cat", "\u00e9te\u0301", "owl"])[Y]
    again = _whole(X, words, class_names=source.class_names)
    np.testing.assert_array_equal(again.train.labels, Y)
    with pytest.raises(DataError, match="`y_train` must be.*got '1' in row 1"):
      _whole(X, Y, class_names={0: "a", 2: "b"})

  def test_classes_in_another_order(self):
    source = _whole(X, Y, X[:4], Y[:4], class_names=("cat", "dog", "owl"))
    turned = source.in_classes(("owl", "cat", "dog"))
    again = _whole(
        X, (Y + 1) % 3,
        X[:4], (Y[:4] + 1) % 3,
        class_names="owl cat dog".split())
    chex.assert_trees_all_equal(turned.train, again.train)
    assert turned.fingerprint() == again.fingerprint()
    assert source.in_classes(source.class_names) is source
    with pytest.raises(DataError, match="lack fox and have owl besides"):
      source.in_classes(("cat", "dog", "fox"))

  def test_objects_become_what_they_hold(self):
    images = np.empty(12, object)
    for row, image in enumerate(X):
      images[row] = image
    source = _whole(images, Y.astype(object))
    np.testing.assert_array_equal(source.train.inputs, X)

  def test_a_large_offset_survives(self):
    x = np.stack([1_700_000_000 + np.arange(12), np.arange(12)], axis=1)
    source = _whole(x, Y, x[:3], Y[:3], preprocessing="standardise")
    held = source.train.encode(source.train.inputs)
    np.testing.assert_allclose(
        np.diff(held[:, 0]), 1 / x[:, 1].std(), rtol=1e-4)
    np.testing.assert_array_equal(source.test.inputs, held[:3])
    again = _whole(x[:5] / 1.0, Y[:5], preprocessing=source.preprocessing)
    np.testing.assert_array_equal(again.train.inputs, held[:5])
    assert source.preprocessing.mean.dtype == jnp.float32
    for dtype in (">f8", np.longdouble):
      other = _whole(x.astype(dtype), Y)
      np.testing.assert_array_equal(other.train.inputs, held)
    with pytest.raises(DataError, match="billionth.*got 1.7e.09.*Subtract"):
      _whole(1.7e9 + 50 + x[:, 1:] / 1e3, Y)

  def test_validation_is_stratified_and_not_fitted(self):
    x = np.arange(40, dtype=np.float32)[:, None]
    y = np.repeat([0, 1], [30, 10])
    source = _whole(x, y, validation_fraction=0.2)
    np.testing.assert_array_equal(source.validation.counts, [6, 2])
    np.testing.assert_array_equal(source.train.counts, [24, 8])
    both = [source.train.inputs, source.validation.inputs]
    np.testing.assert_array_equal(np.sort(np.concatenate(both), 0), x)
    np.testing.assert_allclose(
        source.preprocessing.mean, [source.train.inputs.mean()], rtol=1e-6)
    assert _whole(x, y, validation_fraction=0.01).validation.counts.min()
    again = _whole(x, y, validation_fraction=0.2)
    other = _whole(x, y, validation_fraction=0.2, seed=1)
    assert again.fingerprint() == source.fingerprint() != other.fingerprint()

  def test_fingerprint_sees_everything(self):
    x = X.copy()
    x[0, 0, 0] ^= 1
    y = Y.copy()
    y[0] = 1
    prints = [
        source.fingerprint() for source in (
            _whole(X, Y), _whole(x, Y), _whole(X, y), _whole(X, Y, X, Y),
            _whole(X, Y, x, Y), _whole(X, Y, class_names=[*"abc"]))
    ]
    assert len(set(prints)) == 6 and len(prints[0]) == 16

  def test_preprocessing_choices(self):
    given = preprocessing.Standardise(jnp.array([0.5]), jnp.array([0.25]))
    assert _whole(X, Y, preprocessing=given).preprocessing is given
    made = _whole(X, Y, preprocessing=lambda inputs: given)
    assert made.preprocessing is given
    zca = _whole(X, Y, preprocessing="zca").preprocessing
    chex.assert_shape(zca.whiten, (16, 16))

  def test_choices_are_made_without_the_test_part(self):
    source = _whole(X, Y, X[:4], Y[:4], validation_fraction=0.5)
    chosen = source.on_validation()
    assert chosen.test is source.validation and chosen.validation is None
    assert chosen.train is source.train
    with self.assertRaisesRegex(DataError, "`source` must.*arrays has none"):
      _whole(X, Y, X[:4], Y[:4]).on_validation()

  def test_take(self):
    source = _whole(X, Y)
    taken = source.take([2, 1, 0])
    np.testing.assert_array_equal(taken.train.labels, [2, 1, 0])
    np.testing.assert_array_equal(taken.train.inputs, X[[2, 1, 0]])
    assert taken.preprocessing is source.preprocessing
    assert taken.fingerprint() != source.fingerprint()

  def test_absent_classes(self):
    source = _whole(X, Y, X, Y, validation_fraction=0.5)
    np.testing.assert_array_equal(source.train.present, [0, 1, 2])
    shard = source.take(np.flatnonzero(source.train.labels != 1))
    np.testing.assert_array_equal(shard.train.counts, [3, 0, 1])
    np.testing.assert_array_equal(shard.train.present, [0, 2])
    assert shard.num_classes == 3 and shard.test is source.test
    named = _whole(X, Y, X, Y, class_names=[*"abcd"], validation_fraction=0.5)
    np.testing.assert_array_equal(named.train.present, [0, 1, 2])
    np.testing.assert_array_equal(named.validation.counts, [3, 2, 1, 0])

  def test_narrow(self):
    source = _whole(X, Y)
    rows = [int(np.flatnonzero(Y == c)[0]) for c in range(3)]
    narrow = source.narrow(rows).train
    chex.assert_trees_all_equal(narrow.inputs, source.train.inputs)
    np.testing.assert_array_equal(narrow.counts, [1, 1, 1])
    drawn = sampling.per_class(1)(jax.random.key(0), narrow)
    chex.assert_trees_all_close(
        drawn.inputs[:, 0], source.train.encode(jnp.asarray(X[rows])))
    np.testing.assert_array_equal(drawn.labels[:, 0], [0, 1, 2])
    uneven = source.narrow([0, 3, 1, 2]).train  # two of class 0
    np.testing.assert_array_equal(uneven.counts, [2, 1, 1])
    np.testing.assert_array_equal(uneven.members, [[0, 3], [1, 1], [2, 2]])
    mixed = sampling.mixed(len(X))(jax.random.key(0), narrow)
    assert np.bincount(mixed.labels).tolist() == np.bincount(Y).tolist()
    np.testing.assert_array_equal(source.narrow([0, 1]).train.present, [0, 1])

  def test_encoded(self):
    source = _whole(X, Y, X[:3], Y[:3], preprocessing="zca")
    encoded = source.encoded()
    raw, held = source.train, encoded.train
    chex.assert_trees_all_close(
        held.encode(held.inputs), raw.encode(raw.inputs), atol=1e-6)
    chex.assert_trees_all_close(
        held.preprocessing.invert(held.inputs), X / 255.0, atol=1e-5)
    assert encoded.preprocessing is source.preprocessing
    assert encoded.test.inputs.dtype == jnp.float32
    assert encoded.encoded() is encoded

  @parameterized.named_parameters(
      ("empty_index", X, np.where(Y == 1, 3, Y), {}, "empty class '1'"),
      ("one_class", X, 0 * Y, {}, "at least two classes"),
      ("negative", X, Y - 1, {}, r"must be 0\.\..*got -1 in row 0"),
      ("large", X, Y, {
          "class_names": [*"ab"]
      }, r"0\.\.1; got 2 in row 2"), (
          "same_names", X, Y, {
              "class_names": [*"aba"]
          }, "once and in one way; got 'a' and 'a'"), (
              "one_hot", X, np.eye(3)[Y], {},
              r"one class per sample; got .*\(12, 3\)"),
      ("regression", X, Y + 0.5, {}, r"not real numbers; got 0\.5 in row 0"),
      ("huge", X, (Y + 1) * 1e30, {}, r"not real numbers; got 1e\+30 in row 0"),
      ("nan_label", X, np.where(Y == 2, np.nan, Y), {}, "first in row 2"),
      ("object_label", X, np.array([None] * 12), {}, "first in row 0"), (
          "nan", _nan(), Y, {},
          "got 2 NaN or infinite values, the first in row 3"),
      ("rank", X[None], Y, {}, r"must be \[N, H, W\].*\(1, 12, 4, 4, 1\)"),
      ("object", X.astype(str).astype(object), Y, {}, "or floats; got <U3"),
      ("complex", X.astype(complex), Y, {}, "got complex128"), (
          "one_step", np.zeros((12, 1, 30)), Y, {
              "kind": "series"
          }, r"looks like \[N, C, T\]. Transpose it"),
      ("seed", X, Y, {
          "seed": -1
      }, "`seed` must be a whole number"), (
          "no_share", X, Y, {
              "test_fraction": "0.2"
          }, "`test_fraction` must be in"), (
              "no_preprocessing", X, Y, {
                  "preprocessing": []
              }, "`preprocessing` must be one of"),
      ("pixels", X.astype(int) + 300, Y, {}, r"pixels 0\.\.255"),
      ("length", X[:5], Y, {}, "equal length; got 5 and 12"),
      ("none", X[:0], Y[:0], {}, "must hold samples"),
      ("half_test", X, Y, {
          "x_test": X
      }, "given together"), (
          "test_shape", X, Y, {
              "x_test": X[:, :3],
              "y_test": Y
          }, r"got \(3, 4, 1\)"),
      ("test_class", X, Y, {
          "x_test": X,
          "y_test": Y + 1
      }, "got 3 in row 2"), (
          "test_word", X, np.array(["a", "b"])[Y % 2], {
              "x_test": X[:1],
              "y_test": ["z"]
          }, "got 'z' in row 0"),
      ("fraction", X, Y, {
          "validation_fraction": 1.0
      }, r"in \[0, 1\); got 1"),
      ("small_class", X[:5], Y[:5], {
          "validation_fraction": 0.5
      }, "class '2'"), (
          "test_fraction", X, Y, {
              "test_fraction": -0.1
          }, "`test_fraction` must be"), (
              "both_tests", X, Y, {
                  "x_test": X,
                  "y_test": Y,
                  "test_fraction": 0.2
              }, "must be 0 where there is a test part .`x_test`.; got 0.2"),
      ("small_for_test", X[:5], Y[:5], {
          "test_fraction": None
      }, "class '2'"), (
          "missing_name", X, Y, {
              "class_names": ["a", None, "c"]
          }, "`class_names` must have no missing.*row 1"), (
              "price_words", X, np.arange(12).astype(str), {
                  "test_fraction": 0.2
              }, "Regression"), (
                  "flat_series", X[:, 0, :, 0], Y, {
                      "kind": "series"
                  }, r"x\[\.\.\., None\]"),
      ("ambiguous", X[..., 0] / 255, Y, {}, 'kind="series".*kind="image"'),
      ("kind", X, Y, {
          "kind": "series"
      }, "must be one of image.*got 'series'"),
      ("unknown_kind", X, Y, {
          "kind": "movie"
      }, "got 'movie'"),
      ("unknown", X, Y, {
          "preprocessing": "pca"
      }, "standardise, zca.*'pca'"), (
          "unfit", X, Y, {
              "preprocessing":
                  preprocessing.Standardise(jnp.zeros(3), jnp.ones(3))
          }, "must keep the shape"))
  def test_refused(self, x, y, options, message):
    with pytest.raises(DataError, match=message) as caught:
      _whole(x, y, **options)
    assert "\n" not in str(caught.value)

  def test_refused_parts(self):
    source = _whole(X, Y)
    with pytest.raises(DataError, match=r"rows 0\.\.11.*got 12"):
      source.take([0, 12])
    with pytest.raises(DataError, match="must keep some training samples"):
      source.take([])
