"""Runs methods in several processes, and compares them with one process.

Each method's launcher takes some outer steps of a small quick form, in one
process and in several, each with one CPU device. Bar: losses and gradient norms
of every step, and the accuracies of the report, are equal within a relative
difference of 1e-5.

Then one process of two is killed, once the first and once the other. Bars: the
remaining process ends within 30 seconds with one line; and a single process,
with the same command, continues with the losses of an undisturbed run.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import devices
import kill_resume
import numpy as np
import timing

from distill_jax.runs.files import MetricsLog

MOST_SECONDS = 30.0
_KILLED_AFTER = 4  # number of lines of the log


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  timing.with_settings(
      parser, methods="dm,sldd,frepo,mtt", processes="2,4", steps=6, long=300)
  options = parser.parse_args(argv)
  with TemporaryDirectory() as folder:
    rows = [
        compared(name, number, options.steps, Path(folder))
        for name in options.methods.split(",")
        for number in timing.positives(options.processes)
    ]
    rows += [killed(which, options.long, Path(folder)) for which in (0, 1)]
  met = all(row["met"] for row in rows)
  print(f"bars: {'met' if met else 'not met'}")
  timing.write("processes", options, [dict(met=met), *rows])


def compared(name: str, number: int, steps: int, folder: Path) -> dict:
  """The row of a method in `number` processes."""
  run = [
      *kill_resume.small(name, steps, folder), "--config.log_every=1",
      f"--config.checkpoint_every={steps}", "--config.evaluation.num_networks=2"
  ]
  one, several = folder / name / "1", folder / name / str(number)
  if not one.exists():
    _end(_start(run, one, 1))
  _end(_start(run, several, number))
  found, expected = map(_numbers, (several, one))
  row = dict(
      method=name,
      processes=number,
      steps=len(kill_resume.log(several)),
      difference=float(
          np.max(
              np.abs(found / expected - 1), initial=0.0, where=expected != 0)))
  row["met"] = row["difference"] <= devices.MOST
  print(row, flush=True)
  return row


def killed(which: int, steps: int, folder: Path) -> dict[str, Any]:
  """The row of a run of two processes, one of which is killed."""
  run = kill_resume.small("dm", steps, folder)
  quiet, own = folder / "quiet", folder / f"killed {which}"
  if not quiet.exists():
    _end(_start(run, quiet, 1))
  pair = _start(run, own, 2)
  while len(kill_resume.log(own)) < _KILLED_AFTER:
    if pair[0].poll() is not None:
      raise RuntimeError(pair[0].communicate()[0])
    time.sleep(0.01)
  pair[which].send_signal(signal.SIGKILL)
  began, other = time.monotonic(), pair[1 - which]
  said = other.communicate()[0]
  seconds = time.monotonic() - began
  logged = len(kill_resume.log(own))
  _end(_start(run, own, 1))
  losses = [
      [line["loss"] for line in MetricsLog.read(of)] for of in (quiet, own)
  ]
  errors = re.findall(r"^error: .*", said, re.MULTILINE)
  row = dict(
      killed=which,
      lines_before=logged,
      seconds=seconds,
      code=other.returncode,
      said=errors[-1] if errors else said[-300:],
      same=bool(np.allclose(*losses, rtol=devices.MOST, atol=0)))
  row["met"] = row["same"] and seconds <= MOST_SECONDS and len(errors) == 1
  print(row, flush=True)
  return row


def _start(run: list[str], folder: Path, number: int) -> list:
  """Starts the processes of a run."""
  together, port = [[]], _free_port()
  if number > 1:
    together = [[
        f"--coordinator=localhost:{port}", f"--num_processes={number}",
        f"--process_id={i}"
    ] for i in range(number)]
  return [
      subprocess.Popen([*run, f"--workdir={folder}", *more],
                       env=os.environ | devices.environment(1),
                       stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT,
                       text=True) for more in together
  ]


def _end(processes: list) -> None:
  """Waits for processes, all of which must succeed."""
  for process in processes:
    said = process.communicate()[0]
    if process.returncode:
      raise RuntimeError(f"exit code {process.returncode}: {said}")


def _numbers(folder: Path) -> np.ndarray:
  """The numbers of the log, and the accuracies of the report."""
  logged = [
      [line["loss"], line["grad_norm"]] for line in kill_resume.log(folder)
  ]
  report = json.loads((folder / "report.json").read_text())
  return np.array([*np.ravel(logged), report["accuracy"]["mean"]])


def _free_port() -> int:
  with socket.socket() as free:
    free.bind(("localhost", 0))
    return free.getsockname()[1]


if __name__ == "__main__":
  main()
