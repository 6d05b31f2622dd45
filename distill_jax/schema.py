"""Schema 1 of a distilled set: its tensors, its document and their rules.

`split` takes an artifact apart into tensors by name and a JSON document;
`fields` is the inverse; `check` holds every rule that a set must keep, whether
it was just distilled, made from someone's arrays or read from a file.

Pytrees (theta_0, codes, extra) are nested dicts and tuples of arrays. A tensor
is named by its keys, joined by "/"; the document repeats the nesting with
"array" at the leaves: `{"params": {"head": {"bias": "array", ...}}}`.
"""

import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import storage
from distill_jax.errors import ArtifactError
from distill_jax.labels import num_outputs
from distill_jax.preprocessing import PREPROCESSING, name_of
from distill_jax.text.embedding import is_of_words, vocabulary
from distill_jax.types import Preprocessing, PyTree

VERSION = 1
ARRAYS = ("inputs", "labels", "step_sizes", "order")
TREES = ("initial", "codes", "extra")
_CHOICES = {
    "modality": ("image", "text", "series", "features"),
    "raw_dtype": ("uint8", "float32", "int32"),
    "label_regime": ("hard", "soft_fixed"),
    "label_space": ("raw", "probabilities", "logits", "centred"),
    "student_init": ("fixed", "random")
}
_WHOLE = (jnp.integer, jnp.bool_)
_DICTS = ("recipe", "network", "storage_bytes", "provenance")
_PLAIN = (
    "method", "parameterization", *_CHOICES, "label_scale", "class_names",
    *_DICTS)
_KEYS = {"schema_version", "sha256", "order", "preprocessing", *TREES, *_PLAIN}
_LATER = {"raw_dtype"}  # older files lack it


def modality(inputs: np.ndarray, preprocessing: Preprocessing) -> str:
  """What samples [M, ...] are, by their rank and whether words are behind."""
  if inputs.ndim == 3:
    return "text" if is_of_words(preprocessing) else "series"
  return {4: "image", 2: "features"}.get(inputs.ndim, "unknown")


def default_raw_dtype(inputs: np.ndarray, preprocessing: Preprocessing) -> str:
  """That of the raw data of a set that does not say."""
  if is_of_words(preprocessing):
    return "int32"
  return "uint8" if inputs.ndim == 4 else "float32"


def plain(name: str, tree: PyTree) -> PyTree:
  """A pytree as nested dicts and tuples of NumPy arrays, as it is stored.

  Records become dicts, floats become float32.

  Args:
    name: what to call it in messages.
    tree: mappings, tuples, lists, records, arrays, numbers and None.

  Raises:
    ArtifactError: anything else in it, or a key with "/".
  """
  if tree is None:
    return None
  if hasattr(tree, "_asdict"):
    tree = tree._asdict()
  if isinstance(tree, Mapping):
    bad = [k for k in tree if not isinstance(k, str) or "/" in k or not k]
    if bad:
      raise ArtifactError(
          f"`{name}` must have keys that are texts without '/'; got {bad[0]!r}."
      )
    return {k: plain(f"{name}/{k}", v) for k, v in tree.items()}
  if isinstance(tree, tuple | list):
    return tuple(plain(f"{name}/{i}", v) for i, v in enumerate(tree))
  dtype = tree.dtype if hasattr(tree, "dtype") else np.asarray(tree).dtype
  floating = jnp.issubdtype(dtype, jnp.floating)
  if not (floating or any(jnp.issubdtype(dtype, k) for k in _WHOLE)):
    raise ArtifactError(
        f"`{name}` must be nested dicts and tuples of numbers; got "
        f"{type(tree).__name__} of type {dtype}. Leave it out.")
  return np.asarray(tree, np.float32 if floating else dtype)


def split(artifact) -> tuple[storage.Tensors, dict[str, Any]]:
  """Tensors by name, and the document without its checksum."""
  tensors = {name: getattr(artifact, name) for name in ARRAYS}
  record = artifact.preprocessing
  document = {
      "schema_version": VERSION,
      "order": artifact.order.tolist(),
      "preprocessing": name_of(record),
      **{
          name: getattr(artifact, name) for name in _PLAIN
      }
  }
  for name, value in plain("preprocessing", record._asdict()).items():
    tensors[f"preprocessing/{name}"] = value
  for name in TREES:
    document[name] = _flatten(name, getattr(artifact, name), tensors)
  return tensors, document


def fields(tensors: storage.Tensors, document: dict) -> dict[str, Any]:
  """The fields of the artifact that `split` took apart.

  Raises:
    ArtifactError: not schema 1, a checksum that does not fit, or fields or
      tensors too few or too many.
  """
  _check_document(tensors, document)
  left = dict(tensors)
  name = document["preprocessing"]
  if not isinstance(name, str) or name not in PREPROCESSING:
    raise ArtifactError(
        f"`preprocessing` must be one of {', '.join(PREPROCESSING)}; got "
        f"{name!r}. Upgrade distill_jax if the set is newer.")
  record = PREPROCESSING[name]
  parts = [_take(left, f"preprocessing/{field}") for field in record._fields]
  result = {name: _take(left, name) for name in ARRAYS}
  result |= {name: document[name] for name in _PLAIN if name in document}
  result |= {name: _unflatten(name, document[name], left) for name in TREES}
  if left:
    raise ArtifactError(
        f"the file must hold the tensors of schema {VERSION}; got also "
        f"{', '.join(sorted(left))}.")
  if document["order"] != result["order"].tolist():
    raise ArtifactError("`order` must be the same in tensors and metadata.")
  names = result["class_names"]
  result["class_names"] = tuple(names) if isinstance(names, list) else names
  result["preprocessing"] = record(*map(jnp.asarray, parts))
  result.setdefault(
      "raw_dtype", default_raw_dtype(result["inputs"], result["preprocessing"]))
  return result


def check(artifact):
  """Holds an artifact to every rule; returns it.

  Raises:
    ArtifactError: naming the field, the rule and what was found.
  """
  _check_settings(artifact)
  _check_shapes(artifact)
  _check_finite(artifact)
  fixed = bool(jax.tree.leaves(artifact.initial))
  _require((artifact.student_init == "fixed") == fixed, "student_init",
           "be fixed where theta_0 is given, else random",
           artifact.student_init)
  return artifact


def _check_document(tensors, document) -> None:
  version = document.get("schema_version")
  if type(version) is not int or version < 1:
    raise ArtifactError(f"`schema_version` must be {VERSION}; got {version!r}.")
  if version > VERSION:
    raise ArtifactError(
        f"`schema_version` must be at most {VERSION}; got {version}. Upgrade "
        "distill_jax to read this set.")
  try:
    storage.check(tensors, document)
  except ValueError as error:
    raise ArtifactError(
        f"the distilled set must be as it was saved; {error}. Fetch it again, "
        "or wrap arrays of your own with `from_samples`.") from error
  for missing, problem in ((_KEYS - _LATER - set(document), "lacks"),
                           (set(document) - _KEYS, "has unknown")):
    if missing:
      raise ArtifactError(
          f"the metadata must hold the fields of schema {VERSION}; it "
          f"{problem} {', '.join(sorted(missing))}.")


def _check_settings(artifact) -> None:
  for name, choices in _CHOICES.items():
    value = getattr(artifact, name)
    _require(value in choices, name, f"be one of {', '.join(choices)}", value)
  for name in ("method", "parameterization"):
    value = getattr(artifact, name)
    _require(isinstance(value, str) and value, name, "be a name", value)
  for name in _DICTS:
    value = getattr(artifact, name)
    _require(isinstance(value, dict), name, "be a dict", value)
  try:
    storage.to_json({name: getattr(artifact, name) for name in _DICTS})
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        f"{', '.join(_DICTS)} must hold JSON values alone; {error}.") from error
  for name in ("recipe", "network"):
    value = getattr(artifact, name)
    named = isinstance(value.get("name"), str) or (name, value) == (name, {})
    _require(named, name, 'have a "name"', value)
  scale = artifact.label_scale
  number = isinstance(scale, int | float) and 0 < scale < float("inf")
  _require(number, "label_scale", "be a positive number", scale)
  sizes = artifact.storage_bytes
  _require({"samples", "labels", "decoder", "total"} <= set(sizes) and
           all(type(v) is int and v >= 0 for v in sizes.values()),
           "storage_bytes", "count samples, labels, decoder and total", sizes)


def _check_shapes(artifact) -> None:
  inputs, labels = artifact.inputs, artifact.labels
  order, step_sizes = artifact.order, artifact.step_sizes
  names = artifact.class_names
  for name in ("inputs", "labels", "step_sizes"):
    dtype = getattr(artifact, name).dtype
    _require(dtype == np.float32, name, "be float32", dtype)
  _require(
      inputs.ndim in (2, 3, 4) and inputs.size, "inputs",
      "be [M, H, W, C], [M, s, d] or [M, D] with M at least 1", inputs.shape)
  found = modality(inputs, artifact.preprocessing)
  older = (found, artifact.modality) == ("series", "text")
  _require(
      artifact.modality == found or older, "modality",
      f"be {found} for inputs {inputs.shape}", artifact.modality)
  _require(
      isinstance(names, tuple) and len(names) > 1 and
      len(set(names)) == len(names) and
      all(isinstance(name, str) for name in names), "class_names",
      "be two or more different texts", names)
  shape = (len(inputs), num_outputs(len(names)))
  _require(
      labels.shape == shape, "labels",
      f"have shape {shape} for {shape[0]} inputs and {len(names)} class names",
      labels.shape)
  _require(
      order.dtype == np.int32 and order.ndim == 2 and order.size, "order",
      "be int32 [S, n]", f"{order.dtype} {order.shape}")
  _require(
      order.min() >= 0 and order.max() < len(inputs), "order",
      f"name samples 0..{len(inputs) - 1}", f"{order.min()}..{order.max()}")
  _require(
      step_sizes.ndim == 1 and len(step_sizes) % len(order) == 0, "step_sizes",
      f"be [T] with T a multiple of the {len(order)} steps in `order`",
      step_sizes.shape)
  _check_preprocessing(artifact)


def _check_preprocessing(artifact) -> None:
  name_of(artifact.preprocessing)
  if is_of_words(artifact.preprocessing):
    _check_words(artifact.preprocessing, artifact.inputs)
    return
  if artifact.modality == "text":
    return
  sample = jax.ShapeDtypeStruct((1, *artifact.inputs.shape[1:]), np.float32)
  try:
    shape = jax.eval_shape(artifact.preprocessing.invert, sample).shape
  except (TypeError, ValueError) as error:  # its arrays do not broadcast
    shape = str(error).splitlines()[0]
  _require(
      shape == sample.shape, "preprocessing",
      f"fit samples of shape {sample.shape[1:]}", shape)


def _check_words(record, inputs) -> None:
  averaged = hasattr(record, "mean")
  shape, size = record.table.shape, inputs.shape[-1]
  _require(
      shape[1:] == (size,) and inputs.ndim == (2 if averaged else 3),
      "preprocessing", f"have word vectors of {size} numbers for "
      f"{'[M, d]' if averaged else '[M, s, d]'}", f"{shape} for {inputs.shape}")
  if averaged:
    for name in ("mean", "std"):
      found = getattr(record, name).shape
      _require(
          found == (size,), f"preprocessing/{name}", f"have shape {(size,)}",
          found)
  try:
    words = len(vocabulary(record))
  except UnicodeDecodeError:
    words = "no UTF-8"
  _require(
      words == shape[0], "preprocessing/words",
      f"name the {shape[0] - 2} words of the table", words)


def _check_finite(artifact) -> None:
  named = {name: getattr(artifact, name) for name in (*ARRAYS, *TREES)}
  named["preprocessing"] = artifact.preprocessing
  for path, array in jax.tree.flatten_with_path(named)[0]:
    if jnp.issubdtype(array.dtype, jnp.inexact):
      bad = int(np.sum(~np.isfinite(np.asarray(array))))
      name = jax.tree_util.keystr(path, simple=True, separator="/")
      _require(not bad, name, "be finite", f"{bad} NaN or infinite values")
  lowest = artifact.step_sizes.min(initial=0)
  _require(lowest >= 0, "step_sizes", "not be negative", lowest)


def _flatten(name: str, tree: PyTree, tensors: storage.Tensors):
  """Adds the leaves of a plain tree to `tensors`; returns its nesting."""
  if tree is None:
    return None
  if isinstance(tree, dict):
    return {k: _flatten(f"{name}/{k}", v, tensors) for k, v in tree.items()}
  if isinstance(tree, tuple):
    return [_flatten(f"{name}/{i}", v, tensors) for i, v in enumerate(tree)]
  tensors[name] = tree
  return "array"


def _unflatten(name: str, nesting, left: storage.Tensors) -> PyTree:
  """Takes the leaves of a tree out of `left`."""
  if nesting is None:
    return None
  if isinstance(nesting, dict):
    return {k: _unflatten(f"{name}/{k}", v, left) for k, v in nesting.items()}
  if isinstance(nesting, list):
    parts = enumerate(nesting)
    return tuple(_unflatten(f"{name}/{i}", v, left) for i, v in parts)
  _require(nesting == "array", name, 'be nested down to "array"', nesting)
  return _take(left, name)


def _take(left: storage.Tensors, name: str) -> np.ndarray:
  if name not in left:
    raise ArtifactError(
        f"the file must hold the tensors of schema {VERSION}; {name} is "
        "missing.")
  return left.pop(name)


def _require(condition, name: str, rule: str, value) -> None:
  if not condition:
    text = value if isinstance(value, str) else repr(value)
    raise ArtifactError(f"`{name}` must {rule}; got {text[:200]}.")


def json_copy(name: str, value: Mapping | None) -> dict[str, Any]:
  """A dict as it comes back from a file: tuples as lists.

  Raises:
    ArtifactError: it holds more than JSON values.
  """
  try:
    return json.loads(storage.to_json(dict(value or {})))
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        f"`{name}` must hold JSON values alone; {error}.") from error
