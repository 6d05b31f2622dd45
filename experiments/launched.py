"""Commands as other launchers start them, each once."""

import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import launch
from rows import Row

from distill_jax.errors import ConfigError, WorkdirError, shown
from distill_jax.methods import NonFinite
from distill_jax.runs import Interrupted
from distill_jax.runs.files import read_json

ROOT = Path(__file__).resolve().parent.parent
# Flags that say where things are, not what is computed.
_PLACES = ("--cache_dir", "--data_dir", "--experts")


class Program(NamedTuple):
  """Attributes:
    report: the file in its folder that holds the command, and all it found.
    places: `(folder, sets) -> arguments` that say what it reads and writes.
    caches: whether it takes a `--cache_dir`.
  """

  report: str
  places: Callable[[Path, Mapping[str, Path]], list[str]]
  caches: bool = False


def _distilled(folder, sets):
  fields = (f"--config.{name}={file}" for name, file in sets.items())
  return [*fields, f"--workdir={folder}"]


def _evaluated(folder, sets):
  artifact, = sets.values()
  return [f"--artifact={artifact}", f"--out={folder / 'report.json'}"]


def _embedded(folder, sets):
  given = ",".join(f"{label}={file}" for label, file in sets.items())
  return [f"--sets={given}", f"--out={folder / 'tsne.png'}"]


PROGRAMS = {
    "distill": Program("report.json", _distilled, caches=True),
    "evaluate": Program("report.json", _evaluated, caches=True),
    "sweep": Program("sweep.json", _distilled),
    "embed": Program("tsne.json", _embedded)
}


class Launch(NamedTuple):
  """One run of a program.

  Attributes:
    program: of `PROGRAMS`, the launcher's name.
    folder: of what it writes; from the project's root, or absolute.
    arguments: but for places.
    sets: distilled sets that it reads, by what it calls them; as `folder`.
  """

  program: str
  folder: Path
  arguments: Sequence[str]
  sets: Mapping[str, Path] = MappingProxyType({})

  @property
  def command(self) -> list[str]:
    """Script and arguments, as they are run in the project's root."""
    places = PROGRAMS[self.program].places(self.folder, self.sets)
    return [f"experiments/{self.program}.py", *self.arguments, *places]

  @property
  def report(self) -> Path:
    return ROOT / self.folder / PROGRAMS[self.program].report

  def finished(self) -> bool:
    """Whether its report is there, of this command, no older than its sets."""
    if not self.report.exists():
      return False
    made = self.report.stat().st_mtime
    if any((ROOT / of).stat().st_mtime > made for of in self.sets.values()):
      return False
    before = read_json(self.report, {}).get("command")
    with contextlib.suppress(ValueError):
      if isinstance(before, str):
        return meaning(shlex.split(before)[1:]) == meaning(self.command)
    raise WorkdirError(
        f"{self.report} must hold the command that wrote it; got "
        f"{shown(before)}. Delete it to run the command again.")

  def run(self) -> dict:
    """Its report; it runs where there is none of this very command.

    Raises:
      ConfigError: it was refused.
      NonFinite: its loss was not finite.
      RuntimeError: a fault of the program ended it.
      Interrupted: it did not finish, with the signal that it was stopped by.
    """
    if not self.finished():
      self.report.parent.mkdir(parents=True, exist_ok=True)
      code = _run([sys.executable, *self.command])
      if code == launch.MISTAKE:
        raise ConfigError(f"{self.folder.name} was refused, as is said above.")
      if code == launch.NOT_FINITE:
        raise NonFinite(f"{self.folder.name} failed, as is said above.")
      if 0 < code <= 128:
        raise RuntimeError(f"{self.folder.name} failed, as is said above")
      if not self.finished():
        raise Interrupted(
            f"{self.folder.name} did not finish; the same command goes on",
            abs(code) % 128 or signal.SIGINT)
    return read_json(self.report, {})


def of_row(name: str, table: Mapping[str, Row], home: str) -> Launch:
  """What a row of the results runs, in a folder of its own below `home`."""
  row, runs = table[name], place(home)
  shared = [f"--cache_dir={runs}"] * PROGRAMS[row.program].caches
  sets = {
      label: runs / of / "distilled.safetensors"
      for label, of in row.sets.items()
  }
  return Launch(row.program, runs / name, [*row.arguments, *shared], sets)


def place(folder: str) -> Path:
  """A folder as `Launch` takes it, from what a flag says."""
  folder = Path(folder).absolute()
  return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def _run(command: list[str]) -> int:
  """Runs a command; stopped, it is given the time to save what it has."""
  process = subprocess.Popen(command, cwd=ROOT)
  try:
    return process.wait()
  except KeyboardInterrupt:
    process.terminate()
    process.wait()
    raise


def meaning(command: Sequence[str]) -> dict:
  """What a command asks for, by flag; places do not count.

  Of a flag that is given several times the last value counts, of `--set` all in
  their order.
  """
  given = {"--set": ()}
  for part in command:
    name, mark, value = part.partition("=")
    if name == "--set":
      given[name] += (value,)
    elif name not in _PLACES:
      given[name] = value if mark else "True"  # as absl reads it
  return given
