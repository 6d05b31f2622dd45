"""Writes the results of a finished run: report, words and figures."""

from pathlib import Path

import numpy as np

from distill_jax import figures, storage
from distill_jax.artifact import Artifact, inverted
from distill_jax.errors import plain
from distill_jax.evaluation.report import Evaluation
from distill_jax.figures.captions import classes_of_rows
from distill_jax.preprocessing import Standardise
from distill_jax.runs.files import MetricsLog, write_json
from distill_jax.text.embedding import AveragedVectors
from distill_jax.text.words import is_text, sentences, snapped
from distill_jax.types import Array

FILES = (
    "distilled.safetensors", "report.json", "metrics.jsonl", "words.txt",
    "figures")


def write_results(
    folder: Path,
    artifact: Artifact,
    report: Evaluation,
    *,
    start: Array | None = None,
    draw: bool = True) -> None:
  """Writes report, figures and, for texts, words; prints the report.

  Args:
    folder: folder of the run.
    artifact: the set.
    report: report of the set.
    start: the start of the samples, for the figures.
    draw: whether to draw figures.
  """
  write_json(folder / "report.json", report)
  words = sentences(artifact) if is_text(artifact) else None
  if words is not None:
    _write_words(folder / "words.txt", artifact, words)
  if draw:
    where = folder / "figures"
    where.mkdir(exist_ok=True)
    for name, figure in _figures(folder, artifact, report, start, words):
      figures.save(figure, where / f"{name}.png")
  print(report)
  made = ", ".join(name for name in FILES if (folder / name).exists())
  print(f"\nin {folder}: {made}")


def _write_words(file: Path, artifact: Artifact, words) -> None:
  """Writes the class and the nearest words of every sentence, one per line."""
  classes = classes_of_rows(artifact.labels, artifact.label_space)
  storage.replace(
      file, "".join(
          f"{plain(artifact.class_names[c])}\t{' '.join(line)}\n"
          for c, line in zip(classes, words, strict=True)).encode())


def _figures(folder: Path, artifact: Artifact, report, start, words):
  """Pairs of name and figure: curves, baselines, samples."""
  title = figures.set_title(artifact)
  log = MetricsLog.read(folder)
  if log:
    yield "curves", figures.curves(
        log, loss=figures.loss_name(artifact), title=title)
  if report["baselines"]:
    yield "baselines", figures.accuracy_bars(
        report, title=f"{title}, and baselines")
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
  if words is not None:
    of_words = np.array_equal(snapped(artifact).inputs, artifact.inputs)
    yield "samples", figures.decoded_sentences(
        words, labels, names, order=artifact.order, of_words=of_words, **common)
    yield "heat_maps", figures.heat_maps(
        artifact.inputs, labels, names, **common)


def _inverted_start(artifact: Artifact, start: Array | None):
  """The start of the samples, in the units of the data."""
  return None if start is None else artifact.preprocessing.invert(start)


def _is_standardised(artifact: Artifact) -> bool:
  """Whether inputs are standardised entry by entry."""
  return isinstance(artifact.preprocessing, Standardise | AveragedVectors)


def _limits(artifact: Artifact) -> tuple[float, float]:
  """Black and white of the real images, as far as the set tells.

  The mean of data in [0, 1] lies in [0, 1], and their standard deviation is at
  most 1/2. For other data, two standard deviations from the mean are used; they
  contain 95 % of a normal distribution.
  """
  record = artifact.preprocessing
  if artifact.raw_dtype == "uint8" or not isinstance(record, Standardise):
    return 0.0, 1.0
  mean, std = np.asarray(record.mean), np.asarray(record.std)
  if (mean >= 0).all() and (mean <= 1).all() and (std <= 0.5).all():
    return 0.0, 1.0
  return float((mean - 2 * std).min()), float((mean + 2 * std).max())


def _original(artifact: Artifact) -> np.ndarray:
  """Features [M, D] in the units of the data; for texts, averaged vectors."""
  record = artifact.preprocessing
  if isinstance(record, AveragedVectors):
    return np.asarray(artifact.inputs * record.std + record.mean)
  return inverted(artifact)


def _columns(artifact: Artifact) -> list[str] | None:
  """Names of the features, if the data had names."""
  names = artifact.provenance.get("facts", {}).get("columns")
  fits = isinstance(names, list) and len(names) == artifact.inputs.shape[1]
  return names if fits else None
