"""A launcher that is stopped before its first step says one line."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import launch
import launching
import pytest

from distill_jax.commands.process import FAULT, MISTAKE
from distill_jax.runs import driver

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
                            env=_unmeasured(),
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE,
                            text=True)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _unmeasured() -> dict[str, str]:
  """The environment, without what starts coverage before the program."""
  return {
      name: value
      for name, value in os.environ.items()
      if not name.startswith("COVERAGE_")
  }


def _stopped(process, number) -> None:
  """Sends the signal; asserts the exit code and one line."""
  try:
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
  finally:
    process.kill()
  assert process.returncode == 128 + number, said
  assert said.splitlines() == ["stopped"]


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
def test_during_imports_of_the_command(number):
  process = _start("-m", "distill_jax.commands.main", "data", "digits")
  began = time.monotonic()
  while not _imports(process) and time.monotonic() < began + 30:
    time.sleep(0.01)
  _stopped(process, number)


_LAUNCHER = """
import os, signal, sys
import launch
sys.argv = ["launcher.py"]
def main(rest):
  try:
    os.kill(os.getpid(), signal.SIGTERM)
  finally:
    os.kill(os.getpid(), signal.SIGINT)
launch.start(main)
"""


def test_two_signals_in_quick_succession_are_one():
  done = subprocess.run([sys.executable, "-c", _LAUNCHER],
                        env=launching.environment(),
                        capture_output=True,
                        text=True)
  assert done.returncode == 128 + signal.SIGTERM
  assert done.stderr.splitlines() == ["stopped"]


def test_two_signals_during_steps_are_one(capsys, monkeypatch):
  stop = driver._Stop()
  try:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
      os.kill(os.getpid(), number)
    assert stop.asked == signal.SIGTERM
    assert capsys.readouterr().err.count("checkpoint will be written") == 1
    monkeypatch.setattr(stop, "_began", time.monotonic() - 2)
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)
      time.sleep(1)
  finally:
    stop.forget()


@pytest.fixture
def parsed(monkeypatch):
  """Whatever the flags of this process."""
  monkeypatch.setattr(launch, "_parse", lambda argv, config: argv)
  monkeypatch.setattr(launch, "_sharing", contextlib.nullcontext)


@pytest.mark.parametrize(
    "error, said",
    [(KeyError("x"), "KeyError: 'x'. This is a fault of the program, "),
     (RecursionError("deep\n" * 99), "RecursionError: deep deep"),
     (MemoryError(), "MemoryError: MemoryError. This is")])
def test_a_fault_is_one_line_and_exits_with_1(capsys, error, said, parsed):

  def main(rest):
    del rest
    raise error

  assert launch.run(main, ["launcher.py"]) == FAULT == 1
  line = capsys.readouterr().err
  assert said in line and line.count("\n") == 1 and len(line) <= 300
  with pytest.raises(type(error)):
    launch.run(main, ["launcher.py", "--debug"])


def test_a_full_disk_names_the_file(capsys, parsed):

  def main(rest):
    del rest
    raise OSError(errno.ENOSPC, "No space left on device", "/runs/report.json")

  assert launch.run(main, ["launcher.py"]) == MISTAKE
  assert "/runs/report.json must be" in capsys.readouterr().err


_READING = """
import pathlib, sys, time
import begin, distill
from distill_jax import data
def read(*args, **settings):
  pathlib.Path("{begun}").touch()
  time.sleep(60)
data.read = read
sys.argv[0] = "distill.py"
begin.start(distill.main)
"""


@SIGNALS
def test_while_data_are_read(tmp_path, number, monkeypatch):
  begun, end = tmp_path / "begun", time.monotonic() + 60
  monkeypatch.setenv("PYTHONPATH", f"{launching.ROOT}/experiments")
  process = _start(
      "-c", _READING.format(begun=begun),
      f"--config={launching.CONFIGS / 'dm.py'}",
      f"--workdir={tmp_path / 'run'}")
  while not begun.exists() and time.monotonic() < end:
    time.sleep(0.05)
  _stopped(process, number)
  assert begun.exists() and not (tmp_path / "run").exists()
