"""A run's folder: what identifies the run that lives in it.

A folder belongs to one run. What is done after distilling is outside a run's
identity, and so is the number of steps, unless a method is made of parts, so
that a run can be prolonged.
"""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_jax import environment
from distill_jax.errors import ConfigError, WorkdirError, listed, plain
from distill_jax.runs.files import MetricsLog, command, read_json, write_json

_SHOWN = 3  # fields that a message names
# Word vectors that were learned for a run.
_VECTORS = re.compile(r"\.?vectors_[0-9a-f]{12}\.safetensors(\.lock)?")


def open_workdir(
    folder: Path, identity: Mapping[str, Any], record: Mapping[str, Any], *,
    num_steps: int | None) -> None:
  """Enters the folder of a run, which this process holds; writes `config.json`.

  Args:
    folder: of the run.
    identity: JSON document of what must be the same when a run goes on.
    record: what else `config.json` says.
    num_steps: outer steps that are asked for; None where they are part of
      `identity`.

  Raises:
    WorkdirError: it belongs to another run, or cannot be written.
  """
  identity = json.loads(json.dumps(identity))
  file = folder / "config.json"
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


def create(folder: Path) -> None:
  """Makes the folder of a run, unless it exists.

  Raises:
    WorkdirError: it holds other files, or cannot be made.
  """
  check_own(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise WorkdirError(
        f"`workdir` must be writable; {folder}: {error.strerror}. Choose "
        "another folder.") from None


def check_own(folder: Path) -> None:
  """Refuses a folder of other files than those of a run."""
  if (folder / "config.json").exists() or not folder.is_dir():
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
  """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
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
  """Not what a run leaves that was killed before its first file was whole."""
  return file.suffix != ".partial" and not _VECTORS.fullmatch(file.name)


def git_revision() -> str | None:
  """Of the repository that the package lies in, marked if it has changes."""
  try:
    out = subprocess.run(["git", "describe", "--always", "--dirty"],
                         text=True,
                         check=True,
                         capture_output=True,
                         cwd=Path(__file__).parent)
  except (OSError, subprocess.CalledProcessError):
    return None
  return out.stdout.strip()


def output(file: str, suffix: str) -> Path:
  """Where a result goes; what else it consists of goes beside it.

  Its folder is made where there is none.

  Raises:
    WorkdirError: a file is in the place of its folder.
    ConfigError: another suffix.
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
