"""The folder of a run, and what identifies the run in it.

A folder belongs to one run. What happens after distilling is not part of a
run's identity. Neither is the number of steps, unless the method consists of
parts, so that a run can be prolonged.
"""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_jax import environment
from distill_jax.artifact.file import SET
from distill_jax.errors import ConfigError, WorkdirError, listed, plain
from distill_jax.records import CONFIG, REPORT
from distill_jax.runs.files import MetricsLog, command, read_json, write_json

_SHOWN = 3  # most fields that a message lists
# Files of word vectors that were learned for a run.
_VECTORS = re.compile(r"\.?vectors_[0-9a-f]{12}\.safetensors(\.lock)?")


def open_workdir(
    folder: Path, identity: Mapping[str, Any], record: Mapping[str, Any], *,
    num_steps: int | None) -> None:
  """Opens a run's folder, which this process has locked; writes `config.json`.

  Args:
    folder: folder of the run.
    identity: JSON document of everything that must be equal for a run to be
      continued.
    record: further content of `config.json`.
    num_steps: number of outer steps; None if it is part of `identity`.

  Raises:
    WorkdirError: the folder belongs to another run, or cannot be written.
  """
  identity = json.loads(json.dumps(identity))
  file = folder / CONFIG
  if file.exists():
    _check_same(file, identity)
    _check_ahead(folder, num_steps)
  try:
    write_json(
        file,
        dict(
            record,
            identity=identity,
            versions=environment.versions(),
            device=environment.device(),
            git_revision=git_revision(),
            command=command()))
  except OSError as error:
    raise WorkdirError(
        f"`workdir` must be writable; {folder}: {error.strerror}. Choose "
        "another folder.") from None


def is_finished(
    folder: Path, identity: Mapping[str, Any], done: Mapping[str, Any]) -> bool:
  """Whether a folder holds a run with its results, and nothing is left to do.

  Args:
    folder: folder of the run.
    identity: as in `open_workdir`.
    done: JSON document of what was asked for besides, as in `finish`.
  """
  try:
    record = read_json(folder / CONFIG, {})
  except WorkdirError:  # which `open_workdir` raises again
    return False
  whole = all((folder / name).is_file() for name in (SET, REPORT))
  wanted = json.loads(json.dumps(dict(identity=identity, finished=done)))
  return whole and isinstance(record, dict) and wanted == {
      name: record.get(name) for name in wanted
  }


def finish(folder: Path, done: Mapping[str, Any]) -> None:
  """Records in `config.json` what a run has done, when all is written."""
  file = folder / CONFIG
  write_json(file, dict(read_json(file, {}), finished=done))


def create(folder: Path) -> None:
  """Creates the folder of a run, unless it exists.

  Raises:
    WorkdirError: the folder holds other files, or cannot be created.
  """
  check_own(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise WorkdirError(
        f"`workdir` must be writable; {folder}: {error.strerror}. Choose "
        "another folder.") from None


def check_own(folder: Path) -> None:
  """Refuses a folder that holds other files than those of a run."""
  if (folder / CONFIG).exists() or not folder.is_dir():
    return
  if any(map(_foreign, folder.iterdir())):
    raise WorkdirError(
        f"`workdir` must be empty or hold a run; {folder} holds other files. "
        "Choose another folder.")


def _check_same(file: Path, identity: Mapping) -> None:
  try:
    record = read_json(file, {})
    earlier = "config" in record and "identity" not in record
    there = {} if earlier else flat(record["identity"])
  except (AttributeError, KeyError, RecursionError, WorkdirError):
    raise WorkdirError(
        f"`workdir` holds an unreadable {file}. Choose another folder."
    ) from None
  if earlier:
    raise WorkdirError(
        f"`workdir` {file.parent} holds a run of an earlier version, which "
        "only that version can go on with. Choose another folder.")
  here = flat(identity)
  differing = [
      f"{k} ({plain(there.get(k), 24)} there, {plain(here.get(k), 24)} here)"
      for k in sorted(there.keys() | here.keys())
      if there.get(k) != here.get(k)
  ]
  if differing:
    raise WorkdirError(
        f"`workdir` {file.parent} holds another run; differing: "
        f"{listed(differing, _SHOWN, 64)}. Choose another folder.")


def flat(document: Mapping, name: str = "") -> dict[str, Any]:
  """Flattens nested dicts: `{"a": {"b": 1}}` becomes `{"a.b": 1}`."""
  values = {}
  for field, value in document.items():
    if isinstance(value, Mapping) and value:
      values |= flat(value, f"{name}{field}.")
    else:
      values[f"{name}{field}"] = value
  return values


def _check_ahead(folder: Path, num_steps: int | None) -> None:
  made = max((line["step"] for line in MetricsLog.read(folder)), default=0)
  if num_steps is not None and num_steps < made:
    raise WorkdirError(
        f"`num_steps` must be at least the steps made; {folder} holds {made}, "
        f"got {num_steps}. Ask for more, or choose another folder.")


def _foreign(file: Path) -> bool:
  """Whether a file is not one that a run leaves when killed very early."""
  return file.suffix != ".partial" and not _VECTORS.fullmatch(file.name)


def git_revision() -> str | None:
  """The git revision of the package's repository, marked if it has changes."""
  try:
    out = subprocess.run(["git", "describe", "--always", "--dirty"],
                         text=True,
                         check=True,
                         capture_output=True,
                         cwd=Path(__file__).parent)
  except (OSError, subprocess.CalledProcessError):
    return None
  return out.stdout.strip()


def output(file: str | Path, suffix: str) -> Path:
  """Returns the path of a result file, and creates its folder.

  Raises:
    WorkdirError: a file is in the place of the folder.
    ConfigError: the suffix is wrong.
  """
  path = Path(file)
  if path.suffix != suffix:
    raise ConfigError(f"`out` must end in {suffix}; got {path}.")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise WorkdirError(
        f"`out` must be in a folder; got {path}: {error.strerror}.") from None
  return path
