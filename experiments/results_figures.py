"""Draws the figures of the results page and of applications from records."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import launched
import sweep_figure
from rows import Row

from distill_jax import figures, methods
from distill_jax.applications.drawing import figure_of
from distill_jax.figures import data_name, row_name

DATA = ("mnist", "fashion_mnist", "cifar10")
# Rows of stored sets by the first part of their names, and their labels.
_STORED = {
    "storage_dm": "DM, pixels",
    "storage_dm_tiles": "DM, four images in one",
    "storage_tgdd_tiles": "TGDD, four images in one"
}
# Figures of applications, and the record that each of them shows.
APPLICATIONS = {
    "continual_cifar10_1": "continual_cifar10_1",
    "continual_cifar10_10": "continual_cifar10_10",
    "continual_fashion_mnist_1": "continual_fashion_mnist_1_class",
    "continual_mnist_1": "continual_mnist_1_class",
    "federated_mnist_100": "federated_mnist_100_two_classes_k1",
    "privacy_mnist": "privacy_mnist_16",
    "robustness_cifar10_1": "robustness_cifar10_1",
    "robustness_mnist_1": "robustness_mnist_1",
    "search_fashion_48": "search_fashion_48"
}


def write(folder: Path, table: Mapping[str, Row],
          records: Mapping[str, dict]) -> list[str]:
  """Draws all figures of the results page that there are records for.

  Args:
    folder: folder of the figures; it is created if needed.
    table: {name: row}, all rows.
    records: {name of the row: record}.

  Returns:
    The names of the files that were written.
  """
  made = []
  for name, figure in _drawn(table, records):
    folder.mkdir(exist_ok=True)
    made.append(f"{name}.png")
    figures.save(figure, folder / made[-1])
  return made


def write_applications(folder: Path, records: Path) -> None:
  """Draws all figures of applications that there are records for.

  Args:
    folder: folder of the figures; it is created if needed.
    records: folder with the `report.json` of each application, renamed to the
      name of its record.
  """
  for name, record in APPLICATIONS.items():
    file = records / f"{record}.json"
    if file.exists():
      folder.mkdir(exist_ok=True)
      figure = figure_of(json.loads(file.read_text()))
      figures.save(figure, folder / f"{name}.png")


def _drawn(table, records) -> Iterator[tuple[str, object]]:
  """Yields pairs of the name of a figure and the figure."""
  for data in DATA:
    title = data_name(data)
    timed = [*_by_minutes(data, table, records)]
    if len(timed) > 1:
      yield f"minutes_{data}", figures.accuracy_against(
          timed,
          "minutes",
          levels=_real(records.get(f"width32_dm_{data}_10")),
          named=True,
          title=f"{title}, 10 samples per class: accuracy against time")
    stored = [*_by_bytes(data, records)]
    if len(stored) > 1:
      yield f"bytes_{data}", figures.accuracy_against(
          stored,
          "bytes",
          title=f"{title}, ConvNet of width 32: accuracy against bytes")
  for name, record in records.items():
    if table[name].program == "sweep":
      yield name, _swept(table[name], record["report"])
    elif "networks" in record["report"]:
      yield name, _transferred(name, record["report"])


def _swept(row: Row, report):
  """Draws the figure of a sweep."""
  given = launched.meaning(row.arguments)
  return sweep_figure.draw(
      report["points"],
      report["against"],
      data=given["--dataset"],
      methods=[_title(name) for name in given["--methods"].split(",")],
      per_class_bytes=int(given.get("--per_class_bytes", 0)))


def _transferred(name: str, report):
  """Draws the accuracies of a set with several networks."""
  title = _title(name.split("_")[1])
  return figures.transfer_matrix(
      {title: report["networks"]},
      title=f"{data_name(report['data']['spec'])}, {title}, "
      f"{report['num_samples']} samples: accuracy by network")


def _title(method: str) -> str:
  """Returns the name of a method as papers spell it."""
  return methods.ENTRIES[method].make().title


def _by_minutes(data: str, table, records) -> Iterator[dict]:
  """Yields sets of ten samples per class with their time in minutes.

  The time includes the training of experts or of the teacher.
  """
  for row, record in records.items():
    found = re.fullmatch(
        rf"(?:width32|decoupled)_([a-z0-9]+)(_tiles)?_{data}_10(_3000)?", row)
    if not found or table[row].group not in (f"width32_{data}", "decoupled"):
      continue
    report = record["report"]
    name = _title(found[1]) + ", four in one" * bool(found[2])
    if found[3]:
      name += ", 3,000 steps"
    seconds = report["seconds"]["distill"] + sum(
        report.get("experts", {}).get("seconds", ())) + (
            report.get("teacher", {}).get("seconds", 0.0))
    judged = records.get(f"{row}_8bit", record)["report"]["accuracy"]
    common = dict(label=name, minutes=seconds / 60)
    yield dict(judged, **common, kind="labels of the set, or of its teacher")
    if "teacher" in report:
      yield dict(
          report["hard_label_accuracy"],
          **common,
          kind="hard labels for the same images")


def _real(record: dict | None) -> dict[str, float]:
  """Returns {description: accuracy} of random real samples."""
  if record is None:
    return {}
  measured = record["report"]["baselines"]
  names = dict(
      random_real="the same number of random real images",
      byte_matched_real="random real images of as many bytes, in 8 bits")
  return {
      title: measured[name]["mean"]
      for name, title in names.items()
      if name in measured
  }


def _by_bytes(data: str, records) -> Iterator[dict]:
  """Yields sets with their bytes, and real samples of as many bytes.

  The 8-bit real samples are at least as many as the label rows of the set, and
  may then take more bytes than the set.
  """
  for row, record in records.items():
    found = re.fullmatch(rf"(\w+)_{data}_\d+_\d+bit", row)
    if not found or found[1] not in _STORED:
      continue
    report = record["report"]
    size = report["storage_bytes"]["total"]
    yield dict(report["accuracy"], label=_STORED[found[1]], bytes=size)
    for name, block in report["baselines"].items():
      if name.startswith("byte_matched"):
        bits = " or more, 8 bits" * (name == "byte_matched_real")
        yield dict(block, label=row_name(name) + bits, bytes=size)
