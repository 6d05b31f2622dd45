"""Wheel and sdist: built from a copy of what git tracks, and looked into."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def tracked(root: Path = ROOT) -> list[str]:
  """Files of the project, from its root: those of git, or of an sdist."""
  if (root / ".git").exists():
    listed = run("git", "ls-files", cwd=root).stdout.splitlines()
    return sorted(name for name in listed if (root / name).exists())
  made = next(root.glob("*.egg-info")) / "SOURCES.txt"
  return sorted(
      name for name in made.read_text().splitlines() if ".egg-info" not in name)


def copied(folder: Path, root: Path = ROOT) -> Path:
  """A copy of the project, so that building leaves nothing in it."""
  for name in tracked(root):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / name, folder / name)
  return folder


def run(*command, cwd: Path, **given) -> subprocess.CompletedProcess:
  """Runs a command.

  Raises:
    RuntimeError: it failed; with what it said.
  """
  done = subprocess.run([*map(str, command)],
                        cwd=cwd,
                        text=True,
                        capture_output=True,
                        **given)
  if done.returncode:
    raise RuntimeError(
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n"
        f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
  return done


def sdist(project: Path, out: Path) -> Path:
  """Builds the sdist of a folder by the setuptools of this Python."""
  code = "from setuptools import build_meta; build_meta.build_sdist({!r})"
  run(sys.executable, "-c", code.format(str(out)), cwd=project)
  return next(out.glob("*.tar.gz"))


def wheel(project: Path, out: Path, *options: str) -> Path:
  """Builds the wheel of a folder by the pip of this Python."""
  run(
      sys.executable,
      "-m",
      "pip",
      "wheel",
      "--quiet",
      "--no-deps",
      f"--wheel-dir={out}",
      *options,
      project,
      cwd=project)
  return next(out.glob("*.whl"))


def contents(archive: Path) -> list[str]:
  """Files of a wheel or an sdist, the latter without its folder."""
  if archive.suffix == ".whl":
    with zipfile.ZipFile(archive) as opened:
      return sorted(n for n in opened.namelist() if not n.endswith("/"))
  with tarfile.open(archive) as opened:
    return sorted(
        m.name.partition("/")[2] for m in opened.getmembers() if m.isfile())


def unpacked(sdist: Path, folder: Path) -> Path:
  """The project in an sdist."""
  with tarfile.open(sdist) as opened:
    opened.extractall(folder, filter="data")
  project, = folder.iterdir()
  return project
