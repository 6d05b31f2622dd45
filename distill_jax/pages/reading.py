"""Reads and checks the folder of a run for its page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distill_jax import artifact as artifacts
from distill_jax import storage
from distill_jax.artifact import Artifact
from distill_jax.artifact.file import SET
from distill_jax.errors import WorkdirError, plain, shown
from distill_jax.evaluation.report import SCHEMA_VERSION
from distill_jax.pages.pictures import ALTERNATIVES, is_png
from distill_jax.records import CONFIG, REPORT, log_lines, read_json
from distill_jax.types import FilePath

_REMEDY = "Run or evaluate it again."
_NUMBER, _MAYBE = (int, float), (int, float, type(None))
_SPREAD = {"mean": _NUMBER, "std": _NUMBER, "per_network": [_MAYBE]}
_ENTRY = {
    **_SPREAD, "stderr": _NUMBER,
    "macro_f1?": _MAYBE,
    "diverged?": int,
    "num_networks?": int,
    "num_sets?": int
}
_GAIN = {
    "mean": _NUMBER,
    "stderr": _MAYBE,
    "test_stderr?": _MAYBE,
    "margin?": _MAYBE
}
_BASELINE = {
    **_ENTRY, "gain": _GAIN,
    "step_size": _MAYBE,
    "selected_on": (str, type(None))
}
_COLUMN = {**_SPREAD, "mean": _MAYBE, "stderr": _NUMBER}
_COST = {"flops": _MAYBE, "seconds": _NUMBER}
# Entries of a report that a page reads; those with a "?" may be missing.
_REPORT = {
    "accuracy": _ENTRY,
    "student_init": str,
    "num_networks": int,
    "majority_rate": _NUMBER,
    "accuracy_on_set": _NUMBER,
    "network": str,
    "recipe": (dict, type(None)),
    "label_regime": str,
    "num_samples": int,
    "num_test_samples?": int,
    "num_inner_steps": int,
    "baselines": {
        "*": _BASELINE
    },
    "storage_bytes": {
        "*": int,
        "total": int
    },
    "compressed_bytes?": int,
    "bits_per_class?": _NUMBER,
    "memory_bytes?": int,
    "seconds": {
        "*": _MAYBE
    },
    "data": {
        "spec": str,
        "fingerprint": str,
        "*": object
    },
    "device": str,
    "versions": {
        "*": str
    },
    "command": str,
    "verdict": str,
    "findings?": [str],
    "hard_label_accuracy?": _ENTRY,
    "snapped_accuracy?": _ENTRY,
    "full_data_accuracy?": _NUMBER,
    "full_data_macro_f1?": _NUMBER,
    "ratio?": _NUMBER,
    "references?": {
        "*": {
            "accuracy": _NUMBER,
            "macro_f1": _NUMBER
        }
    },
    "cost?": {
        "*": _COST
    },
    "confusion?": [[int]],
    "attacks?": {
        "unit": str,
        "eps": _NUMBER,
        "num_steps": int,
        "num_samples": int,
        "*": _COLUMN
    },
    "calibration?": {
        "num_bins": int,
        "*": _COLUMN
    },
    "networks?": {
        "*": {
            "accuracy": _ENTRY,
            "num_networks": int,
            "random_real?": _BASELINE,
            "full_data_accuracy?": _NUMBER,
            "ratio?": _NUMBER,
            "*": object
        }
    }
}


class Finished(NamedTuple):
  """A finished run.

  Attributes:
    folder: its folder.
    artifact: its set.
    report: content of `report.json`.
    config: content of `config.json`; {} if there is none.
    log: lines of `metrics.jsonl`.
    figures: PNG files in `figures/` that a page uses, by name.
  """

  folder: Path
  artifact: Artifact
  report: dict[str, Any]
  config: dict[str, Any]
  log: list[dict]
  figures: dict[str, bytes]


def finished(folder: FilePath) -> Finished:
  """Reads the folder of a run.

  Raises:
    WorkdirError: the folder has no finished run, or a file is damaged.
    ArtifactError: the set cannot be used.
  """
  folder = Path(folder)
  for name in (REPORT, SET):
    if not (folder / name).is_file():
      raise WorkdirError(
          f"`folder` must hold a finished run; {folder} has no {name}. Let the "
          "run end, or choose another folder.")
  artifact = artifacts.load(folder / SET)
  report = read_json(folder / REPORT, {}, _REMEDY)
  check(report, artifact, str(folder / REPORT))
  log, _ = log_lines(folder / "metrics.jsonl")
  return Finished(
      folder, artifact, report, read_json(folder / CONFIG, {}, _REMEDY), log,
      dict(_figures(folder / "figures")))


def check(report: Mapping[str, Any], artifact: Artifact, name: str) -> None:
  """Raises an error if a value is not a report, or not that of a set.

  Args:
    report: JSON values.
    artifact: the set.
    name: name of the report, for messages.

  Raises:
    WorkdirError: the message names the field.
  """
  version = report.get("schema_version")
  if version != SCHEMA_VERSION:
    raise WorkdirError(
        f"{name} must be a report of schema {SCHEMA_VERSION}; got "
        f"{shown(version)}. {_REMEDY}")
  _check(report, _REPORT, name, ())
  sizes = {artifact.num_classes}
  confusion = report.get("confusion")
  if confusion is not None and {len(confusion), *map(len, confusion)} != sizes:
    raise WorkdirError(
        f"{name}: `confusion` must be [{artifact.num_classes}, "
        f"{artifact.num_classes}], as the set has classes. {_REMEDY}")
  if report["num_samples"] != artifact.num_samples:
    raise WorkdirError(
        f"{name} must be of the set beside it, which has "
        f"{artifact.num_samples} samples; got {report['num_samples']}. "
        f"{_REMEDY}")


def _check(value, form, name: str, path: tuple[str, ...]) -> None:
  """Raises an error if a value does not have a form of `_REPORT`."""
  if isinstance(form, dict):
    _require(isinstance(value, dict), "an object", value, name, path)
    for field, inner in form.items():
      key = field.removesuffix("?")
      if key in value:
        _check(value[key], inner, name, (*path, key))
      elif field == key and field != "*":
        _require(False, "in it", None, name, (*path, key))
    known = {field.removesuffix("?") for field in form}
    for key in value.keys() - known if "*" in form else ():
      _check(value[key], form["*"], name, (*path, str(key)))
  elif isinstance(form, list):
    _require(isinstance(value, list), "a list", value, name, path)
    for item in value:
      _check(item, form[0], name, path)
  else:
    kinds = form if isinstance(form, tuple) else (form,)
    names = " or ".join(
        "null" if k is type(None) else k.__name__ for k in kinds)
    right = isinstance(value, form)
    if isinstance(value, bool) and form is not object:
      right = False
    _require(right, names, value, name, path)


def _require(holds: bool, rule: str, value, name: str, path) -> None:
  if not holds:
    raise WorkdirError(
        f"{name}: `{plain('.'.join(path))}` must be {rule}; got "
        f"{shown(value)}. {_REMEDY}")


def _figures(folder: Path):
  for name in ALTERNATIVES:
    file = folder / f"{name}.png"
    if not file.exists():
      continue
    try:
      content = storage.regular(file).read_bytes()
    except OSError as error:
      raise WorkdirError(
          f"{file} must be a file that can be read; {error.strerror}. Delete "
          "it.") from error
    if not is_png(content):
      raise WorkdirError(f"{file} must be a PNG file; it is none. Delete it.")
    yield name, content
