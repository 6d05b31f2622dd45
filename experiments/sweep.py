"""Accuracy against the size of the set, for several methods at once.

  python experiments/sweep.py --methods=dsa,dm --dataset=fashion_mnist \\
    --ipc=1,2,5,10 --options=width=32 --workdir=DIR [--data=SPEC]
  python experiments/sweep.py --methods=dm --dataset=mnist --against=bytes \\
    --parameterizations=pixels,multi_formation,linear_bases --ipc=1,10 \\
    --set=num_steps=2000 --set=dm:learning_rate=5 --workdir=DIR

A point is a run of `distill.py` in a folder of its own below DIR, so the same
command goes on where it was interrupted, and a later one with more points takes
over those that are there. DIR then holds sweep.json and sweep.png of the last
command, and real_data.json with the baselines. Random real data of as many
samples, or of as many bytes, is a line of its own.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import launch
import launched
import workdir
from absl import flags
from build import PARAMETERIZATIONS
from choices import one_of
from configs.datasets import DATASETS
from configs.matching import METHODS

from distill_jax import figures
from distill_jax.errors import ConfigError
from distill_jax.evaluation import baselines, metrics

FLAGS = flags.FLAGS
flags.DEFINE_list("methods", None, f"Among {', '.join(sorted(METHODS))}.")
flags.DEFINE_string("dataset", None, f"Of {', '.join(sorted(DATASETS))}.")
flags.DEFINE_list("ipc", None, "Samples per class.")
flags.DEFINE_list("parameterizations", [],
                  "One line for each; by default the method's own.")
flags.DEFINE_string("options", "", "Further options of the configurations.")
flags.DEFINE_multi_string(
    "set", [],
    "field=value of all, or METHOD:field=value of one; the last one counts.",
)
flags.DEFINE_enum("against", "samples", figures.AXES, "The horizontal axis.")
flags.DEFINE_string("workdir", None, "Where the runs and the figure live.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the dataset's.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.mark_flags_as_required(["methods", "dataset", "ipc", "workdir"])

BASELINES = {"samples": "random_real", "bytes": "byte_matched_real"}
TITLES = {name: name.upper() for name in METHODS} | {"hybrid": "DSA + DM"}


class Point(NamedTuple):
  """Attributes:
    line: what the legend calls its line.
    ipc: samples per class.
    folder: of its run, below the workdir.
    arguments: the configuration and what is set of it.
  """

  line: str
  ipc: int
  folder: str
  arguments: tuple[str, ...]


def main(argv):
  del argv
  points, home = planned(), Path(FLAGS.workdir).resolve()
  home.mkdir(parents=True, exist_ok=True)
  common = [f"--cache_dir={home}"]
  if FLAGS.data:
    common.append(f"--data={_absolute(FLAGS.data)}")
  if FLAGS.data_dir:
    common.append(f"--data_dir={Path(FLAGS.data_dir).resolve()}")
  reports = {
      point: launched.distil(
          home / point.folder, [*point.arguments, *common]
      ) for point in points
  }
  baseline = BASELINES[FLAGS.against]
  rows = [row_of(p.line, p.ipc, report) for p, report in reports.items()]
  real = [real_data(p.ipc, r, baseline) for p, r in reports.items()]
  workdir.write_json(home / "sweep.json", [*rows, *filter(None, real)])
  figures.save(
      figures.accuracy_against([*rows, *_once(real)], FLAGS.against),
      home / "sweep.png",
  )
  print(table(rows, real, baselines.TITLES[baseline]))
  for line in comparisons(rows):
    print(line)
  print(f"\nin {home}: sweep.json, sweep.png")


def planned() -> list[Point]:
  """The points that the flags ask for."""
  one_of(DATASETS, "--dataset", FLAGS.dataset)
  for method in FLAGS.methods:
    one_of(METHODS, "--methods", method)
  for name in FLAGS.parameterizations:
    one_of(PARAMETERIZATIONS, "--parameterizations", name)
  points = []
  for method, name, ipc in itertools.product(
      FLAGS.methods, FLAGS.parameterizations or [""], FLAGS.ipc
  ):
    if not ipc.isdecimal() or int(ipc) < 1:
      raise ConfigError(f"`--ipc` must be whole numbers above 0; got {ipc!r}.")
    line = ", ".join(filter(None, (TITLES[method], name.replace("_", " "))))
    options = ",".join(filter(None, (
        f"ipc={ipc}", name and f"parameterization={name}", FLAGS.options
    )))
    folder = "_".join(filter(None, (method, name, ipc)))
    file = f"experiments/configs/{method}_{FLAGS.dataset}.py"
    points.append(Point(line, int(ipc), folder, (
        f"--config={file}:{options}", *_settings(method)
    )))
  return points


def _settings(method: str) -> list[str]:
  """What `--set` says for a method, in its order."""
  settings = []
  for item in FLAGS.set:
    field, mark, value = item.partition("=")
    of, _, field = field.rpartition(":")
    if not field or not mark:
      raise ConfigError(
          f"`--set` must be field=value or METHOD:field=value; got {item!r}."
      )
    if of:
      one_of(FLAGS.methods, "METHOD of --set", of)
    if of in ("", method):
      settings.append(f"--config.{field}={value}")
  return settings


def _absolute(spec: str) -> str:
  """SPEC of data with the path in it, if any, from the root."""
  kind, _, place = spec.partition(":")
  path, mark, rest = place.partition("?")
  if not place or not Path(path).exists():
    return spec
  return f"{kind}:{Path(path).resolve()}{mark}{rest}"


def row_of(line: str, ipc: int, report: dict) -> dict:
  """What table, figure and file say of a point."""
  return dict(
      label=line,
      samples_per_class=ipc,
      num_samples=report["num_samples"],
      bytes=report["storage_bytes"]["total"],
      **report["accuracy"],
  )


def real_data(ipc: int, report: dict, name: str) -> dict | None:
  """The same of a baseline beside a point; None where it was not measured."""
  found = report["baselines"].get(name)
  return found and dict(
      label=baselines.TITLES[name],
      samples_per_class=ipc,
      num_samples=found["num_samples"],
      bytes=report["storage_bytes"]["total"],
      **{part: found[part] for part in ("mean", "std", "stderr")},
  )


def _once(real: list[dict | None]) -> list[dict]:
  """Baselines that lie at one point of the figure, once."""
  return list({(r["num_samples"], r["bytes"]): r for r in real if r}.values())


def table(rows: list[dict], real: list[dict | None], title: str) -> str:
  """A line for each point, its baseline beside it."""

  def percent(row):
    return "-" if row is None else (
        f"{100 * row['mean']:.2f} ± {100 * row['stderr']:.2f}"
    )

  width = max(len(row["label"]) for row in rows) + 2
  head = (
      f"{'':<{width}}{'per class':>9}{'bytes':>12}{'accuracy %':>16}"
      f"{title:>19}"
  )
  rule = "-" * len(head)
  lines = (
      f"{row['label']:<{width}}{row['samples_per_class']:>9}"
      f"{row['bytes']:>12,}{percent(row):>16}{percent(baseline):>19}"
      for row, baseline in zip(rows, real, strict=True)
  )
  note = "± is the standard error, over networks or sets"
  return "\n".join((head, rule, *lines, rule, note))


def comparisons(rows: list[dict]) -> list[str]:
  """What each line gains over each other one, network by network.

  Percent points ± their standard error, by samples per class.
  """
  own = [row for row in rows if "per_network" in row]
  lines = list(dict.fromkeys(row["label"] for row in own))
  texts = []
  for one, two in itertools.combinations(lines, 2):
    gains = {
        a["samples_per_class"]: metrics.gain_over(
            a["per_network"], [b["per_network"]]
        )
        for a in own for b in own
        if (a["label"], b["label"]) == (one, two)
        and a["samples_per_class"] == b["samples_per_class"]
    }
    cells = (
        f"{size}: {100 * g.mean:+.2f}"
        + ("" if g.stderr is None else f" ± {100 * g.stderr:.2f}")
        for size, g in gains.items()
    )
    texts.append(
        f"{one} over {two} by samples per class:\n  {', '.join(cells)}"
    )
  return texts


if __name__ == "__main__":
  launch.start(main)
