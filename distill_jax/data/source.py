"""Real data as records: splits on the device, and facts about them.

Inputs stay raw (uint8 images, float32 features). `Split.encode` maps them to
model space inside `jit`, batch by batch. `making` makes sources of arrays.
"""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax import preprocessing as preprocessing_lib
from distill_jax.data import labelling
from distill_jax.data.host import is_host
from distill_jax.errors import DataError
from distill_jax.text.embedding import is_of_words
from distill_jax.types import Array, Preprocessing

_ENCODE_ROWS = 1024  # rows that `Source.encoded` encodes at once


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
    train = split_of(
        kept_rows(self.train.inputs, indices), labels, self.num_classes,
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


def kept_rows(inputs, rows):
  """Returns some of the samples; those on the host stay there."""
  if is_host(inputs):
    return inputs.take(rows)
  return inputs[rows] if isinstance(inputs, np.ndarray) else rows_of(
      inputs, rows)


def split_of(inputs, labels, num_classes, preprocessing):
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
