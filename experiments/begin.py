"""The first import of every launcher: an early Ctrl-C prints only one line.

A launcher that is started ends at once on a signal until `launch.run` catches
signals. A launcher that is imported, for example by tests, leaves signals
alone.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from distill_jax.commands import interrupts


def start(
    main: Callable,
    config: Path | None = None,
    computes: bool = True,
    resumes: bool = False) -> None:
  """Calls `launch.start`."""
  import launch

  launch.start(main, config, computes, resumes)


def _is_started() -> bool:
  script = getattr(sys.modules["__main__"], "__file__", None)
  return bool(script) and Path(script).resolve().parent == Path(
      __file__).resolve().parent


if _is_started():
  interrupts.leave_at_once()
