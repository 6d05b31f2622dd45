"""Exports a distilled set: .npz arrays, a .png picture, or a data set folder.

A picture shows pixels in [0, 1]. Distilled images leave the range of real ones,
so each preprocessing has a rule:

  ZCA          invert, clip to the image's mean +- 2.5 of its standard
               deviations, then stretch the result to [0, 1] (the habit of
               Cazenavette et al., 2022, arXiv 2203.11932)
  standardise  invert; an image within [0, 1] (give or take half a grey level)
               is shown as it is, any other is stretched so that its smallest
               value is 0 and its largest 1
"""

import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax import schema, storage, unpacking
from distill_jax.artifact import Artifact, card, inverted
from distill_jax.artifact.file import SET, build, unwritable
from distill_jax.errors import ArtifactError, plain
from distill_jax.labels import classes_of, classes_of_labels
from distill_jax.preprocessing import ZCA
from distill_jax.types import FilePath

_NAMES = {"inputs": "x", "labels": "y"}  # names in .npz files
_PREFIX = "preprocessing/"
_FOR_READERS = ("pixels", "class_names")  # derived, not read by `import_npz`
_HALF_LEVEL = 0.5 / 255
_STDS = 2.5
SIGNATURE = b"\x89PNG\r\n\x1a\n"  # how a PNG file begins
_SMALLEST, _WIDEST, _GAP = 64, 20, 2  # pixels of an image, images, pixels


def export(
    artifact: Artifact,
    path: FilePath,
    *,
    report: Mapping[str, Any] | None = None,
    licence: str | None = None) -> None:
  """Writes a set for other programs; the ending of the path says how.

  Args:
    artifact: the set.
    path: one of
      FILE.npz: `x` (model space), `y`, `step_sizes`, `order`, `class_names`,
      the arrays of the preprocessing (`mean`, `std`), theta_0 as `initial/...`,
      for images also `pixels` in [0, 1], and the metadata as JSON text in
      `distill_jax`. Read it with `numpy.load(path)`; it needs no pickle.
      FILE.png: a grid of images, one row per class, in the order of their
      steps. Classes with more than 20 images take several rows; if no class has
      more than one image, all are in one line. It is written without Pillow.
      FOLDER, without an ending: a data set that Hugging Face's
      `load_dataset(FOLDER)` reads, see `Artifact.to_datasets`, with the data
      set card in README.md and the set itself in distilled.safetensors. The
      folder must be new or empty, and needs `pip install datasets`.
    report: the report that `dd.evaluate` returned, for the card.
    licence: the licence, for the card; see `Artifact.card`.

  Raises:
    ValueError: another ending, a picture of a set that is not of images, a
      folder that is not empty, or `report` or `licence` without a folder.
    ArtifactError: the file could not be written; an older one is unchanged.
    ImportError: a folder without the package datasets.

  Example:
    dd.export(made, "set.npz")
  """
  writers = {".npz": _npz, ".png": picture}
  suffix = Path(path).suffix.lower()
  if not suffix:
    return _folder(artifact, Path(path), report, licence)
  if suffix not in writers:
    raise ValueError(
        f"`path` must end in {' or '.join(writers)}, or have no ending for a "
        f"folder; got {str(path)!r}.")
  for name, value in (("report", report), ("licence", licence)):
    if value is not None:
      raise ValueError(
          f"`{name}` must be None but for a folder, whose card has it; got the "
          f"path {str(path)!r}.")
  content = writers[suffix](artifact)
  try:
    storage.replace(path, content)
  except OSError as error:
    raise unwritable(path, error) from error


def _folder(artifact: Artifact, path: Path, report, licence) -> None:
  schema.check(artifact)
  if path.exists() and not (path.is_dir() and not any(path.iterdir())):
    raise ValueError(
        f"`path` must be a new or an empty folder; got {path}. Name another.")
  rows = io.BytesIO()
  artifact.to_datasets().to_parquet(rows)
  text = artifact.card(report, licence=licence)
  try:
    (path / card.ROWS).parent.mkdir(parents=True, exist_ok=True)
    storage.replace(path / card.ROWS, rows.getvalue())
    storage.replace(path / "README.md", text.encode())
  except OSError as error:
    raise unwritable(path, error) from error
  artifact.save(path / SET)


def import_npz(path: FilePath) -> Artifact:
  """Reads a .npz file that `export` wrote; it has no codes.

  Raises:
    ArtifactError: the file was not exported, or breaks a rule of the schema.
  """
  try:
    with unpacking.arrays(Path(path), "path") as archive:
      arrays = dict(archive)
    text = arrays.pop(storage.KEY, None)
    document = None if text is None else json.loads(str(text))
  except (ValueError, RecursionError) as error:
    raise ArtifactError(
        f"`path` must name an exported set; got {path}: "
        f"{plain(error, 150).rstrip('.')}.") from error
  if not isinstance(document, dict):
    raise ArtifactError(
        f"`path` must name an exported set; {path} has no {storage.KEY!r}. "
        "Wrap its arrays with `from_samples`.")
  originals = {new: old for old, new in _NAMES.items()}
  known = (*schema.ARRAYS, *schema.TREES, *originals.values())
  tensors = {}
  for name in set(arrays) - set(_FOR_READERS):
    full = originals.get(name, name)
    full = full if full in known or "/" in full else _PREFIX + full
    tensors[full] = arrays[name]
  return build(path, tensors, document)


def to_pixels(artifact: Artifact) -> np.ndarray:
  """The images [M, H, W, C] float32 in [0, 1], by the rule of this module.

  Raises:
    ValueError: the set is not of images.
  """
  if artifact.modality != "image":
    raise ValueError(
        f"`artifact` must hold images to be shown; got {artifact.modality}. "
        "Export it as .npz.")
  zca = isinstance(artifact.preprocessing, ZCA)
  rule = _clipped if zca else _stretched_if_out
  images = map(rule, inverted(artifact))
  return np.stack(list(images)).astype(np.float32)


def _clipped(image):
  mean, reach = image.mean(), _STDS * image.std()
  return _stretched(np.clip(image, mean - reach, mean + reach))


def _stretched_if_out(image):
  if image.min() >= -_HALF_LEVEL and image.max() <= 1 + _HALF_LEVEL:
    return np.clip(image, 0, 1)
  return _stretched(image)


def _stretched(image):
  lowest, highest = image.min(), image.max()
  if lowest == highest:
    return np.clip(image, 0, 1)
  return (image - lowest) / (highest - lowest)


def _npz(artifact: Artifact) -> bytes:
  tensors, document = schema.split(schema.check(artifact.as_floats()))
  document["sha256"] = storage.checksum(tensors, document)
  arrays = {
      _NAMES.get(name, name.removeprefix(_PREFIX)): array
      for name, array in tensors.items()
  }
  if artifact.modality == "image":
    arrays["pixels"] = to_pixels(artifact)
  arrays["class_names"] = np.array(artifact.class_names)
  arrays[storage.KEY] = np.array(storage.to_json(document))
  content = io.BytesIO()
  np.savez(content, allow_pickle=False, **arrays)
  return content.getvalue()


def picture(
    artifact: Artifact,
    *,
    most: int | None = None,
    side: int | None = None) -> bytes:
  """The grid of `export(artifact, "set.png")` as the bytes of a PNG file.

  Args:
    artifact: a set of images.
    most: largest number of samples to draw, equally many per class; by default
      all.
    side: largest side of an image in pixels; of larger images only every
      second, third, ... pixel is drawn. By default all pixels.

  Raises:
    ValueError: the set is not of images with 1 or 3 channels.
  """
  images = to_pixels(artifact)
  if images.shape[-1] not in (1, 3):
    raise ValueError(
        "`artifact` must hold images of 1 or 3 channels for a .png; got "
        f"{images.shape[-1]}. Export it as .npz.")
  if side is not None:
    stride = -(-max(images.shape[1:3]) // side)
    images = images[:, ::stride, ::stride]
  drawn = np.round(255 * _grid(images, _rows(artifact, most))).astype(np.uint8)
  height, width, channels = drawn.shape
  header = struct.pack(
      ">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
  # In a PNG, each line of pixels begins with its filter; 0 is none.
  lines = np.insert(drawn.reshape(height, -1), 0, 0, axis=1)
  return SIGNATURE + b"".join(
      _chunk(name, content)
      for name, content in ((b"IHDR", header),
                            (b"IDAT", zlib.compress(lines.tobytes())),
                            (b"IEND", b"")))


def _chunk(name: bytes, content: bytes) -> bytes:
  """A chunk of a PNG file: length, name, content and checksum."""
  whole = name + content
  return (
      struct.pack(">I", len(content)) + whole +
      struct.pack(">I", zlib.crc32(whole)))


def _rows(artifact: Artifact, most: int | None) -> list[np.ndarray]:
  """The samples of each row of the picture, at most `most` in all."""
  used = np.asarray(artifact.order).ravel()
  used = used[np.sort(np.unique(used, return_index=True)[1])]
  # One column means the second class above 1/2, or above 0 if it is a logit.
  of = classes_of_labels if artifact.label_space == "raw" else classes_of
  classes = np.asarray(of(np.asarray(artifact.labels)))[used]
  rows = [used[classes == name] for name in np.unique(classes)]
  if most is not None:
    rows = [row[:max(1, most // len(rows))] for row in rows[:most]]
  if all(len(row) == 1 for row in rows):
    rows = [np.concatenate(rows)]
  return [
      row[start:start + _WIDEST]
      for row in rows
      for start in range(0, len(row), _WIDEST)
  ]


def _grid(images, rows):
  """A white image with all images on it; small ones are enlarged."""
  scale = max(1, -(-_SMALLEST // max(images.shape[1:3])))
  images = images.repeat(scale, 1).repeat(scale, 2)
  _, height, width, channels = images.shape
  columns = max(map(len, rows))
  height, width = height + _GAP, width + _GAP
  paper = np.ones((_GAP + height * len(rows), _GAP + width * columns, channels))
  for i, row in enumerate(rows):
    for j, sample in enumerate(row):
      top, left = _GAP + height * i, _GAP + width * j
      paper[top:top + height - _GAP, left:left + width - _GAP] = images[sample]
  return paper
