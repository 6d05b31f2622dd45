"""The part of the results page about texts."""

import cells
from rows import Row, configuration

from distill_jax.evaluation import points
from distill_jax.evaluation.baselines import TITLES
from distill_jax.evaluation.text_reference import TITLE as TFIDF

COLUMNS = (
    "row", "samples", "steps x epochs", "student", "accuracy", "F1",
    "published", "all data", "r_M", "its words", "hard labels", "outer steps",
    "networks", "seed", "device", "distilling", "date")


def section(records: list[dict], table: dict[str, Row]) -> str:
  """Tables of rows on texts, how they are measured, and their baselines.

  Args:
    records: the records of these rows.
    table: rows by name.
  """
  if not records:
    return ""
  compared = [_baselines(r) for r in records if r["report"]["baselines"]]
  titles = [t for t in TITLES.values() if any(t in line for line in compared)]
  return "\n\n".join((
      cells.table(COLUMNS, [_cells(r, table[r["row"]]) for r in records]),
      _corpora(records),
      "Baselines of the same number of samples and steps, accuracy (F1); "
      "`real, same bytes` has as many real sentences, two bytes a word, as the "
      "set has bytes, and is no baseline of the same size.",
      cells.table(("row", "ours", *titles), compared)))


def _cells(record: dict, row: Row) -> dict[str, str]:
  """The cells of `cells.of`, and those that only texts have."""
  report, method = record["report"], configuration(row).method
  found = cells.of(record, row)
  found |= {
      "steps x epochs": (
          f"{method.steps} x {method.epochs}"
          if report["num_inner_steps"] else found["recipe"]),
      "F1": _share(report["macro_f1"]),
      "outer steps": f"{method.num_steps:,}"
  }
  if "full_data_accuracy" in report:
    found["all data"] = _both(
        report["full_data_accuracy"], report["full_data_macro_f1"])
  if "snapped_accuracy" in report:
    found["its words"] = points.percent(report["snapped_accuracy"])
  return found


def _corpora(records: list[dict]) -> str:
  """For each data set with its vectors: coverage, and results without a set."""
  first = {}
  for record in sorted(records, key=lambda record: not _linear(record)):
    data = record["report"]["data"]
    first.setdefault((data["spec"], data["vectors"]), record)
  return "\n".join(map(_corpus, first.values()))


def _corpus(record: dict) -> str:
  report, data = record["report"], record["report"]["data"]
  tokens, reference = data["tokens_with_vectors"], _linear(record)
  line = (
      f"- `{data['spec']}`, without the validation part of seed "
      f"{report['seed']}: {data['vectors']}; {data['dim']} numbers, "
      f"{100 * data['words_with_vectors']:.1f} % of {data['words']:,} words "
      f"have a vector, of the tokens {100 * tokens['train']:.1f} % in train "
      f"and {100 * tokens['test']:.1f} % in test; sentences of "
      f"{data['length']} words; {data['duplicates'].get('test', 0)} test "
      "texts also occur in train; always the commonest class "
      f"{_share(report['majority_rate'])} %")
  if reference:
    line += (
        f"; {TFIDF} on all data "
        f"{_both(reference['accuracy'], reference['macro_f1'])}")
  return f"{line}."


def _linear(record: dict) -> dict | None:
  return record["report"].get("references", {}).get(TFIDF)


def _baselines(record: dict) -> dict[str, str]:
  """Accuracy and F1 of a set and of its baselines."""
  report = record["report"]
  return {
      "row": f"`{record['row']}`",
      "ours": _both(report["accuracy"]["mean"], report["macro_f1"])
  } | {
      TITLES[name]: f"{points.percent(block)} ({_share(block['macro_f1'])})"
      for name, block in report["baselines"].items()
  }


def _both(accuracy: float, f1: float) -> str:
  return f"{_share(accuracy)} ({_share(f1)})"


def _share(share: float) -> str:
  return f"{100 * share:.1f}"
