"""What a finished run leaves beside its set: report, words, figures, page."""

from pathlib import Path

from distill_jax import figures, pages, processes, storage
from distill_jax.artifact import Artifact
from distill_jax.artifact.file import SET
from distill_jax.errors import plain
from distill_jax.evaluation.report import Evaluation
from distill_jax.figures.captions import classes_of_rows
from distill_jax.records import REPORT
from distill_jax.runs.files import MetricsLog, write_json
from distill_jax.text.words import is_text, sentences
from distill_jax.types import Array

FILES = (SET, REPORT, "report.html", "metrics.jsonl", "words.txt", "figures")


def write_results(
    folder: Path,
    artifact: Artifact,
    report: Evaluation,
    *,
    start: Array | None = None,
    draw: bool = True) -> None:
  """Writes report, words of texts, figures and page.

  Args:
    folder: of the run.
    artifact: the set.
    report: of it.
    start: what its samples started from, for the figures.
    draw: whether to draw figures.
  """
  write_json(folder / REPORT, report)
  words = sentences(artifact) if is_text(artifact) else None
  if words is not None:
    _write_words(folder / "words.txt", artifact, words)
  if draw:
    where = folder / "figures"
    where.mkdir(exist_ok=True)
    log = MetricsLog.read(folder)
    for name, figure in pages.figures_of(artifact, report, log, start,
                                         titled=False):
      figures.save(figure, where / f"{name}.png")
  if processes.is_first():
    pages.write_report(folder, draw=draw)


def show(folder: Path, report: Evaluation) -> None:
  """Prints the report of a run, and the names of its files."""
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
