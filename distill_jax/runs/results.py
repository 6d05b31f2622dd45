"""What a finished run leaves beside its set: report, words and figures."""

from pathlib import Path

import numpy as np

from distill_jax import figures, storage
from distill_jax.artifact import Artifact
from distill_jax.evaluation.report import Evaluation
from distill_jax.labels import classes_of_labels
from distill_jax.runs.files import MetricsLog, write_json
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
  """Writes the report, the words of texts and figures; prints the report.

  Args:
    folder: of the run.
    artifact: the set.
    report: of it.
    start: what its samples started from, for the figures.
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
  """The class and the nearest words of every sentence, a line each."""
  classes = classes_of_labels(artifact.training_set.samples.labels)
  storage.replace(
      file, "".join(
          f"{artifact.class_names[c]}\t{' '.join(line)}\n"
          for c, line in zip(classes, words, strict=True)).encode())


def _figures(folder: Path, artifact: Artifact, report, start, words):
  """Pairs of name and figure: curves, baselines, samples."""
  log = MetricsLog.read(folder)
  if log:
    yield "curves", figures.curves(log)
  if report["baselines"]:
    yield "baselines", figures.accuracy_bars(report)
  labels, names = artifact.training_set.samples.labels, artifact.class_names
  if artifact.modality == "image" and artifact.inputs.shape[3] in (1, 3):
    invert = artifact.preprocessing.invert
    yield "samples", figures.sample_grid(
        invert(artifact.inputs),
        labels,
        names,
        start=None if start is None else invert(start),
        order=artifact.order)
  if words is not None:
    of_words = np.array_equal(snapped(artifact).inputs, artifact.inputs)
    yield "samples", figures.decoded_sentences(
        words, labels, names, order=artifact.order, of_words=of_words)
    yield "heat_maps", figures.heat_maps(artifact.inputs, labels, names)
