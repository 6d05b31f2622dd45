"""A distilled set that carries its own use: made, saved and loaded.

An `Artifact` holds the decoded samples, their labels, step sizes and order,
theta_0 where the initialisation is fixed, the preprocessing with its inverse,
the class names and the recipe to train by. In memory and from a file it is the
same record, so evaluation has one path. The file is described for users of
other frameworks in docs/artifact.md; its rules are in schema.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from distill_jax import environment, packing, schema, storage
from distill_jax.data.source import Source
from distill_jax.errors import ArtifactError, plain
from distill_jax.initialisation import step_order
from distill_jax.labels import (
    classes_of_labels,
    label_rows,
    probabilities,
    uncentred,
)
from distill_jax.outer_loop import check_read
from distill_jax.parameterization.quantised import Quantiser
from distill_jax.preprocessing import Standardise
from distill_jax.text.embedding import is_of_words
from distill_jax.types import (
    Array,
    Distilled,
    Estimator,
    FilePath,
    Parameterization,
    Preprocessing,
    PyTree,
    Samples,
    TrainingSet,
)


class Artifact(NamedTuple):
  """A distilled set and all that is needed to train on it.

  Arrays are NumPy's; build with `to_artifact`, `from_samples` or `load`.

  Attributes:
    inputs: [M, H, W, C], [M, s, d] or [M, D] float32, model space.
    labels: [M, K] float32.
    step_sizes: [T] float32, epoch-major, or [0] where none were learned.
    order: [S, n] int32, the samples of each step.
    initial: theta_0 as nested dicts, or `()`.
    codes: what the samples were decoded from, nested dicts and tuples, or `()`
      where they are the samples themselves; of a quantised set integers and
      scales, see `packing`.
    extra: other learned scalars, or `()`.
    preprocessing: record with `apply` (raw to model space) and `invert`.
    modality: "image", "text", "series" or "features".
    raw_dtype: of the data before preprocessing: "uint8", "float32", or "int32"
      for token ids.
    method: that made the set.
    parameterization: of the codes, its name; "custom" for one without.
    label_regime: "hard" where every label names one class, else "soft_fixed".
    label_space: "raw", "probabilities", "logits" or "centred".
    label_scale: the factor that is in the labels.
    class_names: of the K outputs, or two where K is 1.
    student_init: "fixed" where there is a theta_0, else "random".
    recipe: how to train: {"name": ..., settings}.
    network: that the set was made for: {"name": ..., settings}, or {}.
    storage_bytes: of samples (codes), labels, step_sizes, decoder, of a decoder
      that the file lacks as outside, their total; apart from that of theta_0 as
      initial and of words with their vectors as vectors.
    provenance: data, fingerprint, versions and whatever the maker adds.
    quantisation: of a quantised set: bits, group, patch, inner and labels, see
      `packing`; {} for all others.
    stored_labels: of a quantised set, its rows as they are stored, else `()`.
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

  def __repr__(self) -> str:
    return (
        f"Artifact: {self.num_samples} samples {self.inputs.shape[1:]} of "
        f"{self.num_classes} classes by {self.method}, {self.label_regime} "
        f"labels, {self.student_init} initialisation, "
        f"{self.storage_bytes['total']:,} bytes")

  def save(self, path: FilePath) -> None:
    """Writes the set; see `save`."""
    save(self, path)

  def to_numpy(self) -> tuple[np.ndarray, np.ndarray]:
    """The set in the units of the data it was made of: `(x, y)`.

    `x` has preprocessing inverted. Where the data were uint8, as images are
    mostly, it is uint8 too: rounded and clipped to 0..255, grey images as [M,
    H, W, 1]. Other numbers are float32 in their own scale. Texts are strings
    [M] of the nearest words.

    `y` has class indices [M] int64 where `label_regime` is "hard", otherwise
    rows [M, K] float32, [M, 1] for two classes. They are probabilities where
    `label_space` is "probabilities" or "logits". "raw" rows are targets of the
    cross-entropy, and "centred" ones of a regression plus 1/K; neither need be
    positive.
    """
    x = inverted(self)
    if is_of_words(self.preprocessing):
      x = np.array(list(map(" ".join, self.preprocessing.sentences(x))))
    elif self.raw_dtype == "uint8":
      x = np.clip(np.round(255 * x), 0, 255).astype(np.uint8)
    y = self.training_set.samples.labels
    y = uncentred(y) if self.label_space == "centred" else y
    if self.label_regime == "hard":
      y = np.asarray(classes_of_labels(y), np.int64)
    return x, np.asarray(y)

  def to_torch(self):
    """The set for PyTorch: `(x, y, prepare)`.

    Train any network with one output for each class, also of two:

        x, y, prepare = made.to_torch()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        logits = network(prepare(test_images))

    `x` is float32 in model space, images as [M, C, H, W]. `y` has class indices
    [M] int64 where `label_regime` is "hard", otherwise rows [M, K] float32 as
    in `to_numpy`. `prepare` takes real data, in the units of the data that the
    set was made of, to the space of `x`.

    Raises:
      ImportError: PyTorch is not installed.
    """
    try:
      import torch
    except ImportError as error:
      raise ImportError(
          "`to_torch` needs PyTorch: pip install torch. `to_numpy` needs "
          "nothing.") from error

    def first(x):
      x = np.moveaxis(x, -1, 1) if self.modality == "image" else x
      return torch.from_numpy(np.array(x, np.float32))

    def prepare(raw):
      return first(self.preprocessing.apply(jnp.asarray(np.asarray(raw))))

    _, y = self.to_numpy()
    if self.label_regime == "hard":
      return first(self.inputs), torch.from_numpy(y), prepare
    if y.shape[1] == 1:
      y = np.concatenate([1 - y, y], axis=1)
    return first(self.inputs), torch.from_numpy(np.array(y)), prepare

  def as_floats(self) -> "Artifact":
    """A set without its codes, as samples and label rows of floats.

    `storage_bytes` still counts the codes; labels are as they are now.
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
    """What a learner is given, on the default device; logits softmaxed."""
    labels = self.labels
    if self.label_space == "logits":
      labels = probabilities(labels)
    samples = Samples(self.inputs, labels, self.step_sizes, self.extra)
    training_set = TrainingSet(samples, self.order, self.initial)
    return jax.tree.map(jnp.asarray, training_set)

  @property
  def num_samples(self) -> int:
    """M."""
    return len(self.inputs)

  @property
  def num_rows(self) -> int:
    """Label rows stored; fewer than samples where a row decodes into several.
    """
    if self.quantisation:
      return packing.num_rows(self.stored_labels)
    return self.storage_bytes["labels"] // (4 * self.labels.shape[1])

  @property
  def quantiser(self) -> Quantiser | None:
    """Of a quantised set; None for all others."""
    if not self.quantisation:
      return None
    return packing.parts_of(self.quantisation)[0]

  @property
  def num_classes(self) -> int:
    """Classes; two where K is 1."""
    return len(self.class_names)


def to_artifact(
    estimator: Estimator,
    distilled: Distilled,
    source: Source,
    *,
    method: str,
    order: Array,
    recipe: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    initial: PyTree = (),
    label_space: str = "raw",
    provenance: Mapping[str, Any] | None = None) -> Artifact:
  """Puts a finished set together with what it is used by.

  Args:
    estimator: decodes the set.
    distilled: usually `distiller(...).result(state)`.
    source: the `data.Source` it was distilled from: names and preprocessing.
    method: its name.
    order: [S, n] int, the samples of each step.
    recipe: `Recipe.spec`; by default "in_order" for a set with step sizes and
      "converged" for one without.
    network: {"name": ..., settings}, for whoever evaluates the set by name.
    initial: theta_0 where the initialisation is fixed.
    label_space: of the labels; see `Artifact`.
    provenance: JSON values, added to the data's name and fingerprint and the
      versions; its own entries win.

  Raises:
    ArtifactError: a rule of the schema is broken, or the recipe does not fit
      the set.
    ConfigError: step sizes that the objective does not read.

  Example:
    made = dd.to_artifact(
        estimator, outer.result(state), source, method="dm",
        order=dd.step_order(6, 1))
  """
  check_read(distilled, estimator)
  samples = jax.device_get(estimator.samples(distilled))
  given = schema.json_copy("provenance", provenance)
  known = {"data": source.name, "versions": environment.versions()}
  if source.facts:
    known["facts"] = dict(source.facts)
  if "fingerprint" not in given:  # it reads all the data
    known["fingerprint"] = source.fingerprint()
  return _make(
      inputs=samples.inputs,
      labels=samples.labels,
      step_sizes=samples.step_sizes,
      order=order,
      initial=initial,
      codes=distilled.codes,
      extra=samples.extra,
      preprocessing=source.preprocessing,
      raw_dtype=source.raw_dtype,
      method=method,
      parameterization=_name_of(estimator.parameterization),
      decoder_bytes=getattr(estimator.parameterization, "decoder_bytes", 0),
      quantisation=packing.settings_of(
          getattr(estimator.parameterization, "spec", ())),
      label_space=label_space,
      class_names=source.class_names,
      recipe=recipe or _default_recipe(samples.step_sizes),
      network=network or {},
      stored_labels=distilled.labels,
      provenance={
          **known,
          **given
      })


def from_samples(
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    class_names: Sequence[str],
    preprocessing: Preprocessing | None = None,
    raw: bool = False,
    step_sizes: ArrayLike = (),
    order: ArrayLike | None = None,
    recipe: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    initial: PyTree = (),
    method: str = "external",
    label_space: str = "raw",
    provenance: Mapping[str, Any] | None = None) -> Artifact:
  """Wraps arrays that come from elsewhere, so that they can be evaluated.

  Args:
    inputs: [M, H, W, C], [M, s, d] or [M, D] floats in model space; with `raw`
      pixels as uint8 or floats in [0, 1], or raw features.
    labels: [M] int class indices, or [M, K] floats ([M, 1] for two classes).
    class_names: of the classes, in order (`source.class_names`).
    preprocessing: takes real data to the model space of `inputs`
      (`source.preprocessing`); by default uint8 over 255 and nothing else.
    raw: whether `inputs` are still to be preprocessed.
    step_sizes: [T], where the set has its own.
    order: [S, n] int, the samples of each step; by default one step of all.
    recipe: `Recipe.spec`; by default "in_order" for a set with step sizes and
      "converged" for one without.
    network: {"name": ..., settings} that the set was made for, if known.
    initial: theta_0, where the set needs that very one.
    method: that made the set.
    label_space: of the labels; see `Artifact`.
    provenance: JSON values.

  Raises:
    ArtifactError: the arrays do not fit each other or the names.

  Example:
    made = dd.from_samples(
        x[:3], y[:3], raw=True, class_names=source.class_names,
        preprocessing=source.preprocessing)
  """
  inputs, labels = np.asarray(inputs), np.asarray(labels)
  if inputs.dtype.kind not in ("uif" if raw else "f") or inputs.ndim < 2:
    raise ArtifactError(
        "`inputs` must be [M, ...] floats in model space, or any numbers with "
        f"raw=True; got {inputs.dtype} {inputs.shape}.")
  if preprocessing is None:
    channels = inputs.shape[-1:]
    preprocessing = Standardise(jnp.zeros(channels), jnp.ones(channels))
  raw_dtype = None
  if raw:
    if not is_of_words(preprocessing):
      raw_dtype = "uint8" if inputs.dtype == np.uint8 else "float32"
    inputs = _encode(preprocessing, inputs)
  if labels.dtype.kind in "ui":
    labels = _rows(labels, len(class_names))
  return _make(
      inputs=inputs,
      labels=labels,
      step_sizes=step_sizes,
      order=step_order(len(inputs), 1) if order is None else order,
      initial=initial,
      codes=(),
      extra=(),
      preprocessing=preprocessing,
      raw_dtype=raw_dtype,
      method=method,
      parameterization="pixels",
      label_space=label_space,
      class_names=class_names,
      recipe=recipe or _default_recipe(step_sizes),
      network=network,
      stored_labels=labels,
      provenance={
          "versions": environment.versions(),
          **(provenance or {})
      })


def inverted(artifact: Artifact) -> np.ndarray:
  """Samples before preprocessing: uint8 ones over 255, texts as token ids."""
  return np.asarray(artifact.preprocessing.invert(jnp.asarray(artifact.inputs)))


def save(artifact: Artifact, path: FilePath) -> None:
  """Writes a set as a safetensors file, whole or not at all.

  Args:
    artifact: what to write.
    path: of the file; its folder exists. An older file is replaced at the end.

  Raises:
    ArtifactError: a rule of the schema is broken, or the disk refused; an
      older file is untouched.

  Example:
    dd.save(made, "set.safetensors")
  """
  tensors, document = schema.split(schema.check(artifact))
  try:
    storage.write(path, tensors, document)
  except OSError as error:
    raise unwritable(path, error) from error


def load(path: FilePath) -> Artifact:
  """Reads a set and checks all of it before anything is used.

  Nothing in the file is executed.

  Raises:
    ArtifactError: no such file, not a distilled set, one of a later version,
      damaged, or one that breaks a rule of the schema.

  Example:
    made = dd.load("set.safetensors")
  """
  try:
    tensors, document = storage.read(path)
  except FileNotFoundError as error:
    raise ArtifactError(
        f"`path` must name a distilled set; there is no {path}.") from error
  except (OSError, ValueError) as error:
    raise ArtifactError(
        f"`path` must name a distilled set; got {path}: {error}. Fetch or save "
        "it again.") from error
  if document is None:
    raise ArtifactError(
        f"`path` must name a distilled set; {path} has no metadata "
        f"{storage.KEY!r}. Wrap its arrays with `from_samples`, then `save`.")
  return build(path, tensors, document)


def build(path: FilePath, tensors: storage.Tensors, document: dict) -> Artifact:
  """An artifact of what a file holds, checked.

  Args:
    path: for messages.
    tensors: by name.
    document: of the metadata, with its checksum.

  Raises:
    ArtifactError: a rule of the schema is broken.
  """
  try:
    return schema.check(Artifact(**schema.fields(tensors, document)))
  except ArtifactError as error:
    raise ArtifactError(f"{error} (in {path})") from error


def unwritable(path: FilePath, error: OSError) -> ArtifactError:
  """What to tell when a file could not be written."""
  return ArtifactError(
      f"`path` must be a file that can be written; got {path}: "
      f"{error.strerror}. Free some space or name an existing folder; an older "
      "file is untouched.")


def float_codes(artifact: Artifact) -> PyTree:
  """Codes as a parameterization takes them: floats, quantised or not."""
  if artifact.quantisation:
    return packing.unpack(artifact.quantiser, artifact.codes)
  kept = jax.tree.leaves(artifact.codes)
  return artifact.codes if kept else artifact.inputs


def _make(
    *,
    inputs,
    labels,
    step_sizes,
    order,
    initial,
    codes,
    stored_labels,
    class_names,
    recipe,
    network,
    provenance,
    decoder_bytes=0,
    quantisation=None,
    **rest) -> Artifact:
  """Brings everything to the form in which a file returns it, and checks."""
  inputs, labels = _float32("inputs", inputs), _float32("labels", labels)
  step_sizes = _float32("step_sizes", step_sizes)
  codes = schema.plain("codes", codes)
  rows = schema.plain("labels", stored_labels)
  sizes = schema.storage_bytes(codes, inputs, rows, step_sizes)
  if decoder_bytes:
    sizes["outside"] = decoder_bytes
    sizes["total"] += decoder_bytes
  if isinstance(codes, np.ndarray) and np.array_equal(codes, inputs):
    codes = ()
  initial = schema.plain("initial", initial) if jax.tree.leaves(initial) else ()
  if initial:
    sizes["initial"] = schema.num_bytes(initial)
  if is_of_words(rest["preprocessing"]):
    sizes["vectors"] = schema.num_bytes(schema.plain("", rest["preprocessing"]))
  rest["raw_dtype"] = rest["raw_dtype"] or schema.default_raw_dtype(
      inputs, rest["preprocessing"])
  rest["extra"] = schema.plain("extra", rest["extra"])
  made = Artifact(
      inputs=inputs,
      labels=labels,
      step_sizes=step_sizes,
      order=np.asarray(order).astype(np.int32),
      initial=initial,
      codes=codes,
      modality=schema.modality(inputs, rest["preprocessing"]),
      label_scale=1.0,
      label_regime=schema.label_regime(labels, rest.get("label_space")),
      class_names=tuple(str(name) for name in class_names),
      student_init="fixed" if initial else "random",
      recipe=schema.json_copy("recipe", recipe),
      network=schema.json_copy("network", network),
      provenance=schema.json_copy("provenance", provenance),
      storage_bytes=sizes,
      **rest)
  if quantisation:
    return quantised(made, quantisation, codes, rows)
  return schema.check(made)


def quantised(
    artifact: Artifact, settings: Mapping[str, Any], codes: PyTree,
    rows: np.ndarray) -> Artifact:
  """A set whose samples and labels are those of quantised codes.

  Args:
    artifact: the set, before.
    settings: of `packing.settings_of`.
    codes: floats, as the inner parameterization decodes them.
    rows: [R, K] float32 labels.

  Raises:
    ArtifactError: what cannot be quantised, or does not fit the settings.
  """
  quantiser, _ = packing.parts_of(settings)
  codes = packing.pack(quantiser, codes)
  kept = packing.pack_labels(
      rows,
      settings["labels"],
      hard=artifact.label_regime == "hard",
      space=artifact.label_space)
  inputs, labels = packing.decode(
      settings,
      codes,
      kept,
      artifact.labels.shape[1],
      space=artifact.label_space)
  sizes = schema.storage_bytes(
      *map(packing.stored, (codes, inputs, kept, artifact.step_sizes)))
  sizes["total"] += artifact.storage_bytes.get("outside", 0)
  return schema.check(
      artifact._replace(
          inputs=inputs,
          labels=labels,
          codes=codes,
          parameterization="quantised",
          quantisation=schema.json_copy("quantisation", settings),
          stored_labels=kept,
          label_regime=schema.label_regime(labels, artifact.label_space),
          storage_bytes={
              **artifact.storage_bytes,
              **sizes
          }))


def _name_of(parameterization: Parameterization | None) -> str:
  return dict(getattr(parameterization, "spec", ())).get("name", "custom")


def _float32(name: str, array) -> np.ndarray:
  try:
    return np.asarray(array, np.float32)
  except (TypeError, ValueError) as error:
    raise ArtifactError(f"`{name}` must be numbers; {error}.") from error


def _encode(preprocessing, inputs: np.ndarray):
  try:
    return preprocessing.apply(jnp.asarray(inputs))
  except (TypeError, ValueError) as error:  # its arrays do not broadcast
    raise ArtifactError(
        "`preprocessing` must fit the inputs; got inputs of shape "
        f"{inputs.shape}: {plain(error, 150)}") from error


def _rows(labels: np.ndarray, num_classes: int) -> np.ndarray:
  """Label rows [M, K] of class indices [M]."""
  if labels.ndim != 1 or not labels.size:
    raise ArtifactError(
        f"`labels` must be [M] where they are integers; got {labels.shape}. "
        "Soft labels must be floats.")
  if labels.min() < 0 or labels.max() >= num_classes:
    raise ArtifactError(
        f"`labels` must be 0..{num_classes - 1} for {num_classes} class names; "
        f"got {labels.min()}..{labels.max()}.")
  return np.asarray(label_rows(jnp.asarray(labels), num_classes))


def _default_recipe(step_sizes) -> dict[str, str]:
  return {"name": "in_order" if np.size(step_sizes) else "converged"}
