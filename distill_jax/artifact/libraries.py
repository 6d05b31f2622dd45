"""A set in the types of other libraries: PyTorch, Keras and Hugging Face.

Each function imports its library when it is called. All give samples in model
space, with which the set was learned, one output for each class, also of two,
and labels as `Artifact.to_numpy` has them: class indices where each row names
one class, otherwise rows. Labels of views, learned step sizes, the order of
steps and theta_0 are of no use to other libraries and are left out.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from distill_jax import preprocessing
from distill_jax.artifact.record import Artifact, inverted
from distill_jax.text.embedding import is_of_words


class KerasSet(NamedTuple):
  """A set for `keras.Model.compile` and `fit`.

  Attributes:
    x: float32 samples in model space; images [M, H, W, C], or [M, C, H, W]
      where Keras is told that channels come first.
    y: [M] int64 classes where each label row names one, else [M, K] float32.
    loss: what `y` is a target of, for networks with K outputs and no softmax.
    prepare: `(raw) -> float32`, from real data in the units of the data that
      the set was made of (texts as token ids) to the space of `x`.
  """

  x: np.ndarray
  y: np.ndarray
  loss: Callable[[Any, Any], Any]
  prepare: Callable[[Any], np.ndarray]


def to_torch(artifact: Artifact):
  """`Artifact.to_torch`."""
  torch = _library("torch", "to_torch", "PyTorch")
  first = artifact.modality == "image"

  def tensor(x):
    return torch.from_numpy(_laid_out(x, first))

  def prepare(raw):
    return tensor(_prepared(artifact, raw))

  return tensor(artifact.inputs), torch.from_numpy(_targets(artifact)), prepare


def to_keras(artifact: Artifact) -> KerasSet:
  """`Artifact.to_keras`."""
  keras = _library("keras", "to_keras", "Keras")
  first = (
      artifact.modality == "image" and
      keras.config.image_data_format() == "channels_first")

  def prepare(raw):
    return _laid_out(_prepared(artifact, raw), first)

  def cross_entropy(labels, logits):
    # Keras' own differs in gradients where rows do not sum to 1, on TensorFlow.
    log_p = keras.ops.log_softmax(logits)
    return -keras.ops.sum(keras.ops.cast(labels, log_p.dtype) * log_p, -1)

  if artifact.hard_rows:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  elif artifact.label_space == "centred":
    loss = keras.losses.MeanSquaredError()
  elif artifact.label_space == "raw":
    loss = cross_entropy
  else:
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
  return KerasSet(
      _laid_out(artifact.inputs, first), _targets(artifact), loss, prepare)


def to_datasets(artifact: Artifact):
  """`Artifact.to_datasets`."""
  datasets = _library("datasets", "to_datasets", "Hugging Face datasets")
  columns: dict[str, tuple[Any, Any]] = {}  # values and feature

  def add(name, array):
    """A column of rows of numbers."""
    shape = array.shape[1:]
    kind = {2: datasets.Array2D, 3: datasets.Array3D}.get(len(shape))
    feature = (
        kind(shape=shape, dtype="float32") if kind else datasets.Sequence(
            datasets.Value("float32"), length=shape[0]))
    columns[name] = (np.asarray(array, np.float32), feature)

  if artifact.modality == "image":
    pictures = shown(artifact)
    if pictures is not None:
      _library("PIL", "to_datasets", "Pillow", "pillow")
      columns["image"] = ([*pictures], datasets.Image())
  elif is_of_words(artifact.preprocessing):
    columns["text"] = (
        artifact.to_numpy()[0].tolist(), datasets.Value("string"))
  else:
    add(artifact.modality, artifact.to_numpy()[0])
  add("inputs", artifact.inputs)
  targets = _targets(artifact)
  hard = targets.ndim == 1
  columns["label"] = ((targets if hard else targets.argmax(1)).tolist(),
                      datasets.ClassLabel(names=list(artifact.class_names)))
  if not hard:
    add("soft_label", targets)
  return datasets.Dataset.from_dict(
      {
          name: values for name, (values, _) in columns.items()
      },
      features=datasets.Features({
          name: feature for name, (_, feature) in columns.items()
      }),
      split="train")


def shown(artifact: Artifact) -> np.ndarray | None:
  """Images as files hold them: [M, H, W] or [M, H, W, 3] uint8.

  Rounded and clipped to 0..255. None for another number of channels.
  """
  pixels = np.clip(np.round(255 * inverted(artifact)), 0, 255).astype(np.uint8)
  channels = pixels.shape[-1]
  if channels == 1:
    return pixels[..., 0]
  return pixels if channels == 3 else None


def _library(name: str, function: str, title: str, package: str = ""):
  try:
    return importlib.import_module(name)
  except ImportError as error:
    raise ImportError(
        f"`{function}` needs {title}: pip install {package or name}. "
        "`to_numpy` needs nothing.") from error


def _prepared(artifact: Artifact, raw) -> np.ndarray:
  return preprocessing.applied(artifact.preprocessing, np.asarray(raw))


def _laid_out(x, channels_first: bool) -> np.ndarray:
  x = np.moveaxis(x, -1, 1) if channels_first else x
  return np.array(x, np.float32)


def _targets(artifact: Artifact) -> np.ndarray:
  """Classes [M] int64, or rows [M, K] float32, also of two classes."""
  _, y = artifact.to_numpy()
  if y.ndim == 2 and y.shape[1] == 1:
    y = np.concatenate([1 - y, y], axis=1)
  return np.array(y)
