"""The pages of a run and of an evaluation."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_jax import figures
from distill_jax.artifact import Artifact
from distill_jax.artifact.file import SET
from distill_jax.errors import ConfigError, listed, plain
from distill_jax.evaluation import report as reports
from distill_jax.figures import theme
from distill_jax.pages import content
from distill_jax.pages.pictures import (
    ALTERNATIVES,
    Picture,
    embedded,
    figures_of,
    plainly,
)
from distill_jax.pages.reading import check, finished
from distill_jax.pages.rendering import write
from distill_jax.types import FilePath

_EACH = 420_000  # most bytes of a picture before base64, which adds a third


def write_report(folder: FilePath, *, draw: bool | None = None) -> Path:
  """Writes `report.html` beside the other files of a finished run.

  The page has the content of `report.json`, the figures and curves of the run,
  the provenance of the set and how to use it. Its pictures are in the file,
  which is below 3 MB.

  Args:
    folder: folder of the run; older runs can be read too.
    draw: whether the page has figures; figures that the folder lacks are drawn.
      By default True if matplotlib is installed.

  Returns:
    The path of the page.

  Raises:
    WorkdirError: the folder has no finished run, or a damaged file.
    ArtifactError: the set cannot be used.
    OSError: the page cannot be written.
  """
  run = finished(folder)
  path = run.folder / "report.html"
  shown = {}
  if draw is not False:
    shown = dict(run.figures)
  if theme.can_draw() if draw is None else draw:
    shown = _completed(shown, run.artifact, run.report, run.log)
  write(
      path,
      "report.html",
      **_said(run.artifact, run.report, run.config),
      file=SET,
      curves=_picture(shown if run.log else {}, "curves"),
      **_shown(run.artifact, run.report, shown))
  return path


def write_evaluation(
    report: Mapping[str, Any],
    artifact: Artifact,
    path: FilePath,
    *,
    file: FilePath | None = None) -> Path:
  """Writes the page of an evaluation; figures are drawn with matplotlib.

  Args:
    report: what `dd.evaluate` returned, or the content of a `report.json`.
    artifact: the set that was evaluated.
    path: FILE.html; its folder must exist.
    file: file of the set, or a folder with it, which the page says how to load;
      None if the set has no file.

  Returns:
    The path.

  Raises:
    ConfigError: the path has another ending.
    WorkdirError: not a report, or the report of another set.
    OSError: the page cannot be written.

  Example:
    dd.pages.write_evaluation(dd.evaluate(made, source), made, "made.html")
  """
  path = checked_path(path)
  check(report, artifact, "`report`")
  shown = _completed({}, artifact, report, []) if theme.can_draw() else {}
  write(
      path,
      "report.html",
      **_said(artifact, report, {}),
      file=None if file is None else _from(path, file),
      curves=None,
      **_shown(artifact, report, shown))
  return path


def _from(page: Path, place: FilePath) -> str:
  """Path of a set, or of that in a folder, relative to the folder of a page."""
  file = Path(place).resolve()
  file = file / SET if file.is_dir() else file
  return os.path.relpath(file, page.resolve().parent)


def checked_path(path: FilePath) -> Path:
  """Returns the path of a page.

  Raises:
    ConfigError: the path does not end in .html.
  """
  if Path(path).suffix.lower() != ".html":
    raise ConfigError(f"`path` must end in .html; got {plain(path, 200)}.")
  return Path(path)


def _completed(shown, artifact, report, log) -> dict[str, bytes]:
  """The figures of the folder, and the missing ones, which are drawn."""
  missing = [name for name in ALTERNATIVES if name not in shown]
  if not missing:
    return shown
  return {
      name: theme.png(figure)
      for name, figure in figures_of(artifact, report, log, titled=False)
      if name in missing
  } | shown


def _picture(shown: Mapping[str, bytes], name: str) -> Picture | None:
  if name not in shown:
    return None
  return embedded(shown[name], ALTERNATIVES[name], _EACH)


def _shown(artifact, report, shown: Mapping[str, bytes]) -> dict[str, Any]:
  """The pictures for the template."""
  samples, below = _picture(shown, "samples"), ""
  if samples is None and (plain_grid := plainly(artifact)):
    samples = embedded(plain_grid, ALTERNATIVES["samples"], _EACH, scale=1)
    below = f"Class by class: {listed(artifact.class_names, 20)}."
  confusion = content.confusion(artifact, report)
  large = confusion is not None and confusion.shares is None
  return dict(
      baselines=_picture(shown if report["baselines"] else {}, "baselines"),
      samples=samples,
      below_samples=below,
      is_table=artifact.modality == "features",
      heat_maps=_picture(shown, "heat_maps"),
      confusion=confusion,
      unsaid=_without_confusion(artifact, report),
      matrix=_picture(shown if large else {}, "confusion"))


def _without_confusion(artifact, report) -> str:
  """Why the page has no confusion matrix; "" if it has or needs none."""
  if "confusion" in report or artifact.num_classes <= reports.MOST_CLASSES:
    return ""
  return (
      f"Reports of more than {reports.MOST_CLASSES} classes have no confusion "
      "matrix.")


def _said(artifact, report, config) -> dict[str, Any]:
  """Everything for the template except pictures."""
  words, num_sentences = content.words(artifact)
  short, documents = content.provenance(artifact, report, config)
  return dict(
      title=plain(figures.set_title(artifact), 200),
      verdict=plain(report["verdict"], 1_000),
      findings=[plain(line, 1_000) for line in report.get("findings", ())],
      facts=content.facts(artifact, report),
      tiles=content.tiles(report),
      rows=reports.rows(report),
      notes=reports.notes(report),
      diverged=reports.diverged(report),
      legend=reports.LEGEND,
      words=words,
      num_sentences=num_sentences,
      networks=report.get("networks", {}),
      attacks=content.attacks(report),
      calibration=content.calibration(report),
      costs=content.costs(report),
      storage=content.storage(report),
      short=short,
      documents=documents,
      command=content.command_lines(report["command"]))
