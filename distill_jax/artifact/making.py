"""Makes sets from a finished distillation, or from other arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax import environment, packing, schema
from distill_jax.artifact.completion import completed
from distill_jax.artifact.record import Artifact
from distill_jax.data import labelling
from distill_jax.data.arrays import as_array
from distill_jax.data.source import Source
from distill_jax.errors import ArtifactError, DataError, plain
from distill_jax.initialisation import step_order
from distill_jax.labels import label_rows
from distill_jax.outer_loop import check_read
from distill_jax.preprocessing import Standardise, applied
from distill_jax.text.embedding import is_of_words
from distill_jax.types import (
    Array,
    Distilled,
    Estimator,
    Preprocessing,
    PyTree,
)


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
  """Adds to a finished set everything that is needed to use it.

  Args:
    estimator: the estimator, which decodes the set.
    distilled: the set, usually `distiller(...).result(state)`.
    source: the `data.Source` that was distilled; it gives class names and
      preprocessing.
    method: name of the method that made the set.
    order: [S, n] int, the samples of each step.
    recipe: `Recipe.spec`; by default "in_order" for a set with step sizes and
      "converged" for one without.
    network: {"name": ..., settings}, the default network of evaluations.
    initial: theta_0 if the initialisation is fixed.
    label_space: what the labels are; see `Artifact`.
    provenance: JSON values. They are added to name and fingerprint of the data
      and to the versions, and replace entries of the same name.

  Raises:
    ArtifactError: a rule of the schema is broken, or the recipe does not fit
      the set.
    ConfigError: the set has step sizes that the objective does not read.

  Example:
    made = dd.to_artifact(
        estimator, outer.result(state), source, method="dm",
        order=dd.step_order(6, 1))
  """
  check_read(distilled, estimator)
  samples = jax.device_get(estimator.samples(distilled))
  stored = estimator.parameterization
  spec = stored.spec if stored else ()
  given = schema.json_copy("provenance", provenance)
  known = {"data": source.name, "versions": environment.versions()}
  if source.facts:
    known["facts"] = dict(source.facts)
  if "fingerprint" not in given:  # computing it reads all the data
    known["fingerprint"] = source.fingerprint()
  return completed(
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
      parameterization=dict(spec).get("name", "custom"),
      decoder_bytes=stored.decoder_bytes if stored else 0,
      quantisation=packing.settings_of(spec),
      label_space=label_space,
      class_names=source.class_names,
      recipe=recipe or _default_recipe(samples.step_sizes),
      network=network,
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
  """Wraps any arrays as a distilled set, so that they can be evaluated.

  Args:
    inputs: [M, H, W, C], [M, s, d] or [M, D] floats in model space; with `raw`,
      pixels as uint8 or as floats in [0, 1], or raw features.
    labels: [M] int class indices or class names, or [M, K] floats ([M, 1] for
      two classes).
    class_names: names of the classes, in order (`source.class_names`).
    preprocessing: maps real data to the model space of `inputs`
      (`source.preprocessing`). The default divides uint8 by 255 and leaves
      other numbers unchanged.
    raw: whether `inputs` must still be preprocessed.
    step_sizes: [T], if the set has its own.
    order: [S, n] int, the samples of each step; by default one step with all.
    recipe: `Recipe.spec`; by default "in_order" for a set with step sizes and
      "converged" for one without.
    network: {"name": ..., settings} that the set was made for, if known.
    initial: theta_0, if the set was made for one fixed initialisation.
    method: name of the method that made the set.
    label_space: what the labels are; see `Artifact`.
    provenance: JSON values, added to the versions.

  Raises:
    ArtifactError: the arrays do not fit each other or the names.

  Example:
    made = dd.from_samples(
        x[:3], y[:3], raw=True, class_names=source.class_names,
        preprocessing=source.preprocessing)
  """
  try:
    inputs, labels = as_array("inputs", inputs), as_array("labels", labels)
    class_names = labelling.as_names(class_names)
    if labels.dtype.kind in "SU":
      labels = labelling.indices(
          "labels", labelling.as_labels("labels", labels), class_names)
  except DataError as error:
    raise ArtifactError(str(error)) from error
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
  if labels.dtype.kind in "bui":
    labels = _rows(labels, len(class_names))
  return completed(
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


def _encode(preprocessing, inputs: np.ndarray):
  try:
    return applied(preprocessing, inputs)
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
  classes = jnp.asarray(labels.astype(np.int32))
  return np.asarray(label_rows(classes, num_classes))


def _default_recipe(step_sizes) -> dict[str, str]:
  return {"name": "in_order" if np.size(step_sizes) else "converged"}
