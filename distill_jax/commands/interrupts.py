"""The first import of every program: an early Ctrl-C costs one line.

Importing JAX takes a second or more, before `process.run` can catch anything.
This module imports nothing of it.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

SIGNALS = signal.SIGINT, signal.SIGTERM
STARTED = time.monotonic()
LINE = "stopped; the same command goes on"


def leave_at_once() -> None:
  """From now on either signal ends the process, with one line."""
  handle(_leave)


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
