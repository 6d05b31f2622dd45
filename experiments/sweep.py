"""Accuracy against the size of the set, for several methods at once.

  python experiments/sweep.py --methods=dsa,dm --dataset=fashion_mnist \\
    --ipc=1,2,5,10 --options=width=32 --workdir=DIR [--data=SPEC]
  python experiments/sweep.py --methods=dm --dataset=mnist --against=bytes \\
    --parameterizations=pixels,multi_formation,linear_bases --ipc=1,10 \\
    --set=num_steps=2000 --workdir=DIR

A point is a run of `distill.py` in a folder of its own below DIR, so the same
command goes on where it was interrupted, and points can be added later. DIR
then holds sweep.json, sweep.png, and real_data.json with the baselines. Random
real data of as many samples, or of as many bytes, is a line of its own.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import launch
import launched
import workdir
from absl import flags
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
flags.DEFINE_list("parameterizations", ["pixels"], "One line for each.")
flags.DEFINE_string("options", "", "Further options of the configurations.")
flags.DEFINE_multi_string("set", [], "field=value of every configuration.")
flags.DEFINE_enum("against", "samples", figures.AXES, "The horizontal axis.")
flags.DEFINE_string("workdir", None, "Where the runs and the figure live.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the dataset's.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.mark_flags_as_required(["methods", "dataset", "ipc", "workdir"])

BASELINES = {"samples": "random_real", "bytes": "byte_matched_real"}
TITLES = {name: name.upper() for name in METHODS} | {"hybrid": "DC + DM"}


class Point(NamedTuple):
  """Attributes:
    line: what the legend calls its line.
    ipc: samples per class.
    folder: of its run, below the workdir.
    config: file and options of its configuration.
  """

  line: str
  ipc: int
  folder: str
  config: str


def main(argv):
  del argv
  points, home = planned(), Path(FLAGS.workdir).resolve()
  home.mkdir(parents=True, exist_ok=True)
  common = [f"--config.{item}" for item in FLAGS.set]
  if FLAGS.data:
    common.append(f"--data={FLAGS.data}")
  extra = [f"--cache_dir={home}"]
  if FLAGS.data_dir:
    extra.append(f"--data_dir={FLAGS.data_dir}")
  reports = {
      point: launched.distilled(
          home / point.folder, [f"--config={point.config}", *common], extra
      ) for point in points
  }
  rows = [row_of(point.line, point.ipc, r) for point, r in reports.items()]
  rows += real_data(reports, BASELINES[FLAGS.against])
  workdir.write_json(home / "sweep.json", rows)
  figures.save(
      figures.accuracy_against(rows, FLAGS.against), home / "sweep.png"
  )
  print(table(rows))
  for line in comparisons(rows):
    print(line)
  print(f"\nin {home}: sweep.json, sweep.png")


def planned() -> list[Point]:
  """The points that the flags ask for."""
  one_of(DATASETS, "--dataset", FLAGS.dataset)
  for method in FLAGS.methods:
    one_of(METHODS, "--methods", method)
  points = []
  for method, name, ipc in itertools.product(
      FLAGS.methods, FLAGS.parameterizations, FLAGS.ipc
  ):
    if not ipc.isdecimal() or int(ipc) < 1:
      raise ConfigError(f"`--ipc` must be whole numbers above 0; got {ipc!r}.")
    line = TITLES[method]
    if len(FLAGS.parameterizations) > 1:
      line += f", {name.replace('_', ' ')}"
    options = ",".join(filter(None, (
        f"ipc={ipc}", f"parameterization={name}", FLAGS.options
    )))
    file = f"experiments/configs/{method}_{FLAGS.dataset}.py"
    points.append(Point(
        line, int(ipc), f"{method}_{name}_{ipc}", f"{file}:{options}"
    ))
  return points


def row_of(line: str, ipc: int, report: dict) -> dict:
  """What table, figure and file say of a point."""
  return dict(
      label=line,
      samples_per_class=ipc,
      num_samples=report["num_samples"],
      bytes=report["storage_bytes"]["total"],
      **report["accuracy"],
  )


def real_data(reports: dict[Point, dict], name: str) -> list[dict]:
  """A baseline, once for each size of the set."""
  rows = {}
  for point, report in reports.items():
    size = report["storage_bytes"]["total"]
    found = report["baselines"].get(name)
    if found:
      rows.setdefault((point.ipc, size), dict(
          label=baselines.TITLES[name],
          samples_per_class=point.ipc,
          num_samples=found["num_samples"],
          bytes=size,
          **{part: found[part] for part in ("mean", "std", "stderr")},
      ))
  return list(rows.values())


def table(rows: list[dict]) -> str:
  """A line for each number of samples per class, a column for each method."""
  lines = list(dict.fromkeys(row["label"] for row in rows))
  sizes = sorted({row["samples_per_class"] for row in rows})
  found = {(row["samples_per_class"], row["label"]): row for row in rows}
  width = max(15, *(len(line) + 2 for line in lines))
  text = [f"{'per class':<9}" + "".join(f"{line:>{width}}" for line in lines)]
  for size in sizes:
    cells = (
        f"{100 * row['mean']:.2f} ± {100 * row['stderr']:.2f}" if row else "-"
        for row in (found.get((size, line)) for line in lines)
    )
    text.append(f"{size:<9}" + "".join(f"{cell:>{width}}" for cell in cells))
  text.append("accuracy in percent ± standard error over networks")
  return "\n".join(text)


def comparisons(rows: list[dict]) -> list[str]:
  """Which of two methods is ahead by more than two standard errors, where."""
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
    texts.append(f"{one} over {two}, by samples per class: {', '.join(cells)}")
  return texts


if __name__ == "__main__":
  launch.start(main)
