"""Real data as records: splits on the device, and facts about them.

Inputs stay raw (uint8 images, float32 features). `Split.encode` maps them to
model space inside `jit`, batch by batch. All readers except that of texts call
`from_arrays`, which checks the data.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax import preprocessing as preprocessing_lib
from distill_jax.data import labelling, samples
from distill_jax.data.host import HostRows, is_host
from distill_jax.errors import DataError, listed, shown
from distill_jax.text.embedding import is_of_words
from distill_jax.types import Array, Preprocessing

FITS = {
    "relative_zca": preprocessing_lib.relative_zca,
    "standardise": preprocessing_lib.standardise,
    "zca": preprocessing_lib.zca
}
TEST_FRACTION = 0.2  # of each class, held out if there is no test part
_ENCODE_ROWS = 1024  # rows that `Source.encoded` encodes at once
_FARTHEST = 100.0  # greatest average size of standardised features
_EXACT = (preprocessing_lib.Standardise, preprocessing_lib.ZCA)


class Split(NamedTuple):
  """Samples on the device: a pytree, so it can be an argument under `jit`.

  Attributes:
    inputs: [N, ...] raw inputs: uint8, float32, or int32 token ids of texts; or
      `host.HostRows` for samples that stay on the host.
    labels: [N] int32, class indices.
    members: [K, L] int32; row c lists the samples of class c, repeated up to
      the size L of the largest class (zeros for a class without samples).
    counts: [K] int32, samples per class.
    preprocessing: a record with `apply` and `invert`.
  """

  inputs: Array
  labels: Array
  members: Array
  counts: Array
  preprocessing: Preprocessing

  def __repr__(self) -> str:
    return (
        f"Split: {self.num_samples:,} samples {self.inputs.shape[1:]} "
        f"{self.inputs.dtype} of {self.num_classes} classes")

  def encode(self, raw: Array) -> Array:
    """Maps raw inputs [B, ...] to model space."""
    return self.preprocessing.apply(raw)

  @property
  def sample_shape(self) -> tuple[int, ...]:
    """Shape of one sample in model space."""
    raw = jax.ShapeDtypeStruct((1, *self.inputs.shape[1:]), self.inputs.dtype)
    return jax.eval_shape(self.encode, raw).shape[1:]

  def rows_of_class(self, c: int | np.integer) -> np.ndarray:
    """[n] int32, the rows of the samples of class c, in ascending order."""
    return np.asarray(self.members)[c, :int(self.counts[c])]

  @property
  def num_classes(self) -> int:
    """K, the number of classes."""
    return self.members.shape[0]

  @property
  def present(self) -> np.ndarray:
    """[K'] int32, the classes that have samples; not available under `jit`."""
    return np.flatnonzero(self.counts).astype(np.int32)

  @property
  def num_samples(self) -> int:
    """N, the number of samples."""
    return self.inputs.shape[0]


class Source(NamedTuple):
  """A data set: its splits, class names and facts.

  Attributes:
    train: the split that is distilled.
    validation: held out from train, for choosing settings; or None.
    test: for the final evaluation; or None.
    class_names: K names.
    name: name of what it was read from.
    facts: what was found while reading, for reports; JSON values.
    raw_dtype: type of the raw inputs: "uint8", "float32", or "int32" for token
      ids.
  """

  train: Split
  validation: Split | None
  test: Split | None
  class_names: tuple[str, ...]
  name: str
  facts: Mapping[str, Any] = MappingProxyType({})
  raw_dtype: str = "float32"

  def __repr__(self) -> str:
    sizes = ", ".join(
        f"{split.num_samples:,} {part}"
        for part, split in self._asdict().items()
        if isinstance(split, Split))
    return (
        f"Source {self.name}: {sizes} samples {self.train.inputs.shape[1:]} of "
        f"{self.num_classes} classes")

  @property
  def num_classes(self) -> int:
    """K, the number of classes."""
    return len(self.class_names)

  @property
  def example(self) -> Array:
    """Zeros [1, ...] float32, with the shape of one sample in model space."""
    return jnp.zeros((1, *self.train.sample_shape), jnp.float32)

  @property
  def preprocessing(self) -> Preprocessing:
    """The map between raw inputs and model space, also of an encoded source."""
    record = self.train.preprocessing
    if isinstance(record, preprocessing_lib.Encoded):
      return record.original
    return record

  def fingerprint(self) -> str:
    """16 hexadecimal digits of a SHA-256 over class names and all splits.

    The bytes are hashed as they are held, so subsets and encoded sources have
    other fingerprints. That of texts also depends on their words and vectors.
    """
    digest = hashlib.sha256(repr(self.class_names).encode())
    if is_of_words(self.preprocessing):  # token ids alone have no meaning
      record: Any = self.preprocessing
      for array in record:
        digest.update(np.ascontiguousarray(array).data)
    for split in (self.train, self.validation, self.test):
      held: Any = () if split is None else (split.inputs, split.labels)
      for array in held:
        digest.update(f"{array.dtype}{array.shape}".encode())
        for piece in array.pieces() if is_host(array) else (array,):
          digest.update(np.ascontiguousarray(piece).data)
      digest.update(b"|")
    return digest.hexdigest()[:16]

  def in_classes(self, class_names: Sequence[str]) -> "Source":
    """Returns the same samples with the classes in another order.

    Args:
      class_names: names of the same classes, in the wanted order.

    Raises:
      DataError: the classes are not the same; the message says which differ.
    """
    if tuple(class_names) == self.class_names:
      return self
    place = labelling.places(self.class_names, class_names)
    order = np.argsort(place)

    def moved(split):
      return split and split._replace(
          labels=jnp.asarray(place)[split.labels],
          members=split.members[order],
          counts=split.counts[order])

    return self._replace(
        class_names=tuple(class_names),
        train=moved(self.train),
        validation=moved(self.validation),
        test=moved(self.test))

  def take(self, indices: ArrayLike) -> "Source":
    """Keeps some training samples, in the given order.

    Args:
      indices: [n] int, rows of the training split, at least one. Classes
        without a kept sample remain classes of the source.

    Returns:
      A source with the same other splits and the same preprocessing.

    Raises:
      DataError: there is no index, or one is out of range.
    """
    indices, labels = self._rows(indices)
    train = _split(
        _kept(self.train.inputs, indices), labels, self.num_classes,
        self.train.preprocessing)
    return self._replace(train=train)

  def narrow(self, indices: ArrayLike) -> "Source":
    """Limits class-wise draws to some training samples.

    Draws from all classes together (`sampling.mixed`) still use all samples,
    such as the batches for the networks that IDC trains on all data.

    Args:
      indices: as in `take`.

    Returns:
      A source with all training samples but smaller `members` and `counts`.

    Raises:
      DataError: as in `take`.
    """
    indices, labels = self._rows(indices)
    members, counts = _members(labels, self.num_classes)
    return self._replace(
        train=self.train._replace(
            members=jnp.asarray(indices[members], jnp.int32), counts=counts))

  def on_validation(self) -> "Source":
    """Puts the validation part in place of the test part, to choose settings.

    Returns:
      A source without the real test part and without a validation part.
      Whatever else is chosen, such as the step sizes of baselines, is then
      chosen on the training part.

    Raises:
      DataError: there is no validation part.

    Example:
      source = dd.read("digits", validation_fraction=0.1)
      dd.evaluate(made, source.on_validation())
    """
    if self.validation is None:
      raise DataError(
          f"`source` must have a validation part; {self.name} has none. Hold "
          "one out with validation_fraction=0.1.")
    return self._replace(test=self.validation, validation=None)

  def _rows(self, indices):
    """The rows of the training split, checked, and their labels."""
    indices = np.asarray(indices)
    if not indices.size:
      raise DataError("`indices` must keep some training samples; got none.")
    size = self.train.num_samples
    bad = np.flatnonzero((indices < 0) | (indices >= size))
    if len(bad):
      raise DataError(
          f"`indices` must be rows 0..{size - 1} of the training split; got "
          f"{indices[bad[0]]}.")
    return indices, np.asarray(self.train.labels)[indices]

  def encoded(self) -> "Source":
    """Encodes all samples once, where `encode` is slow and the result fits.

    Returns:
      A source whose inputs are float32 in model space. The `encode` of its
      splits returns its argument; inversion works as before.
    """
    if isinstance(self.train.preprocessing, preprocessing_lib.Encoded):
      return self
    if is_host(self.train.inputs):
      np.asarray(self.train.inputs)  # raises: they do not fit into memory

    def encode(split):
      if split is None:
        return None
      starts = range(0, split.num_samples, _ENCODE_ROWS)
      parts = [split.inputs[s:s + _ENCODE_ROWS] for s in starts]
      inputs = jnp.concatenate([split.encode(part) for part in parts])
      record = preprocessing_lib.Encoded(split.preprocessing)
      return split._replace(inputs=inputs, preprocessing=record)

    return self._replace(
        train=encode(self.train),
        validation=encode(self.validation),
        test=encode(self.test))


def check_source(source) -> None:
  """Refuses anything but a `Source`, such as a pair of arrays.

  Raises:
    DataError: it is no `Source`; the message names the functions that make one.
  """
  if not isinstance(source, Source):
    raise DataError(
        f"`source` must be a Source; got {type(source).__name__}. Make one of "
        "arrays with from_arrays(x, y), or of files with read.")


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


def given_parts(parts):
  """Returns those parts of `{part: (inputs, labels)}` that are given.

  Raises:
    DataError: only inputs or only labels of a part are given.
  """
  for part, (x, y) in parts.items():
    if (x is None) != (y is None):
      raise DataError(f"`x_{part}` and `y_{part}` must be given together.")
  return {part: pair for part, pair in parts.items() if pair[0] is not None}


def check_lengths(inputs, labels) -> None:
  """Refuses parts `{part: inputs}` that do not have one label per sample."""
  for part, x in inputs.items():
    y = labelling.as_labels(f"y_{part}", labels[part])
    if len(x) != len(y):
      raise DataError(
          f"`x_{part}` and `y_{part}` must be of equal length; got {len(x)} "
          f"and {len(y)}. Give every sample one label.")


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
    return _split(
        _kept(inputs[given], rows[part]), labels[given][rows[part]],
        len(class_names), record)

  return Source(
      **{part: split(part) for part in ("train", "validation", "test")},
      class_names=class_names,
      name=name,
      raw_dtype=str(inputs["train"].dtype))


def rows_of(array: Any, indices: np.ndarray) -> Array:
  """Returns `array[indices]`; on the CPU, without compiling for each size.

  Args:
    array: [N, ...].
    indices: int, of any shape.
  """
  if is_host(array):
    return jnp.asarray(array[indices])
  if any(device.platform != "cpu" for device in array.devices()):
    return array[indices]
  return jnp.asarray(np.asarray(array)[indices])  # np.asarray does not copy


def _kept(inputs, rows):
  """Returns some of the samples; those on the host stay there."""
  if is_host(inputs):
    return inputs.take(rows)
  return inputs[rows] if isinstance(inputs, np.ndarray) else rows_of(
      inputs, rows)


def _split(inputs, labels, num_classes, preprocessing):
  """Puts arrays on the device and builds the table of members."""
  members, counts = _members(labels, num_classes)
  return Split(
      inputs=inputs if is_host(inputs) else jnp.asarray(inputs),
      labels=jnp.asarray(np.asarray(labels, np.int32)),
      members=jnp.asarray(members),
      counts=counts,
      preprocessing=preprocessing)


def _members(labels, num_classes):
  """Returns `Split.members`, still on the host, and `Split.counts`."""
  counts = np.bincount(labels, minlength=num_classes)
  members = np.zeros((num_classes, counts.max()), np.int32)
  for label in np.flatnonzero(counts):
    members[label] = np.resize(np.flatnonzero(labels == label), counts.max())
  return members, jnp.asarray(counts.astype(np.int32))


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


def stratified(
    labels: np.ndarray,
    classes: Sequence[str] | np.ndarray,
    fraction: float,
    seed: int,
    *,
    name: str = "validation_fraction"):
  """Returns the rows to keep and the rows to hold out, both ascending.

  Args:
    labels: [N].
    classes: all values that labels take.
    fraction: fraction of each class to hold out, in [0, 1); at least one sample
      of each class unless 0.
    seed: seed of the choice.
    name: name of the fraction, for messages.

  Raises:
    DataError: a class has one sample, or the fraction is out of range.
  """
  if not isinstance(fraction, Real) or not 0 <= fraction < 1:
    raise DataError(f"`{name}` must be in [0, 1); got {shown(fraction)}.")
  if not isinstance(seed, Integral) or seed < 0:
    raise DataError(
        f"`seed` must be a whole number, at least 0; got {shown(seed)}.")
  if fraction == 0:
    return np.arange(len(labels)), np.arange(0)
  generator = np.random.default_rng(seed)
  found, counts = np.unique(np.asarray(labels, str), return_counts=True)
  if single := [*map(shown, found[counts == 1].tolist())]:
    remedy = (
        "Add samples of it or drop it. Or hold nothing out: "
        "`validation_fraction` 0, and a test part of its own "
        "(`test_fraction` 0 for none).")
    if len(labels) < 2 * len(classes):
      remedy = "Are these numbers to predict? Regression is not supported."
    raise DataError(
        f"`{name}` must leave samples of every class to train on; got "
        f"{fraction} and one sample of class {listed(single, 2, 20)}. {remedy}")
  held = []
  for label in classes:
    rows = np.flatnonzero(labels == label)
    num = min(max(1, round(fraction * len(rows))), len(rows) - 1)
    held.append(generator.permutation(rows)[:num])
  held = np.sort(np.concatenate(held))
  return np.setdiff1d(np.arange(len(labels)), held), held


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
