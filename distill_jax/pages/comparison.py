"""The page that compares several runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distill_jax import figures
from distill_jax.errors import ConfigError, counted, plain
from distill_jax.evaluation.baselines import TITLES
from distill_jax.evaluation.metrics import Spread, spread
from distill_jax.figures import theme
from distill_jax.pages import content
from distill_jax.pages.page import checked_path
from distill_jax.pages.pictures import (
    ALTERNATIVES,
    Picture,
    embedded,
    figures_of,
    plainly,
)
from distill_jax.pages.reading import Finished, finished
from distill_jax.pages.rendering import write
from distill_jax.types import FilePath

_ALL = 1_900_000  # bytes of all pictures before base64, which adds a third
# Fields of a configuration that do not change the accuracy of the set, apart
# from the number of networks, which is in the report.
_OF_NO_EFFECT = ("checkpoint_every", "evaluation", "figures", "log_every")
_LINES, _NAME = 12, 28  # most lines of the figure's legend; characters of each


class Compared(NamedTuple):
  """A run of a comparison.

  Attributes:
    name: name of its folder; preceded by parent folders if names are equal.
    run: the content of its folder.
    method: title of the method, as in papers.
    data: name of its data.
    samples: a picture of samples, or None.
    curves: a picture of learning curves, or None.
    words: some distilled sentences, if data are texts.
  """

  name: str
  run: Finished
  method: str
  data: str
  samples: Picture | None
  curves: Picture | None
  words: list[content.Sentence]


class Repeated(NamedTuple):
  """Runs whose configurations differ in nothing but the seed.

  Attributes:
    names: names of the runs.
    spread: how far they are apart.
  """

  names: list[str]
  spread: Spread


def write_comparison(
    folders: Sequence[FilePath],
    path: FilePath,
    *,
    draw: bool | None = None) -> Path:
  """Writes a page that compares several finished runs.

  Args:
    folders: folders of the runs, at least one.
    path: FILE.html; its folder must exist.
    draw: whether the page has figures; figures that a folder lacks are drawn.
      By default True if matplotlib is installed.

  Returns:
    The path.

  Raises:
    ConfigError: there are no folders, or the path has another ending.
    WorkdirError: a folder has no finished run, or a damaged file.
    ArtifactError: a set cannot be used.
    OSError: the page cannot be written.

  Example:
    dd.pages.write_comparison(["runs/dm", "runs/mtt"], "both.html")
  """
  if isinstance(folders, str | Path):
    folders = [folders]
  if not folders:
    raise ConfigError("`folders` must name at least one run; got none.")
  path = checked_path(path)
  drawn = theme.can_draw() if draw is None else draw
  runs = [finished(folder) for folder in folders]
  names = _names(runs)
  most = _ALL // (2 * len(runs) + 1)
  compared = [
      _compared(name, run, most, drawn, draw is not False)
      for name, run in zip(names, runs, strict=True)
  ]
  write(
      path,
      "comparison.html",
      title=f"Comparison of {counted(len(runs), 'run')}",
      compared=compared,
      repeated=_repeated(names, runs),
      baselines=_baselines(runs),
      differences=content.differences([r.report for r in _settings(runs)]),
      chart=_chart(names, runs, most) if drawn else None)
  return path


def _compared(
    name: str, run: Finished, most: int, drawn: bool,
    as_found: bool) -> Compared:
  shown = dict(run.figures) if as_found else {}
  wanted = {"curves", "samples"} - shown.keys()
  if drawn and wanted:
    shown |= {
        name: theme.png(figure) for name, figure in figures_of(
            run.artifact, run.report, run.log, titled=False) if name in wanted
    }

  def picture(kind: str) -> Picture | None:
    alt = f"{ALTERNATIVES[kind]}: {name}"
    if kind in shown:
      return embedded(shown[kind], alt, most)
    grid = plainly(run.artifact) if kind == "samples" else None
    return embedded(grid, alt, most, scale=1) if grid else None

  words, _ = content.words(run.artifact)
  return Compared(
      name, run, plain(figures.method_name(run.artifact)),
      plain(figures.data_name(run.report["data"]["spec"])),
      None if words else picture("samples"),
      picture("curves") if run.log else None, words)


def _repeated(names, runs: Sequence[Finished]) -> list[Repeated]:
  """Groups of runs with equal settings and unequal seeds."""
  groups: dict[str, dict[str, tuple[str, Finished]]] = {}
  for name, run in zip(names, runs, strict=True):
    if (same := _without_seed(run)) is not None:
      seeds = groups.setdefault(same, {})
      seeds.setdefault(json.dumps(run.config["seed"]), (name, run))
  found = []
  for seeds in groups.values():
    if len(seeds) > 1:
      known, repeated = zip(*seeds.values(), strict=True)
      accuracies = [run.report["accuracy"] for run in repeated]
      found.append(Repeated(list(known), spread(accuracies)))
  return found


def _settings(runs: Sequence[Finished]) -> list[Finished]:
  """The runs, without those that repeat another one with another seed.

  Another seed has another validation part, so that the data differ. With the
  same seed they must not.
  """
  settings: set[str] = set()
  prints: dict[tuple, str] = {}
  kept = []
  for run in runs:
    same, found = _without_seed(run), run.report["data"]["fingerprint"]
    if same is None:
      kept.append(run)
      continue
    known = prints.setdefault((same, json.dumps(run.config["seed"])), found)
    if same not in settings or found != known:
      kept.append(run)
    settings.add(same)
  return kept


def _without_seed(run: Finished) -> str | None:
  """What runs of equal settings have in common, whatever their seeds.

  It is None for a run that does not say its settings.

  Runs on data that were read have the names of these in common, not the samples
  that are left to train on, because the seed chooses the validation part.
  """
  if "seed" not in run.config or not isinstance(run.config.get("config"), dict):
    return None
  left_out = ("seed", *_OF_NO_EFFECT)
  same = {k: v for k, v in run.config["config"].items() if k not in left_out}
  return json.dumps([same, run.report["num_networks"]], sort_keys=True)


def _names(runs: Sequence[Finished]) -> list[str]:
  """Names of folders, with as many parent folders as make them different."""
  parts = [run.folder.resolve().parts for run in runs]
  for depth in range(1, 1 + max(map(len, parts))):
    names = ["/".join(part[-depth:]) for part in parts]
    if len(set(names)) == len(set(parts)):
      break
  return [_shortened(name) for name in names]


def _shortened(name: str, most: int = 60) -> str:
  """A name on one line; of a long one, where names differ: start and end."""
  name = plain(name, len(name) + 1)
  tail = most // 2
  return (
      name if len(name) <= most else f"{name[:most - tail - 1]}…{name[-tail:]}")


def _baselines(runs: Sequence[Finished]) -> dict[str, str]:
  """Titles of the baselines that at least one run has."""
  found: dict[str, Any] = {}
  for run in runs:
    found |= {name: TITLES.get(name, name) for name in run.report["baselines"]}
  return found


def _chart(names, runs: Sequence[Finished], most: int) -> Picture | None:
  """A picture of accuracy against bytes; None for too many runs."""
  if len(runs) > _LINES:
    return None
  rows = [
      dict(
          run.report["accuracy"],
          label=_shortened(name, _NAME),
          bytes=run.report["storage_bytes"]["total"])
      for name, run in zip(names, runs, strict=True)
  ]
  figure = figures.accuracy_against(rows, "bytes", title="")
  return embedded(
      theme.png(figure), "Chart of accuracy against the bytes of each set",
      most)
