"""Runs rows of the results table, and writes the table.

  python experiments/reproduce.py --list
  python experiments/reproduce.py --rows=sldd_mnist_fixed_10 --workdir=runs
  python experiments/reproduce.py --render

A row is a command of `distill.py`, or of `evaluate.py` on the set of another
row, run in a folder of its own below `--workdir`, so an interrupted row goes on
where it stopped and a finished one is not run again. Its record is appended to
`docs/results/<group>.json`, in place of an older record of the same row, and
`docs/results.md` is rendered from all of them.
"""

import datetime
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
      print(f"{name:32} {row.config}{'  (accelerator)' * row.accelerator}")
    return
  for name in rows.chosen(FLAGS.rows, table):
    record = run_row(name, table[name])
    append(table[name].group, record)
  if FLAGS.rows or FLAGS.render:
    results_page.write(DOCS, table)


def run_row(name: str, row: rows.Row) -> dict:
  """Runs a row to its end and returns its record."""
  home = (ROOT / FLAGS.workdir).relative_to(ROOT)
  places = [f"--cache_dir={FLAGS.workdir}"]
  if FLAGS.data_dir:
    places.append(f"--data_dir={Path(FLAGS.data_dir).resolve()}")
  if row.evaluates:
    artifact = home / row.config / "distilled.safetensors"
    if not (ROOT / artifact).exists():
      raise ConfigError(
          f"row {name} evaluates the set of {row.config}; run that one first."
      )
    report = launched.evaluate(
        home / name, artifact, [*row.overrides, *places]
    )
  else:
    config = f"--config=experiments/configs/{row.config}"
    report = launched.distil(home / name, [config, *row.overrides, *places])
  file = ROOT / home / name / launched.REPORT
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
