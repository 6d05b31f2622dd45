"""Accuracy against the size of the set, for several methods at once.

  python experiments/sweep.py --methods=dsa,dm --dataset=fashion_mnist \\
    --ipc=1,2,5,10 --options=width=32 --workdir=DIR [--data=SPEC]
  python experiments/sweep.py --methods=dm --dataset=mnist --against=bytes \\
    --parameterizations=pixels,multi_formation,linear_bases --ipc=1,10 \\
    --set=method.num_steps=2000 --workdir=DIR

Data of your own need no `--dataset`, which chooses published settings. A point
is a run of `distill.py` in a folder of its own below DIR, so the same command
goes on where it was interrupted, and a later one with more points takes over
those that are there. DIR then holds sweep.json and sweep.png of the last
command, and real_data.json with the baselines. Random real data of as many
samples, or of as many bytes, is a line of its own, measured with as many
networks as a set.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import begin
import launch
import launched
from absl import flags
from configs.data_sets import DATA_SETS

from distill_jax import figures, methods, parameterization
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.evaluation import points
from distill_jax.runs.files import command, write_json

FLAGS = flags.FLAGS
_METHODS = ', '.join(sorted(methods.ENTRIES))
# A baseline as many networks as a set; `--set` may say otherwise.
_AS_MANY = (
    "--config.evaluation.num_sets=0", "--config.evaluation.networks_per_set=0")
flags.DEFINE_list("methods", None, f"Among {_METHODS}.")
flags.DEFINE_string(
    "dataset", None, f"Of {', '.join(sorted(DATA_SETS))}; or give --data.")
flags.DEFINE_list("ipc", None, "Samples per class.")
flags.DEFINE_list(
    "parameterizations", [], "One line for each; by default the method's own.")
flags.DEFINE_string("options", "", "Further options of the configurations.")
flags.DEFINE_multi_string(
    "set", [],
    "field=value of all, or METHOD:field=value of one; the last one counts.")
flags.DEFINE_enum("against", "samples", figures.AXES, "The horizontal axis.")
flags.DEFINE_string("workdir", None, "Where the runs and the figure live.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the dataset's.")
flags.mark_flags_as_required(["methods", "ipc", "workdir"])


class Planned(NamedTuple):
  """Attributes:
    line: what the legend calls its line.
    ipc: samples per class.
    folder: below the workdir.
    arguments: the configuration and what is set of it.
  """

  line: str
  ipc: int
  folder: str
  arguments: tuple[str, ...]


def main(argv):
  del argv
  plan, home = planned(), launched.place(FLAGS.workdir)
  (launched.ROOT / home).mkdir(parents=True, exist_ok=True)
  common = [f"--cache_dir={home}"]
  if FLAGS.data:
    common.append(f"--data={_absolute(FLAGS.data)}")
  if FLAGS.data_dir:
    common.append(f"--data_dir={Path(FLAGS.data_dir).resolve()}")
  found = []
  for p in plan:
    run = launched.Launch("distill", home / p.folder, [*p.arguments, *common])
    found.append(points.point(p.line, p.ipc, run.run(), FLAGS.against))
  file = launched.ROOT / home / launched.PROGRAMS["sweep"].report
  names = ", ".join(map(_title, FLAGS.methods))
  data = FLAGS.dataset or figures.data_name(FLAGS.data)
  figures.save(
      figures.accuracy_against(
          points.drawn(found),
          FLAGS.against,
          title=f"{data} by {names}; samples per class: {', '.join(FLAGS.ipc)}"
      ), file.with_suffix(".png"))
  write_json(file, dict(against=FLAGS.against, points=found, command=command()))
  print(points.table(found, FLAGS.against))
  for pair, gains in points.comparisons(found, FLAGS.against).items():
    print(f"{pair}:\n  {gains}")
  print(f"\nin {home}: sweep.json, sweep.png")


def _title(method: str) -> str:
  """A method as papers spell it."""
  return methods.ENTRIES[method].make().title


def planned() -> list[Planned]:
  """The runs that the flags ask for."""
  if FLAGS.dataset is not None:
    one_of(DATA_SETS, "--dataset", FLAGS.dataset)
  elif FLAGS.data is None:
    raise launch.missing("dataset", "or --data, SPEC of your own data")
  for method in FLAGS.methods:
    one_of(methods.ENTRIES, "--methods", method)
  for name in FLAGS.parameterizations:
    one_of(parameterization.FACTORIES, "--parameterizations", name)
  beside = []
  if FLAGS.data:  # of which configurations do not know what lies beside
    names = dict.fromkeys(["random_real", points.BASELINES[FLAGS.against]])
    beside = [f"--config.evaluation.baselines={','.join(names)}"]
  runs = []
  for method, name, ipc in itertools.product(FLAGS.methods,
                                             FLAGS.parameterizations or [""],
                                             FLAGS.ipc):
    if not ipc.isdecimal() or int(ipc) < 1:
      raise ConfigError(f"`--ipc` must be whole numbers above 0; got {ipc!r}.")
    line = ", ".join(filter(None, (_title(method), name.replace("_", " "))))
    options = ",".join(
        filter(
            None, (
                FLAGS.dataset and f"data={FLAGS.dataset}", f"ipc={ipc}",
                name and f"parameterization.name={name}", FLAGS.options)))
    folder = "_".join(filter(None, (method, name, ipc)))
    file = f"experiments/configs/{method}.py"
    runs.append(
        Planned(
            line, int(ipc), folder, (
                f"--config={file}:{options}", *_AS_MANY, *beside,
                *_settings(method))))
  return runs


def _settings(method: str) -> list[str]:
  """What `--set` says for a method, in its order."""
  settings = []
  for item in FLAGS.set:
    field, mark, value = item.partition("=")
    of, _, field = field.rpartition(":")
    if not field or not mark:
      raise ConfigError(
          f"`--set` must be field=value or METHOD:field=value; got {item!r}.")
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


if __name__ == "__main__":
  begin.start(main)
