"""Runs rows of the results table, and writes the table.

  python experiments/reproduce.py --list
  python experiments/reproduce.py --rows=sldd_mnist_fixed_10 --workdir=runs
  python experiments/reproduce.py --render

A row is a command of `distill.py` or `sweep.py`, or one of `evaluate.py` or
`embed.py` on the sets of other rows. It runs in a folder of its own below
`--workdir`, so an interrupted row goes on where it stopped and a finished one
is not run again. Its record is appended to `docs/results/<group>.json`, in
place of an older record of the same row, its figure goes to `docs/figures`, and
`docs/results.md` is rendered from all of them.
"""

import datetime
import shutil
from pathlib import Path

import launch
import launched
import results_page
import rows
import workdir
from absl import flags

from distill_jax.errors import ConfigError

ROOT = launched.ROOT
DOCS = ROOT / "docs"

FLAGS = flags.FLAGS
flags.DEFINE_list("rows", [], "Rows to run, by name or first words of it.")
flags.DEFINE_string("workdir", "runs", "Where the runs live.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.DEFINE_bool("list", False, "List the rows.")
flags.DEFINE_bool("render", False, "Write docs/results.md from the records.")


def main(argv):
  del argv
  table = rows.table()
  if FLAGS.list:
    for name, row in table.items():
      print(f"{name:36} {row.program:9} {row.arguments[0].partition('=')[2]}"
            + "  (accelerator)" * row.accelerator)
    return
  for name in rows.chosen(FLAGS.rows, table):
    record = run_row(name, table[name])
    append(table[name].group, record)
  if FLAGS.rows or FLAGS.render:
    results_page.write(DOCS, table)


def run_row(name: str, row: rows.Row) -> dict:
  """Runs a row to its end, keeps its figure and returns its record.

  Raises:
    ConfigError: a set that the row takes is not there, or the row did not
      finish.
  """
  runs = launched.place(FLAGS.workdir)
  arguments, sets = list(row.arguments), {}
  if row.program in ("distill", "evaluate"):
    arguments.append(f"--cache_dir={runs}")
  if FLAGS.data_dir:
    arguments.append(f"--data_dir={Path(FLAGS.data_dir).resolve()}")
  for label, of in row.sets.items():
    sets[label] = runs / of / "distilled.safetensors"
    if not (ROOT / sets[label]).exists():
      raise ConfigError(
          f"row {name} takes the set of {of}; run that one first."
      )
  report = getattr(launched, row.program)(
      runs / name, arguments, *filter(None, [sets])
  )
  file = ROOT / runs / name / launched.REPORTS[row.program]
  figure = file.with_suffix(".png")
  if figure.exists():
    (DOCS / "figures").mkdir(exist_ok=True)
    shutil.copy(figure, DOCS / "figures" / f"{name}.png")
  date = datetime.date.fromtimestamp(file.stat().st_mtime)
  return dict(
      row=name,
      command=report["command"],
      date=date.isoformat(),
      published=row.published,
      report=report,
  )


def append(group: str, record: dict) -> None:
  """Adds a record to its group's file, in place of one of the same row."""
  results = DOCS / "results"
  results.mkdir(parents=True, exist_ok=True)
  workdir.update_json(
      results / f"{group}.json",
      lambda records: [
          r for r in records if r["row"] != record["row"]
      ] + [record],
      [],
  )


if __name__ == "__main__":
  launch.start(main)
