"""The first tables of the results page: methods against samples of a class."""

import cells
import rows
from configs.common import published

from distill_jax import figures
from distill_jax.errors import ConfigError
from distill_jax.evaluation import points

_PER_CLASS = 1, 10, 50
_RIVALS = "random_real", "byte_matched_real"
_FAR = 3.0  # points below a published accuracy that need an explanation
# What a shorter run has less of: title, and its field of the configuration.
_LESS = {
    "width": "network.width",
    "outer steps": "method.num_steps",
    "experts": "method.experts.num",
    "epochs of experts": "method.experts.num_epochs",
    "epochs of training": "method.recipe.num_epochs",
    "updates of training": "method.recipe.num_steps",
    "epochs of the teacher": "method.teacher.num_epochs"
}
# What else a trial of a row may change.
_OTHER = {
    "recipe": "method.recipe.name",
    "start": "method.start",
    "optimizer": "method.optimizer",
    "rate": "method.learning_rate",
    "batches of": "method.batch_size"
}


def tables(table: dict[str, rows.Row], records: dict[str, dict]) -> str:
  """One table for each data set, of the rows that have a `line`.

  Of two rows of one cell, the later one in the table is shown.
  """
  found: dict[str, dict[str, dict[int, str]]] = {}
  for name, record in records.items():
    if line := table[name].line:
      config = rows.configuration(table[name])
      per_class = config.per_class or config.num_rows // 10
      lines = found.setdefault(figures.data_name(config.data), {})
      lines.setdefault(line, {})[per_class] = _cell(record, table[name], config)
  return "\n\n".join(
      f"### {data}\n\n" +
      cells.table(("method", *(f"{n} a class" for n in _PER_CLASS)), [{
          "method": line,
          **{
              f"{n} a class": cell for n, cell in of.items()
          }
      } for line, of in lines.items()]) for data, lines in found.items())


def _cell(record: dict, row: rows.Row, config) -> str:
  """Our accuracy; below it the published one and those of real samples."""
  report = record["report"]
  ours = f"**{points.percent(report['accuracy'])}**"
  if config.network.get("width", 1) > 32:
    ours += f" (width {config.network.width})"
  if _by_one_network(report):
    ours += " (one network)"
  baselines = report.get("baselines") or {}
  below = ["-" if row.published is None else f"{row.published:.1f}"]
  for name in _RIVALS:
    block = baselines.get(name)
    below.append(f"{100 * block['mean']:.1f}" if block else "-")
  return f"{ours}<br>{' · '.join(below)}"


def _by_one_network(report: dict) -> bool:
  """Whether an accuracy is of one of the networks that chance could make."""
  return (
      report.get("student_init") == "random" and
      report.get("network") != "kernel_ridge" and report["num_networks"] == 1)


def differences(table: dict[str, rows.Row], records: dict[str, dict]) -> str:
  """A line for each row far below its published accuracy, with its trials."""
  lines = []
  for name, record in records.items():
    row = table[name]
    if row.published is None or _below(row, record) <= _FAR:
      continue
    trials = (
        f" {_trial(other, table, records)}" for other in records
        if table[other].trial_of == name)
    lines.append(
        f"- `{name}`, {_below(row, record):.1f} points below: "
        f"{_differs(row) or 'none of these settings differs'}." +
        "".join(trials))
  return "\n".join(lines)


def _below(row: rows.Row, record: dict) -> float:
  """Points from an accuracy up to the published one of a row."""
  return row.published - 100 * record["report"]["accuracy"]["mean"]


def _trial(name: str, table: dict[str, rows.Row], records: dict) -> str:
  """What a trial of a row changed, and how far it is from the published one."""
  row = table[table[name].trial_of]
  sides = [rows.configuration(of, table) for of in (table[name], row)]
  changed = []
  for title, field in (_LESS | _OTHER).items():
    new, old = (cells.field(side.to_dict(), field) for side in sides)
    if new != old:
      changed.append(
          f"{title} {new:,}" if isinstance(new, int) else f"{title} {new}")
  if not changed:
    raise ConfigError(
        f"row {name} must change a setting of {table[name].trial_of} that has "
        "a title; it changes none of these.")
  below = _below(row, records[name])
  return (
      f"With {_listed(changed)}: {abs(below):.1f} "
      f"{'below' if below >= 0 else 'above'} (`{name}`).")


def _listed(parts: list[str]) -> str:
  *first, last = parts
  return f"{', '.join(first)} and {last}" if first else last


def _differs(row: rows.Row) -> str:
  """In what a row differs from its published run."""
  if row.program != "distill":
    return ""
  config = rows.configuration(row)
  sides = config.to_dict(), published(config) or {}
  found = []
  for title, field in _LESS.items():
    ours, theirs = (cells.field(side, field) for side in sides)
    if ours and theirs and ours < theirs:
      found.append(f"{title} {ours:,} instead of {theirs:,}")
  if "text" in config:
    found.append("word vectors learned from the training texts, not GloVe's")
  return ", ".join(found)
