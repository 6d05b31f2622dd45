"""Accuracy against the size of the set, for several methods at once.

  python experiments/sweep.py --methods=dsa,dm --dataset=fashion_mnist \\
    --ipc=1,2,5,10 --options=width=32 --workdir=DIR [--data=SPEC]
  python experiments/sweep.py --methods=dm --dataset=mnist --against=bytes \\
    --parameterizations=pixels,multi_formation,linear_bases --ipc=1,10 \\
    --set=method.num_steps=2000 --workdir=DIR

With `--per_class_bytes=B` in place of `--ipc`, each line has as many label rows
per class as fit into B bytes, so that parameterizations and bits are compared
at equal size:

  python experiments/sweep.py --methods=dm --dataset=mnist --workdir=DIR \\
    --parameterizations=pixels,frequency --bits=32,8,4,2 --against=bits \\
    --per_class_bytes=6352 --set=frequency:keep=98

Your own data need no `--dataset`, which chooses published settings. A point is
a run of `distill.py` in a folder of its own below DIR. The same command
therefore continues where it was interrupted, and a later command with more
points reuses those that exist. DIR then holds sweep.json and sweep.png of the
last command, and real_data.json with the baselines. Random real data of equally
many samples, or bytes, is a line of its own, measured with equally many
networks.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import begin
import launch
import launched
import sweep_figure
from absl import flags
from configs.common import stored_as
from configs.data_sets import DATA_SETS

from distill_jax import data, figures, methods, parameterization
from distill_jax.choices import one_of
from distill_jax.commands import options
from distill_jax.errors import ConfigError
from distill_jax.evaluation import points
from distill_jax.parameterization.sizes import rows_within
from distill_jax.runs.files import command, write_json

FLAGS = flags.FLAGS
_FLOATS = "32"
_BITS = _FLOATS, "8", "4", "2"
_METHODS = ', '.join(sorted(methods.ENTRIES))
# Baselines train as many networks as a set, unless `--set` says otherwise.
_AS_MANY = (
    "--config.evaluation.num_sets=0", "--config.evaluation.networks_per_set=0")
flags.DEFINE_list("methods", None, f"Among {_METHODS}.")
flags.DEFINE_string(
    "dataset", None, f"Of {', '.join(sorted(DATA_SETS))}; or give --data.")
flags.DEFINE_list("ipc", None, "Samples per class; or")
flags.DEFINE_integer(
    "per_class_bytes", 0, "Bytes of each class: as many samples as fit.")
flags.DEFINE_list(
    "parameterizations", [], "One line for each; by default the method's own.")
flags.DEFINE_list(
    "bits", [], "One line for each: of a value, 8, 4 or 2, or 32 for floats.")
flags.DEFINE_string("options", "", "Further options of the configurations.")
flags.DEFINE_multi_string(
    "set", [],
    "field=value of all, or NAME:field=value of a method or parameterization; "
    "NAME:setting=value of the parameterization itself. The last one counts.")
flags.DEFINE_enum(
    "against", "samples", points.BASELINES, "The horizontal axis.")
flags.DEFINE_string("workdir", None, "Where the runs and the figure live.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the dataset's.")
flags.mark_flags_as_required(["methods", "workdir"])


class Planned(NamedTuple):
  """A run of the sweep.

  Attributes:
    line: name of its line in the legend.
    ipc: samples per class.
    folder: its folder, below the workdir.
    arguments: the configuration and the fields that are set.
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
  figures.save(
      sweep_figure.draw(
          found,
          FLAGS.against,
          data=FLAGS.data or FLAGS.dataset,
          methods=[*map(_title, FLAGS.methods)],
          per_class_bytes=FLAGS.per_class_bytes), file.with_suffix(".png"))
  write_json(file, dict(against=FLAGS.against, points=found, command=command()))
  print(points.table(found, FLAGS.against))
  for pair, gains in points.comparisons(found, FLAGS.against).items():
    print(f"{pair}:\n  {gains}")
  print(f"\nin {home}: sweep.json, sweep.png")


def _title(method: str) -> str:
  """The title of a method, as in papers."""
  return methods.ENTRIES[method].make().title


def planned() -> list[Planned]:
  """The runs that the flags ask for."""
  _check()
  within = _within() if FLAGS.per_class_bytes else None
  runs = []
  for method, stored, bits in itertools.product(FLAGS.methods,
                                                FLAGS.parameterizations or [""],
                                                FLAGS.bits or [""]):
    sizes = [str(within(stored, bits))] if within else FLAGS.ipc
    runs += [_run(method, stored, bits, ipc) for ipc in sizes]
  return runs


def _check() -> None:
  """Raises an error for flags that are misspelt or missing, before any run."""
  if FLAGS.dataset is not None:
    one_of(DATA_SETS, "--dataset", FLAGS.dataset)
  elif FLAGS.data is None:
    raise launch.missing("dataset", "or --data, SPEC of your own data")
  known = dict(
      methods=methods.ENTRIES,
      parameterizations=parameterization.FACTORIES,
      bits=_BITS)
  for flag, names in known.items():
    for name in getattr(FLAGS, flag):
      one_of(names, f"--{flag}", name)
  if bool(FLAGS.ipc) == bool(FLAGS.per_class_bytes):
    raise launch.missing("ipc", "samples per class, or --per_class_bytes")
  if FLAGS.per_class_bytes and not FLAGS.parameterizations:
    raise launch.missing("parameterizations", "whose sizes are compared")
  for ipc in FLAGS.ipc or []:
    if not ipc.isdecimal() or int(ipc) < 1:
      raise ConfigError(f"`--ipc` must be whole numbers above 0; got {ipc!r}.")


def _run(method: str, stored: str, bits: str, ipc: str) -> Planned:
  """One run: its options, then its fields, of which the last one counts."""
  place, fields, inner = "", [*_AS_MANY], ""
  if stored:
    place = f"parameterization.name={stored}"
  if bits not in ("", _FLOATS):
    inner = "inner."
    place = "parameterization.name=quantised,parameterization.inner.name=" + (
        stored or "pixels")
    fields.append(f"--config.method.parameterization.bits={bits}")
  if FLAGS.dataset is None:  # own data have no published settings
    # The last baseline also exists for sets of floats.
    names = dict.fromkeys(["random_real", points.BASELINES[FLAGS.against][-1]])
    fields.append(f"--config.evaluation.baselines={','.join(names)}")
  dataset = FLAGS.dataset and f"data={FLAGS.dataset}"
  options = filter(None, (dataset, f"ipc={ipc}", place, FLAGS.options))
  for of, field, value in map(_parted, FLAGS.set):
    if _is_own(of, field):
      field = f"method.parameterization.{inner}{field}"
    if of in ("", method, stored):
      fields.append(f"--config.{field}={value}")
  told = "" if FLAGS.against == "bits" else bits  # it is the axis
  line = _title(method), stored.replace("_", " "), told and f"{told} bits"
  file = f"--config=experiments/configs/{method}.py:{','.join(options)}"
  return Planned(
      ", ".join(filter(None, line)), int(ipc),
      "_".join(filter(None, (method, stored, bits, ipc))), (file, *fields))


def _within():
  """`(parameterization, bits) -> label rows of each class`."""
  spec = FLAGS.data or DATA_SETS[FLAGS.dataset].spec
  source = data.read(spec, data_dir=FLAGS.data_dir)

  def rows(name: str, bits: str) -> int:
    settings = {
        field: options.value(text)
        for of, field, text in map(_parted, FLAGS.set)
        if of == name and _is_own(of, field)
    }
    stored = {**stored_as("--parameterizations", name), **settings}
    if bits not in ("", _FLOATS):
      stored = dict(name="quantised", inner=stored, bits=int(bits))
    return rows_within(
        stored,
        FLAGS.per_class_bytes,
        shape=source.example.shape[1:],
        num_classes=source.num_classes)

  return rows


def _is_own(of: str, field: str) -> bool:
  """Whether a setting is one of the parameterization itself, not a field."""
  return of in FLAGS.parameterizations and "." not in field


def _parted(item: str) -> tuple[str, str, str]:
  """What a setting belongs to, its name and its value."""
  field, mark, value = item.partition("=")
  of, _, field = field.rpartition(":")
  if not field or not mark:
    raise ConfigError(
        f"`--set` must be field=value or NAME:field=value; got {item!r}.")
  if of:
    one_of([*FLAGS.methods, *FLAGS.parameterizations], "NAME of --set", of)
  return of, field, value


def _absolute(spec: str) -> str:
  """SPEC of data, with an absolute path if it has one."""
  kind, _, place = spec.partition(":")
  path, mark, rest = place.partition("?")
  if not place or not Path(path).exists():
    return spec
  return f"{kind}:{Path(path).resolve()}{mark}{rest}"


if __name__ == "__main__":
  begin.start(main, computes=False, resumes=True)
