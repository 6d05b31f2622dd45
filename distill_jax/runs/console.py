"""Prints lines of progress, and signs of life during long computations."""

import contextlib
import sys
import threading
import time

from distill_jax.processes import is_first

_SILENCE = 15.0  # longest time without a line, in seconds
_EVERY = 10.0  # shortest time between two lines of one countdown, in seconds


class _Spoken:
  """The time of the last line, what has been running since, and until when."""

  last = 0.0
  doing: list[str] = []
  what, until = "", 0.0


def say(text: str) -> None:
  """Prints one line, above a progress bar if one is shown."""
  _Spoken.last = time.monotonic()
  if not is_first():
    return
  if "tqdm" in sys.modules:
    sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
  else:
    print(text, file=sys.stderr)


@contextlib.contextmanager
def working(what: str):
  """A context that says every 15 silent seconds what is still running.

  Compilation and training are single calls into XLA, which cannot report.

  Args:
    what: what is running, such as "evaluating". Within another `working`, the
      inner text is shown.
  """
  _Spoken.doing.append(what)
  ended = threading.Event()
  if len(_Spoken.doing) == 1:
    _Spoken.last = time.monotonic()
    threading.Thread(target=_keep_saying, args=(ended,), daemon=True).start()
  try:
    yield
  finally:
    ended.set()
    _Spoken.doing.remove(what)


@contextlib.contextmanager
def expected(what: str, seconds: float):
  """A context in which `working` also says how long a part may still take.

  Args:
    what: the part, such as "baselines".
    seconds: how long it may take; 0 if nobody knows.
  """
  _Spoken.what, _Spoken.until = what, time.monotonic() + seconds
  try:
    yield
  finally:
    _Spoken.until = 0.0


def _keep_saying(ended: threading.Event) -> None:
  began = time.monotonic()
  while not ended.wait(1.0):
    now = time.monotonic()
    if now - _Spoken.last >= _SILENCE and _Spoken.doing:
      line = f"  still {_Spoken.doing[-1]}, {duration(now - began)} so far"
      if _Spoken.until > now:
        left = duration(_Spoken.until - now)
        line += f", about {left} of {_Spoken.what} left"
      say(line)


class Countdown:
  """Says how much is done, and how long the rest may take.

  It prints at most every ten seconds, and nothing for shorter work.

  Attributes:
    each: seconds per item after the first ones, which compile; None until then.
  """

  def __init__(self, what: str, total: int):
    """Starts counting.

    Args:
      what: what is counted, such as "networks".
      total: number of all items.
    """
    self._what, self._total = what, total
    self._said = time.monotonic()
    self._first: tuple[int, float] | None = None
    self.each: float | None = None  # seconds per item

  def __call__(self, done: int) -> None:
    """Records that `done` items are finished; the first one compiles too."""
    now = time.monotonic()
    if self._first is None:
      self._first = done, now
    elif done > self._first[0]:
      self.each = (now - self._first[1]) / (done - self._first[0])
    if now - self._said < _EVERY or done >= self._total:
      return
    line = f"  {self._what}: {done} of {self._total}"
    if self.each is not None:
      self._said = now  # without a time left, the next line comes sooner
      line += f", about {duration(self.each * (self._total - done))} left"
    say(line)


def duration(seconds: float) -> str:
  """Formats seconds as hours, minutes and seconds, such as 0:01:30."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{seconds:02}"
