"""Commands that other launchers start, each of them once."""

import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rows import Row

from distill_jax.commands.process import MISTAKE, NOT_FINITE
from distill_jax.errors import ConfigError, WorkdirError, shown
from distill_jax.methods import NonFinite
from distill_jax.runs import Interrupted
from distill_jax.runs.files import read_json

ROOT = Path(__file__).resolve().parent.parent
# Flags that name places of files and do not change the result.
_PLACES = ("--cache_dir", "--data_dir", "--experts")


class Program(NamedTuple):
  """A launcher that can be started.

  Attributes:
    report: file in its folder that holds the command and all results.
    places: `(folder, sets) -> arguments` for the files it reads and writes.
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
    program: name of the launcher, one of `PROGRAMS`.
    folder: folder that it writes to, relative to the project's root or
      absolute.
    arguments: its arguments, except places of files.
    sets: folders of the distilled sets that it reads, by its name for them; as
      `folder`.
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
    """Whether it has a report of this command, not older than its sets."""
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
    """Returns its report; runs the command if there is no such report.

    Raises:
      ConfigError: the program refused its arguments or data.
      NonFinite: the loss was not finite.
      RuntimeError: a fault of the program ended it.
      Interrupted: a signal stopped it before its end.
    """
    if not self.finished():
      self.report.parent.mkdir(parents=True, exist_ok=True)
      code = _run([sys.executable, *self.command])
      if code == MISTAKE:
        raise ConfigError(f"{self.folder.name} was refused, as is said above.")
      if code == NOT_FINITE:
        raise NonFinite(f"{self.folder.name} failed, as is said above.")
      if 0 < code <= 128:
        raise RuntimeError(f"{self.folder.name} failed, as is said above")
      if not self.finished():
        raise Interrupted(
            f"{self.folder.name} did not finish; the same command goes on",
            abs(code) % 128 or signal.SIGINT)
    return read_json(self.report, {})


def of_row(name: str, table: Mapping[str, Row], home: str) -> Launch:
  """The run of a row of the results, in a folder of its own below `home`."""
  row, runs = table[name], place(home)
  shared = [f"--cache_dir={runs}"] * PROGRAMS[row.program].caches
  sets = {
      label: runs / of / "distilled.safetensors"
      for label, of in row.sets.items()
  }
  return Launch(row.program, runs / name, [*row.arguments, *shared], sets)


def place(folder: str) -> Path:
  """A folder in the form that `Launch` takes, from the value of a flag."""
  folder = Path(folder).absolute()
  return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def _run(command: list[str]) -> int:
  """Runs a command; if stopped, gives it time to save its state."""
  process = subprocess.Popen(command, cwd=ROOT)
  try:
    return process.wait()
  except KeyboardInterrupt:
    process.terminate()
    process.wait()
    raise


def meaning(command: Sequence[str]) -> dict:
  """The flags of a command, without places of files.

  If a flag is given several times, its last value counts; of `--set`, all
  values count, in their order.
  """
  given = {"--set": ()}
  for part in command:
    name, mark, value = part.partition("=")
    if name == "--set":
      given[name] += (value,)
    elif name not in _PLACES:
      given[name] = value if mark else "True"  # as absl reads a switch
  return given
