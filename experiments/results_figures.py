"""Figures of the results page and of applications, from their records."""

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
_STORED = {
    "storage_dm": "DM, pixels",
    "storage_dm_tiles": "DM, four images in one",
    "storage_tgdd_tiles": "TGDD, four images in one"
}
# The record of an application that each figure shows.
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
  """Draws what there are records for.

  Args:
    folder: of the figures.
    table: the rows.
    records: by row.

  Returns:
    Names of the files that were written.
  """
  made = []
  for name, figure in _drawn(table, records):
    folder.mkdir(exist_ok=True)
    made.append(f"{name}.png")
    figures.save(figure, folder / made[-1])
  return made


def write_applications(folder: Path, records: Path) -> None:
  """Draws the figures of applications.

  Args:
    folder: of the figures.
    records: folder of `report.json` of each, under their names.
  """
  for name, record in APPLICATIONS.items():
    file = records / f"{record}.json"
    if file.exists():
      folder.mkdir(exist_ok=True)
      figure = figure_of(json.loads(file.read_text()))
      figures.save(figure, folder / f"{name}.png")


def _drawn(table, records) -> Iterator[tuple[str, object]]:
  """Pairs of a name and a figure."""
  for data in DATA:
    title = data_name(data)
    timed = [*_by_minutes(data, table, records)]
    if len(timed) > 1:
      yield f"minutes_{data}", figures.accuracy_against(
          timed,
          "minutes",
          levels=_real(records.get(f"width32_dm_{data}_10")),
          named=True,
          title=f"{title}, 10 samples per class: accuracy against minutes")
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
      yield name, _transferred(name, table[name], record["report"])


def _swept(row: Row, report):
  """The figure of a sweep."""
  given = launched.meaning(row.arguments)
  return sweep_figure.draw(
      report["points"],
      report["against"],
      data=given["--dataset"],
      methods=[_title(name) for name in given["--methods"].split(",")],
      per_class_bytes=int(given.get("--per_class_bytes", 0)))


def _transferred(name: str, row: Row, report):
  """What a set does for other networks."""
  title = _title(name.split("_")[1])
  return figures.transfer_matrix(
      {title: report["networks"]},
      title=f"{data_name(report['data']['spec'])}, {title}, "
      f"{report['num_samples']} samples: accuracy by network")


def _title(method: str) -> str:
  """A method as papers spell it."""
  return methods.ENTRIES[method].make().title


def _by_minutes(data: str, table, records) -> Iterator[dict]:
  """Sets of ten a class, and the time each took, its experts' included."""
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
    yield dict(judged, **common, kind="the set's own or its teacher's labels")
    if "teacher" in report:
      yield dict(
          report["hard_label_accuracy"],
          **common,
          kind="the same images, hard labels")


def _real(record: dict | None) -> dict[str, float]:
  """Accuracies of real samples, by what they are."""
  if record is None:
    return {}
  measured = record["report"]["baselines"]
  names = dict(
      random_real="as many random real images",
      byte_matched_real="random real images of as many bytes, 8 bits a value")
  return {
      title: measured[name]["mean"]
      for name, title in names.items()
      if name in measured
  }


def _by_bytes(data: str, records) -> Iterator[dict]:
  """Sets in the bits they are kept in, and real samples of as many bytes."""
  for row, record in records.items():
    found = re.fullmatch(rf"(\w+)_{data}_\d+_\d+bit", row)
    if not found or found[1] not in _STORED:
      continue
    report = record["report"]
    size = report["storage_bytes"]["total"]
    yield dict(report["accuracy"], label=_STORED[found[1]], bytes=size)
    for name, block in report["baselines"].items():
      if name.startswith("byte_matched"):
        bits = ", 8 bits" * (name == "byte_matched_real")
        yield dict(block, label=row_name(name) + bits, bytes=size)
