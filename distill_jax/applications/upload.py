"""The upload of a client: samples and labels as bytes, and nothing else.

The server announces the format. A file therefore has no header, and its size is
the number of bytes that are sent:

  [lowest, highest]   two float32, if values are quantised
  values              k samples, one after the other
  labels              k class numbers, or k rows of float32

Values are float32, float16, "uint8" between the lowest and highest value, or
"pixels": the 8 bits of real images, which need no quantisation.
"""

from typing import NamedTuple

import numpy as np

from distill_jax.artifact import Artifact, inverted
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.labels import classes_of_labels, label_rows, uncentred

VALUES = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
    "pixels": np.dtype("u1")
}
_RANGE = np.dtype("<f4")  # type of the lowest and highest value


def check_values(values: str, raw_dtype: str) -> None:
  """Raises an error if samples of some data cannot be sent as `values`.

  Args:
    values: one of `VALUES`.
    raw_dtype: dtype of the raw inputs.

  Raises:
    ConfigError: an unknown name, or pixels for data that are not 8-bit images.
  """
  one_of(VALUES, "values", values)
  if values == "pixels" and raw_dtype != "uint8":
    raise ConfigError(
        "`values` must not be pixels for data that are not 8-bit images. Take "
        "float32, float16 or uint8.")


class Format(NamedTuple):
  """The format that server and clients agree on.

  Attributes:
    shape: shape of a sample.
    num_outputs: length of a label row.
    num_classes: K.
    values: one of `VALUES`.
    hard: whether labels are class numbers.
  """

  shape: tuple[int, ...]
  num_outputs: int
  num_classes: int
  values: str = "float32"
  hard: bool = True

  @property
  def bytes_per_sample(self) -> int:
    """Bytes of the values and the label of one sample."""
    size = int(np.prod(self.shape)) * VALUES[self.values].itemsize
    return size + (self._label.itemsize if self.hard else 4 * self.num_outputs)

  @property
  def head(self) -> int:
    """Bytes before the values."""
    return 2 * _RANGE.itemsize if self.values == "uint8" else 0

  @property
  def _label(self) -> np.dtype:
    return np.dtype("u1") if self.num_classes <= 256 else np.dtype("<u2")

  @classmethod
  def of(
      cls,
      artifact: Artifact,
      *,
      values: str = "float32",
      hard: bool | None = None) -> "Format":
    """The format of a set; by default `hard` follows from the set's labels."""
    check_values(values, artifact.raw_dtype)
    return cls(
        artifact.inputs.shape[1:], artifact.labels.shape[1],
        artifact.num_classes, values,
        artifact.hard_rows if hard is None else hard)

  def pack(self, artifact: Artifact) -> bytes:
    """The bytes of a set in this format."""
    return b"".join((self._values(artifact), self._labels(artifact)))

  def unpack(self, content: bytes, preprocessing) -> tuple[np.ndarray, ...]:
    """Returns the samples and labels that the server reads from the bytes.

    Args:
      content: bytes, as `pack` returns them.
      preprocessing: record that maps pixels to model space.

    Returns:
      Inputs [k, ...] float32 in model space and label rows [k, outputs].
    """
    size = len(content) - self.head
    k, left = divmod(size, self.bytes_per_sample)
    if left or size < 0:
      raise ConfigError(
          f"`content` must be whole samples of {self.bytes_per_sample} bytes "
          f"after {self.head}; got {len(content)} bytes.")
    dtype = VALUES[self.values]
    count = k * int(np.prod(self.shape))
    inputs = np.frombuffer(content, dtype, count, self.head)
    inputs = inputs.reshape(k, *self.shape)
    if self.values == "pixels":
      inputs = preprocessing.apply(inputs)
    elif self.values == "uint8":
      low, high = np.frombuffer(content, _RANGE, 2)
      inputs = low + inputs.astype(np.float32) / 255 * (high - low)
    labels = content[self.head + count * dtype.itemsize:]
    if self.hard:
      classes = np.frombuffer(labels, self._label).astype(np.int32)
      labels = np.asarray(label_rows(classes, self.num_classes))
    else:
      labels = np.frombuffer(labels, "<f4").reshape(k, self.num_outputs)
    return np.asarray(inputs, np.float32), labels

  def _values(self, artifact) -> bytes:
    values = artifact.inputs
    if self.values == "pixels":
      values = np.clip(np.round(255 * inverted(artifact)), 0, 255)
    elif self.values == "uint8":
      low, high = values.min(), values.max()
      scale = 255 / (high - low) if high > low else 0.0
      codes = np.round((values - low) * scale).astype(np.uint8)
      return np.array([low, high], _RANGE).tobytes() + codes.tobytes()
    return values.astype(VALUES[self.values]).tobytes()

  def _labels(self, artifact) -> bytes:
    labels = artifact.training_set.samples.labels
    if artifact.label_space == "centred":
      labels = uncentred(labels)
    if self.hard:
      return np.asarray(classes_of_labels(labels)).astype(self._label).tobytes()
    return np.asarray(labels, "<f4").tobytes()
