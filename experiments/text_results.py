"""The part of the results page that is about texts."""

import importlib

import points

from distill_jax.evaluation.baselines import TITLES

COLUMNS = (
    "row", "sentences", "steps x epochs", "initialisation", "accuracy", "F1",
    "published", "all data", "r_M", "its words", "hard labels", "networks",
    "seed", "device", "distilling", "date",
)
_REFERENCE = "TF-IDF and a linear classifier"
_NONE = "Not measured."


def section(records: list[dict], table) -> str:
  """Tables of rows on texts, what they are measured by, and their baselines.

  Args:
    records: of these rows.
    table: rows by name.
  """
  if not records:
    return _NONE
  return "\n\n".join((
      _markdown(COLUMNS, [_cells(r, table[r["row"]]) for r in records]),
      _corpora(records),
      "Baselines of the same number of sentences and steps, accuracy (F1); "
      "`real, same bytes` has as many real sentences, two bytes a word, as the "
      "set has bytes, and is no baseline of the same size.",
      _baselines(records),
  ))


def _cells(record: dict, row) -> list[str]:
  report = record["report"]
  recipe = report["recipe"] or {}
  steps = report["num_inner_steps"]
  return [
      f"`{record['row']}`",
      str(report["num_samples"]),
      _steps(row) if steps else recipe.get("name", "-").replace("_", " "),
      report["student_init"],
      f"**{points.percent(report['accuracy'])}**",
      _percent(report["macro_f1"]),
      "-" if row.published is None else f"{row.published}",
      _both(report.get("full_data_accuracy"), report.get("full_data_macro_f1")),
      f"{report['ratio']:.1f}" if "ratio" in report else "-",
      _variant(report, "snapped_accuracy"),
      _variant(report, "hard_label_accuracy"),
      str(report["num_networks"]),
      str(report["seed"]),
      report["device"],
      points.minutes(report["seconds"]["distill"]),
      record["date"],
  ]


def _steps(row) -> str:
  """S x E of a row's configuration."""
  file, _, options = row.arguments[0].rpartition("/")[2].partition(":")
  module = importlib.import_module(f"configs.{file.removesuffix('.py')}")
  config = module.get_config(options)
  return f"{config.num_steps_per_epoch} x {config.num_epochs}"


def _corpora(records: list[dict]) -> str:
  """Of each data set: vectors, coverage and what needs no set."""
  lines = {}
  for record in records:
    report, data = record["report"], record["report"]["data"]
    tokens = data["tokens_with_vectors"]
    line = (
        f"- `{data['spec']}`: {data['vectors']}; {data['dim']} numbers, "
        f"{100 * data['words_with_vectors']:.1f} % of {data['words']:,} words "
        f"have a vector, of the tokens {100 * tokens['train']:.1f} % in train "
        f"and {100 * tokens['test']:.1f} % in test; sentences of "
        f"{data['length']} words; {data['duplicates'].get('test', 0)} test "
        "texts also occur in train; always the commonest class "
        f"{_percent(report['majority_rate'])} %"
    )
    linear = report.get("references", {}).get(_REFERENCE)
    if linear:
      line += (
          f"; {_REFERENCE} on all data "
          f"{_both(linear['accuracy'], linear['macro_f1'])}"
      )
    known = lines.get(data["spec"], "")
    lines[data["spec"]] = max(known, line, key=len)
  return "\n".join(f"{line}." for line in lines.values())


def _baselines(records: list[dict]) -> str:
  names = [
      name for name in TITLES
      if any(name in r["report"]["baselines"] for r in records)
  ]
  rows = [
      [f"`{r['row']}`",
       _both(r["report"]["accuracy"]["mean"], r["report"]["macro_f1"]),
       *(_block(r["report"]["baselines"].get(name)) for name in names)]
      for r in records if r["report"]["baselines"]
  ]
  if not rows:
    return _NONE
  return _markdown(["row", "ours", *(TITLES[name] for name in names)], rows)


def _block(block: dict | None) -> str:
  if block is None:
    return "-"
  return f"{points.percent(block)} ({_percent(block['macro_f1'])})"


def _variant(report: dict, field: str) -> str:
  return points.percent(report[field]) if field in report else "-"


def _both(accuracy: float | None, f1: float | None) -> str:
  if accuracy is None:
    return "-"
  return f"{_percent(accuracy)} ({_percent(f1)})"


def _percent(share: float) -> str:
  return f"{100 * share:.1f}"


def _markdown(columns, rows: list[list[str]]) -> str:
  head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
  return "\n".join((head, *(f"| {' | '.join(row)} |" for row in rows)))
