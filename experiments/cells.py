"""Tables of the results page: their heads, and the cells of a record."""

import functools
from typing import Any

from rows import Row

from distill_jax.evaluation import points
from distill_jax.evaluation.baselines import TITLES

NONE = "Not measured."


def table(columns, lines: list[dict[str, str]]) -> str:
  """A table of cells by column, "-" for missing ones; `NONE` without rows."""
  if not lines:
    return NONE
  cells = [[line.get(column, "-") for column in columns] for line in lines]
  return "\n".join(
      (head(columns), *(f"| {' | '.join(line)} |" for line in cells)))


def head(columns) -> str:
  """The first two lines of a table."""
  return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"


def field(document: dict, dotted: str) -> Any:
  """A field of nested documents; None where it is absent."""
  return functools.reduce(
      lambda inner, key: (inner or {}).get(key), dotted.split("."), document)


def of(record: dict, row: Row) -> dict[str, str]:
  """The cells of a record by column; values that it lacks are left out."""
  report, recipe = record["report"], record["report"]["recipe"] or {}
  found = {
      "row": f"`{record['row']}`",
      "samples": str(report["num_samples"]),
      "student": report["student_init"],
      "labels": report["label_regime"],
      "accuracy": f"**{points.percent(report['accuracy'])}**",
      "judged by": report.get("network", "-").replace("_", " "),
      "recipe": recipe.get("name", "-").replace("_", " "),
      "epochs": str(recipe.get("num_epochs", "-")),
      "steps": f"{recipe['num_steps']:,}" if "num_steps" in recipe else "-",
      "networks": str(report["num_networks"]),
      "seed": str(report["seed"]),
      "device": report["device"],
      "distilling": points.minutes(report["seconds"]["distill"]),
      "date": record["date"]
  }
  if "macro_f1" in report:
    found["macro F1"] = f"{100 * report['macro_f1']:.1f}"
  if "min_class" in report:
    found["lowest class"] = f"{100 * report['min_class']:.1f}"
  if full := report.get("full_data_accuracy"):
    found["all data"] = f"{100 * full:.1f}"
  if seconds := field(report, "cost.set.seconds"):
    found["one network"] = f"{seconds:.0f} s"
  if row.published is not None:
    found["published"] = f"{row.published}"
  if "storage_bytes" in report:
    found["bits"] = str((report.get("quantisation") or {}).get("bits", 32))
    found["bytes"] = f"{report['storage_bytes']['total']:,}"
    if "views" in report["storage_bytes"]:
      found["labels of views"] = f"{report['storage_bytes']['views']:,}"
  if teacher := report.get("teacher"):
    if "accuracy" in teacher:
      found["teacher"] = f"{100 * teacher['accuracy']:.1f} %"
    if "seconds" in teacher:
      found["training it"] = points.minutes(teacher["seconds"])
  if "bits_per_class" in report:
    found["bits a class"] = f"{report['bits_per_class']:,.0f}"
  if report.get("ratio") is not None:
    found["r_M"] = f"{report['ratio']:.1f}"
  if "hard_label_accuracy" in report:
    found["hard labels"] = points.percent(report["hard_label_accuracy"])
  for name, block in (report.get("baselines") or {}).items():
    found[TITLES[name]] = points.percent(block)
    if name == "random_real" and "gain" in block:
      found["gain"] = points.gain(block["gain"])
  if updates := report.get("updates"):
    found["cosine"] = f"{updates['cosine']:.3f}"
    found["norm"] = f"{updates['norm']:.1f}"
  if experts := report.get("experts"):
    accuracy = 100 * sum(experts["accuracy"]) / len(experts["accuracy"])
    found["experts"] = (
        f"{experts['num']} of {experts['num_epochs']} epochs, {accuracy:.1f} %")
    found["training them"] = points.minutes(sum(experts["seconds"]))
  return found
