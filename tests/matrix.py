"""Runs the tests with the lowest and the newest packages that are allowed.

  python tests/matrix.py --pythons="python3.11 python3.12" \\
    --pins="lowest newest" --tests="tests/api_test.py" [--home=DIR]

What `make matrix` does. Each Python that is installed gets a fresh environment
for each kind of pins. "lowest" takes every lower bound of setup.cfg literally,
of the library and of its extra `test`; "newest" lets pip choose. Pythons that
are not installed are named. Exit code 1 where an environment cannot be made, or
a test fails.
"""

import argparse
import configparser
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from building import ROOT, copied
from packaging.requirements import Requirement

PINS = "lowest", "newest"
_EXTRA = "test"


def lowest(file: Path = ROOT / "setup.cfg") -> list[str]:
  """Constraints that hold every requirement to its lower bound.

  Args:
    file: setup.cfg.

  Raises:
    ValueError: a requirement without a lower bound.
  """
  known = configparser.ConfigParser()
  known.read(file)
  texts = (
      known["options"]["install_requires"] + "\n" +
      known["options.extras_require"][_EXTRA])
  found = []
  for line in filter(None, map(str.strip, texts.splitlines())):
    wanted = Requirement(line)
    bounds = [s.version for s in wanted.specifier if s.operator in (">=", "==")]
    if len(bounds) != 1:
      raise ValueError(
          f"{file} must give a lower bound for each requirement; "
          f"got {line!r}.")
    found.append(f"{wanted.name}=={bounds[0]}")
  return sorted(set(found))


def main() -> None:
  flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  flags.add_argument("--pythons", default="python3.11 python3.12 python3.13")
  flags.add_argument("--pins", default=" ".join(PINS), help=" or ".join(PINS))
  flags.add_argument("--tests", default="", help="arguments of pytest; all")
  flags.add_argument("--home", help="where environments are kept; nowhere")
  given = flags.parse_args()
  if unknown := {*given.pins.split()} - {*PINS}:
    sys.exit(f"error: pins must be among {', '.join(PINS)}; got {unknown}")
  outcomes = {}
  with tempfile.TemporaryDirectory() as made:
    home = Path(given.home or made).resolve()
    for name in given.pythons.split():
      for pins in given.pins.split():
        outcomes[name, pins] = _tried(
            name, pins, home / f"{name.strip('/').replace('/', '_')}_{pins}",
            given.tests.split())
  for (name, pins), outcome in outcomes.items():
    print(f"{name:<12} {pins:<8} {outcome}")
  if not any(outcome == "passed" for outcome in outcomes.values()) or any(
      outcome.startswith("failed") for outcome in outcomes.values()):
    sys.exit(1)


def _tried(name: str, pins: str, home: Path, tests: list[str]) -> str:
  """What became of one environment."""
  if not _works(name):
    return "not run: there is no such Python"
  print(f"{name}, {pins} packages: in {home}", flush=True)
  shutil.rmtree(home, ignore_errors=True)
  home.mkdir(parents=True)
  project, python = copied(home / "project"), home / "venv" / "bin" / "python"
  constraints = home / "constraints.txt"
  constraints.write_text("\n".join(lowest() if pins == "lowest" else []))
  steps = {
      "no environment": [name, "-m", "venv", home / "venv"],
      "not installed": [
          python, "-m", "pip", "install", "--quiet",
          f"--constraint={constraints}", f"{project}[{_EXTRA}]"
      ],
      "tests": [
          python, "-m", "pytest", "--numprocesses=auto", "--dist=worksteal",
          *tests
      ]
  }
  for step, command in steps.items():
    code = subprocess.run([*map(str, command)], cwd=project,
                          env=_environment()).returncode
    if code:
      return f"failed: {step}"
  return "passed"


def _works(name: str) -> bool:
  """Whether a Python is there; a name may lead to nothing."""
  try:
    return not subprocess.run(
        [name, "--version"], capture_output=True, check=False).returncode
  except OSError:
    return False


def _environment() -> dict[str, str]:
  """Without what leads Python to other packages."""
  return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}


if __name__ == "__main__":
  main()
