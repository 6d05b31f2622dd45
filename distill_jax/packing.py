"""How quantised sets are stored: integers packed into bytes, and scales.

An array of floats becomes four arrays; in the file they are NAME/packed,
NAME/scale, NAME/minimum and NAME/shape:

  packed   [ceil(n b / 8)] uint8, the n integers in the order of the array's
           axes (C order), 8 / b of them in a byte, the first one in the lowest
           bits; zeros fill the last byte
  scale    float16, as many along each axis as there are groups
  minimum  float16, like `scale`
  shape    of the array, int32

The settings of a quantised set are JSON: `bits`, `group` and `patch` of
`parameterization.quantised`; `inner`, the specification of the parameterization
that decodes the values; and `labels`, the bits of labels. Labels of 32 bits are
rows of float32. With 16 or 8 bits, hard labels are stored as class numbers;
soft ones are rows of float16 (16 bits), or packed with a scale and a minimum
per row (8 bits).
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import specification
from distill_jax.errors import (
    ArtifactError,
    ConfigError,
    plain,
    require,
    shown,
)
from distill_jax.labels import (
    centred_rows,
    classes_of_labels,
    label_rows,
    uncentred,
)
from distill_jax.parameterization import from_spec
from distill_jax.parameterization.quantised import Quantiser
from distill_jax.types import Parameterization, PyTree, Spec

LABEL_BITS = (32, 16, 8)
FIELDS = (*Quantiser._fields, "inner", "labels")  # names of the settings
PARTS = ("packed", "scale", "minimum", "shape")
_ROWS = Quantiser(8, "image")  # quantiser of soft labels
# A file may claim any size. Decoded samples may have at most this many bytes,
# or
# this many times the bytes of the codes, whichever is more.
_LARGEST, _TIMES = 2**30, 1_000


def settings_of(spec: Spec, labels: int = 32) -> dict[str, Any]:
  """JSON settings of a parameterization; {} if it is not quantised.

  Args:
    spec: specification of the parameterization.
    labels: bits of labels.

  Raises:
    ConfigError: labels cannot have this number of bits.
  """
  settings = dict(spec)
  if settings.get("name") != "quantised":
    return {}
  check_label_bits(labels)
  return {
      **{
          name: settings[name] for name in Quantiser._fields
      }, "inner": specification.thawed(settings["inner"]),
      "labels": labels
  }


def parts_of(settings: Mapping[str, Any]) -> tuple[Quantiser, Parameterization]:
  """The quantiser, and the parameterization that decodes the values.

  Raises:
    ArtifactError: a setting is missing, unknown or out of range.
  """
  try:
    if set(settings) != set(FIELDS):
      raise ValueError(f"it must have {', '.join(FIELDS)}")
    check_label_bits(settings["labels"])
    # Raises for unknown settings.
    from_spec({"name": "quantised", **_without(settings, "labels")})
    own = {name: settings[name] for name in Quantiser._fields}
    return Quantiser(**own), from_spec(settings["inner"])
  except (TypeError, ValueError) as error:
    raise ArtifactError(
        "`quantisation` must be settings of `quantised` and bits of labels; "
        f"{plain(error, 160)}") from error


def check_label_bits(labels: int) -> None:
  """Refuses numbers of bits that are not in `LABEL_BITS`.

  Raises:
    ConfigError: it is such a number.
  """
  if type(labels) is not int or labels not in LABEL_BITS:
    raise ConfigError(
        f"`labels` must be of 32, 16 or 8 bits; got {shown(labels)}.")


def pack(quantiser: Quantiser, tree: PyTree) -> PyTree:
  """A tree with four arrays in place of each array of floats.

  Raises:
    ArtifactError: values that are not finite, or beyond the range of float16.
  """
  return jax.tree.map(lambda values: _packed(quantiser, values), tree)


def unpack(quantiser: Quantiser, tree: PyTree, name: str = "codes") -> PyTree:
  """Returns the floats of a tree that `pack` made.

  Args:
    quantiser: the quantiser that packed it.
    tree: the result of `pack`, or the same from a file.
    name: name of the tree, for messages.

  Raises:
    ArtifactError: arrays have wrong types, lengths or shapes.
  """
  if _is_record(tree):
    return _unpacked(quantiser, tree, name)
  if isinstance(tree, Mapping):
    return {k: unpack(quantiser, v, f"{name}/{k}") for k, v in tree.items()}
  if isinstance(tree, tuple):
    return tuple(
        unpack(quantiser, v, f"{name}/{i}") for i, v in enumerate(tree))
  if tree is not None and tree.dtype.kind not in "uib":
    raise ArtifactError(
        f"`{name}` must be packed, or whole numbers; got {tree.dtype} "
        f"{tree.shape}.")
  return tree


def stored(tree: PyTree) -> PyTree:
  """The arrays whose bytes are counted: all but shapes."""
  if _is_record(tree):
    return _without(tree, "shape")
  if isinstance(tree, Mapping):
    return {name: stored(part) for name, part in tree.items()}
  return tuple(map(stored, tree)) if isinstance(tree, tuple) else tree


def as_stored(spec: Spec, codes: PyTree) -> PyTree:
  """Float codes of a parameterization in `stored` form, packed or not."""
  settings = settings_of(spec)
  if not settings:
    return codes
  return stored(pack(parts_of(settings)[0], codes))


def pack_labels(
    rows: np.ndarray, bits: int, *, hard: bool, space: str) -> PyTree:
  """Label rows [R, K] float32 as they are stored; see the module.

  Args:
    rows: `Distilled.labels`.
    bits: one of `LABEL_BITS`.
    hard: whether every row names one class.
    space: label space; see `Artifact.label_space`.
  """
  if bits == 32:
    return rows
  if hard:
    hot = uncentred(rows) if space == "centred" else rows
    dtype = np.uint8 if hot.shape[1] <= 256 else np.uint16
    return np.asarray(classes_of_labels(hot)).astype(dtype)
  return rows.astype(np.float16) if bits == 16 else pack(_ROWS, rows)


def unpack_labels(kept: PyTree, num_outputs: int, *, space: str) -> np.ndarray:
  """Label rows [R, K] float32 from their stored form.

  Args:
    kept: the result of `pack_labels`, or the same from a file.
    num_outputs: K.
    space: label space. Probabilities of 8 bits are scaled to sum to 1.

  Raises:
    ArtifactError: the arrays are not of that form.
  """
  if _is_record(kept):
    rows = unpack(_ROWS, kept, "labels")
    if space != "probabilities" or rows.ndim != 2 or rows.shape[1] == 1:
      return rows
    rows = np.maximum(rows, 0)
    return rows / np.maximum(rows.sum(1, keepdims=True), np.float32(1e-6))
  if not isinstance(kept, np.ndarray):
    raise ArtifactError(
        "`labels` must be an array, or integers with their scale; got "
        f"{shown(kept)}.")
  if kept.dtype in (np.float32, np.float16):
    return kept.astype(np.float32)
  num_classes, largest = max(num_outputs, 2), kept.max(initial=0)
  numbers = kept.dtype in (np.uint8, np.uint16) and kept.ndim == 1
  if not numbers or largest >= num_classes:
    raise ArtifactError(
        f"`labels` must be floats, or numbers of the {num_classes} classes; "
        f"got {kept.dtype} {kept.shape} up to {largest}.")
  rows = centred_rows if space == "centred" else label_rows
  return np.asarray(rows(kept.astype(np.int32), num_classes), np.float32)


def decode(
    settings: Mapping[str, Any], codes: PyTree, labels: PyTree,
    num_outputs: int, *, space: str) -> tuple[np.ndarray, np.ndarray]:
  """Decodes stored codes and labels: samples [M, ...], labels [M, K], float32.

  Args:
    settings: the result of `settings_of`, or the same from a file.
    codes: the result of `pack`, or the same from a file.
    labels: the result of `pack_labels`, or the same from a file.
    num_outputs: K.
    space: label space; see `Artifact.label_space`.

  Raises:
    ArtifactError: settings and arrays do not fit each other.
  """
  quantiser, inner = parts_of(settings)
  floats = jax.tree.map(jnp.asarray, unpack(quantiser, codes))
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(floats))
  try:
    shape = jax.eval_shape(inner.decode, floats)
    if 4 * math.prod(shape.shape) > max(_LARGEST, _TIMES * size):
      raise ValueError(f"they decode to {shape.shape}")
    inputs, owner = inner.decode(floats), np.asarray(inner.owner(floats))
  except (AttributeError, KeyError, IndexError, OverflowError, TypeError,
          ValueError) as error:
    raise ArtifactError(
        "`codes` must be those of `quantisation`; "
        f"{plain(error, 120)}.") from error
  rows = unpack_labels(labels, num_outputs, space=space)
  num = owner.max(initial=0) + 1
  if rows.ndim != 2 or owner.shape != inputs.shape[:1] or len(rows) < num:
    raise ArtifactError(
        f"`labels` must have a row for each of {num} codes; got {rows.shape}.")
  return np.asarray(inputs, np.float32), rows[owner]


def num_rows(labels: PyTree) -> int:
  """Number of label rows that `pack_labels` packed."""
  return int(labels["shape"][0]) if _is_record(labels) else len(labels)


def _packed(quantiser, values):
  values = np.asarray(values)
  if not np.issubdtype(values.dtype, np.floating):
    return values
  q, scale, minimum = map(np.asarray, quantiser.integers(jnp.asarray(values)))
  if not (np.isfinite(scale).all() and np.isfinite(minimum).all()):
    raise ArtifactError(
        "`codes` must be finite and within +-65,504, the range of float16, to "
        f"be quantised; got {values.min()}..{values.max()}.")
  each = 8 // quantiser.bits
  q = np.pad(q.ravel(), (0, -q.size % each)).reshape(-1, each)
  shifts = quantiser.bits * np.arange(each, dtype=np.uint8)
  return {
      "packed": np.bitwise_or.reduce(q << shifts, axis=1, dtype=np.uint8),
      "scale": scale,
      "minimum": minimum,
      "shape": np.array(values.shape, np.int32)
  }


def _unpacked(quantiser, record, name):
  packed, scale, minimum, shape = (record[part] for part in PARTS)
  require(
      shape.dtype == np.int32 and shape.ndim == 1 and shape.min(initial=0) >= 0,
      f"{name}/shape", "be whole numbers, int32", shape)
  sizes = tuple(shape.tolist())
  each, number = 8 // quantiser.bits, math.prod(sizes)
  require(
      packed.dtype == np.uint8 and packed.shape == (-(-number // each),),
      f"{name}/packed",
      f"be {-(-number // each):,} bytes for {number:,} values of "
      f"{quantiser.bits} bits", f"{packed.dtype} {packed.shape}")
  groups = quantiser.groups(sizes)
  for part, values in (("scale", scale), ("minimum", minimum)):
    require(
        values.dtype == np.float16 and values.shape == groups, f"{name}/{part}",
        f"be float16 {groups}", f"{values.dtype} {values.shape}")
    bad = int(np.sum(~np.isfinite(values)))
    require(
        not bad, f"{name}/{part}", "be finite", f"{bad} NaN or infinite values")
  require(
      scale.min(initial=0) >= 0, f"{name}/scale", "not be negative",
      scale.min(initial=0))
  shifts = quantiser.bits * np.arange(each, dtype=np.uint8)
  q = packed[:, None] >> shifts & np.uint8(2**quantiser.bits - 1)
  q = q.reshape(-1)[:number].reshape(sizes)
  return np.asarray(quantiser.floats(*map(jnp.asarray, (q, scale, minimum))))


def _is_record(tree) -> bool:
  return isinstance(tree, Mapping) and set(tree) == set(PARTS) and all(
      hasattr(part, "dtype") for part in tree.values())


def _without(mapping, name):
  return {key: value for key, value in mapping.items() if key != name}
