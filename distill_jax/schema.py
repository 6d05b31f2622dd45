"""Schema 2 of a distilled set: its tensors, its document and their rules.

`split` takes an artifact apart into tensors by name and a JSON document;
`fields` is the inverse; `check` holds every rule that a set must keep, whether
it was just distilled, made from someone's arrays or read from a file.

Pytrees (theta_0, codes, extra) are nested dicts and tuples of arrays. A tensor
is named by its keys, joined by "/"; the document repeats the nesting with
"array" at the leaves: `{"params": {"head": {"bias": "array", ...}}}`.

Schema 2 is of quantised sets: it has `quantisation` and the nesting of `labels`
in its document, and no tensor `inputs`, which are decoded from the codes. All
other sets are of schema 1.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import models, packing, storage
from distill_jax.errors import ArtifactError, shown
from distill_jax.errors import plain as short
from distill_jax.labels import (
    centred_rows,
    classes_of_labels,
    label_rows,
    num_outputs,
    uncentred,
)
from distill_jax.preprocessing import PREPROCESSING, name_of
from distill_jax.specification import check_limits
from distill_jax.text.embedding import PADDING, is_of_words, vocabulary
from distill_jax.types import Preprocessing, PyTree

VERSION = 2
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
_NAMED = ("method", "parameterization")
_LONGEST_NAME = 300
_LARGEST_STEP = 1e4
# Types of the optional entries that code reads.
_PROVENANCE = dict(facts=dict, findings=list, loss=str, parts=list, title=str)
# Builders of recipes by name, which `evaluation` enters.
RECIPES: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
_LATER = {"raw_dtype"}  # older files lack it
_QUANTISED = {"labels", "quantisation"}  # of schema 2 alone


def modality(inputs: np.ndarray, preprocessing: Preprocessing) -> str:
  """The modality of samples [M, ...], by rank and kind of preprocessing."""
  if inputs.ndim == 3:
    return "text" if is_of_words(preprocessing) else "series"
  return {4: "image", 2: "features"}.get(inputs.ndim, "unknown")


def default_raw_dtype(inputs: np.ndarray, preprocessing: Preprocessing) -> str:
  """The type of raw data, for a set without `raw_dtype`."""
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
  quantised = bool(artifact.quantisation)
  tensors = {
      name: getattr(artifact, name)
      for name in ARRAYS
      if not quantised or name not in ("inputs", "labels")
  }
  record = artifact.preprocessing
  document = {
      "schema_version": VERSION if quantised else 1,
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
  if quantised:
    document["quantisation"] = artifact.quantisation
    document["labels"] = _flatten("labels", artifact.stored_labels, tensors)
  return tensors, document


def fields(tensors: storage.Tensors, document: dict) -> dict[str, Any]:
  """The fields of the artifact that `split` took apart.

  Raises:
    ArtifactError: a later schema, a checksum that does not fit, or fields or
      tensors too few or too many.
  """
  _check_document(tensors, document)
  left = dict(tensors)
  name = document["preprocessing"]
  if not isinstance(name, str) or name not in PREPROCESSING:
    raise ArtifactError(
        f"`preprocessing` must be one of {', '.join(PREPROCESSING)}; got "
        f"{shown(name)}. Upgrade distill_jax if the set is newer.")
  record = PREPROCESSING[name]
  parts = [_take(left, f"preprocessing/{field}") for field in record._fields]
  quantised = document["schema_version"] > 1
  result = {
      name: _take(left, name)
      for name in ARRAYS
      if not quantised or name not in ("inputs", "labels")
  }
  result |= {name: document[name] for name in _PLAIN if name in document}
  result |= {name: _unflatten(name, document[name], left) for name in TREES}
  if quantised:
    result["stored_labels"] = _unflatten("labels", document["labels"], left)
    result["quantisation"] = document["quantisation"]
    result["inputs"], result["labels"] = _decoded(**result)
  if left:
    raise ArtifactError(
        "the file must hold the tensors of schema "
        f"{document['schema_version']}; got also "
        f"{short(', '.join(sorted(left)))}.")
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
  _check_numbers(artifact)
  _check_labels(artifact)
  _check_quantised(artifact)
  _check_storage(artifact)
  _check_use(artifact)
  fixed = bool(jax.tree.leaves(artifact.initial))
  _require((artifact.student_init == "fixed") == fixed, "student_init",
           "be fixed where theta_0 is given, else random",
           artifact.student_init)
  return artifact


def _check_document(tensors, document) -> None:
  version = document.get("schema_version")
  if type(version) is not int or version < 1:
    raise ArtifactError(
        f"`schema_version` must be 1 or {VERSION}; got {shown(version)}.")
  if version > VERSION:
    raise ArtifactError(
        f"`schema_version` must be at most {VERSION}; got {short(version)}. "
        "Upgrade distill_jax to read this set.")
  try:
    storage.check(tensors, document)
  except ValueError as error:
    raise ArtifactError(
        f"the distilled set must be as it was saved; {error}. Fetch it again, "
        "or wrap arrays of your own with `from_samples`.") from error
  known = _KEYS | _QUANTISED if version > 1 else _KEYS
  for missing, problem in ((known - _LATER - set(document), "lacks"),
                           (set(document) - known, "has unknown")):
    if missing:
      raise ArtifactError(
          f"the metadata must hold the fields of schema {version}; it "
          f"{problem} {short(', '.join(sorted(missing)), 150)}.")


def _decoded(
    *, quantisation, codes, stored_labels, class_names, label_space, **others):
  """Inputs and labels of a quantised set."""
  del others
  _require(
      isinstance(quantisation, dict), "quantisation", "be a dict", quantisation)
  _require(
      isinstance(class_names, list | tuple), "class_names",
      "be two or more different texts", class_names)
  return packing.decode(
      quantisation,
      codes,
      stored_labels,
      num_outputs(len(class_names)),
      space=label_space)


def _check_quantised(artifact) -> None:
  """Compares inputs and labels with what the file will hold of them."""
  if not artifact.quantisation:
    _require(
        not jax.tree.leaves(artifact.stored_labels), "stored_labels",
        "be () where nothing is quantised", "others")
    return
  _require(
      artifact.parameterization == "quantised", "parameterization",
      "be quantised where `quantisation` says how", artifact.parameterization)
  for name, found in zip(("inputs", "labels"), _decoded(**artifact._asdict()),
                         strict=True):
    _require(
        np.array_equal(getattr(artifact, name), found), name,
        "be those that are decoded from what is stored", "others")


def _check_settings(artifact) -> None:
  for name, choices in _CHOICES.items():
    value = getattr(artifact, name)
    _require(value in choices, name, f"be one of {', '.join(choices)}", value)
  for name in _DICTS:
    value = getattr(artifact, name)
    _require(isinstance(value, dict), name, "be a dict", value)
  try:
    storage.to_json({name: getattr(artifact, name) for name in _DICTS})
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        f"{', '.join(_DICTS)} must hold JSON values alone; {error}.") from error
  named = {name: getattr(artifact, name) for name in _NAMED}
  for name in ("recipe", "network"):
    value = getattr(artifact, name)
    if value or name == "recipe":
      _require("name" in value, name, 'have a "name"', value)
      named[f"{name}/name"] = value["name"]
  for name, value in named.items():
    _require(
        isinstance(value, str) and value.isprintable() and
        0 < len(value) <= _LONGEST_NAME, name, "be a name", value)
  for name, kind in _PROVENANCE.items():
    value = artifact.provenance.get(name)
    _require(
        value is None or isinstance(value, kind), f"provenance/{name}",
        f"be a {kind.__name__}", value)
  scale = artifact.label_scale
  number = type(scale) in (int, float) and 1e-4 <= scale <= 1e4
  _require(number, "label_scale", "be a positive number, at most 1e4", scale)
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
      all(isinstance(name, str) for name in names) and
      len(set(names)) == len(names), "class_names",
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
  record = artifact.preprocessing
  for use in (record.apply, record.invert):
    try:
      shape = jax.eval_shape(use, sample).shape
    except (TypeError, ValueError) as error:  # its arrays do not broadcast
      shape = short(error, 150)
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
  _require(
      record.words.dtype == np.uint8, "preprocessing/words", "be uint8",
      record.words.dtype)
  try:
    words = vocabulary(record)
  except UnicodeDecodeError:
    _require(False, "preprocessing/words", "be UTF-8", "other bytes")
  _require(
      len(words) == shape[0], "preprocessing/words",
      f"name the {shape[0] - 2} words of the table",
      len(words) - 2)
  _require(
      len(set(words)) == len(words), "preprocessing/words",
      "be different words", f"{len(words) - len(set(words))} twice")
  _require(
      not np.any(record.table[PADDING]), "preprocessing/table",
      "be zero for padding", record.table[PADDING])


def _check_numbers(artifact) -> None:
  named = {name: getattr(artifact, name) for name in (*ARRAYS, *TREES)}
  named["preprocessing"] = artifact.preprocessing._asdict()
  for path, array in jax.tree.flatten_with_path(named)[0]:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    real = jnp.issubdtype(array.dtype, jnp.floating)
    whole = any(jnp.issubdtype(array.dtype, kind) for kind in _WHOLE)
    of_words = name == "preprocessing/words"
    _require(
        real or whole and (of_words or not name.startswith("preprocessing")),
        name, "be real floating numbers", array.dtype)
    if real:
      bad = int(np.sum(~np.isfinite(np.asarray(array))))
      _require(not bad, name, "be finite", f"{bad} NaN or infinite values")
  steps, std = artifact.step_sizes, getattr(artifact.preprocessing, "std", 1)
  _require(
      steps.min(initial=0) >= 0, "step_sizes", "not be negative",
      steps.min(initial=0))
  _require(
      steps.max(initial=0) <= _LARGEST_STEP, "step_sizes",
      f"be at most {_LARGEST_STEP:g}", steps.max(initial=0))
  _require(np.min(std) > 0, "preprocessing/std", "be positive", np.min(std))


def label_regime(labels: np.ndarray, space: str | None) -> str:
  """"hard" where the rows are those of classes, unscaled."""
  if labels.ndim != 2 or not labels.size:
    return "soft_fixed"  # refused with a reason
  centred = space == "centred"
  classes = classes_of_labels(uncentred(labels) if centred else labels)
  rows = (centred_rows if centred else label_rows)(
      classes, max(labels.shape[1], 2))
  return "hard" if np.array_equal(labels, rows) else "soft_fixed"


def _check_labels(artifact) -> None:
  labels, space = artifact.labels, artifact.label_space
  if artifact.label_regime == "hard":
    found = label_regime(labels, space)
    _require(
        found == "hard", "labels",
        "be those of one class where `label_regime` is hard", found)
  if space == "probabilities":
    total = labels.sum(1) if labels.shape[1] > 1 else np.ones(1)
    _require(
        labels.min() >= 0 and labels.max() <= 1.001 and
        np.abs(total - 1).max() < 1e-3, "labels",
        "be probabilities that sum to 1 where `label_space` says so",
        f"{labels.min():g}..{labels.max():g}, sums {total.min():g}.."
        f"{total.max():g}")
  centred = labels.shape[1] > 1 and labels.any() and (
      np.abs(labels.sum(1)) < 1e-5).all()
  _require(
      not (centred and space == "raw"), "label_space",
      "be 'centred' for labels whose rows sum to zero, targets of a "
      "regression", space)


def kept(artifact) -> dict[str, PyTree]:
  """What the set is stored as, by the entries of `storage_bytes`.

  An entry `decoder` of the codes is told apart. Without codes the samples are
  kept as they are.
  """
  codes, labels = artifact.codes, artifact.labels[:artifact.num_rows]
  if artifact.quantisation:
    codes, labels = map(packing.stored, (codes, artifact.stored_labels))
  return _parts(codes, artifact.inputs, labels, artifact.step_sizes)


def storage_bytes(codes, inputs, labels, step_sizes) -> dict[str, int]:
  """What the set costs to keep; see `kept`.

  Args:
    codes: as they are stored, without shapes, or `()`.
    inputs: what is kept without codes.
    labels: rows as they are stored.
    step_sizes: [T].
  """
  parts = _parts(codes, inputs, labels, step_sizes)
  sizes = {name: num_bytes(part) for name, part in parts.items()}
  return {**sizes, "total": sum(sizes.values())}


def compressed_bytes(artifact) -> int:
  """Of what `storage_bytes` counts in total, by zlib, all in one."""
  leaves = jax.tree.leaves(kept(artifact))
  return len(
      zlib.compress(b"".join(np.asarray(x).tobytes() for x in leaves), 9))


def _parts(codes, inputs, labels, step_sizes) -> dict[str, PyTree]:
  samples, decoder = codes if jax.tree.leaves(codes) else inputs, ()
  if isinstance(samples, dict):
    samples = dict(samples)
    decoder = samples.pop("decoder", ())
  return {
      "samples": samples,
      "labels": labels,
      "step_sizes": step_sizes,
      "decoder": decoder
  }


def num_bytes(tree: PyTree) -> int:
  """Of all leaves of a tree."""
  return int(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))


def _check_storage(artifact) -> None:
  """Compares `storage_bytes` with the arrays, except for absent codes."""
  sizes, codes, labels = artifact.storage_bytes, artifact.codes, artifact.labels
  pixels = artifact.parameterization == "pixels"
  has_codes = bool(jax.tree.leaves(codes))
  _require(
      not (has_codes and pixels) or np.array_equal(codes, artifact.inputs),
      "codes", "be the inputs where `parameterization` is pixels", "others")
  if artifact.quantisation:
    found = {name: num_bytes(part) for name, part in kept(artifact).items()}
  else:
    found = storage_bytes(codes, artifact.inputs, labels, artifact.step_sizes)
  if not (has_codes or pixels):  # left out
    found |= {name: sizes[name] for name in ("samples", "decoder")}
  if "parts" in artifact.provenance or "step_sizes" not in sizes:
    del found["step_sizes"]  # a union's sizes are sums, older sets lack it
  # A label may be of several samples.
  rows, left = divmod(sizes["labels"], labels[:1].nbytes)
  if not artifact.quantisation and not left and 1 <= rows <= len(labels):
    found["labels"] = sizes["labels"]
  for name, tree in (("initial", artifact.initial), ("vectors",
                                                     artifact.preprocessing)):
    if name in sizes:
      found[name] = num_bytes(plain(name, tree))
  apart = {"total", "initial", "vectors"}
  found["total"] = sum(
      v for k, v in {
          **sizes,
          **found
      }.items() if k not in apart)
  for name, size in found.items():
    _require(
        sizes[name] == size, f"storage_bytes/{name}",
        f"be the {size:,} bytes that are stored", sizes[name])


def _check_use(artifact) -> None:
  """Refuses a recipe or a network that cannot be built.

  Names that this library does not know, a user's own, are not checked.
  """
  name, steps = artifact.recipe["name"], artifact.step_sizes.size
  _require(
      steps < 2 or name == "in_order", "recipe",
      f"be in_order for a set with {steps} learned step sizes, which no other "
      "recipe takes", name)
  _require(
      steps or name != "in_order", "recipe",
      "not be in_order for a set without step sizes; give the method's own, "
      "for example recipes.dsa(300).spec", name)
  try:
    check_limits("recipe", artifact.recipe)
    check_limits("network", artifact.network)
    if artifact.network.get("name") in models.NAMES:
      models.from_spec(artifact.network, len(artifact.class_names))
    if name in RECIPES:
      RECIPES[name](artifact.recipe)
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        "`recipe` and `network` must be ones that can be built; "
        f"{short(error, 160)}") from error


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
        f"the file must hold the tensors of its schema; {short(name)} is "
        "missing.")
  return left.pop(name)


def _require(condition, name: str, rule: str, value) -> None:
  if not condition:
    text = value if isinstance(value, str) else repr(value)
    raise ArtifactError(f"`{short(name)}` must {rule}; got {short(text, 80)}.")


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
