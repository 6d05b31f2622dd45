"""What a client sends: samples and labels as bytes, and nothing else.

The server announces the format, so a file holds no header and its size is the
number of bytes that travel:

  [lowest, highest]   two float32, where values are quantised
  values              k samples, one after the other
  labels              k numbers of a class, or k rows of float32

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
_RANGE = np.dtype("<f4")  # lowest and highest, of "uint8"


def check_values(values: str, raw_dtype: str) -> None:
  """Refuses values that samples of some raw inputs cannot be sent as.

  Args:
    values: of `VALUES`.
    raw_dtype: of the raw inputs.

  Raises:
    ConfigError: an unknown name, or pixels of what are no 8-bit images.
  """
  one_of(VALUES, "values", values)
  if values == "pixels" and raw_dtype != "uint8":
    raise ConfigError(
        "`values` must not be pixels for data that are not 8-bit images. Take "
        "float32, float16 or uint8.")


class Format(NamedTuple):
  """What server and clients agree on.

  Attributes:
    shape: of a sample.
    num_outputs: length of a label row.
    num_classes: K.
    values: of `VALUES`.
    hard: whether labels are numbers of a class.
  """

  shape: tuple[int, ...]
  num_outputs: int
  num_classes: int
  values: str = "float32"
  hard: bool = True

  @property
  def bytes_per_sample(self) -> int:
    """Of values and label."""
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
    """That of a set; `hard` by default where its labels are."""
    check_values(values, artifact.raw_dtype)
    return cls(
        artifact.inputs.shape[1:], artifact.labels.shape[1],
        artifact.num_classes, values,
        artifact.hard_rows if hard is None else hard)

  def pack(self, artifact: Artifact) -> bytes:
    """The bytes of a set in this format."""
    return b"".join((self._values(artifact), self._labels(artifact)))

  def unpack(self, content: bytes, preprocessing) -> tuple[np.ndarray, ...]:
    """What the server makes of the bytes.

    Args:
      content: of `pack`.
      preprocessing: takes pixels to model space.

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
