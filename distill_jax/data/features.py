"""Sources of features: a frozen extractor is run once over all the data.

The distillation then sees only the [N, d] float32 features. The extractor may
therefore be a pre-trained network, a function of another framework, or a
function that reads texts. The extractor is not part of the distilled set.
Whoever uses the set applies the same extractor to new data, and then the
source's `preprocessing`, which is stored with the set.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from distill_jax.data.arrays import as_array
from distill_jax.data.making import from_arrays
from distill_jax.data.source import Source
from distill_jax.errors import DataError
from distill_jax.preprocessing import Standardise
from distill_jax.types import Preprocessing

_PARTS = ("train", "validation", "test")


def with_features(
    source: Source,
    features: Callable,
    *,
    rows: int = 256,
    preprocessing: str | Preprocessing = "standardise",
    name: str | None = None) -> Source:
  """Makes a source of features of the samples of another source.

  Args:
    source: real data; its splits, labels and class names are kept.
    features: the extractor, `(inputs [B, ...] in the source's model space) ->
      [B, d]`, in JAX or NumPy; jit it where that helps. For the embeddings of a
      network, also one with random weights: `jax.jit(partial(embeddings,
      network, variables))`.
    rows: number of samples given to `features` per call; the last call has
      fewer.
    preprocessing: preprocessing of the features, as in `from_arrays`;
      `unchanged` for none.
    name: name of the new source; "features of ..." by default.

  Raises:
    DataError: the features have a wrong shape or are not finite.
  """
  splits = {part: getattr(source, part) for part in _PARTS}
  splits = {part: split for part, split in splits.items() if split is not None}
  found = {
      part:
          _features(
              features, split.inputs, rows, f"{part} sample", split.encode)
      for part, split in splits.items()
  }
  _check_alike(found)
  record = from_arrays(
      found["train"],
      np.asarray(source.class_names)[source.train.labels],
      class_names=source.class_names,
      preprocessing=preprocessing,
      test_fraction=0).preprocessing
  made = {
      part:
          split._replace(inputs=jnp.asarray(found[part]), preprocessing=record)
      for part, split in splits.items()
  }
  return source._replace(
      name=name or f"features of {source.name}", raw_dtype="float32", **made)


def from_features(
    features: Callable,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    rows: int = 256,
    **options) -> Source:
  """Makes a source of features of anything that can be sliced, such as texts.

  Args:
    features: the extractor, `(samples) -> [B, d]`; it is given slices
      `x_train[i : i + rows]`.
    x_train: N samples of a kind that `features` reads, such as a list of
      strings or an array.
    y_train: as in `from_arrays`.
    x_test: as `x_train`; if None, `test_fraction` of the training samples are
      held out.
    y_test: as `y_train`.
    rows: number of samples given to `features` per call; the last call has
      fewer.
    **options: options of `from_arrays`; `preprocessing` is applied to the
      features.

  Raises:
    DataError: the features have a wrong shape or are not finite, or an error of
      `from_arrays`.
  """
  found = {"train": _features(features, x_train, rows, "train sample")}
  if x_test is not None:
    found["test"] = _features(features, x_test, rows, "test sample")
  _check_alike(found)
  return from_arrays(
      found["train"], y_train, found.get("test"), y_test, **{
          "name": "features",
          **options
      })


def unchanged(inputs: np.ndarray) -> Standardise:
  """A preprocessing that leaves features [N, d] as they are."""
  size = inputs.shape[-1:]
  return Standardise(jnp.zeros(size, jnp.float32), jnp.ones(size, jnp.float32))


def _features(features, samples, rows, noun, encode=lambda raw: raw):
  """Features [N, d] float32 of samples, computed `rows` at a time; checked."""
  if rows < 1:
    raise DataError(f"`rows` must be at least 1; got {rows}.")
  if not len(samples):
    raise DataError(f"there must be at least one {noun}; got none.")
  chunks = []
  for start in range(0, len(samples), rows):
    chunk = samples[start:start + rows]
    found = as_array("features", features(encode(chunk)))
    size = chunks[0].shape[1] if chunks else None
    chunks.append(_checked(found, len(chunk), size, start, noun))
  return np.concatenate(chunks)


def _checked(found, rows, size, start, noun):
  """Returns the features [B, d] of one call as float32, checked."""
  if found.ndim != 2 or len(found) != rows or not found.size:
    raise DataError(
        f"`features` must return [{rows}, d] for {rows} samples; got shape "
        f"{found.shape}. Flatten or pool what it returns.")
  if size is not None and found.shape[1] != size:
    raise DataError(
        f"`features` must return as many features at every call; got {size}, "
        f"then {found.shape[1]}.")
  if found.dtype.kind not in "uif" and found.dtype.name != "bfloat16":
    raise DataError(f"`features` must return numbers; got {found.dtype}.")
  with np.errstate(over="ignore"):
    found = found.astype(np.float32)
  bad = np.argwhere(~np.isfinite(found))
  if len(bad):
    raise DataError(
        f"`features` must return finite float32; got {len(bad)} NaN or "
        f"infinite values, the first for {noun} {start + bad[0, 0]}. Drop "
        "such samples or mend the extractor.")
  return found


def _check_alike(found) -> None:
  sizes = {part: inputs.shape[1] for part, inputs in found.items()}
  if len(set(sizes.values())) > 1:
    raise DataError(
        f"`features` must return as many features for every part; got {sizes}.")
