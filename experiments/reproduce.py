"""Runs rows of the results table, and writes the table.

  python experiments/reproduce.py --list
  python experiments/reproduce.py --rows=sldd_mnist_fixed_10 --workdir=runs
  python experiments/reproduce.py --render

A row is a command of `distill.py`, `sweep.py`, `evaluate.py` or `embed.py`.
Some rows read the sets of other rows. A row runs in a folder of its own below
`--workdir`, so that an interrupted row continues where it stopped, and a
finished one is not run again. Its record is added to
`docs/results/<group>.json`, replacing an older record of the row, and its
figure to `docs/figures`. `docs/results.md` is rendered from all records.
"""

import datetime
import shutil
from pathlib import Path

import begin
import launched
import results_page
import rows
from absl import flags

from distill_jax.errors import ConfigError
from distill_jax.runs.files import update_json

DOCS = launched.ROOT / "docs"

FLAGS = flags.FLAGS
flags.DEFINE_list("rows", [], "Rows to run, by name or first words of it.")
flags.DEFINE_string("workdir", "runs", "Where the runs live.")
flags.DEFINE_bool("list", False, "List the rows.")
flags.DEFINE_bool("render", False, "Write docs/results.md from the records.")


def main(argv):
  del argv
  table = rows.table()
  if FLAGS.list:
    for name, row in table.items():
      what = row.arguments[0].removeprefix("--config=experiments/configs/")
      sets = ", ".join(row.sets.values())
      if row.program == "distill" and sets:
        sets = f"{what} from {sets}"
      print(
          f"{name:36} {row.program:9} {sets or what}" +
          "  (accelerator)" * row.accelerator)
    return
  for name in rows.chosen(FLAGS.rows, table):
    append(table[name].group, run_row(name, table))
  if FLAGS.rows or FLAGS.render:
    results_page.write(DOCS, table)


def run_row(name: str, table: dict[str, rows.Row]) -> dict:
  """Runs a row to its end, keeps its figure and returns its record.

  Raises:
    ConfigError: a row whose set this row reads is not finished.
    Interrupted: the row was stopped before its end.
  """
  for of in table[name].sets.values():
    if not launched.of_row(of, table, FLAGS.workdir).finished():
      raise ConfigError(
          f"row {name} takes the set of {of}, which is not finished; run that "
          "one first.")
  run = launched.of_row(name, table, FLAGS.workdir)
  if FLAGS.data_dir:
    run.arguments.append(f"--data_dir={Path(FLAGS.data_dir).resolve()}")
  report = run.run()
  drawn = run.report.with_suffix(".png")  # if it draws one
  picture = run.report.parent / (table[name].figure or drawn.name)
  if table[name].figure or picture.exists():
    (DOCS / "figures").mkdir(exist_ok=True)
    shutil.copy(picture, DOCS / "figures" / f"{name}.png")
  report.pop("confusion", None)  # K x K lines
  date = datetime.date.fromtimestamp(run.report.stat().st_mtime)
  return dict(
      row=name, command=report["command"], date=date.isoformat(), report=report)


def append(group: str, record: dict) -> None:
  """Adds a record to its group's file, replacing an older one of the row."""
  results = DOCS / "results"
  results.mkdir(parents=True, exist_ok=True)
  update_json(
      results / f"{group}.json",
      lambda records: [r for r in records
                       if r["row"] != record["row"]] + [record], [])


if __name__ == "__main__":
  begin.start(main, computes=False, resumes=True)
