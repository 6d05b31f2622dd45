"""Applies distilled sets: federated, continual, search, privacy, robustness.

  python experiments/apply.py \\
    --config=experiments/configs/applications/NAME.py[:options] --workdir=DIR \\
    [--data=SPEC] [--data_dir=DIR] [--config.settings.field=value ...]

DIR then holds config.json, cells/, seconds.json, report.json, table.txt and
figure.png. The same command continues where it was stopped, cell by cell. Data
other than those of the configuration are standardised by their own mean and
std, unless `--config.preprocessing` says otherwise. Exit codes are those of
distill.py.
"""

import contextlib
import json
import time
from pathlib import Path

import begin
import launch
import own_data
import sources
from absl import flags
from ml_collections import config_flags

from distill_jax import applications, figures, preprocessing
from distill_jax.applications import Cells
from distill_jax.applications.cells import check_folder
from distill_jax.commands.process import widen
from distill_jax.errors import DataError
from distill_jax.runs import workdir
from distill_jax.runs.console import working
from distill_jax.runs.files import command, write_json
from distill_jax.storage import replace

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "What to run: FILE[:options].")
flags.DEFINE_string("workdir", None, "Where results are kept.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the config's.")
flags.DEFINE_bool("print_config", False, "Show every field, and stop.")
flags.mark_flags_as_required(["config"])


def main(argv):
  del argv
  config = FLAGS.config
  if FLAGS.data is not None:
    config = own_data.on_other_data(FLAGS["config"], FLAGS.data, "network")
  if FLAGS.print_config:
    for name, value in workdir.flat(config.to_dict()).items():
      print(f"{name} = {value!r}")
    return
  if FLAGS.workdir is None:
    raise launch.missing("workdir", "a folder for the results")
  if config.float64:
    widen({"name": "kernel_ridge"})
  folder = Path(FLAGS.workdir)
  check_folder(folder)
  source = _source(config)
  settings = json.loads(json.dumps(config.settings.to_dict()))  # as kept
  identity = dict(
      application=config.application,
      settings=settings,
      seed=config.seed,
      data=config.data,
      fingerprint=source.fingerprint(),
      preprocessing=preprocessing.identity(source.preprocessing))
  run = applications.harness(config.application)
  with Cells(folder, identity).held() as cells, working(config.application):
    found = run(source, cells=cells, seed=config.seed, **settings)
    write_json(
        folder / "report.json",
        dict(
            found,
            data=config.data,
            seed=config.seed,
            seconds=round(cells.seconds, 1),
            date=time.strftime("%Y-%m-%d"),
            command=command()))
    replace(folder / "table.txt", f"{found!r}\n".encode())
    print(found)
    with contextlib.suppress(ImportError):  # matplotlib is an extra
      figures.save(found.figure(), folder / "figure.png")
  left = ("report.json", "table.txt", "figure.png")
  told = ", ".join(name for name in left if (folder / name).exists())
  print(f"\nin {folder}: {told}")


def _source(config):
  """The data; errors name the flag instead of the field."""
  try:
    return sources.source(config, data_dir=FLAGS.data_dir)
  except DataError as error:
    if FLAGS.data is None:
      raise
    raise DataError(str(error).replace("`spec`", "`--data`", 1)) from error


if __name__ == "__main__":
  begin.start(main, resumes=True)
