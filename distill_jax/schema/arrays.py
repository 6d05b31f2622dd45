"""The arrays of a set and their rules: shapes, types, ranges."""

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.errors import plain, require
from distill_jax.labels import label_regime, num_outputs
from distill_jax.preprocessing import SMALLEST_STD, name_of
from distill_jax.schema.nesting import WHOLE
from distill_jax.text.embedding import (
    PADDING,
    AveragedVectors,
    is_of_words,
    vocabulary,
)
from distill_jax.text.tokens import in_utf8
from distill_jax.types import Preprocessing

ARRAYS = ("inputs", "labels", "step_sizes", "order")
TREES = ("initial", "codes", "extra")
VIEWS = "views"  # a tree of sets with labels of views only
_LARGEST_STEP = 1e4


def modality(inputs: np.ndarray, preprocessing: Preprocessing) -> str:
  """The modality of samples [M, ...].

  It follows from the number of axes, and from whether samples are words.
  """
  if inputs.ndim == 3:
    return "text" if is_of_words(preprocessing) else "series"
  return {4: "image", 2: "features"}.get(inputs.ndim, "unknown")


def default_raw_dtype(inputs: np.ndarray, preprocessing: Preprocessing) -> str:
  """The type of raw data for sets that do not state it."""
  if is_of_words(preprocessing):
    return "int32"
  return "uint8" if inputs.ndim == 4 else "float32"


def check(artifact) -> None:
  """Checks all arrays of a set.

  Raises:
    ArtifactError: a rule is broken; the message names the field.
  """
  _check_shapes(artifact)
  _check_preprocessing(artifact)
  _check_numbers(artifact)
  _check_labels(artifact)
  _check_views(artifact)


def _check_shapes(artifact) -> None:
  inputs, labels = artifact.inputs, artifact.labels
  order, step_sizes = artifact.order, artifact.step_sizes
  names = artifact.class_names
  for name in ("inputs", "labels", "step_sizes"):
    dtype = getattr(artifact, name).dtype
    require(dtype == np.float32, name, "be float32", dtype)
  require(
      inputs.ndim in (2, 3, 4) and inputs.size, "inputs",
      "be [M, H, W, C], [M, s, d] or [M, D] with M at least 1", inputs.shape)
  found = modality(inputs, artifact.preprocessing)
  older = (found, artifact.modality) == ("series", "text")
  require(
      artifact.modality == found or older, "modality",
      f"be {found} for inputs {inputs.shape}", artifact.modality)
  require(
      isinstance(names, tuple) and len(names) > 1 and
      all(isinstance(name, str) for name in names) and
      len(set(names)) == len(names), "class_names",
      "be two or more different texts", names)
  require(
      in_utf8("".join(names)), "class_names", "be texts that UTF-8 can hold",
      names)
  shape = (len(inputs), num_outputs(len(names)))
  require(
      labels.shape == shape, "labels",
      f"have shape {shape} for {shape[0]} inputs and {len(names)} class names",
      labels.shape)
  require(
      order.dtype == np.int32 and order.ndim == 2 and order.size, "order",
      "be int32 [S, n]", f"{order.dtype} {order.shape}")
  require(
      order.min() >= 0 and order.max() < len(inputs), "order",
      f"name samples 0..{len(inputs) - 1}", f"{order.min()}..{order.max()}")
  require(
      step_sizes.ndim == 1 and len(step_sizes) % len(order) == 0, "step_sizes",
      f"be [T] with T a multiple of the {len(order)} steps in `order`",
      step_sizes.shape)


def _check_preprocessing(artifact) -> None:
  name_of(artifact.preprocessing)
  if is_of_words(artifact.preprocessing):
    _check_words(artifact.preprocessing, artifact.inputs)
    return
  if artifact.modality == "text":  # an older set, of vectors without words
    return
  sample = jax.ShapeDtypeStruct((1, *artifact.inputs.shape[1:]), np.float32)
  record = artifact.preprocessing
  for use in (record.apply, record.invert):
    try:
      shape = jax.eval_shape(use, sample).shape
    except (TypeError, ValueError) as error:  # its arrays do not broadcast
      shape = plain(error, 150)
    require(
        shape == sample.shape, "preprocessing",
        f"fit samples of shape {sample.shape[1:]}", shape)


def _check_words(record, inputs) -> None:
  averaged = isinstance(record, AveragedVectors)
  shape, size = record.table.shape, inputs.shape[-1]
  require(
      shape[1:] == (size,) and inputs.ndim == (2 if averaged else 3),
      "preprocessing", f"have word vectors of {size} numbers for "
      f"{'[M, d]' if averaged else '[M, s, d]'}", f"{shape} for {inputs.shape}")
  if averaged:
    for name in ("mean", "std"):
      found = getattr(record, name).shape
      require(
          found == (size,), f"preprocessing/{name}", f"have shape {(size,)}",
          found)
  require(
      record.words.dtype == np.uint8, "preprocessing/words", "be uint8",
      record.words.dtype)
  try:
    words = vocabulary(record)
  except UnicodeDecodeError:
    require(False, "preprocessing/words", "be UTF-8", "other bytes")
  require(
      len(words) == shape[0], "preprocessing/words",
      f"name the {shape[0] - 2} words of the table",
      len(words) - 2)
  require(
      len(set(words)) == len(words), "preprocessing/words",
      "be different words", f"{len(words) - len(set(words))} twice")
  require(
      not np.any(record.table[PADDING]), "preprocessing/table",
      "be zero for padding", record.table[PADDING])


def _check_numbers(artifact) -> None:
  named = {name: getattr(artifact, name) for name in (*ARRAYS, *TREES, VIEWS)}
  named["preprocessing"] = artifact.preprocessing._asdict()
  for path, array in jax.tree.flatten_with_path(named)[0]:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    real = jnp.issubdtype(array.dtype, jnp.floating)
    whole = any(jnp.issubdtype(array.dtype, kind) for kind in WHOLE)
    of_words = name == "preprocessing/words"
    require(
        real or whole and (of_words or not name.startswith("preprocessing")),
        name, "be real floating numbers", array.dtype)
    if real:
      bad = int(np.sum(~np.isfinite(np.asarray(array))))
      require(not bad, name, "be finite", f"{bad} NaN or infinite values")
  steps, std = artifact.step_sizes, getattr(artifact.preprocessing, "std", 1)
  require(
      steps.min(initial=0) >= 0, "step_sizes", "not be negative",
      steps.min(initial=0))
  require(
      steps.max(initial=0) <= _LARGEST_STEP, "step_sizes",
      f"be at most {_LARGEST_STEP:g}", steps.max(initial=0))
  require(
      np.min(std) >= SMALLEST_STD, "preprocessing/std",
      f"be at least {SMALLEST_STD:.2g}", np.min(std))


def _check_views(artifact) -> None:
  views = artifact.views
  there = isinstance(views, dict) and set(views) in ({"labels"
                                                     }, {"labels", "teacher"})
  regime = "soft_views" if there else "another"
  require(
      there or views == (), "views", "be () or hold labels, maybe a teacher",
      type(views).__name__)
  require(
      (artifact.label_regime == "soft_views") == there, "label_regime",
      f"be {regime} for a set {'with' if there else 'without'} labels of views",
      artifact.label_regime)
  if not there:
    return
  recipe, size = artifact.recipe, artifact.num_samples
  batch = recipe.get("batch_size")
  require(
      recipe.get("name") == "views" and type(batch) is int and batch > 0,
      "recipe", "be views, with a batch_size, for a set with labels of views",
      recipe.get("name"))
  batch = min(batch, size)
  places, outputs = -(-size // batch) * batch, artifact.labels.shape[1]
  found = views["labels"]
  known = getattr(found, "dtype", None) in (np.float16, np.float32)
  require(
      known and found.ndim == 3 and found.shape[0] > 0 and
      found.shape[1:] == (places, outputs), "views/labels",
      f"be float16 or float32 [views, {places}, {outputs}] for batches of "
      f"{batch}", f"{getattr(found, 'dtype', type(found).__name__)} "
      f"{getattr(found, 'shape', '')}")


def _check_labels(artifact) -> None:
  labels, space = artifact.labels, artifact.label_space
  if artifact.label_regime == "hard":
    found = label_regime(labels, space)
    require(
        found == "hard", "labels",
        "be those of one class where `label_regime` is hard", found)
  if space == "probabilities":
    total = labels.sum(1) if labels.shape[1] > 1 else np.ones(1)
    require(
        labels.min() >= 0 and labels.max() <= 1.001 and
        np.abs(total - 1).max() < 1e-3, "labels",
        "be probabilities that sum to 1 where `label_space` says so",
        f"{labels.min():g}..{labels.max():g}, sums {total.min():g}.."
        f"{total.max():g}")
  centred = labels.shape[1] > 1 and labels.any() and (
      np.abs(labels.sum(1)) < 1e-5).all()
  require(
      not (centred and space == "raw"), "label_space",
      "be 'centred' for labels whose rows sum to zero, targets of a "
      "regression", space)
