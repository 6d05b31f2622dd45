"""The first import of every launcher: an early Ctrl-C costs one line.

Importing JAX takes a second or more, before `launch.run` can catch anything. A
launcher that is started leaves at once until then; one that is imported, as by
tests, leaves signals alone.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

SIGNALS = signal.SIGINT, signal.SIGTERM
STARTED = time.monotonic()
LINE = "stopped; the same command goes on"


def start(
    main: Callable, config: Path | None = None, computes: bool = True) -> None:
  """`launch.start`."""
  import launch

  launch.start(main, config, computes)


def handle(handler: Callable) -> None:
  """Sets the handler of both signals, but of one that is ignored (nohup)."""
  for number in SIGNALS:
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, handler)


def _leave(number, frame) -> None:
  del frame
  handle(lambda *second: None)
  os.write(sys.stderr.fileno(), f"{LINE}\n".encode())
  os._exit(128 + number)


def _is_started() -> bool:
  script = getattr(sys.modules["__main__"], "__file__", None)
  return bool(script) and Path(script).resolve().parent == Path(
      __file__).resolve().parent


if _is_started():
  handle(_leave)
