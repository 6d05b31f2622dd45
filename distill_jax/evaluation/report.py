"""The report of a run: one JSON document (schema 1) and one plain table."""

import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from distill_jax import environment
from distill_jax.evaluation import metrics
from distill_jax.evaluation.baselines import TITLES, Baseline
from distill_jax.evaluation.cost import Cost
from distill_jax.evaluation.evaluator import Report
from distill_jax.evaluation.full_data import FullData
from distill_jax.types import TrainingSet

SCHEMA_VERSION = 1


class Transfer(NamedTuple):
  """What a set does for one of several networks.

  Attributes:
    report: of the distilled set.
    random_real: random real data of the same budget.
    full_data: of `train_on_all`, or None.
  """

  report: Report
  random_real: Baseline
  full_data: FullData | None = None


def report_dict(
    report: Report,
    training_set: TrainingSet,
    *,
    network: str,
    data: dict[str, Any],
    seconds: dict[str, float],
    storage_bytes: dict[str, int],
    label_regime: str,
    seed: int,
    command: str,
    recipe: dict[str, Any] | None = None,
    baselines: dict[str, Baseline] | None = None,
    hard_labels: Report | None = None,
    full_data: FullData | None = None,
    cost: Cost | None = None,
    networks: dict[str, Transfer] | None = None,
    snapped: Report | None = None,
    references: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
  """Everything a result must say, ready for `json.dump`.

  Accuracies are fractions of 1, `ratio` is percent.

  Args:
    report: of the distilled set.
    training_set: the distilled set.
    network: name of the student.
    data: `{"spec": ..., "fingerprint": ...}`.
    seconds: `{"distill": ..., "evaluate": ...}`.
    storage_bytes: `{"samples", "labels", "decoder", "total"}`.
    label_regime: "hard" or "soft_fixed".
    seed: of the run.
    command: that started it.
    recipe: by default that of `report`.
    baselines: of `run_baselines`.
    hard_labels: of the set with `recipes.hard_labels`.
    full_data: of `train_on_all`; gives `full_data_accuracy` and `ratio`.
    cost: of `cost_of_set`.
    snapped: of the set with the nearest words in place of its vectors.
    references: JSON values of classifiers on all data that are no students, by
      name: `accuracy` and `macro_f1`.
    networks: of cross-architecture evaluation, by name; in the document each
      has `random_real`, the `gain` over it and, with all data, `ratio`.
  """
  document = {
      "schema_version": SCHEMA_VERSION,
      **_block(report),
      "network": network,
      "recipe": recipe or report.recipe,
      "label_regime": label_regime,
      "selection": "last",
      "num_samples": len(training_set.samples.inputs),
      "num_inner_steps": int(training_set.samples.step_sizes.size),
      "baselines": {
          name: _baseline(b, report) for name, b in (baselines or {}).items()
      },
      "storage_bytes": dict(storage_bytes),
      "seconds": dict(seconds),
      "data": dict(data),
      "seed": seed,
      "device": environment.device(),
      "versions": environment.versions(),
      "command": command,
  }
  if hard_labels is not None:
    document["hard_label_accuracy"] = _accuracy(hard_labels)
  if snapped is not None:
    document["snapped_accuracy"] = _accuracy(snapped)
  if references:
    document["references"] = dict(references)
  document |= _full_data_block(report, full_data)
  costs = {"set": cost, "all": full_data.cost if full_data else None}
  if cost or full_data:
    document["cost"] = {k: c._asdict() for k, c in costs.items() if c}
  if networks:
    document["networks"] = {
        name: {
            **_block(target.report),
            "random_real": _baseline(target.random_real, target.report),
            **_full_data_block(target.report, target.full_data),
        } for name, target in networks.items()
    }
  return document


# The set changed in one thing.
_VARIANTS = {
    "hard_label_accuracy": "  with hard labels",
    "snapped_accuracy": "  as its nearest words",
}


def table(report: dict[str, Any]) -> str:
  """The report as text of at most 80 columns: the set, then its baselines.

  Args:
    report: of `report_dict`.
  """
  best = report["accuracy"]["mean"]
  own = "learned" if report["num_inner_steps"] else "-"
  rows = [_row("distilled set", report["accuracy"], own, None)]
  for field, title in _VARIANTS.items():
    if field in report:
      rows.append(_row(title, report[field], own, best))
  for name, entry in report["baselines"].items():
    step_size = entry["step_size"]
    step_size = "-" if step_size is None else f"{step_size:g}"
    label = TITLES.get(name, name)
    rows.append(_row(label, entry, step_size, best))
  head = (
      f"{'':<22}{'accuracy %':>10}{'std':>6}{'stderr':>7}{'F1 %':>7}"
      f"{'nets x sets':>12}{'step':>8}{'gain':>8}"
  )
  rule = "-" * len(head)
  lines = [*_heading(report, len(head)), rule, head, rule, *rows, rule]
  return "\n".join(lines + _footer(report))


def transfer_table(report: dict[str, Any]) -> str:
  """The set on each of several networks, beside random real data.

  Args:
    report: of `report_dict` with `networks`.
  """
  full = any("ratio" in block for block in report["networks"].values())
  head = (
      f"{'network':<16}{'distilled %':>16}{'random real %':>16}"
      f"{'gain':>16}" + f"{'all data':>9}{'kept %':>7}" * full
  )
  rule = "-" * len(head)
  rows, counts = [], set()
  for name, block in report["networks"].items():
    random = block["random_real"]
    cells = [
        _with_error(block["accuracy"]["mean"], _std(block["accuracy"])),
        _with_error(random["mean"], _std(random)),
        _with_error(**random["gain"]),
    ]
    counts.add(
        f"{block['num_networks']} networks each, on random real data "
        f"{random['num_networks']} on each of {random['num_sets']} sets"
    )
    rows.append(f"{name[:16]:<16}" + "".join(f"{c:>16}" for c in cells))
    if "ratio" in block:
      rows[-1] += (f"{100 * block['full_data_accuracy']:>9.2f}"
                   f"{block['ratio']:>7.1f}")
  note = (
      f"{'; '.join(sorted(counts))}; ± is the standard deviation, for gains "
      "the standard error"
  )
  return "\n".join(
      [rule, head, rule, *rows, rule, *textwrap.wrap(note, len(head))]
  )


def _with_error(mean: float, stderr: float | None) -> str:
  error = "-" if stderr is None else f"{100 * stderr:.2f}"
  return f"{100 * mean:.2f} ± {error}"


def _std(entry) -> float | None:
  return entry["std"] if len(entry["per_network"]) > 1 else None


def _heading(report, width):
  parts = [
      f"{report['num_samples']} samples for {report['data']['spec']}",
      f"network {report['network']}",
      f"{report['student_init']} initialisation",
  ]
  steps, recipe = report["num_inner_steps"], report["recipe"]
  if recipe and recipe["name"] != "in_order":
    parts.append(f"recipe {recipe['name']}")
  elif steps:
    parts.append(f"{steps} inner step{'s' * (steps > 1)}")
  return textwrap.wrap(", ".join(parts), width)


def _footer(report):
  lines = [
      f"always the commonest class: {100 * report['majority_rate']:.2f}"
      f"    on the set itself: {100 * report['accuracy_on_set']:.2f}"
  ]
  if "ratio" in report:
    f1 = report.get("full_data_macro_f1")
    f1 = "" if f1 is None else f" (F1 {100 * f1:.2f})"
    lines.append(
        f"all data: {100 * report['full_data_accuracy']:.2f}{f1}, of which the "
        f"set keeps {report['ratio']:.1f} %"
    )
  for name, entry in report.get("references", {}).items():
    lines.append(
        f"{name} on all data: {100 * entry['accuracy']:.2f} "
        f"(F1 {100 * entry['macro_f1']:.2f})"
    )
  splits = {b["selected_on"] for b in report["baselines"].values()} - {None}
  if splits:
    lines.append(
        f"step sizes of baselines chosen on {' and '.join(sorted(splits))}"
    )
  if report["baselines"]:
    lines.append("gain of the distilled set over each, in percent points")
  lines.append("F1: mean over classes, then over networks")
  return lines


def _row(name, entry, step_size, best):
  gain = ""
  if best is not None:
    gain = f"{100 * (best - entry['mean']):+.2f}"
  counts = f"{entry.get('num_networks', len(entry['per_network']))} x " + str(
      entry.get("num_sets", 1)
  )
  std = stderr = "-"
  if len(entry["per_network"]) > 1:
    std, stderr = f"{100 * entry['std']:.2f}", f"{100 * entry['stderr']:.2f}"
  f1 = entry.get("macro_f1")
  f1 = "-" if f1 is None else f"{100 * f1:.2f}"
  return (
      f"{name[:22]:<22}{100 * entry['mean']:>10.2f}{std:>6}{stderr:>7}{f1:>7}"
      f"{counts:>12}{step_size:>8}{gain:>8}"
  ).rstrip()


def _block(report: Report) -> dict[str, Any]:
  """What is said of each network."""
  return {
      "accuracy": _accuracy(report),
      "student_init": report.student_init,
      "num_networks": report.num_networks,
      "macro_f1": report.macro_f1,
      "majority_rate": report.majority_rate,
      "accuracy_on_set": float(report.accuracy_on_set.mean()),
  }


def _full_data_block(
    report: Report, full_data: FullData | None
) -> dict[str, float]:
  """Accuracy on all data and the share of it that the set keeps, in %."""
  if full_data is None:
    return {}
  ratio = metrics.distillation_ratio(report.mean, full_data.accuracy)
  block = {"full_data_accuracy": full_data.accuracy, "ratio": float(ratio)}
  if full_data.macro_f1 is not None:
    block["full_data_macro_f1"] = full_data.macro_f1
  return block


def _accuracy(result) -> dict[str, Any]:
  return {
      "mean": result.mean,
      "std": result.std,
      "stderr": float(result.stderr),
      "macro_f1": result.macro_f1,
      "per_network": np.ravel(result.accuracy).tolist(),
  }


def _baseline(baseline: Baseline, report: Report) -> dict[str, Any]:
  """As `accuracy`; networks of one set follow each other in `per_network`.

  `gain` is what the distilled set is better by, network by network.
  """
  num_sets, num_networks = baseline.accuracy.shape
  return {
      **_accuracy(baseline),
      "num_sets": num_sets,
      "num_networks": num_networks,
      "num_samples": baseline.num_samples,
      "num_classes": baseline.num_classes,
      "learner": baseline.learner,
      "step_size": baseline.step_size,
      "selected_on": baseline.selected_on,
      "gain": metrics.gain_over(
          report.accuracy, baseline.accuracy
      )._asdict(),
  }
