"""Derives what follows from the parts of a set: bytes, regime and modality."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from distill_jax import packing, schema
from distill_jax.artifact.record import Artifact
from distill_jax.errors import ArtifactError
from distill_jax.labels import label_regime
from distill_jax.text.embedding import is_of_words
from distill_jax.types import Preprocessing, PyTree


def completed(
    *,
    inputs: ArrayLike,
    labels: ArrayLike,
    step_sizes: ArrayLike,
    order: ArrayLike,
    initial: PyTree,
    codes: PyTree,
    stored_labels: PyTree,
    extra: PyTree,
    preprocessing: Preprocessing,
    raw_dtype: str | None,
    label_space: str,
    class_names: Sequence[str],
    method: str,
    parameterization: str,
    recipe: Mapping[str, Any],
    network: Mapping[str, Any] | None,
    provenance: Mapping[str, Any],
    decoder_bytes: int = 0,
    quantisation: Mapping[str, Any] | None = None) -> Artifact:
  """Makes a checked set, equal to the one that its file gives back.

  Only arguments that are not fields of `Artifact` are described here.

  Args:
    stored_labels: the learned label rows, [R, K] floats.
    decoder_bytes: bytes of a decoder that is not stored in the file.
    raw_dtype: the field; None if it follows from the other fields.
    quantisation: result of `packing.settings_of`, for codes to be quantised.

  Raises:
    ArtifactError: a rule of the schema is broken.
  """
  inputs, labels = _float32("inputs", inputs), _float32("labels", labels)
  step_sizes = _float32("step_sizes", step_sizes)
  codes = schema.nested("codes", codes)
  rows = schema.nested("labels", stored_labels)
  fixed = bool(jax.tree.leaves(initial))
  initial = schema.nested("initial", initial) if fixed else ()
  sizes = schema.storage_bytes(codes, inputs, rows, step_sizes)
  if decoder_bytes:
    sizes["outside"] = decoder_bytes
    sizes["total"] += decoder_bytes
  if fixed:
    sizes["initial"] = schema.num_bytes(initial)
  if is_of_words(preprocessing):
    sizes["vectors"] = schema.num_bytes(
        schema.nested("preprocessing", preprocessing))
  are_inputs = isinstance(codes, np.ndarray) and np.array_equal(codes, inputs)
  made = Artifact(
      inputs=inputs,
      labels=labels,
      step_sizes=step_sizes,
      order=np.asarray(order).astype(np.int32),
      initial=initial,
      codes=() if are_inputs else codes,
      extra=schema.nested("extra", extra),
      preprocessing=preprocessing,
      modality=schema.modality(inputs, preprocessing),
      raw_dtype=raw_dtype or schema.default_raw_dtype(inputs, preprocessing),
      method=method,
      parameterization=parameterization,
      label_regime=label_regime(labels, label_space),
      label_space=label_space,
      label_scale=1.0,
      class_names=tuple(str(name) for name in class_names),
      student_init="fixed" if fixed else "random",
      recipe=schema.json_copy("recipe", recipe),
      network=schema.json_copy("network", network),
      storage_bytes=sizes,
      provenance=schema.json_copy("provenance", provenance))
  if quantisation:
    return as_quantised(made, quantisation, codes, rows)
  return schema.check(made)


def as_quantised(
    artifact: Artifact, settings: Mapping[str, Any], codes: PyTree,
    rows: np.ndarray) -> Artifact:
  """Returns the set with quantised codes, and the samples that these give.

  Args:
    artifact: the set before quantisation.
    settings: result of `packing.settings_of`.
    codes: floats, as the inner parameterization decodes them.
    rows: [R, K] float32 labels.

  Raises:
    ArtifactError: the codes cannot be quantised, or do not fit the settings.
  """
  quantiser, _ = packing.parts_of(settings)
  codes = packing.pack(quantiser, codes)
  kept = packing.pack_labels(
      rows,
      settings["labels"],
      hard=label_regime(rows, artifact.label_space) == "hard",
      space=artifact.label_space)
  inputs, labels = packing.decode(
      settings,
      codes,
      kept,
      artifact.labels.shape[1],
      space=artifact.label_space)
  parts = codes, inputs, kept, artifact.step_sizes
  sizes = schema.storage_bytes(
      *map(packing.stored, parts), views=artifact.views)
  sizes["total"] += artifact.storage_bytes.get("outside", 0)
  return schema.check(
      artifact._replace(
          inputs=inputs,
          labels=labels,
          codes=codes,
          parameterization="quantised",
          quantisation=schema.json_copy("quantisation", settings),
          stored_labels=kept,
          label_regime=artifact.label_regime
          if artifact.views else label_regime(labels, artifact.label_space),
          storage_bytes={
              **artifact.storage_bytes,
              **sizes
          }))


def with_view_labels(
    artifact: Artifact, labels: np.ndarray, teacher: PyTree = None) -> Artifact:
  """Returns a set with a teacher's labels of its views.

  Args:
    artifact: the set; its recipe is `views`.
    labels: [views, P, K] logits; see `views`.
    teacher: variables of the teacher, if the set should store them.

  Raises:
    ArtifactError: the labels do not fit the set.
  """
  kept = {"labels": np.asarray(labels)}
  sizes = dict(artifact.without_views().storage_bytes)
  sizes["views"] = kept["labels"].nbytes
  sizes["total"] += sizes["views"]
  if teacher is not None:
    kept["teacher"] = schema.nested("views/teacher", teacher)
    sizes["teacher"] = schema.num_bytes(kept["teacher"])
  return schema.check(
      artifact._replace(
          views=kept, label_regime="soft_views", storage_bytes=sizes))


def _float32(name: str, array) -> np.ndarray:
  try:
    return np.asarray(array, np.float32)
  except (TypeError, ValueError) as error:
    raise ArtifactError(f"`{name}` must be numbers; {error}.") from error
