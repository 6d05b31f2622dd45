"""The bytes of a set, and the check of its `storage_bytes`."""

import zlib

import jax
import numpy as np

from distill_jax import packing
from distill_jax.errors import require
from distill_jax.schema.nesting import nested
from distill_jax.types import PyTree

_APART = {"total", "initial", "teacher", "vectors"}  # not in the total


def num_bytes(tree: PyTree) -> int:
  """Bytes of all leaves of a tree."""
  return int(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))


def storage_bytes(codes, inputs, labels, step_sizes,
                  views=()) -> dict[str, int]:
  """Bytes of each part of a set, and their total; see `kept`.

  Args:
    codes: codes as they are stored, or `()`.
    inputs: samples, which are stored if there are no codes.
    labels: label rows as they are stored.
    step_sizes: [T].
    views: `Artifact.views`; a set without labels of views has no entry.
  """
  parts = _parts(codes, inputs, labels, step_sizes, views)
  sizes = {name: num_bytes(part) for name, part in parts.items()}
  return {**sizes, "total": sum(sizes.values())}


def kept(artifact) -> dict[str, PyTree]:
  """The parts in which a set is stored, by the entries of `storage_bytes`.

  Without codes, samples are stored as they are. An entry `decoder` of the codes
  is a part of its own.
  """
  codes, labels = artifact.codes, artifact.labels[:artifact.num_rows]
  if artifact.quantisation:
    codes, labels = map(packing.stored, (codes, artifact.stored_labels))
  return _parts(
      codes, artifact.inputs, labels, artifact.step_sizes, artifact.views)


def compressed_bytes(artifact) -> int:
  """Bytes of everything in `kept`, compressed by zlib in one stream."""
  leaves = jax.tree.leaves(kept(artifact))
  return len(
      zlib.compress(b"".join(np.asarray(x).tobytes() for x in leaves), 9))


def check(artifact) -> None:
  """Compares `storage_bytes` with the arrays, except for missing codes.

  Raises:
    ArtifactError: an entry is wrong; the message names it.
  """
  sizes, codes, labels = artifact.storage_bytes, artifact.codes, artifact.labels
  pixels = artifact.parameterization == "pixels"
  has_codes = bool(jax.tree.leaves(codes))
  require(
      not (has_codes and pixels) or np.array_equal(codes, artifact.inputs),
      "codes", "be the inputs where `parameterization` is pixels", "others")
  if artifact.quantisation:
    found = {name: num_bytes(part) for name, part in kept(artifact).items()}
  else:
    found = storage_bytes(
        codes, artifact.inputs, labels, artifact.step_sizes, artifact.views)
  if not (has_codes or pixels):  # codes were left out
    found |= {name: sizes[name] for name in ("samples", "decoder")}
  if "parts" in artifact.provenance or "step_sizes" not in sizes:
    del found["step_sizes"]  # a union's sizes are sums; older sets lack it
  # If several samples share a row, fewer rows are stored than there are.
  rows, left = divmod(sizes["labels"], labels[:1].nbytes)
  if not artifact.quantisation and not left and 1 <= rows <= len(labels):
    found["labels"] = sizes["labels"]
  apart = dict(
      initial=artifact.initial,
      vectors=artifact.preprocessing,
      teacher=(artifact.views or {}).get("teacher", ()))
  found |= {k: num_bytes(nested(k, v)) for k, v in apart.items() if k in sizes}
  stated = {**sizes, **found}
  found["total"] = sum(v for k, v in stated.items() if k not in _APART)
  for name, size in found.items():
    require(
        sizes[name] == size, f"storage_bytes/{name}",
        f"be the {size:,} bytes that are stored", sizes[name])


def _parts(codes, inputs, labels, step_sizes, views) -> dict[str, PyTree]:
  samples, decoder = codes if jax.tree.leaves(codes) else inputs, ()
  if isinstance(samples, dict):
    samples = dict(samples)
    decoder = samples.pop("decoder", ())
  parts = {
      "samples": samples,
      "labels": labels,
      "step_sizes": step_sizes,
      "decoder": decoder
  }
  return {**parts, "views": views["labels"]} if views else parts
