"""Launchers called in this process, as a shell would call them."""

import sys
from pathlib import Path
from unittest import mock

import distill
import launch
from absl import flags
from absl.testing import flagsaver

CONFIGS = Path(__file__).parents[1] / "experiments" / "configs"
DIGITS = f"--config={CONFIGS / 'sldd_digits.py'}:quick"


def distil(*arguments) -> int:
  """Exit code of `python experiments/distill.py ARGUMENTS`."""
  argv = ["experiments/distill.py", *map(str, arguments)]
  with flagsaver.flagsaver(), mock.patch.object(sys, "argv", argv):
    flags.FLAGS.unparse_flags()
    return launch.run(distill.main, argv)


def contents(folder: Path) -> dict:
  """Every path below a folder, with the bytes of files."""
  return {
    str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
    for path in sorted(folder.rglob("*"))
  }
