"""Imported first by every program: an early Ctrl-C prints only one line.

Importing JAX takes a second or more, in which `process.run` cannot catch
anything yet. This module therefore does not import JAX.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

SIGNALS = signal.SIGINT, signal.SIGTERM
STARTED = time.monotonic()
LINE = "stopped"


def leave_at_once() -> None:
  """From now on, either signal ends the process with one line."""
  handle(_leave)


def handle(handler: Callable) -> None:
  """Sets the handler of both signals, except one that is ignored (nohup)."""
  for number in SIGNALS:
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, handler)


def _leave(number, frame) -> None:
  del frame
  handle(lambda *second: None)
  os.write(sys.stderr.fileno(), f"{LINE}\n".encode())
  os._exit(128 + number)
