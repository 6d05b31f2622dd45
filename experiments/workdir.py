"""A run's folder: what identifies the run, and its growing log.

A folder belongs to one configuration. `num_steps`, `log_every` and what is
done after distilling are outside a run's identity, so a run can be prolonged,
unless it is made of parts (segments, a set that is snapped to words).
"""

import json
import re
import subprocess
from pathlib import Path

from distill_jax import environment
from distill_jax.errors import ConfigError, WorkdirError
from distill_jax.runs.files import MetricsLog, command, write_json
from distill_jax.storage import alone

# Word vectors that were learned for a run.
VECTORS = re.compile(r"vectors_[0-9a-f]{12}\.npz")
NOT_IDENTITY = (
    "num_steps", "log_every", "checkpoint_every", "evaluation", "figures",
)


def open_workdir(path: str, config: dict, spec: str, fingerprint: str) -> Path:
  """Creates or re-enters the folder of a run.

  Args:
    path: the folder.
    config: the resolved configuration.
    spec: the data set's SPEC.
    fingerprint: of the data.

  Returns:
    The folder, holding `config.json`.

  Raises:
    WorkdirError: it belongs to another run, or cannot be written.
  """
  folder = Path(path)
  identity = dict(_identity(config), data=spec, fingerprint=fingerprint)
  file = folder / "config.json"
  if folder.is_dir():
    with alone(folder):
      pass
  if file.exists():
    _check_same(file, identity)
    _check_ahead(folder, config["num_steps"])
  else:
    check_own(folder)
  record = dict(
      config=config, data=spec, fingerprint=fingerprint, seed=config["seed"],
      versions=environment.versions(), device=environment.device(),
      git_revision=git_revision(),
      command=command(),
  )
  try:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, record)
  except OSError as error:
    raise WorkdirError(
        f"`workdir` must be writable; {folder}: {error.strerror}. Choose "
        "another folder."
    ) from None
  return folder


def check_own(folder: Path) -> None:
  """Refuses a folder of other files than those of a run."""
  if (folder / "config.json").exists() or not folder.is_dir():
    return
  if any(map(_foreign, folder.iterdir())):
    raise WorkdirError(
        f"`workdir` must be empty or hold a run; {folder} holds other files. "
        "Choose another folder."
    )


def _identity(config: dict) -> dict:
  outside = set(NOT_IDENTITY)
  # Parts that begin where others ended: segments, sets of words.
  if "segments" in config or (config.get("snap") or {}).get("rounds"):
    outside -= {"num_steps"}
  return {k: v for k, v in config.items() if k not in outside}


def _check_same(file: Path, identity: dict) -> None:
  try:
    record = json.loads(file.read_text())
    there = dict(
        _identity(record["config"]), data=record["data"],
        fingerprint=record["fingerprint"],
    )
  except (AttributeError, KeyError, OSError, TypeError, ValueError):
    raise WorkdirError(
        f"`workdir` holds an unreadable {file}. Choose another folder."
    ) from None
  identity = json.loads(json.dumps(identity))
  differing = [
      f"{k} ({there.get(k)} there, {identity.get(k)} here)"
      for k in sorted(there.keys() | identity.keys())
      if there.get(k) != identity.get(k)
  ]
  if differing:
    raise WorkdirError(
        f"`workdir` {file.parent} holds another run; differing: "
        f"{', '.join(differing)}. Choose another folder."
    )


def _check_ahead(folder: Path, num_steps: int) -> None:
  made = max((line["step"] for line in MetricsLog.read(folder)), default=0)
  if num_steps < made:
    raise WorkdirError(
        f"`num_steps` must be at least the steps made; {folder} holds {made}, "
        f"got {num_steps}. Ask for more, or choose another folder."
    )


def _foreign(file: Path) -> bool:
  """Not what a run leaves that was killed before its first file was whole."""
  return file.suffix != ".partial" and not VECTORS.fullmatch(file.name)


def git_revision() -> str | None:
  """Of the repository the launcher stands in, marked if it has changes."""
  try:
    out = subprocess.run(
        ["git", "describe", "--always", "--dirty"], text=True, check=True,
        capture_output=True, cwd=Path(__file__).parent,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return out.stdout.strip()


def output(file: str, suffix: str) -> Path:
  """Where a result goes; what else it consists of goes beside it.

  Raises:
    WorkdirError: its folder is not there.
    ConfigError: another suffix.
  """
  file = Path(file)
  if not file.resolve().parent.is_dir():
    raise WorkdirError(
        f"`out` must be in an existing folder; got {file}. Create the folder."
    )
  if file.suffix != suffix:
    raise ConfigError(f"`out` must end in {suffix}; got {file}.")
  return file
