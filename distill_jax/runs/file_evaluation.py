"""A distilled set in a file, evaluated: from one file to another."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from distill_jax import artifact as artifacts
from distill_jax import figures, pages, processes
from distill_jax.evaluation.report import Evaluation
from distill_jax.quantising import encoding_of, quantise
from distill_jax.runs import real_data, workdir
from distill_jax.runs.assess import Settings, assess, check_evaluation
from distill_jax.runs.files import command, write_json
from distill_jax.runs.kept import Unfinished
from distill_jax.runs.real_source import source_of
from distill_jax.runs.students import Named, spec_of


def evaluate_file(
    file: str | Path,
    data: str,
    *,
    out: str | Path,
    settings: Settings,
    networks: Sequence[Named] = (),
    recipe: Mapping[str, Any] | None = None,
    bits: int = 0,
    seed: int = 0,
    data_dir: str | None = None,
    validation_fraction: float = 0.1,
    cache_dir: str | Path | None = None,
    widen: Callable[..., None] = lambda *specs: None
) -> tuple[Evaluation, list[Path]]:
  """Evaluates a set, and writes the report, as JSON and as a page.

  With several networks a matrix is drawn, too. The accuracies of networks are
  kept beside the report until that is written, so the same call goes on after
  an interruption.

  Args:
    file: file of the set, or the folder of its run.
    data: SPEC of the real data.
    out: where the report goes; it ends in .json.
    settings: how much is measured.
    networks: students by name or specification; by default the set's own.
    recipe: specification of how they are trained; by default the set's own.
    bits: of a value, to which the set is quantised first; 0 for not.
    seed: of the networks.
    data_dir: a folder of data sets, or None.
    validation_fraction: share of train that is held out, on which the step
      sizes of baselines are chosen.
    cache_dir: where accuracies of real data are kept; by default beside `out`.
    widen: is called with the specifications of the networks before anything is
      computed, as a process may need float64 for kernels.

  Returns:
    The report, and the files that were written.

  Raises:
    ArtifactError, ConfigError, DataError, WorkdirError: before anything is
      computed.
  """
  out = workdir.output(out, ".json")
  artifact = artifacts.load(file)
  if bits:
    artifact = quantise(artifact, bits)
  specs = [spec_of(network, artifact) for network in networks]
  check_evaluation(
      settings,
      *specs or [artifact.network],
      quantised=artifact.quantiser is not None,
      encoded=encoding_of(artifact) is not None,
      relabelled="teacher" in (artifact.views or ()))
  widen(*specs or [artifact.network])
  reading: dict[str, Any] = dict(
      data_dir=data_dir, validation_fraction=validation_fraction)
  unfinished = Unfinished(out.with_suffix(".unfinished.json"))
  report = assess(
      jax.random.key(seed),
      artifact,
      source_of(artifact, data, **reading),
      settings=settings,
      network=specs or None,
      recipe=recipe,
      cache=Path(cache_dir or out.parent) / real_data.FILE,
      unfinished=unfinished,
      spec=data,
      reading=reading | dict(seed=0),
      seconds=artifact.provenance.get("seconds"),
      command=command())
  write_json(out, report)
  processes.wait()
  unfinished.finish()
  page = pages.write_evaluation(
      report, artifact, out.with_suffix(".html"), file=None if bits else file)
  made = [out, page]
  if "networks" in report and figures.can_draw():
    made.append(out.with_suffix(".png"))
    figures.save(
        figures.transfer_matrix(
            {figures.method_name(artifact): report["networks"]},
            title=f"{figures.set_title(artifact)}: accuracy by network"),
        made[-1])
  return report, made
