"""The report of a run: one JSON document (schema 1) and one plain table."""

import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from distill_jax import environment, schema
from distill_jax.artifact import Artifact
from distill_jax.errors import counted, plain
from distill_jax.evaluation import columns, metrics
from distill_jax.evaluation.baselines import TITLES, Baseline
from distill_jax.evaluation.cost import Cost
from distill_jax.evaluation.evaluator import Report
from distill_jax.evaluation.full_data import FullData
from distill_jax.labels import classes_of_labels, uncentred

SCHEMA_VERSION = 1
MOST_CLASSES = 100  # with more, a report has no confusion matrix


class Transfer(NamedTuple):
  """Results of a set for one of several networks.

  Attributes:
    report: results of the distilled set.
    random_real: results of random real data of the same budget, or None.
    full_data: results of `train_on_all`, or None.
  """

  report: Report
  random_real: Baseline | None = None
  full_data: FullData | None = None


class Measurements(NamedTuple):
  """Everything that was measured of a set.

  Attributes:
    report: results of the distilled set.
    network: name of the student network.
    baselines: results of `run_baselines`, by name.
    hard_labels: results of the set with `recipes.hard_labels`, or None.
    snapped: results of the set with its vectors replaced by those of the
      nearest words, or None.
    full_data: results of `train_on_all`, or None.
    cost: result of `cost_of_set`, or None.
    references: JSON values of further classifiers on all data, by name:
      `accuracy` and `macro_f1`.
    networks: results of cross-architecture evaluation, by network.
    columns: JSON values of `columns` for the first network, by name.
  """

  report: Report
  network: str
  baselines: Mapping[str, Baseline] = MappingProxyType({})
  hard_labels: Report | None = None
  snapped: Report | None = None
  full_data: FullData | None = None
  cost: Cost | None = None
  references: Mapping[str, Any] = MappingProxyType({})
  networks: Mapping[str, Transfer] = MappingProxyType({})
  columns: Mapping[str, Any] = MappingProxyType({})


class Evaluation(dict):
  """A report, schema 1: a JSON document that prints as its tables."""

  @property
  def mean(self) -> float:
    """Mean accuracy of the networks trained on the set, in [0, 1]."""
    return self["accuracy"]["mean"]

  @property
  def std(self) -> float:
    """Sample standard deviation of their accuracies; 0 for one network."""
    return self["accuracy"]["std"]

  def __repr__(self) -> str:
    parts = [table(self)]
    if "networks" in self:
      parts.append(transfer_table(self))
    last = [*self.get("findings", ()), self["verdict"]]
    parts.append("\n".join(_wrapped(line) for line in last))
    return "\n\n".join(parts)


def report_dict(
    measured: Measurements,
    artifact: Artifact,
    *,
    data: Mapping[str, Any],
    seconds: Mapping[str, float | None],
    command: str = "") -> Evaluation:
  """The report of all measurements, ready for `json.dump`.

  Accuracies are in [0, 1]; `ratio` is in percent. `confusion` [K, K] counts
  test samples by true class (row) and predicted class, summed over the networks
  of `accuracy`; reports of more than 100 classes do not have it.

  Args:
    measured: what was measured of the set.
    artifact: the set; its size, kind of labels and seed are reported.
    data: `{"spec": ..., "fingerprint": ...}`.
    seconds: `{"distill": ..., "evaluate": ...}`.
    command: the command line that started the run.
  """
  report, full_data = measured.report, measured.full_data
  document = Evaluation(
      schema_version=SCHEMA_VERSION,
      **_block(report),
      network=measured.network,
      recipe=report.recipe,
      label_regime=artifact.label_regime,
      selection="last",
      num_samples=len(artifact.inputs),
      num_test_samples=report.num_test_samples,
      num_inner_steps=int(np.size(artifact.step_sizes)),
      baselines={
          name: _baseline(b, report) for name, b in measured.baselines.items()
      },
      storage_bytes=dict(artifact.storage_bytes),
      compressed_bytes=schema.compressed_bytes(artifact),
      bits_per_class=round(
          8 * artifact.storage_bytes["total"] / _classes_in(artifact), 1),
      seconds=dict(seconds),
      data=dict(data),
      seed=artifact.provenance.get("seed"),
      device=environment.device(),
      versions=environment.versions(),
      command=command)
  if report.confusion.shape[-1] <= MOST_CLASSES:
    document["confusion"] = report.confusion.sum(0).tolist()
  if artifact.quantisation:
    document["quantisation"] = dict(artifact.quantisation)
  if artifact.provenance.get("findings"):
    document["findings"] = list(artifact.provenance["findings"])
  if measured.hard_labels is not None:
    document["hard_label_accuracy"] = measured.hard_labels.summary()
  if measured.snapped is not None:
    document["snapped_accuracy"] = measured.snapped.summary()
  if measured.references:
    document["references"] = dict(measured.references)
  document |= measured.columns
  document |= _full_data_block(report, full_data)
  costs = {"set": measured.cost, "all": full_data and full_data.cost}
  if any(costs.values()):
    document["cost"] = {k: c._asdict() for k, c in costs.items() if c}
  if measured.networks:
    document["networks"] = {
        name: _of_network(target) for name, target in measured.networks.items()
    }
  document["verdict"] = verdict(document)
  return document


def _of_network(target: Transfer) -> dict[str, Any]:
  """The part of a report on one of several networks."""
  block = {
      **_block(target.report),
      **_full_data_block(target.report, target.full_data)
  }
  if target.random_real is not None:
    block["random_real"] = _baseline(target.random_real, target.report)
  return block


def _classes_in(artifact: Artifact) -> int:
  """Number of classes that labels name; all classes if labels are soft."""
  if not artifact.hard_rows:
    return artifact.num_classes
  labels = artifact.labels
  if artifact.label_space == "centred":
    labels = uncentred(labels)
  return len(np.unique(classes_of_labels(labels)))


# Titles of the set with one change, by field of the report.
_VARIANTS = {
    "hard_label_accuracy": "with hard labels",
    "snapped_accuracy": "as its nearest words"
}


class Row(NamedTuple):
  """A row of the table: the set, the set with one change, or a baseline.

  Attributes:
    title: what networks were trained on.
    mean: mean accuracy, in [0, 1], as are all numbers below.
    std: standard deviation over networks and sets; None for one network.
    stderr: standard error of the mean; None for one network.
    macro_f1: macro F1; None if unknown.
    num_networks: number of networks trained on each set.
    num_sets: number of sets.
    step_size: step size of training; "learned", or "-" if there is none.
    gain: accuracy of the distilled set minus that of this row; None for the
      set.
    gain_stderr: standard error of the gain; None if unknown.
    is_variant: whether the row is the set with one change.
  """

  title: str
  mean: float
  std: float | None
  stderr: float | None
  macro_f1: float | None
  num_networks: int
  num_sets: int
  step_size: str
  gain: float | None = None
  gain_stderr: float | None = None
  is_variant: bool = False


def rows(report: Mapping[str, Any]) -> list[Row]:
  """The rows of the table: the set, its variants and its baselines.

  Args:
    report: a report, as `report_dict` returns it.
  """
  best = report["accuracy"]["mean"]
  own = "learned" if report["num_inner_steps"] else "-"
  found = [_row("distilled set", report["accuracy"], own)]
  for field, title in _VARIANTS.items():
    if field in report:
      row = _row(title, report[field], own)
      found.append(row._replace(gain=best - row.mean, is_variant=True))
  for name, entry in report["baselines"].items():
    size = entry["step_size"]
    step_size = "-" if size is None else f"{size:g}"
    row = _row(TITLES.get(name) or name, entry, step_size)
    error = entry.get("gain", {}).get("stderr")
    found.append(row._replace(gain=best - row.mean, gain_stderr=error))
  return found


def table(report: dict[str, Any]) -> str:
  """The report as text of at most 80 columns: the set, then its baselines.

  Args:
    report: a report, as `report_dict` returns it.
  """
  head = (
      f"{'':<22}{'accuracy %':>10}{'std':>6}{'stderr':>7}{'F1 %':>7}"
      f"{'nets x sets':>12}{'step':>8}{'gain':>8}")
  rule = "-" * len(head)
  lines = [*map(_line, rows(report))]
  lines = [*_heading(report, len(head)), rule, head, rule, *lines, rule]
  below = notes(report)
  below[:2] = ["    ".join(below[:2])]
  if "bits_per_class" in report:
    below.append(_stored(report))
  for text in (*below, *columns.lines(report), diverged(report), LEGEND):
    lines += textwrap.wrap(text, 80)
  return "\n".join(lines)


def transfer_table(report: dict[str, Any]) -> str:
  """A table of several networks: the set and, if measured, random real data.

  Args:
    report: a report with `networks`, as `report_dict` returns it.
  """
  blocks = report["networks"]
  real = any("random_real" in block for block in blocks.values())
  full = any("ratio" in block for block in blocks.values())
  head = (
      f"{'network':<16}{'distilled %':>16}" +
      f"{'random real %':>16}{'gain':>16}" * real +
      f"{'all data':>9}{'kept %':>7}" * full)
  rule = "-" * len(head)
  lines, counts, entries = [], set(), {}
  for name, block in blocks.items():
    random = block.get("random_real")
    cells = [_with_error(block["accuracy"]["mean"], _std(block["accuracy"]))]
    count = f"{block['num_networks']} networks each"
    entries[f"{name} on the set"] = block["accuracy"]
    if random:
      cells.append(_with_error(random["mean"], _std(random)))
      cells.append(
          _with_error(random["gain"]["mean"], random["gain"]["stderr"]))
      count += (
          f", on random real data {random['num_networks']} on each of "
          f"{random['num_sets']} sets")
      entries[f"{name} on random real"] = random
    elif real:
      cells += ["-", "-"]
    counts.add(count)
    lines.append(f"{name[:16]:<16}" + "".join(f"{c:>16}" for c in cells))
    if "ratio" in block:
      lines[-1] += (
          f"{100 * block['full_data_accuracy']:>9.2f}"
          f"{block['ratio']:>7.1f}")
  note = (
      f"{'; '.join(sorted(counts))}; ± is the standard deviation" +
      ", for gains the standard error" * real)
  note = [note, _diverged(entries)]
  return "\n".join([
      rule, head, rule, *lines, rule, *(
          line for part in note
          for line in textwrap.wrap(part, max(len(head), 64)))
  ])


def _with_error(mean: float, stderr: float | None) -> str:
  error = "" if stderr is None else f" ± {100 * stderr:.2f}"
  return f"{100 * mean:.2f}{error}"


def _std(entry) -> float | None:
  return entry["std"] if len(entry["per_network"]) > 1 else None


def _heading(report, width):
  data = plain(report["data"]["spec"], 300)
  parts = [
      f"{report['num_samples']} samples for {data}",
      f"network {report['network']}", f"{report['student_init']} initialisation"
  ]
  steps, recipe = report["num_inner_steps"], report["recipe"]
  if recipe and recipe["name"] != "in_order":
    parts.append(f"recipe {recipe['name']}")
  elif steps:
    parts.append(counted(steps, "inner step"))
  return textwrap.wrap(", ".join(parts), width)


LEGEND = (
    "std: standard deviation over networks and sets; stderr: standard error of "
    "the mean; F1: mean over classes, then over networks; nets x sets: "
    "networks trained on each of so many sets; step: step size of training; "
    "gain: of the distilled set over this row, in points; on the set itself: "
    "accuracy on the samples that networks were trained on")


def notes(report: Mapping[str, Any]) -> list[str]:
  """Accuracies to compare with, one text each.

  Args:
    report: a report, as `report_dict` returns it.
  """
  found = [
      f"always the commonest class: {100 * report['majority_rate']:.2f}",
      f"on the set itself: {100 * report['accuracy_on_set']:.2f}"
  ]
  if "ratio" in report:
    f1 = report.get("full_data_macro_f1")
    f1 = "" if f1 is None else f" (F1 {100 * f1:.2f})"
    found.append(
        f"all data: {100 * report['full_data_accuracy']:.2f}{f1}, of which the "
        f"set keeps {report['ratio']:.1f} %")
  for name, entry in report.get("references", {}).items():
    found.append(
        f"{name} on all data: {100 * entry['accuracy']:.2f} "
        f"(F1 {100 * entry['macro_f1']:.2f})")
  splits = {b["selected_on"] for b in report["baselines"].values()} - {None}
  if splits:
    found.append(
        f"step sizes of baselines chosen on {' and '.join(sorted(splits))}")
  return found


def diverged(report: Mapping[str, Any]) -> str:
  """A line about networks that are not finite; "" if all are finite."""
  return _diverged(_entries(report))


def _stored(report) -> str:
  sizes = report["storage_bytes"]
  views = ""
  if "views" in sizes:
    views = f"{sizes['views']:,} of them labels of views, "
  return (
      f"stored: {sizes['total']:,} bytes, {views}"
      f"{report['bits_per_class']:,.0f} bits a class; "
      f"{report['compressed_bytes']:,} bytes compressed by zlib")


def _entries(report) -> dict[str, Mapping]:
  """Results of networks, by their title in the table."""
  named: dict[Any, Any] = {"distilled set": report["accuracy"]}
  named |= {
      t: report[field] for field, t in _VARIANTS.items() if field in report
  }
  for name, entry in report["baselines"].items():
    named[TITLES.get(name, name)] = entry
  full = dict(diverged=report.get("full_data_diverged", 0), per_network=[0])
  return {**named, "all data": full}


def _diverged(entries: Mapping[str, Mapping]) -> str:
  """A line about networks that are not finite; "" if all are finite."""
  found = [
      f"{entry['diverged']} of {len(entry['per_network'])} of {title}"
      for title, entry in entries.items()
      if entry.get("diverged")
  ]
  if not found:
    return ""
  return (
      f"DIVERGED networks: {', '.join(found)}. Their weights or outputs are "
      "not finite; they count as always saying the first class.")


def _row(title: str, entry: Mapping[str, Any], step_size: str) -> Row:
  several = len(entry["per_network"]) > 1
  return Row(
      title, entry["mean"], entry["std"] if several else None,
      entry["stderr"] if several else None, entry.get("macro_f1"),
      entry.get("num_networks", len(entry["per_network"])),
      entry.get("num_sets", 1), step_size)


def _line(row: Row) -> str:
  title = f"{'  ' * row.is_variant}{row.title}"
  f1 = "-" if row.macro_f1 is None else f"{100 * row.macro_f1:.2f}"
  std = "-" if row.std is None else f"{100 * row.std:.2f}"
  stderr = "-" if row.stderr is None else f"{100 * row.stderr:.2f}"
  counts = f"{row.num_networks} x {row.num_sets}"
  gain = "" if row.gain is None else f"{100 * row.gain:+z.2f}"
  return (
      f"{title[:22]:<22}{100 * row.mean:>10.2f}{std:>6}{stderr:>7}{f1:>7}"
      f"{counts:>12}{row.step_size:>8}{gain:>8}").rstrip()


def _block(report: Report) -> dict[str, Any]:
  """The part of a report that every network has."""
  return {
      "accuracy": report.summary(),
      "student_init": report.student_init,
      "num_networks": report.num_networks,
      "macro_f1": report.macro_f1,
      "min_class": report.min_class,
      "majority_rate": report.majority_rate,
      "accuracy_on_set": float(report.accuracy_on_set.mean())
  }


def verdict(report: Mapping[str, Any]) -> str:
  """Says whether the set beats random real data and class means.

  It also says what to try if not. A difference within its margin counts as
  noise; see `metrics.Gain`.

  Args:
    report: a report, as `report_dict` returns it.
  """
  measured = report["baselines"]
  if "random_real" not in measured:
    return (
        "Verdict: not compared with random real data; add the baseline "
        f"random_real. Tested on {_tested(report)}.")
  gain = measured["random_real"]["gain"]
  points = 100 * gain["mean"]
  unclear = abs(gain["mean"]) < gain["margin"]
  behind = _behind_means(measured)
  if abs(points) < 0.05:
    return (
        "Verdict: no difference from random real data of the same size "
        f"({_errors(gain, report)}). {behind or _UNCLEAR}")
  better = "worse" if points < 0 else "better"
  line = (
      f"Verdict: {abs(points):.1f} points {better} than random real data of "
      f"the same size{', within the noise' * unclear} "
      f"({_errors(gain, report)})")
  if behind:
    return f"{line}. {behind}"
  if unclear:
    return f"{line}. {_UNCLEAR}"
  return f"{line}. {_WORSE}" if points < 0 else f"{line}."


def _errors(gain: Mapping[str, Any], report: Mapping[str, Any]) -> str:
  """The standard errors of a gain, by where they come from."""
  test = f"{100 * gain['test_stderr']:.1f} from {_tested(report)}"
  if gain["stderr"] is None:
    return f"standard error {test}; unknown from networks, as there is only one"
  return (
      f"standard error {100 * gain['stderr']:.1f} from networks and sets, at "
      f"most {test}")


def _tested(report: Mapping[str, Any]) -> str:
  return counted(report["num_test_samples"], "test sample")


def _behind_means(measured: Mapping[str, Any]) -> str:
  """Says that class means are clearly better, and what to try; else ""."""
  gain = measured.get("class_mean", {}).get("gain")
  if gain is None or -gain["mean"] < max(0.0005, gain["margin"]):
    return ""
  return (
      f"The means of the classes are {-100 * gain['mean']:.1f} points better: "
      "what was learned is not worth its cost here. Try a start from them "
      "(start=class_mean), more outer steps (num_steps) or more samples a "
      "class.")


_UNCLEAR = "More networks, sets and test samples measure it better."
_WORSE = (
    "Try more outer steps (num_steps), a start from real samples (start=real), "
    "lower learning rates, hard labels, or the method dm.")


def _wrapped(text: str) -> str:
  return "\n".join(textwrap.wrap(text, 80))


def _full_data_block(report: Report,
                     full_data: FullData | None) -> dict[str, float]:
  """Accuracy on all data, and the percentage of it that the set keeps."""
  if full_data is None:
    return {}
  ratio = metrics.distillation_ratio(report.mean, full_data.accuracy)
  block = {"full_data_accuracy": full_data.accuracy, "ratio": float(ratio)}
  if full_data.macro_f1 is not None:
    block["full_data_macro_f1"] = full_data.macro_f1
  if full_data.diverged:
    block["full_data_diverged"] = full_data.diverged
  return block


def _baseline(baseline: Baseline, report: Report) -> dict[str, Any]:
  """The block of a baseline; `gain` is the set's accuracy minus its own."""
  num_sets, num_networks = baseline.accuracy.shape
  return {
      **baseline.summary(), "num_sets": num_sets,
      "num_networks": num_networks,
      "num_samples": baseline.num_samples,
      "num_classes": baseline.num_classes,
      "learner": baseline.learner,
      "step_size": baseline.step_size,
      "selected_on": baseline.selected_on,
      "gain":
          metrics.gain_over(
              report.accuracy, baseline.accuracy,
              report.num_test_samples)._asdict()
  }
