"""Figures of the results page, from the records of its rows."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rows import Row

from distill_jax import figures
from distill_jax.evaluation.baselines import TITLES

DATA = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10"
}
_STORED = {
    "storage_dm": "DM, pixels",
    "storage_dm_tiles": "DM, four small images in one",
    "storage_tgdd_tiles": "TGDD, four small images in one"
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
  for data, title in DATA.items():
    timed = [*_by_minutes(data, table, records)]
    stored = [*_by_bytes(data, records)]
    real = _real(records.get(f"width32_dm_{data}_10"))
    drawn = (("minutes", timed, real, "ten samples a class, "),
             ("bytes", stored, {}, ""))
    for axis, points, levels, size in drawn:
      if len(points) < 2:
        continue
      made.append(f"{axis}_{data}.png")
      folder.mkdir(exist_ok=True)
      figures.save(
          figures.accuracy_against(
              points,
              axis,
              levels=levels,
              title=f"{title}, {size}ConvNet of width 32"), folder / made[-1])
  return made


def _by_minutes(data: str, table, records) -> Iterator[dict]:
  """Sets of ten a class, and the time each took, its experts' included."""
  for row, record in records.items():
    found = re.fullmatch(
        rf"(?:width32|decoupled)_([a-z0-9]+)(_tiles)?_{data}_10(_3000)?", row)
    if not found or table[row].group not in (f"width32_{data}", "decoupled"):
      continue
    report = record["report"]
    name = found[1].upper() if len(found[1]) < 5 else found[1]  # acronyms
    name += ", four in one" * bool(found[2])
    seconds = report["seconds"]["distill"] + sum(
        report.get("experts", {}).get("seconds", ())) + (
            report.get("teacher", {}).get("seconds", 0.0))
    judged = records.get(f"{row}_8bit", record)["report"]["accuracy"]
    if "teacher" in report:
      hard = dict(report["hard_label_accuracy"], minutes=seconds / 60)
      yield dict(hard, label=f"{name}, hard labels")
      name += ", labels of its teacher"
    yield dict(judged, label=name, minutes=seconds / 60)


def _real(record: dict | None) -> dict[str, float]:
  """Accuracies of real samples, by title."""
  if record is None:
    return {}
  measured = record["report"]["baselines"]
  titles = {
      "random_real": TITLES["random_real"],
      "byte_matched_real": f"{TITLES['byte_matched_real']} as floats"
  }
  return {
      title: measured[name]["mean"]
      for name, title in titles.items()
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
        yield dict(block, label=TITLES[name], bytes=size)
