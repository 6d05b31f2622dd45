"""Dataset distillation as a sampler of imbalanced-learn and scikit-learn.

    from imblearn.pipeline import make_pipeline

    model = make_pipeline(StandardScaler(), dd.Condenser(per_class=5), SVC())
    model.fit(x, y).score(x_test, y_test)

scikit-learn is imported when a method is called, not with the library. The
class therefore has its own versions of the parts of `BaseEstimator` that it
needs.
"""

import inspect
from typing import Any

import jax
import numpy as np

from distill_jax.data.labelling import as_labels
from distill_jax.data.making import from_arrays
from distill_jax.data.source import Source
from distill_jax.errors import ConfigError, DataError, shown
from distill_jax.methods import Method, from_spec, usual
from distill_jax.methods.condensing import condense


class Condenser:
  """Replaces training data by a few learned samples, each of one class.

  The interface is that of the samplers of imbalanced-learn. A `Condenser` is
  therefore a step of its pipelines; prediction uses new data unchanged. Put
  steps that scale features before it, so that they are fitted to all data.
  Every class gets the same number of samples, however many it had.

  By default the method is the usual one for this kind of data
  (`methods.usual`) that keeps hard labels: `dm` for images, and `sldd` without
  learned labels for tables and series. If you can use soft labels, call
  `condense`, which learns them too.

  Args:
    method: a method, such as `methods.dm()`, or its specification. Methods that
      learn labels are refused.
    network: the network that samples are learned with, see `condense`.
    per_class: samples per class; for methods that store several samples in
      one, label rows.
    preprocessing: see `from_arrays`.
    kind: see `from_arrays`; for floats [N, ., .].
    random_state: an integer, a `numpy.random.RandomState`, or None for another
      set at every call.

  Attributes:
    artifact_: the `Artifact` that `fit_resample` made, to save or evaluate.
    classes_: [K], the classes in the order of the artifact's classes.
    sampling_strategy_: {class: `per_class`}, as samplers have it.
    n_features_in_: size of the second axis of the data.
    feature_names_in_: names of the columns of a data frame, if all are strings.

  Example:
    x_small, y_small = dd.Condenser(per_class=2).fit_resample(x, y)
  """

  _estimator_type = "sampler"

  def __init__(
      self,
      method=None,
      network=None,
      *,
      per_class: int = 10,
      preprocessing="standardise",
      kind: str | None = None,
      random_state=0):
    self.method = method
    self.network = network
    self.per_class = per_class
    self.preprocessing = preprocessing
    self.kind = kind
    self.random_state = random_state

  def fit(self, X, y) -> "Condenser":
    """Checks the data, but learns nothing, as samplers do.

    Args:
      X: see `fit_resample`.
      y: see `fit_resample`.

    Raises:
      DataError, ConfigError, ValueError, TypeError: see `fit_resample`.
    """
    self._source(X, y)
    return self

  def fit_resample(self, X, y):
    """Distils the data.

    Args:
      X: [N, D] features, [N, H, W] or [N, H, W, C] images, or [N, T, C] series:
        an array, a list or a pandas data frame of numbers.
      y: [N] classes, numbers or strings: an array, a list or a pandas series.

    Returns:
      `(X_small, y_small)`, of the types of `X` and `y`, in the same units and
      with the same dtypes, columns and names. Integers are rounded.

    Raises:
      DataError, ValueError, TypeError: data are sparse, have missing values or
        are not a classification task; or a class has fewer samples than
        `per_class` and the method does not start from noise.
      ConfigError: the method learns labels, or another setting is not possible.
    """
    source, columns = self._source(X, y)
    method = self._method(source)
    made = condense(
        source, method, self.network, per_class=self.per_class, key=self._key())
    if not made.hard_rows:
      raise ConfigError(_learns_labels(method))
    self.artifact_ = made
    x_small, classes = made.to_numpy()
    return (
        _like(X, x_small,
              columns), _labels_like(y, self.classes_[np.asarray(classes)]))

  def get_params(self, deep: bool = True) -> dict[str, Any]:
    """The arguments by name."""
    del deep
    names = list(inspect.signature(type(self).__init__).parameters)[1:]
    return {name: getattr(self, name) for name in names}

  def set_params(self, **params) -> "Condenser":
    """Changes arguments.

    Raises:
      ConfigError: an unknown name.
    """
    known = self.get_params()
    for name in params:
      if name not in known:
        raise ConfigError(
            f"`params` must be of {', '.join(known)}; got {shown(name)}.")
    for name, value in params.items():
      setattr(self, name, value)
    return self

  def __repr__(self) -> str:
    defaults = inspect.signature(type(self)).parameters
    given = [
        f"{name}={value!r}" for name, value in self.get_params().items()
        if repr(value) != repr(defaults[name].default)
    ]
    return f"{type(self).__name__}({', '.join(given)})"

  def __sklearn_clone__(self) -> "Condenser":
    # Methods and networks are never changed, and some cannot be copied.
    return type(self)(**self.get_params())

  def __sklearn_tags__(self):
    from sklearn.utils import InputTags, Tags, TargetTags

    return Tags(
        estimator_type="sampler",
        target_tags=TargetTags(required=True),
        input_tags=InputTags(three_d_array=True))

  def __getstate__(self) -> dict[str, Any]:
    state = dict(self.__dict__)
    if isinstance(self.method, Method) and self.method.name:
      state["method"] = self.method.spec  # functions cannot be pickled
    return state

  def _source(self, x, y) -> tuple[Source, list | None]:
    """The checked data, and the columns of a data frame or None."""
    from sklearn.utils import column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import validate_data

    columns = list(x.columns) if hasattr(x, "columns") else None
    if columns is None:
      values: Any = validate_data(
          self, x, y, ensure_2d=False, allow_nd=True, ensure_min_samples=2)[0]
      values = values.astype(float) if values.dtype == bool else values
    else:  # errors of `from_arrays` name the column
      validate_data(self, x, y, skip_check_array=True)
      values = x
    y = column_or_1d(y, warn=True)
    as_labels("y", y)
    check_classification_targets(y)
    self.classes_, places = np.unique(y, return_inverse=True)
    if len(self.classes_) < 2:
      raise DataError(
          "`y` must hold at least two classes; got one class, "
          f"{shown(self.classes_[0])}.")
    self.sampling_strategy_ = dict.fromkeys(
        self.classes_.tolist(), self.per_class)
    names = list(map(str, self.classes_.tolist()))
    try:
      source = from_arrays(
          values,
          np.array(names)[places],
          class_names=names,
          preprocessing=self.preprocessing,
          kind=self.kind,
          test_fraction=0,
          name="Condenser")
    except DataError as error:
      text = str(error).replace("x_train", "X").replace("y_train", "y")
      raise DataError(text) from error
    self.n_features_in_ = len(np.asarray(values)[0])
    return source, columns

  def _method(self, source: Source) -> Method:
    if self.method is None:
      return usual(source, hard_labels=True)
    method = self.method
    if isinstance(method, dict):
      method = from_spec(method)
    if isinstance(method, Method) and method.settings.get("learn_labels"):
      raise ConfigError(_learns_labels(method))
    return method

  def _key(self):
    from sklearn.utils import check_random_state

    seed = self.random_state
    if not isinstance(seed, int | np.integer):
      seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
    return jax.random.key(int(seed))


def _learns_labels(method: Method) -> str:
  return (
      f"`method` must leave labels those of one class; {method.name} learns "
      "soft ones. Take another, or learn_labels=False where it has that, or "
      "use `condense`.")


def _like(given, samples: np.ndarray, columns: list | None):
  """Samples [M, ...] with the type, dtype and shape of the given data."""
  if columns is None:
    array = np.asarray(given)
    found = _cast(samples.reshape(-1, *array.shape[1:]), array.dtype)
    return found.tolist() if isinstance(given, list) else found
  found = {
      i: _cast(samples[:, i],
               np.asarray(given[name]).dtype) for i, name in enumerate(columns)
  }
  frame = type(given)(found)
  frame.columns = given.columns
  return frame.astype(given.dtypes)


def _cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """Numbers as another dtype; integers are rounded and clipped to its range."""
  if dtype.kind in "bui":
    least, most = (0, 1) if dtype.kind == "b" else (
        np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = np.clip(np.round(values), least, most)
  return values.astype(dtype) if dtype.kind in "bufi" else values


def _labels_like(given, classes: np.ndarray):
  if isinstance(given, list):
    return classes.tolist()
  if hasattr(given, "columns"):
    return type(given)({given.columns[0]: classes}).astype(given.dtypes)
  if hasattr(given, "iloc"):
    return type(given)(classes, name=given.name, dtype=given.dtype)
  return classes.reshape(-1, *np.shape(given)[1:])
