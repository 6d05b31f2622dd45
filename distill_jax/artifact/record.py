"""The record of a distilled set, and its conversions for other libraries."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import packing
from distill_jax.labels import (
    classes_of_labels,
    label_regime,
    probabilities,
    uncentred,
)
from distill_jax.parameterization.quantised import Quantiser
from distill_jax.text.embedding import is_of_words
from distill_jax.types import FilePath, PyTree, Samples, TrainingSet


class Artifact(NamedTuple):
  """A distilled set and everything that is needed to train on it.

  Its arrays are NumPy arrays. `to_artifact`, `from_samples` and `load` make
  one.

  Attributes:
    inputs: [M, H, W, C], [M, s, d] or [M, D] float32, samples in model space.
    labels: [M, K] float32, one row per sample.
    step_sizes: [T] float32, epoch by epoch; [0] if none were learned.
    order: [S, n] int32, the samples of each step.
    initial: theta_0 as nested dicts, or `()` if it is not fixed.
    codes: what the samples are decoded from, as nested dicts and tuples; `()`
      if the samples themselves are stored. The codes of a quantised set are
      integers and scales; see `packing`.
    extra: other learned scalars, or `()`.
    preprocessing: record with `apply` (raw data to model space) and `invert`.
    modality: "image", "text", "series" or "features".
    raw_dtype: type of the data before preprocessing: "uint8", "float32", or
      "int32" for token ids.
    method: name of the method that made the set.
    parameterization: name of the parameterization that decodes the codes;
      "custom" for one without a name.
    label_regime: "soft_views" if there are labels of views; else "hard" if each
      label row names one class; else "soft_fixed".
    label_space: what label rows are: "raw" (targets of the cross-entropy),
      "probabilities", "logits" or "centred" (targets of a regression).
    label_scale: a factor that the labels contain.
    class_names: K names; two names if K is 1.
    student_init: "fixed" if there is a theta_0, else "random".
    recipe: how to train: {"name": ..., settings}.
    network: the network that the set was made for: {"name": ..., settings}, or
      {}.
    storage_bytes: bytes of the samples (or codes), labels, step_sizes and
      decoder, of labels of views (views), of a decoder that is not in the file
      (outside), and their total. The total does not include theta_0 (initial),
      a teacher (teacher), and words with their vectors (vectors).
    provenance: data, fingerprint, versions and further facts of the maker.
    quantisation: settings of a quantised set, see `packing`; else {}.
    stored_labels: label rows of a quantised set as they are stored; else `()`.
    views: `()`, or `{"labels": [views, P, K] float16 or float32, "teacher":
      variables}`: a teacher's outputs for every view of the set that the recipe
      `views` trains on, see `views`; and that teacher, if it was kept. Its
      architecture is `provenance["teacher"]["network"]`.
  """

  inputs: np.ndarray
  labels: np.ndarray
  step_sizes: np.ndarray
  order: np.ndarray
  initial: PyTree
  codes: PyTree
  extra: PyTree
  preprocessing: PyTree
  modality: str
  raw_dtype: str
  method: str
  parameterization: str
  label_regime: str
  label_space: str
  label_scale: float
  class_names: tuple[str, ...]
  student_init: str
  recipe: dict[str, Any]
  network: dict[str, Any]
  storage_bytes: dict[str, int]
  provenance: dict[str, Any]
  # All sets share this dict, and it is only read. A read-only mapping could not
  # be pickled.
  quantisation: dict[str, Any] = {}  # noqa: RUF012
  stored_labels: PyTree = ()
  views: PyTree = ()

  def __repr__(self) -> str:
    return (
        f"Artifact: {self.num_samples} samples {self.inputs.shape[1:]} of "
        f"{self.num_classes} classes by {self.method}, {self.label_regime} "
        f"labels, {self.student_init} initialisation, "
        f"{self.storage_bytes['total']:,} bytes")

  def save(self, path: FilePath) -> None:
    """Writes the set; see `dd.save`."""
    from distill_jax.artifact.file import save  # imports this module

    save(self, path)

  def to_numpy(self,
               *,
               hard_labels: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The set in the units of the data it was made of: `(x, y)`.

    `x` are samples before preprocessing. If the data were uint8, as most images
    are, `x` is uint8 too: rounded and clipped to 0..255, with grey images as
    [M, H, W, 1]. Other numbers are float32 in their own scale, or float64 where
    float32 cannot hold how a feature varies, such as times in seconds since
    1970. Texts are strings [M] of the nearest words.

    `y` are class indices [M] int64 if `hard_rows` or `hard_labels` is True,
    otherwise rows [M, K] float32, or [M, 1] for two classes. Rows are
    probabilities if `label_space` is "probabilities" or "logits". "raw" rows
    are targets of the cross-entropy, and "centred" rows targets of a
    regression, to which 1/K is added; both may have negative numbers.

    Args:
      hard_labels: whether to return the class of the largest entry of each row,
        which is what scikit-learn trains on. What the other entries say is
        lost.
    """
    x = inverted(self)
    if is_of_words(self.preprocessing):
      x = np.array(list(map(" ".join, self.preprocessing.sentences(x))))
    elif self.raw_dtype == "uint8":
      x = np.clip(np.round(255 * x), 0, 255).astype(np.uint8)
    y = self.training_set.samples.labels
    y = uncentred(y) if self.label_space == "centred" else y
    if hard_labels or self.hard_rows:
      y = np.asarray(classes_of_labels(y), np.int64)
    return x, np.asarray(y)

  def to_torch(self):
    """The set for PyTorch: `(x, y, prepare)`.

    Train any network with one output per class (two outputs for two classes):

        x, y, prepare = made.to_torch()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        logits = network(prepare(test_images))

    `x` is float32 in model space, images as [M, C, H, W]. `y` are class indices
    [M] int64 if `hard_rows` is True, otherwise rows [M, K] float32 as in
    `to_numpy`. `prepare` maps real data, in the units of the data that the set
    was made of, to the space of `x`.

    Raises:
      ImportError: PyTorch is not installed.
    """
    from distill_jax.artifact import libraries  # imports this module

    return libraries.to_torch(self)

  def to_keras(self):
    """The set for Keras 3, on any backend: `(x, y, loss, prepare)`.

    Train any network with one output per class (two outputs for two classes)
    and no softmax:

        x, y, loss, prepare = made.to_keras()
        model.compile("adam", loss=loss)
        model.fit(x, y, epochs=300)
        classes = model.predict(prepare(test_images)).argmax(-1)

    `loss` is the loss that the labels are made for: cross-entropy, or the
    squared error for soft targets of a regression ("centred"). The fields are
    described in `artifact.libraries.KerasSet`.

    Raises:
      ImportError: Keras is not installed.
    """
    from distill_jax.artifact import libraries

    return libraries.to_keras(self)

  def to_datasets(self):
    """The set as a Hugging Face `datasets.Dataset`, split "train".

    Its columns:

        image, text, series, features  samples in the units of the data, as in
            `to_numpy`; images with 1 or 3 channels are pictures of 8 bits,
            rounded and clipped
        inputs      samples in model space, float32 and exact: train on these
        label       the class, a `ClassLabel` with its names
        soft_label  [K] float32, only if rows do not name one class each; as in
            `to_numpy`, but with both of two classes. `label` is its largest
            entry

    `dd.export(made, "folder")` writes it with the data set card.

    Raises:
      ImportError: datasets is not installed, or Pillow for images.
    """
    from distill_jax.artifact import libraries

    return libraries.to_datasets(self)

  def card(
      self,
      report: Mapping[str, Any] | None = None,
      *,
      licence: str | None = None) -> str:
    """The data set card: the README.md of a published set.

    Args:
      report: the report that `dd.evaluate` returned; the card then has its
        accuracies.
      licence: an identifier such as "cc-by-4.0". You must know it: it depends
        on the data that the set was made of. None leaves it out.

    Returns:
      Markdown with a header in YAML, as Hugging Face reads it.
    """
    from distill_jax.artifact import card

    return card.text(self, report, licence)

  def without_views(self) -> "Artifact":
    """The set with its label rows only, without labels of views."""
    if not self.views:
      return self
    sizes = dict(self.storage_bytes)
    sizes["total"] -= sizes.pop("views")
    sizes.pop("teacher", None)
    return self._replace(
        views=(),
        storage_bytes=sizes,
        label_regime=label_regime(self.labels, self.label_space))

  def as_floats(self) -> "Artifact":
    """The set without codes: samples and label rows as floats.

    `storage_bytes` still counts the codes, but counts label rows as floats.
    """
    sizes, labels = dict(self.storage_bytes), self.labels
    if self.quantisation:
      rows = 4 * self.num_rows * labels.shape[1]
      sizes["total"] += rows - sizes["labels"]
      sizes["labels"] = rows
    return self._replace(
        codes=(), quantisation={}, stored_labels=(), storage_bytes=sizes)

  @property
  def training_set(self) -> TrainingSet:
    """What a learner trains on, on the default device.

    Labels that are logits become probabilities.
    """
    labels = self.labels
    if self.label_space == "logits":
      labels = probabilities(labels)
    samples = Samples(
        self.inputs, labels, self.step_sizes, self.extra,
        self.views["labels"] if self.views else ())
    training_set = TrainingSet(samples, self.order, self.initial)
    return jax.tree.map(jnp.asarray, training_set)

  @property
  def num_samples(self) -> int:
    """M, the number of samples."""
    return len(self.inputs)

  @property
  def num_rows(self) -> int:
    """Number of label rows that are stored; several samples may share one."""
    if self.quantisation:
      return packing.num_rows(self.stored_labels)
    return self.storage_bytes["labels"] // (4 * self.labels.shape[1])

  @property
  def hard_rows(self) -> bool:
    """Whether each label row names one class, whatever labels of views say."""
    return label_regime(self.labels, self.label_space) == "hard"

  @property
  def quantiser(self) -> Quantiser | None:
    """How the codes are quantised; None if they are not."""
    if not self.quantisation:
      return None
    return packing.parts_of(self.quantisation)[0]

  @property
  def num_classes(self) -> int:
    """Number of classes; two if K is 1."""
    return len(self.class_names)


def inverted(artifact: Artifact) -> np.ndarray:
  """Samples before preprocessing: images in [0, 1], texts as token ids.

  Numbers are float32, or float64 where rounding to float32 would exceed a
  thousandth of what a feature varies by in the set's data.
  """
  inputs = artifact.inputs
  if artifact.raw_dtype == "float32":
    exact = np.asarray(
        artifact.preprocessing.invert(np.asarray(inputs, np.float64)))
    rounded = exact.astype(np.float32)
    std = np.asarray(getattr(artifact.preprocessing, "std", np.inf))
    return exact if (np.abs(exact - rounded) > 1e-3 * std).any() else rounded
  return np.asarray(artifact.preprocessing.invert(jnp.asarray(inputs)))


def float_codes(artifact: Artifact) -> PyTree:
  """The codes as a parameterization decodes them: floats, also if quantised."""
  if artifact.quantiser is not None:
    return packing.unpack(artifact.quantiser, artifact.codes)
  has_codes = jax.tree.leaves(artifact.codes)
  return artifact.codes if has_codes else artifact.inputs
