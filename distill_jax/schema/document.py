"""Converts a set into tensors and a JSON document, and back."""

from typing import Any

import jax.numpy as jnp

from distill_jax import packing, storage
from distill_jax.errors import ArtifactError, fitting, plain, require, shown
from distill_jax.labels import num_outputs
from distill_jax.preprocessing import PREPROCESSING, name_of
from distill_jax.schema import settings
from distill_jax.schema.arrays import ARRAYS, TREES, VIEWS, default_raw_dtype
from distill_jax.schema.nesting import flatten, nested, take, unflatten

VERSION = 3
_FIELDS = {
    "schema_version", "sha256", "order", "preprocessing", *TREES,
    *settings.FIELDS
}
_LATER = {"raw_dtype"}  # older files lack it
_QUANTISED = {"labels", "quantisation"}  # only quantised sets have these
_DECODED = ("inputs", "labels")  # quantised sets have no such tensors


def split(artifact) -> tuple[storage.Tensors, dict[str, Any]]:
  """Returns tensors by name, and the document without its checksum."""
  quantised = bool(artifact.quantisation)
  tensors = {
      name: getattr(artifact, name)
      for name in ARRAYS
      if not quantised or name not in _DECODED
  }
  record = artifact.preprocessing
  document = {
      "schema_version": VERSION if artifact.views else 1 + quantised,
      "order": artifact.order.tolist(),
      "preprocessing": name_of(record),
      **{
          name: getattr(artifact, name) for name in settings.FIELDS
      }
  }
  for name, value in nested("preprocessing", record._asdict()).items():
    tensors[f"preprocessing/{name}"] = value
  for name in TREES:
    document[name] = flatten(name, getattr(artifact, name), tensors)
  if artifact.views:
    document[VIEWS] = flatten(VIEWS, artifact.views, tensors)
  if quantised:
    document["quantisation"] = artifact.quantisation
    document["labels"] = flatten("labels", artifact.stored_labels, tensors)
  return tensors, document


def fields(tensors: storage.Tensors, document: dict) -> dict[str, Any]:
  """Returns the fields of the artifact that `split` was given.

  Args:
    tensors: arrays by name.
    document: the document with its checksum.

  Raises:
    ArtifactError: the schema is a later one, the checksum does not fit, or
      fields or tensors are missing or unknown.
  """
  _check_document(tensors, document)
  left: dict[str, Any] = dict(tensors)
  name = document["preprocessing"]
  if not isinstance(name, str) or name not in PREPROCESSING:
    raise ArtifactError(
        f"`preprocessing` must be one of {', '.join(PREPROCESSING)}; got "
        f"{shown(name)}. Upgrade distill_jax if the set is newer.")
  record = PREPROCESSING[name]
  parts = [take(left, f"preprocessing/{field}") for field in record._fields]
  quantised = "quantisation" in document
  result: dict[str, Any] = {
      name: take(left, name)
      for name in ARRAYS
      if not quantised or name not in _DECODED
  }
  result |= {
      name: document[name] for name in settings.FIELDS if name in document
  }
  result |= {name: unflatten(name, document[name], left) for name in TREES}
  if VIEWS in document:
    result[VIEWS] = unflatten(VIEWS, document[VIEWS], left)
  if quantised:
    result["stored_labels"] = unflatten("labels", document["labels"], left)
    result["quantisation"] = document["quantisation"]
    result["inputs"], result["labels"] = decoded(**result)
  if left:
    raise ArtifactError(
        "the file must hold the tensors of schema "
        f"{document['schema_version']}; got also "
        f"{fitting(sorted(left), 60)}.")
  if document["order"] != result["order"].tolist():
    raise ArtifactError("`order` must be the same in tensors and metadata.")
  names = result["class_names"]
  result["class_names"] = tuple(names) if isinstance(names, list) else names
  result["preprocessing"] = record(*map(jnp.asarray, parts))
  result.setdefault(
      "raw_dtype", default_raw_dtype(result["inputs"], result["preprocessing"]))
  return result


def decoded(
    *, quantisation, codes, stored_labels, class_names, label_space, **others):
  """Decodes the inputs and labels of a quantised set."""
  del others
  require(
      isinstance(quantisation, dict), "quantisation", "be a dict", quantisation)
  require(
      isinstance(class_names, list | tuple), "class_names",
      "be two or more different texts", class_names)
  return packing.decode(
      quantisation,
      codes,
      stored_labels,
      num_outputs(len(class_names)),
      space=label_space)


def _check_document(tensors, document) -> None:
  version = document.get("schema_version")
  if type(version) is not int or version < 1:
    raise ArtifactError(
        f"`schema_version` must be 1 to {VERSION}; got {shown(version)}.")
  if version > VERSION:
    raise ArtifactError(
        f"`schema_version` must be at most {VERSION}; got {plain(version)}. "
        "Upgrade distill_jax to read this set.")
  try:
    storage.check(tensors, document)
  except ValueError as error:
    raise ArtifactError(
        f"the distilled set must be as it was saved; {error}. Copy or download "
        "the file again, or wrap arrays of your own with `from_samples`."
    ) from error
  known = set(_FIELDS)
  if version == 2 or version == 3 and _QUANTISED & set(document):
    known |= _QUANTISED
  if version == 3:
    known.add(VIEWS)
  for missing, problem in ((known - _LATER - set(document), "lacks"),
                           (set(document) - known, "has unknown")):
    if missing:
      raise ArtifactError(
          f"the metadata must hold the fields of schema {version}; it "
          f"{problem} {fitting(sorted(missing), 150)}.")
