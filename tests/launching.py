"""Launchers called as a shell would call them, with little start-up time."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import distill
import launch
from absl import flags
from absl.testing import flagsaver

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "experiments" / "configs"
DIGITS = f"--config={CONFIGS / 'sldd.py'}:quick"
# A small network, short runs, no baselines: whatever compiles quickly.
FEW = (
    "--config.log_every=2", "--config.evaluation.num_networks=1",
    "--config.evaluation.num_sets=1", "--config.evaluation.baselines=",
    "--config.evaluation.full_data=false", "--config.figures=false")
TINY = (
    "--config.network.depth=1", "--config.network.width=4",
    "--config.method.epochs=2", "--config.method.batch_size=64", *FEW)

# Launchers define flags of the same names: another process for each.
_ELSEWHERE = """
import contextlib, importlib, io, json, sys
import launch
from absl import flags
from absl.testing import flagsaver
name, before = sys.argv[1:]
launcher = importlib.import_module(name)
exec(before)
for argv in json.loads(sys.stdin.read()):
  out, err = io.StringIO(), io.StringIO()
  sys.argv = [f"{name}.py", *argv]  # where configurations look for overrides
  with flagsaver.flagsaver(), contextlib.redirect_stdout(out):
    with contextlib.redirect_stderr(err):
      flags.FLAGS.unparse_flags()
      code = launch.run(
          launcher.main, sys.argv, getattr(launcher, "USUAL", None))
  print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


class Result(NamedTuple):
  """What a shell sees of a command."""

  code: int
  out: str
  err: str


def distil(*arguments) -> Result:
  """`python experiments/distill.py ARGUMENTS`, in this process."""
  argv = ["experiments/distill.py", *map(str, arguments)]
  out, err = io.StringIO(), io.StringIO()
  with (flagsaver.flagsaver(), mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err)):  # fmt: skip
    flags.FLAGS.unparse_flags()
    code = launch.run(distill.main, argv, distill.USUAL)
  return Result(code, out.getvalue(), err.getvalue())


def elsewhere(launcher: str, *commands, before: str = "") -> list[Result]:
  """`python experiments/LAUNCHER.py ARGUMENTS` for each of several commands.

  Args:
    launcher: name of the file.
    *commands: arguments of each call.
    before: code that runs first, with the module as `launcher`.
  """
  done = subprocess.run([sys.executable, "-c", _ELSEWHERE, launcher, before],
                        input=json.dumps(
                            [list(map(str, command)) for command in commands]),
                        cwd=ROOT,
                        env=environment(),
                        text=True,
                        capture_output=True)
  assert done.returncode == 0, done.stderr
  return [Result(*json.loads(line)) for line in done.stdout.splitlines()]


def contents(folder: Path) -> dict:
  """Every path below a folder, with the bytes of files."""
  return {
      str(path.relative_to(folder)):
          path.read_bytes() if path.is_file() else None
      for path in sorted(folder.rglob("*"))
  }


def environment() -> dict:
  """The environment of a process that runs launchers.

  It compiles as the tests do, and keeps programs in their cache; see
  `conftest`.
  """
  path = os.pathsep.join([str(ROOT), str(ROOT / "experiments")])
  return {**os.environ, "PYTHONPATH": path}
