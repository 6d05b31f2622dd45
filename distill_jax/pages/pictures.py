"""Which figures a set and its report have, and how a page embeds a picture."""

import base64
import importlib.util
import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax import exchange, figures
from distill_jax.artifact import Artifact, inverted
from distill_jax.figures import theme
from distill_jax.preprocessing import Standardise
from distill_jax.text.embedding import AveragedVectors
from distill_jax.text.words import is_text, sentences, snapped
from distill_jax.types import Array

IN_TABLE = 20  # most classes for which a table shows the confusion matrix
_MOST, _SIDE = 32, 64  # most samples without matplotlib; pixels of their sides
# Replacements of a PNG that is too large: quality of JPEG, divisor of sides.
_SMALLER = ((92, 1), (75, 1), (88, 2), (70, 2), (70, 3), (50, 4))
# Alternative texts of pictures.
ALTERNATIVES = {
    "baselines": "Bar chart of the accuracies in the table",
    "confusion": "Matrix of true classes by row and predicted ones by column",
    "curves": "Line chart of the loss against outer steps",
    "heat_maps": "Heat maps of the vectors of distilled sentences",
    "samples": "Distilled samples, class by class, with their labels"
}


class Picture(NamedTuple):
  """A picture in a page.

  Attributes:
    uri: `data:` URI that holds it.
    width: width in CSS pixels.
    height: height in CSS pixels.
    alt: text that says what it shows.
  """

  uri: str
  width: int
  height: int
  alt: str


def _has(package: str) -> bool:
  return importlib.util.find_spec(package) is not None


def figures_of(
    artifact: Artifact,
    report: Mapping[str, Any],
    log: Sequence[Mapping[str, float]] = (),
    start: Array | None = None,
    *,
    titled: bool = True) -> Iterator[tuple[str, Any]]:
  """Yields pairs of name and `Figure`: curves, baselines, confusion, samples.

  Args:
    artifact: the set.
    report: its report.
    log: lines of `metrics.jsonl`.
    start: the start of its samples, in model space, or None.
    titled: whether each figure names the set; not where a heading does.
  """
  title = figures.set_title(artifact) if titled else ""
  if log:
    yield "curves", figures.curves(
        log, loss=figures.loss_name(artifact), title=title)
  if report["baselines"]:
    yield "baselines", figures.accuracy_bars(
        report, title=f"{title}, and baselines" if titled else "")
  if len(report.get("confusion", ())) > IN_TABLE:
    yield "confusion", figures.confusion_matrix(
        report["confusion"],
        title=f"{title}: predicted classes" if titled else "")
  labels, names = artifact.labels, artifact.class_names
  common = dict(title=title, label_space=artifact.label_space)
  if artifact.modality == "image" and artifact.inputs.shape[3] in (1, 3):
    yield "samples", figures.sample_grid(
        inverted(artifact),
        labels,
        names,
        start=_inverted_start(artifact, start),
        order=artifact.order,
        limits=_limits(artifact),
        **common)
  if artifact.modality == "features":
    yield "samples", figures.feature_table(
        _original(artifact),
        labels,
        names,
        columns=_columns(artifact),
        standardised=artifact.inputs if _is_standardised(artifact) else None,
        order=artifact.order,
        **common)
  if artifact.modality == "series":
    yield "samples", figures.series_lines(
        inverted(artifact),
        labels,
        names,
        start=_inverted_start(artifact, start),
        order=artifact.order,
        **common)
  if is_text(artifact):
    of_words = np.array_equal(snapped(artifact).inputs, artifact.inputs)
    yield "samples", figures.decoded_sentences(
        sentences(artifact),
        labels,
        names,
        order=artifact.order,
        of_words=of_words,
        **common)
    yield "heat_maps", figures.heat_maps(
        artifact.inputs, labels, names, **common)


def plainly(artifact: Artifact) -> bytes | None:
  """Samples as a PNG file, without matplotlib; None if not images."""
  if artifact.modality != "image" or artifact.inputs.shape[3] not in (1, 3):
    return None
  return exchange.picture(artifact, most=_MOST, side=_SIDE)


def is_png(content: bytes) -> bool:
  """Whether the bytes begin as a PNG file does."""
  return content.startswith(exchange.SIGNATURE) and content[12:16] == b"IHDR"


def embedded(
    content: bytes,
    alt: str,
    most: int,
    scale: float = theme.DPI / 96) -> Picture | None:
  """Embeds a PNG file in a page; None if it stays too large.

  A file that is too large becomes a JPEG if Pillow is installed.

  Args:
    content: bytes of the file.
    alt: text that says what it shows.
    most: largest number of bytes that are embedded.
    scale: pixels of the picture per CSS pixel.
  """
  width, height = struct.unpack(">II", content[16:24])
  kind, small = _within(content, most)
  if small is None:
    return None
  uri = f"data:image/{kind};base64,{base64.b64encode(small).decode()}"
  return Picture(uri, round(width / scale), round(height / scale), alt)


def _within(content: bytes, most: int) -> tuple[str, bytes | None]:
  """The type and bytes of a picture; None if it stays larger than `most`."""
  if len(content) <= most:
    return "png", content
  if not _has("PIL"):
    return "png", None
  from PIL import Image

  with Image.open(io.BytesIO(content)) as file:
    image = file.convert("RGB")
  for quality, divisor in _SMALLER:
    smaller = io.BytesIO()
    image.reduce(divisor).save(smaller, "JPEG", quality=quality, subsampling=0)
    if smaller.tell() <= most:
      return "jpeg", smaller.getvalue()
  return "jpeg", None


def _inverted_start(artifact: Artifact, start: Array | None):
  """The start of the samples, in the units of the data."""
  return None if start is None else artifact.preprocessing.invert(start)


def _is_standardised(artifact: Artifact) -> bool:
  """Whether inputs are in standard deviations from the mean, per entry."""
  return isinstance(artifact.preprocessing, Standardise | AveragedVectors)


def _limits(artifact: Artifact) -> tuple[float, float]:
  """Black and white of the real images, as far as the set knows them.

  Data in [0, 1] have a mean in [0, 1] and a standard deviation of at most 1/2.
  For other data, the limits are two standard deviations from the mean, where
  95 % of a normal distribution lie.
  """
  record = artifact.preprocessing
  if artifact.raw_dtype == "uint8" or not isinstance(record, Standardise):
    return 0.0, 1.0
  mean, std = np.asarray(record.mean), np.asarray(record.std)
  if (mean >= 0).all() and (mean <= 1).all() and (std <= 0.5).all():
    return 0.0, 1.0
  return float((mean - 2 * std).min()), float((mean + 2 * std).max())


def _original(artifact: Artifact) -> np.ndarray:
  """Features [M, D] in the units of the data; averaged vectors of texts."""
  record = artifact.preprocessing
  if isinstance(record, AveragedVectors):
    return np.asarray(artifact.inputs * record.std + record.mean)
  return inverted(artifact)


def _columns(artifact: Artifact) -> list[str] | None:
  """Names of features, if the data had names."""
  names = artifact.provenance.get("facts", {}).get("columns")
  fits = isinstance(names, list) and len(names) == artifact.inputs.shape[1]
  return names if fits else None
