"""`Condenser` is a sampler that pipelines, frames and checks take."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import distill_jax as dd
from distill_jax import condenser
from distill_jax.errors import ConfigError, DataError
from distill_jax.methods import usual

_RNG = np.random.default_rng(0)
_X, _Y = _RNG.normal(3, 9, (30, 3)), np.array(["b", "a", "c"] * 10)
_SMALL = dict(name="dm", num_steps=2, batch_size=4)
_NETWORK = dict(name="mlp", widths=[4])


@pytest.fixture
def first(monkeypatch):
  """Sets are the first real samples of each class; returns their number."""
  calls = []

  def condense(source, method, network, *, per_class, key):
    del network, key
    calls.append(method)
    train, rows = source.train, []
    for c in range(source.num_classes):
      rows += [*np.flatnonzero(np.asarray(train.labels) == c)[:per_class]]
    rows = np.array(rows)
    made = dd.from_samples(
        np.asarray(train.encode(train.inputs[rows])),
        np.asarray(train.labels[rows]),
        class_names=source.class_names,
        preprocessing=source.preprocessing)
    return made._replace(raw_dtype=source.raw_dtype)

  monkeypatch.setattr(condenser, "condense", condense)
  return calls


def _resampled(x, y, **settings):
  return dd.Condenser(per_class=1, **settings).fit_resample(x, y)


def test_a_pipeline_predicts_from_distilled_samples():
  pipeline = pytest.importorskip("imblearn.pipeline")
  x = _RNG.normal(size=(60, 3)) + 4 * np.eye(3)[np.arange(60) % 3]
  y = np.array(["b", "a", "c"] * 20)
  steps = StandardScaler(), dd.Condenser(_SMALL, _NETWORK, per_class=2)
  model = pipeline.make_pipeline(*steps, LogisticRegression()).fit(x, y)
  assert model.score(x, y) > 0.8
  made = model[1].artifact_
  assert made.method == "dm" and made.num_samples == 6
  assert made.class_names == ("a", "b", "c")
  x_small, y_small = clone(model[1]).fit_resample(model[0].transform(x), y)
  np.testing.assert_allclose(x_small, made.to_numpy()[0], rtol=1e-6)
  assert y_small.tolist() == ["a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize(
    "x, kind",
    [(_X, None), (_X.astype(np.float16), None), (np.int16(10 * _X), None),
     (_X > 3, None),
     (np.arange(30 * 16, dtype=np.int64).reshape(30, 4, 4) % 256, None),
     (_RNG.uniform(size=(30, 4, 4, 3)), None),
     (_RNG.uniform(size=(30, 4, 4)), "image"),
     (_X[:, :, None] + [0.0, 1.0], "series")],
    ids=[
        "float64", "float16", "int16", "bool", "pixels", "colours", "grey",
        "series"
    ])
def test_samples_keep_units_shape_and_dtype(first, x, kind):
  del first
  found, classes = _resampled(x, _Y, kind=kind)
  assert found.dtype == x.dtype and found.shape == (3, *x.shape[1:])
  wanted = x[[1, 0, 2]]
  np.testing.assert_allclose(
      found.astype(float), wanted.astype(float), rtol=2e-3, atol=1e-3)
  assert classes.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    "classes", [["b", "a", "c"], [7, 3, 9], [0.0, -1.0, 5.0], [True, False]],
    ids=str)
def test_labels_keep_their_values_and_dtype(first, classes):
  del first
  y = np.resize(np.array(classes), 30)
  for given in (y, y.tolist(), y[:, None]):
    with warnings.catch_warnings():  # scikit-learn's, of columns
      warnings.simplefilter("ignore")
      _, found = _resampled(_X, given)
    assert type(found) is type(given)
    assert np.ravel(found).tolist() == sorted(y[:len(classes)].tolist())
    assert np.shape(found)[1:] == np.shape(given)[1:]
    assert np.asarray(found).dtype == y.dtype


def test_frames_stay_frames(first):
  pandas = pytest.importorskip("pandas")
  del first
  frame = pandas.DataFrame({
      "age": np.arange(30),
      "size": np.float32(_X[:, 0]),
      "is": _X[:, 1] > 3,
      "count": pandas.array(np.arange(30) % 7, dtype="Int64")
  })
  y = pandas.Series(_Y, name="kind", dtype="category")
  sampler = dd.Condenser(per_class=2)
  found, classes = sampler.fit_resample(frame, y)
  rows = [1, 4, 0, 3, 2, 5]
  pandas.testing.assert_frame_equal(
      found, frame.iloc[rows].reset_index(drop=True))
  pandas.testing.assert_series_equal(
      classes, y.iloc[rows].reset_index(drop=True))
  assert sampler.feature_names_in_.tolist() == ["age", "size", "is", "count"]
  with pytest.warns(DataConversionWarning):
    _, classes = sampler.fit_resample(frame, y.to_frame())
  assert [*classes.columns] == ["kind"] and len(classes) == 6
  for change, wanted in (({"is": "no"}, "numeric columns; .* column 'is'"),
                         ({"size": np.nan},
                          r"`X\['size'\]` must have no miss")):
    with pytest.raises(DataError, match=wanted):
      sampler.fit_resample(frame.assign(**change), y)


@pytest.mark.parametrize(
    "x, y, message",
    [(scipy.sparse.csr_matrix(_X), _Y, "dense data is required"),
     (np.where(_X > 5, np.nan, _X), _Y, "Input X contains NaN"),
     (_X, np.where(np.arange(30) < 9, np.nan, 1), "Input y contains NaN"),
     (_X, np.array([None, *_Y[1:]]), "`y` must have no missing values"),
     (_X, _X[:, 0], "`y` must be classes, not real numbers"),
     (_X, np.eye(3)[np.arange(30) % 3], "y should be a 1d array"),
     (_X, ["a"] * 30, "`y` must hold at least two classes; .*'a'"),
     (_X, _Y[:-1], "inconsistent numbers of samples"),
     (["a text"] * 30, _Y, "not compatible with arrays of bytes/strings"),
     (_X[:, :, None], _Y, "`kind` must be given .*`X` of shape")])
def test_bad_data_are_refused(x, y, message):
  for call in (dd.Condenser().fit, dd.Condenser().fit_resample):
    with pytest.raises((ValueError, TypeError), match=message):
      call(x, y)


def test_a_class_of_one_sample_is_enough_for_one_alone():
  y = np.where(np.arange(30) == 4, "rare", _Y)
  sampler = dd.Condenser(_SMALL, _NETWORK, per_class=2)
  with pytest.raises(ValueError, match="class 'rare' has 1 and 2 were asked"):
    sampler.fit_resample(_X, y)
  _, classes = sampler.set_params(per_class=1).fit_resample(_X, y)
  assert classes.tolist() == ["a", "b", "c", "rare"]


def test_methods_must_leave_labels_hard(first):
  soft = dict(name="sldd", num_steps=2)
  for method in (soft, dd.methods.sldd(**_without_name(soft))):
    with pytest.raises(ConfigError, match="`method` must leave .*; sldd learn"):
      _resampled(_X, _Y, method=method)
  _resampled(_X, _Y, method=soft | dict(learn_labels=False))
  _resampled(_X, _Y)
  source = dd.from_arrays(_X, _Y, test_fraction=0)
  settings = usual(source).settings | dict(learn_labels=False)
  assert first[-1].spec == dict(name="sldd", **settings)
  _resampled(_RNG.uniform(size=(30, 4, 4, 1)), _Y)
  assert first[-1].spec == dd.methods.dm().spec and len(first) == 3


def _without_name(spec):
  return {name: value for name, value in spec.items() if name != "name"}


def test_a_method_of_soft_labels_that_does_not_say_so_is_found(monkeypatch):
  made = dd.from_samples(
      np.float32(_X[:3]),
      np.full((3, 3), 1 / 3, np.float32),
      class_names=[*"abc"])
  monkeypatch.setattr(condenser, "condense", lambda *_, **__: made)
  sampler = dd.Condenser()
  with pytest.raises(ConfigError, match="learns soft ones"):
    sampler.fit_resample(_X, _Y)
  assert not hasattr(sampler, "artifact_")


def test_random_states(monkeypatch):
  keys = []

  def condense(source, method, network, *, per_class, key):
    del source, method, network, per_class
    keys.append(str(key))
    raise ConfigError("enough")

  monkeypatch.setattr(condenser, "condense", condense)
  state = np.random.RandomState(0)
  for given in (3, np.int64(3), state, state, None, None):
    with pytest.raises(ConfigError, match="enough"):
      _resampled(_X, _Y, random_state=given)
  assert keys[0] == keys[1] and len({*keys}) == 5


def test_parameters_are_kept_cloned_and_pickled():
  sampler = dd.Condenser(dd.methods.dm(num_steps=3), per_class=4)
  assert clone(sampler).get_params() == sampler.get_params()
  again = pickle.loads(pickle.dumps(sampler))
  assert again.method == sampler.method.spec and again.per_class == 4
  assert repr(dd.Condenser()) == "Condenser()"
  assert repr(again).startswith("Condenser(method={'name': 'dm'")
  assert repr(again).endswith("per_class=4)")
  with pytest.raises(ConfigError, match="`params` must be of method, .*'foo'"):
    sampler.set_params(foo=1)


def test_checks_of_scikit_learn():
  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Estimator Condenser does not inherit")
    found = check_estimator(dd.Condenser(), on_fail=None, on_skip=None)
  failed = [(r["check_name"], r["exception"])
            for r in found
            if r["status"] == "failed"]
  assert len(found) > 30 and not failed


# Of the checks of imbalanced-learn, those of one-hot labels and of sparse
# frames are left out, which are refused or become dense, and those of
# get_feature_names_out.
CHECKS = """
    check_target_type check_samplers_one_label check_samplers_fit
    check_samplers_fit_resample check_samplers_sampling_strategy_fit_resample
    check_samplers_pandas check_samplers_list check_samplers_preserve_dtype
    check_samplers_2d_target check_samplers_sample_indices
""".split()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", CHECKS)
def test_checks_of_imbalanced_learn(first, check):
  checks = pytest.importorskip("imblearn.utils.estimator_checks")
  del first
  sampler = dd.Condenser()
  if check == "check_samplers_sample_indices":  # reads imblearn's own tags
    sampler.fit_resample(_X, _Y)
    assert not hasattr(sampler, "sample_indices_")
  else:
    getattr(checks, check)("Condenser", sampler)
