"""Commands as other launchers start them, each once."""

import shlex
import subprocess
import sys
from pathlib import Path

from workdir import read_json

from distill_jax.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
REPORT = "report.json"
# Flags that say where things are, not what is computed.
_PLACES = ("--cache_dir", "--data_dir")


def distil(folder: Path, arguments: list[str]) -> dict:
  """The report of a run of `distill.py`.

  Args:
    folder: its workdir; relative to the project's root, or absolute.
    arguments: without the workdir.

  Raises:
    ConfigError: the run did not finish.
  """
  return _report(
      folder, ["experiments/distill.py", *arguments, f"--workdir={folder}"]
  )


def evaluate(folder: Path, artifact: Path, arguments: list[str]) -> dict:
  """The report of `evaluate.py` on a distilled set, anew for another set.

  Args:
    folder: of the report; as in `distil`, as is what it raises.
    artifact: the set's file.
    arguments: without the set and the report.
  """
  (ROOT / folder).mkdir(parents=True, exist_ok=True)
  command = [
      "experiments/evaluate.py", f"--artifact={artifact}", *arguments,
      f"--out={folder / REPORT}",
  ]
  return _report(folder, command, of=ROOT / artifact)


def _report(folder: Path, command: list[str], of: Path | None = None) -> dict:
  """The report that a command writes; it runs where there is none of it."""
  file = ROOT / folder / REPORT
  if not finished(file, command, of):
    _run([sys.executable, *command])
    if not finished(file, command, of):
      raise ConfigError(
          f"{folder.name} did not finish; the same command goes on."
      )
  return read_json(file, {})


def _run(command: list[str]) -> None:
  """Runs a command; stopped, it is given the time to save what it has."""
  process = subprocess.Popen(command, cwd=ROOT)
  try:
    process.wait()
  except KeyboardInterrupt:
    process.terminate()
    process.wait()
    raise


def finished(file: Path, command: list[str], of: Path | None = None) -> bool:
  """Whether a report is there, of this very command.

  Args:
    file: the report.
    command: script and arguments, in any order; of a flag that is given twice
      the last one counts.
    of: a file that the report must not be older than.
  """
  if not file.exists():
    return False
  if of is not None and of.stat().st_mtime > file.stat().st_mtime:
    return False
  before = shlex.split(read_json(file, {})["command"])
  return meaning(before[1:]) == meaning(command)  # without "python"


def meaning(command: list[str]) -> dict[str, str]:
  """What a command asks for; the last of several counts, places do not."""
  given = dict(part.partition("=")[::2] for part in command)
  return {name: v for name, v in given.items() if name not in _PLACES}
