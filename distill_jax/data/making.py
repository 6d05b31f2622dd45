"""Makes sources of arrays: checks them, holds parts out, fits preprocessing.

Readers call `from_arrays`, or `from_host` for data larger than the device's
memory; that of texts calls `assemble`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from distill_jax import preprocessing as preprocessing_lib
from distill_jax.data import labelling, samples
from distill_jax.data.host import HostRows, is_host
from distill_jax.data.parts import (
    TEST_FRACTION,
    check_lengths,
    given_parts,
    stratified,
)
from distill_jax.data.source import Source, kept_rows, split_of
from distill_jax.errors import DataError, listed, shown
from distill_jax.types import Preprocessing

FITS = {
    "relative_zca": preprocessing_lib.relative_zca,
    "standardise": preprocessing_lib.standardise,
    "zca": preprocessing_lib.zca
}
_FARTHEST = 100.0  # greatest average size of standardised features
_EXACT = (preprocessing_lib.Standardise, preprocessing_lib.ZCA)


def from_arrays(
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    x_validation: ArrayLike | None = None,
    y_validation: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: (
        str | Preprocessing |
        Callable[[np.ndarray], Preprocessing]) = "standardise",
    kind: str | None = None,
    columns: Sequence[str] | None = None,
    test_fraction: float | None = None,
    validation_fraction: float = 0.0,
    seed: int = 0,
    name: str = "arrays") -> Source:
  """Makes a `Source` of NumPy arrays, or of anything that NumPy can read.

  Args:
    x_train: [N, H, W, C] or [N, H, W] images, [N, T, C] time series, or [N, D]
      features, also as a data frame of numeric columns. Integer images must
      hold 0..255; they are kept as uint8 and divided by 255 on the way to model
      space. Of booleans, True is white. Floats are used as they are; images
      should be in [0, 1].
    y_train: [N] or [N, 1] class indices 0..K-1, or strings.
    x_test: as `x_train`, for testing; if None, `test_fraction` of the training
      samples are held out. Columns of a data frame are found by name.
    y_test: as `y_train`.
    x_validation: as `x_train`, for choosing settings; if None,
      `validation_fraction` of the training samples are held out.
    y_validation: as `y_train`.
    class_names: K names in the order of the indices; `y_train` need not contain
      all of them. By default the sorted strings, or "0".."K-1".
    preprocessing: "standardise", "zca", "relative_zca", a function `(inputs) ->
      record`, or a record. It is fitted on the training part, without the test
      and validation parts.
    kind: "image", "series" or "features". Needed to tell float images [N, H, W]
      from series [N, T, C]; otherwise it follows from the shape, and integers
      [N, H, W] are images. Series are standardised per channel.
    columns: D names of the features, for figures; by default those of a data
      frame.
    test_fraction: share of every class moved from train to test, in [0, 1); at
      least one sample of each class unless 0. By default 0.2 if `x_test` is
      None; give 0 for a source without a test part.
    validation_fraction: share of every class moved from train to validation, in
      [0, 1); at least one sample of each class unless 0.
    seed: seed of the choice of test and validation samples.
    name: name of what the data were read from.

  Returns:
    The source, with its arrays on the default device.

  Raises:
    DataError: the arrays are not a classification data set; the message says
      why.

  Example:
    source = dd.from_arrays(x, y)
  """
  parts = given_parts({
      "train": (x_train, y_train),
      "validation": (x_validation, y_validation),
      "test": (x_test, y_test)
  })
  own = getattr(x_train, "columns", None)
  arrays = {
      part:
          samples.checked(
              f"x_{part}", samples.numbers(f"x_{part}", x, own), kind)
      for part, (x, _) in parts.items()
  }
  names = own if columns is None else columns
  named = [] if names is None else [str(name) for name in names]
  if named and arrays["train"].shape[1:] != (len(named),):
    raise DataError(
        f"`columns` must name the features of one sample, "
        f"{arrays['train'].shape[1:]}; got {len(named)} names.")
  labels = {part: y for part, (_, y) in parts.items()}
  check_lengths(arrays, labels)
  for part, inputs in arrays.items():
    samples.check_alike(part, arrays["train"], inputs)

  def fit(kept):
    record = _preprocessing(preprocessing, arrays["train"][kept])
    return _fitted(record, arrays, kept)

  source = assemble(
      labels,
      fit,
      class_names=class_names,
      test_fraction=test_fraction,
      validation_fraction=validation_fraction,
      seed=seed,
      name=name)
  return source._replace(facts=dict(columns=named)) if named else source


def from_host(
    x_train: Any,
    y_train: ArrayLike,
    x_test: Any = None,
    y_test: ArrayLike | None = None,
    *,
    x_validation: Any = None,
    y_validation: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: (str | Preprocessing |
                    Callable[[HostRows], Preprocessing]) = "standardise",
    test_fraction: float | None = None,
    validation_fraction: float = 0.0,
    seed: int = 0,
    name: str = "host") -> Source:
  """Makes a `Source` of samples that stay on the host, for large data.

  Only the labels are in memory. Samples are read when they are drawn. The
  distilled set is therefore the same as with `from_arrays`; the speed depends
  on the file.

  Args:
    x_train: a `host.HostRows`, or an argument of it: a memory-mapped array, or
      any object with `len()` and `[index]`. uint8 images [N, H, W, C], or
      float32.
    y_train: as in `from_arrays`.
    x_test: as `x_train`; if None, `test_fraction` of the training samples are
      held out.
    y_test: as in `from_arrays`.
    x_validation: as `x_train`, or None, as in `from_arrays`.
    y_validation: as in `from_arrays`.
    class_names: as in `from_arrays`.
    preprocessing: "standardise", whose moments are computed piece by piece; a
      function `(HostRows) -> record`; or a record.
    test_fraction: as in `from_arrays`.
    validation_fraction: as in `from_arrays`.
    seed: as in `from_arrays`.
    name: as in `from_arrays`.

  Raises:
    DataError: samples and labels differ in number, or samples are of another
      type.

  Example:
    x = np.load("images.npy", mmap_mode="r")
    source = data.from_host(x, labels)
  """
  parts = given_parts({
      "train": (x_train, y_train),
      "validation": (x_validation, y_validation),
      "test": (x_test, y_test)
  })
  rows = {
      part: x if is_host(x) else HostRows(x) for part, (x, _) in parts.items()
  }
  labels = {part: y for part, (_, y) in parts.items()}
  check_lengths(rows, labels)
  for part, inputs in rows.items():
    samples.check_host(f"x_{part}", inputs)
    samples.check_alike(part, rows["train"], inputs)

  def fit(kept):
    return _preprocessing(preprocessing, rows["train"].take(kept)), rows

  return assemble(
      labels,
      fit,
      class_names=class_names,
      test_fraction=test_fraction,
      validation_fraction=validation_fraction,
      seed=seed,
      name=name)


def assemble(
    labels: Mapping[str, Any], fit: Callable, *,
    class_names: Sequence[str] | None, test_fraction: float | None,
    validation_fraction: float, seed: int, name: str) -> Source:
  """Makes a source of labels, and of inputs fitted to the remaining rows.

  The other parts are chosen by their labels first, so that the fit does not see
  them.

  Args:
    labels: {part: [N] labels}, of `train` and optionally of `validation` and
      `test`, which are then not held out from train.
    fit: `(rows that remain in train) -> preprocessing, {part: raw inputs [N,
      ...]}`, with all rows of train.
    class_names: see `from_arrays`.
    test_fraction: see `from_arrays`.
    validation_fraction: see `from_arrays`.
    seed: see `from_arrays`.
    name: see `from_arrays`.
  """
  if test_fraction is None:
    test_fraction = 0 if "test" in labels else TEST_FRACTION
  if test_fraction and "test" in labels:
    raise DataError(
        "`test_fraction` must be 0 where there is a test part (`x_test`); got "
        f"{test_fraction}.")
  labels = {
      part: labelling.as_labels(f"y_{part}", y) for part, y in labels.items()
  }
  if labelling.is_by_label(class_names):
    labels = {
        part: labelling.renamed(f"y_{part}", y, class_names)
        for part, y in labels.items()
    }
  elif class_names is None:
    labelling.check_alike(labels)
  class_names = labelling.name_classes(labels["train"], class_names)
  labels = {
      part: labelling.indices(f"y_{part}", y, class_names)
      for part, y in labels.items()
  }
  train = labels["train"]
  if len(class_names) < 2:
    raise DataError(
        "`y_train` must hold at least two classes; got only "
        f"{listed(class_names)}.")
  named, kept = np.asarray(class_names), np.arange(len(train))
  rows = {part: np.arange(len(y)) for part, y in labels.items()}
  for part, fraction in (("test", test_fraction), ("validation",
                                                   validation_fraction)):
    stay, held = stratified(
        named[train[kept]],
        named,
        0 if part in labels else fraction,
        seed,
        name=f"{part}_fraction")
    if len(held):
      rows[part] = kept[held]
    kept = kept[stay]
  rows["train"] = kept
  record, inputs = fit(kept)

  def split(part) -> Any:
    if part not in rows:
      return None
    given = part if part in labels else "train"
    return split_of(
        kept_rows(inputs[given], rows[part]), labels[given][rows[part]],
        len(class_names), record)

  return Source(
      **{part: split(part) for part in ("train", "validation", "test")},
      class_names=class_names,
      name=name,
      raw_dtype=str(inputs["train"].dtype))


def _fitted(record, arrays, kept):
  """Returns a preprocessing record, and arrays as uint8 or float32.

  Where rounding to float32 would hide how a feature varies (such as times in
  seconds since 1970), the arrays are encoded here, in float64.
  """
  train = arrays["train"][kept]
  if not isinstance(record, _EXACT) or not _is_swallowed(train):
    return record, {
        part: x if x.dtype == np.uint8 else x.astype(np.float32)
        for part, x in arrays.items()
    }
  exact = type(record)(*(np.asarray(leaf, np.float64) for leaf in record))
  encoded = {part: exact.apply(x) for part, x in arrays.items()}
  if not np.abs(encoded["train"].mean(0)).max() <= _FARTHEST:
    raise DataError(
        "`x_train` must vary by more than a billionth of its values; got "
        f"{np.abs(train).max():g} at most. Subtract the smallest value.")
  return preprocessing_lib.Encoded(record), {
      part: x.astype(np.float32) for part, x in encoded.items()
  }


def _is_swallowed(inputs) -> bool:
  """Whether rounding to float32 exceeds a thousandth of the variation."""
  if inputs.dtype != np.float64:
    return False
  rows = inputs.reshape(-1, inputs.shape[-1])
  lost = np.abs(rows - rows.astype(np.float32)).max(0)
  return bool(((lost > 1e-3 * rows.std(0)) & (np.ptp(rows, 0) > 0)).any())


def _preprocessing(preprocessing, inputs):
  """Fits a preprocessing, or checks that a given record fits the inputs."""
  record: Any = preprocessing
  if not hasattr(record, "apply"):
    if not callable(preprocessing) and preprocessing not in list(FITS):
      raise DataError(
          f"`preprocessing` must be one of {', '.join(FITS)}, a function or a "
          f"record; got {shown(preprocessing)}.")
    fit = preprocessing if callable(preprocessing) else FITS[preprocessing]
    record = fit(inputs)
  sample = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), np.float32)
  try:
    fits = jax.eval_shape(record.apply, sample).shape == sample.shape
  except (TypeError, ValueError):  # the record's arrays do not broadcast
    fits = False
  if isinstance(record, preprocessing_lib.Standardise):
    fits = fits and np.shape(record.mean) == inputs.shape[-1:]
  if not fits:
    raise DataError(
        "`preprocessing` must keep the shape of the inputs; got a record that "
        f"does not fit samples of shape {inputs.shape[1:]}. 'standardise' fits "
        "one to the data.")
  std = np.min(getattr(record, "std", 1.0))
  if not std >= preprocessing_lib.SMALLEST_STD:
    raise DataError(
        "`preprocessing` must have standard deviations of at least "
        f"{preprocessing_lib.SMALLEST_STD:.2g}, which float32 can divide by; "
        f"got {std:.2g}. Multiply `x_train` by a large number.")
  return record
