"""Commands as other launchers start them, each once."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from workdir import read_json

from distill_jax.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
# What each program writes of what it did.
REPORTS = {
    "distill": "report.json", "evaluate": "report.json", "sweep": "sweep.json",
    "embed": "tsne.json",
}
# Flags that say where things are, not what is computed.
_PLACES = ("--cache_dir", "--data_dir")


def distill(folder: Path, arguments: Sequence[str]) -> dict:
  """The report of a run of `distill.py`.

  Args:
    folder: its workdir; relative to the project's root, or absolute.
    arguments: without the workdir.

  Raises:
    ConfigError: the run did not finish.
  """
  return _report("distill", folder, [*arguments, f"--workdir={folder}"])


def evaluate(
    folder: Path, arguments: Sequence[str], sets: Mapping[str, Path]
) -> dict:
  """The report of `evaluate.py` on a distilled set, anew for another set.

  Args:
    folder: of the report; as in `distill`, as is what it raises.
    arguments: without the set and the report.
    sets: the set's file, alone.
  """
  artifact, = sets.values()
  return _report("evaluate", folder, [
      f"--artifact={artifact}", *arguments,
      f"--out={folder / REPORTS['evaluate']}",
  ], artifact)


def sweep(folder: Path, arguments: Sequence[str]) -> dict:
  """What `sweep.py` found, its figure beside; as `distill`."""
  return _report("sweep", folder, [*arguments, f"--workdir={folder}"])


def embed(
    folder: Path, arguments: Sequence[str], sets: Mapping[str, Path]
) -> dict:
  """What `embed.py` measured, its figure beside.

  Args:
    folder: of both; as in `distill`, as is what it raises.
    arguments: without the sets and the figure.
    sets: files by name.
  """
  given = ",".join(f"{name}={file}" for name, file in sets.items())
  figure = (folder / REPORTS["embed"]).with_suffix(".png")
  return _report("embed", folder, [
      f"--sets={given}", *arguments, f"--out={figure}"
  ], *sets.values())


def _report(
    program: str, folder: Path, arguments: Sequence[str], *of: Path
) -> dict:
  """The report of a program; it runs where there is none of this command.

  Args:
    program: of `REPORTS`.
    folder: of its report; as `of`, from the project's root or absolute.
    arguments: all of its own.
    of: files that the report must not be older than.
  """
  file, of = ROOT / folder / REPORTS[program], [ROOT / other for other in of]
  command = [f"experiments/{program}.py", *arguments]
  if not finished(file, command, *of):
    file.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, *command])
    if not finished(file, command, *of):
      raise ConfigError(
          f"{folder.name} did not finish; the same command goes on."
      )
  return read_json(file, {})


def place(folder: str) -> Path:
  """A folder as the functions above take it, from what a flag says."""
  folder = Path(folder).absolute()
  return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def _run(command: list[str]) -> None:
  """Runs a command; stopped, it is given the time to save what it has."""
  process = subprocess.Popen(command, cwd=ROOT)
  try:
    process.wait()
  except KeyboardInterrupt:
    process.terminate()
    process.wait()
    raise


def finished(file: Path, command: list[str], *of: Path) -> bool:
  """Whether a report is there, of this very command.

  Args:
    file: the report.
    command: script and arguments, in any order; of a flag that is given twice
      the last one counts.
    of: files that the report must not be older than.
  """
  if not file.exists():
    return False
  if any(other.stat().st_mtime > file.stat().st_mtime for other in of):
    return False
  before = shlex.split(read_json(file, {})["command"])
  return meaning(before[1:]) == meaning(command)  # without "python"


def meaning(command: list[str]) -> dict[str, str]:
  """What a command asks for; the last of several counts, places do not."""
  given = {}
  for part in command:
    part = part.removeprefix("--set=")  # each sets a field of its own
    name, mark, value = part.partition("=")
    given[name] = value if mark else "True"  # as absl reads it
  return {name: v for name, v in given.items() if name not in _PLACES}
