"""The first tables of the results page: methods against samples of a class."""

import functools
from typing import Any

import cells
import rows
from configs.common import published

from distill_jax.evaluation import points

_DATA = {
    "idx:mnist": "MNIST",
    "idx:fashion_mnist": "Fashion-MNIST",
    "npz:cifar10.npz": "CIFAR-10"
}
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
      lines = found.setdefault(_DATA[config.data], {})
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
  baselines = report.get("baselines") or {}
  below = ["-" if row.published is None else f"{row.published:.1f}"]
  for name in _RIVALS:
    block = baselines.get(name)
    below.append(f"{100 * block['mean']:.1f}" if block else "-")
  return f"{ours}<br>{' · '.join(below)}"


def differences(table: dict[str, rows.Row], records: dict[str, dict]) -> str:
  """A line for each row far below its published accuracy, with its trials."""
  lines = []
  for name, record in records.items():
    row = table[name]
    if row.published is None:
      continue
    below = row.published - 100 * record["report"]["accuracy"]["mean"]
    if below > _FAR:
      trials = (
          f" {_trial(of, row, records[of], table[of])}" for of in records
          if table[of].trial_of == name)
      lines.append(
          f"- `{name}`, {below:.1f} points below: "
          f"{_differs(row) or 'none of these settings differs'}." +
          "".join(trials))
  return "\n".join(lines)


def _trial(name: str, row: rows.Row, record: dict, trial: rows.Row) -> str:
  """How far a trial of a row is below its published accuracy."""
  ours, theirs = (rows.configuration(of).to_dict() for of in (trial, row))
  changed = " and ".join(
      f"{title} {_shown(_field(ours, field))}"
      for title, field in (_LESS | _OTHER).items()
      if _field(ours, field) != _field(theirs, field))
  below = row.published - 100 * record["report"]["accuracy"]["mean"]
  return f"With {changed}: {below:.1f} below (`{name}`)."


def _shown(value) -> str:
  return f"{value:,}" if isinstance(value, int) else str(value)


def _differs(row: rows.Row) -> str:
  """In what a row differs from its published run."""
  if row.program != "distill":
    return ""
  config = rows.configuration(row)
  sides = config.to_dict(), published(config) or {}
  found = []
  for title, field in _LESS.items():
    ours, theirs = (_field(side, field) for side in sides)
    if ours and theirs and ours < theirs:
      found.append(f"{title} {ours:,} instead of {theirs:,}")
  if "text" in config:
    found.append("word vectors learned from the training texts, not GloVe's")
  return ", ".join(found)


def _field(document: dict, dotted: str) -> Any:
  """A field of nested documents; None where it is absent."""
  return functools.reduce(
      lambda inner, key: (inner or {}).get(key), dotted.split("."), document)
