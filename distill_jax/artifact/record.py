"""The record of a distilled set, and the forms in which it is used."""

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
  """A distilled set and all that is needed to train on it.

  Arrays are NumPy's. `to_artifact`, `from_samples` and `load` make one.

  Attributes:
    inputs: [M, H, W, C], [M, s, d] or [M, D] float32 samples, in model space.
    labels: [M, K] float32, a row for each sample.
    step_sizes: [T] float32, epoch-major, or [0] where none were learned.
    order: [S, n] int32, the samples of each step.
    initial: theta_0 as nested dicts, or `()` where it is not fixed.
    codes: what the samples are decoded from, as nested dicts and tuples, or
      `()` where it is the samples themselves. Those of a quantised set are
      integers and scales; see `packing`.
    extra: other learned scalars, or `()`.
    preprocessing: record with `apply` (raw to model space) and `invert`.
    modality: "image", "text", "series" or "features".
    raw_dtype: type of the data before preprocessing: "uint8", "float32", or
      "int32" for token ids.
    method: name of the method that made the set.
    parameterization: name of what decodes the codes; "custom" for one that has
      none.
    label_regime: "soft_views" where there are labels of views; else "hard"
      where each label row names one class, and "soft_fixed" where not.
    label_space: what label rows are: "raw" (targets of the cross-entropy),
      "probabilities", "logits" or "centred" (targets of a regression).
    label_scale: a factor that the labels contain.
    class_names: a name for each of K outputs, or two where K is 1.
    student_init: "fixed" where there is a theta_0, else "random".
    recipe: how to train: {"name": ..., settings}.
    network: the one that the set was made for: {"name": ..., settings}, or {}.
    storage_bytes: bytes of the samples (the codes), labels, step_sizes and
      decoder, of labels of views (views), of a decoder that the file lacks
      (outside), and their total. Not in the total: theta_0 (initial), a teacher
      (teacher), and words with their vectors (vectors).
    provenance: data, fingerprint, versions and whatever the maker adds.
    quantisation: settings of a quantised set, see `packing`; {} for others.
    stored_labels: label rows of a quantised set as they are stored; `()` for
      others.
    views: `()`, or `{"labels": [views, P, K] float16 or float32, "teacher":
      variables}`: what a teacher says of every view of the set that the recipe
      `views` trains on, see `views`; and that teacher, where it was kept. It is
      of the architecture `provenance["teacher"]["network"]`.
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
  # Shared by all sets and only read; a read-only mapping could not be pickled.
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
    from distill_jax.artifact.file import save  # which needs the record

    save(self, path)

  def to_numpy(self) -> tuple[np.ndarray, np.ndarray]:
    """The set in the units of the data it was made of: `(x, y)`.

    `x` is before preprocessing. Where the data were uint8, as images mostly
    are, it is uint8 too: rounded and clipped to 0..255, grey images as [M, H,
    W, 1]. Other numbers are float32 in their own scale. Texts are strings [M]
    of the nearest words.

    `y` has class indices [M] int64 where `hard_rows` is true, otherwise
    rows [M, K] float32, [M, 1] for two classes. They are probabilities where
    `label_space` is "probabilities" or "logits". "raw" rows are targets of the
    cross-entropy, and "centred" rows targets of a regression, to which 1/K is
    added; both may have negative numbers.
    """
    x = inverted(self)
    if is_of_words(self.preprocessing):
      x = np.array(list(map(" ".join, self.preprocessing.sentences(x))))
    elif self.raw_dtype == "uint8":
      x = np.clip(np.round(255 * x), 0, 255).astype(np.uint8)
    y = self.training_set.samples.labels
    y = uncentred(y) if self.label_space == "centred" else y
    if self.hard_rows:
      y = np.asarray(classes_of_labels(y), np.int64)
    return x, np.asarray(y)

  def to_torch(self):
    """The set for PyTorch: `(x, y, prepare)`.

    Train any network with one output for each class, also of two:

        x, y, prepare = made.to_torch()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        logits = network(prepare(test_images))

    `x` is float32 in model space, images as [M, C, H, W]. `y` has class indices
    [M] int64 where `hard_rows` is true, otherwise rows [M, K] float32 as
    in `to_numpy`. `prepare` takes real data, in the units of the data that the
    set was made of, to the space of `x`.

    Raises:
      ImportError: PyTorch is not installed.
    """
    from distill_jax.artifact import libraries  # which need the record

    return libraries.to_torch(self)

  def to_keras(self):
    """The set for Keras 3, on any backend: `(x, y, loss, prepare)`.

    Train any network with one output for each class, also of two, and no
    softmax:

        x, y, loss, prepare = made.to_keras()
        model.compile("adam", loss=loss)
        model.fit(x, y, epochs=300)
        classes = model.predict(prepare(test_images)).argmax(-1)

    `loss` is what the labels are made for: cross-entropy, or the squared error
    for targets of a regression ("centred") that are no classes. The fields are
    described in `artifact.libraries.KerasSet`.

    Raises:
      ImportError: Keras is not installed.
    """
    from distill_jax.artifact import libraries

    return libraries.to_keras(self)

  def to_datasets(self):
    """The set as a Hugging Face `datasets.Dataset`, split "train".

    Its columns:

        image, text, series, features  samples in the units of the data, as
            `to_numpy` has them; images are pictures of 8 bits, rounded and
            clipped, where they have 1 or 3 channels
        inputs      samples in model space, float32 and exact: train on these
        label       the class, a `ClassLabel` with its names
        soft_label  [K] float32 where rows do not name one class each, as in
            `to_numpy` but with both classes of two; `label` is its largest

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
    """The data set card: what README.md says where a set is published.

    Args:
      report: of `dd.evaluate`, whose accuracies the card then has.
      licence: an identifier such as "cc-by-4.0", which is for you to know: it
        depends on the data that the set was made of. None for no word of it.

    Returns:
      Markdown with a header in YAML, as Hugging Face reads it.
    """
    from distill_jax.artifact import card

    return card.text(self, report, licence)

  def without_views(self) -> "Artifact":
    """The set with its label rows alone, where it has labels of views."""
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
    """The set without codes: its samples and label rows as floats.

    `storage_bytes` still counts the codes, but label rows as floats.
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
    """What a learner is given, on the default device.

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
    """M."""
    return len(self.inputs)

  @property
  def num_rows(self) -> int:
    """Label rows that are stored; each may be of several samples."""
    if self.quantisation:
      return packing.num_rows(self.stored_labels)
    return self.storage_bytes["labels"] // (4 * self.labels.shape[1])

  @property
  def hard_rows(self) -> bool:
    """Whether each label row names one class; labels of views aside."""
    return label_regime(self.labels, self.label_space) == "hard"

  @property
  def quantiser(self) -> Quantiser | None:
    """How the codes are quantised; None where they are not."""
    if not self.quantisation:
      return None
    return packing.parts_of(self.quantisation)[0]

  @property
  def num_classes(self) -> int:
    """Classes; two where K is 1."""
    return len(self.class_names)


def inverted(artifact: Artifact) -> np.ndarray:
  """Samples as before preprocessing: uint8 over 255, texts as token ids."""
  return np.asarray(artifact.preprocessing.invert(jnp.asarray(artifact.inputs)))


def float_codes(artifact: Artifact) -> PyTree:
  """The codes as a parameterization decodes them: floats, also if quantised."""
  if artifact.quantiser is not None:
    return packing.unpack(artifact.quantiser, artifact.codes)
  has_codes = jax.tree.leaves(artifact.codes)
  return artifact.codes if has_codes else artifact.inputs
