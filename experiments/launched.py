"""Commands as other launchers start them, each once."""

import json
import subprocess
import sys
from pathlib import Path

from distill_jax.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
REPORT = "report.json"


def distilled(
    folder: Path, arguments: list[str], extra: list[str]
) -> dict:
  """The report of a run of `distill.py`.

  Args:
    folder: its workdir; relative to the project's root, or absolute.
    arguments: without the workdir.
    extra: further arguments that the result does not depend on.

  Raises:
    ConfigError: the run did not finish.
  """
  command = ["experiments/distill.py", *arguments, f"--workdir={folder}"]
  return _report(ROOT / folder / REPORT, command, extra)


def evaluated(
    artifact: Path, folder: Path, arguments: list[str], extra: list[str]
) -> dict:
  """The report of `evaluate.py` on a distilled set; see `distilled`."""
  command = [
      "experiments/evaluate.py", f"--artifact={artifact}", *arguments,
      f"--out={folder / REPORT}",
  ]
  (ROOT / folder).mkdir(parents=True, exist_ok=True)
  return _report(ROOT / folder / REPORT, command, extra)


def _report(file: Path, command: list[str], extra: list[str]) -> dict:
  """The report that a command writes; it is run where there is none of it."""
  if not _finished(file, command):
    done = subprocess.run([sys.executable, *command, *extra], cwd=ROOT)
    if done.returncode or not _finished(file, command):
      raise ConfigError(
          f"{file.parent.name} did not finish; the same command goes on."
      )
  return json.loads(file.read_text())


def _finished(file: Path, command: list[str]) -> bool:
  """Whether a report is there, and of this very command."""
  if not file.exists():
    return False
  return set(command) <= set(json.loads(file.read_text())["command"].split())
