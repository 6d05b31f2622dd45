"""Lines for people, and a sign of life while there are none."""

import contextlib
import sys
import threading
import time

from distill_jax.processes import is_first

_SILENCE = 15.0  # seconds without a line, at most
_EVERY = 10.0  # seconds between two lines of one countdown, at least


class _Spoken:
  """When the last line was written, and what goes on since."""

  last = 0.0
  doing: list[str] = []


def say(text: str) -> None:
  """One line, above a progress bar where one may be showing."""
  _Spoken.last = time.monotonic()
  if not is_first():
    return
  if "tqdm" in sys.modules:
    sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
  else:
    print(text, file=sys.stderr)


@contextlib.contextmanager
def working(what: str):
  """While nothing else is said, says every 15 seconds what still goes on.

  Compilation and training are single calls into XLA, which cannot report.

  Args:
    what: goes on, such as "evaluating". Inside of another `working` it is
      named in its place.
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


def _keep_saying(ended: threading.Event) -> None:
  began = time.monotonic()
  while not ended.wait(1.0):
    now = time.monotonic()
    if now - _Spoken.last >= _SILENCE and _Spoken.doing:
      say(f"  still {_Spoken.doing[-1]}, {duration(now - began)} so far")


class Countdown:
  """Says what is done of something and how long the rest may take.

  At most every ten seconds, and nothing of what takes less.
  """

  def __init__(self, what: str, total: int):
    """Args:
      what: is counted, such as "networks".
      total: how many there will be.
    """
    self._what, self._total = what, total
    self._said = time.monotonic()
    self._first: tuple[int, float] | None = None

  def __call__(self, done: int) -> None:
    """Takes note that `done` are finished, compilation within the first."""
    now = time.monotonic()
    if self._first is None:
      self._first = done, now
    if now - self._said < _EVERY or done >= self._total:
      return
    self._said = now
    line = f"  {self._what}: {done} of {self._total}"
    if done > self._first[0]:
      each = (now - self._first[1]) / (done - self._first[0])
      line += f", about {duration(each * (self._total - done))} left"
    say(line)


def duration(seconds: float) -> str:
  """Hours, minutes and seconds, as 0:01:30."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{seconds:02}"
