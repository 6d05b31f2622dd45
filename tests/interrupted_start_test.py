"""A launcher that is stopped before its first step says one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import launching
import pytest

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def _start(*arguments):
  """Starts it as from a terminal, also where tests run behind `nohup`."""
  before = {
      number: signal.signal(number, signal.SIG_DFL)
      for number in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    return subprocess.Popen([sys.executable, *map(str, arguments)],
                            cwd=launching.ROOT,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE,
                            text=True)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _stopped(process, number) -> None:
  """Sends the signal; asserts the exit code and one line."""
  try:
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
  finally:
    process.kill()
  assert process.returncode == 128 + number, said
  assert said.splitlines() == ["stopped; the same command goes on"]


def _imports(process) -> bool:
  """Whether Python is up, and among the imports."""
  maps = Path(f"/proc/{process.pid}/maps")
  return not maps.exists() or "site-packages" in maps.read_text()


@SIGNALS
@pytest.mark.parametrize("launcher", ["distill", "sweep", "evaluate", "embed"])
def test_during_imports(launcher, number):
  process = _start(f"experiments/{launcher}.py", "--help")
  began = time.monotonic()
  while not _imports(process) and time.monotonic() < began + 30:
    time.sleep(0.01)
  _stopped(process, number)


@SIGNALS
def test_while_data_are_read(tmp_path, number):
  table = tmp_path / "table.csv"
  os.mkfifo(table)  # reading it waits for someone who writes
  process = _start(
      "experiments/distill.py", f"--config={launching.CONFIGS / 'dm.py'}",
      f"--data=csv:{table}", f"--workdir={tmp_path / 'run'}")
  writer, end = None, time.monotonic() + 60
  while writer is None and time.monotonic() < end:
    try:
      writer = os.open(table, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # nobody reads yet
      time.sleep(0.05)
  _stopped(process, number)
  os.close(writer)
  assert not (tmp_path / "run").exists()
