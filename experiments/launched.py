"""Runs of `distill.py` as other launchers start them, each once."""

import json
import subprocess
import sys
from pathlib import Path

from distill_jax.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
REPORT = "report.json"


def report_of(
    name: str, folder: Path, arguments: list[str], extra: list[str]
) -> dict:
  """The report of a run, which is started, or goes on, where there is none.

  Args:
    name: of the run, for the error.
    folder: its workdir; relative to the project's root, or absolute.
    arguments: of `distill.py`, without the workdir; a finished run is run
      again where it was of others.
    extra: further arguments that the result does not depend on.

  Raises:
    ConfigError: the run did not finish.
  """
  file = ROOT / folder / REPORT
  command = ["experiments/distill.py", *arguments, f"--workdir={folder}"]
  if not _finished(file, command):
    done = subprocess.run([sys.executable, *command, *extra], cwd=ROOT)
    if done.returncode or not file.exists():
      raise ConfigError(f"{name} did not finish; run it again to go on.")
  return json.loads(file.read_text())


def _finished(file: Path, command: list[str]) -> bool:
  """Whether a report is there, and of this very command."""
  if not file.exists():
    return False
  return set(command) <= set(json.loads(file.read_text())["command"].split())
