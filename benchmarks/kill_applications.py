"""Kills applications at random moments: results must not change.

Each application runs in its quick form on the digits: once undisturbed, and
then stopped again and again by SIGKILL or SIGTERM at random moments, and
resumed by the same command each time. A run that reaches its end is compared
with the undisturbed one, and the next begins in a new folder, until `--kills`
runs were stopped. Bar: the same cells, and equal reports and sets, except for
seconds, the command, and rows that are measured by the clock.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import kill_resume
import numpy as np
import timing

from distill_jax import applications, storage

# Other fields that differ because they depend on the seconds of a document.
_OTHER = ("sha256", "command", "date")
_CONFIGS = kill_resume.ROOT / "configs" / "applications"


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  timing.with_settings(
      parser, kills=5, names=",".join(applications.NAMES), seed=0)
  options = parser.parse_args(argv)
  generator, rows = np.random.default_rng(options.seed), []
  with TemporaryDirectory() as folder:
    for name in options.names.split(","):
      rows.append(_killed(name, Path(folder), options.kills, generator))
      print(rows[-1], flush=True)
  timing.show(rows)
  met = all(row["unequal"] == "-" for row in rows)
  verdict = dict(kills=sum(row["kills"] for row in rows), met=met)
  timing.write("kill_applications", options, [verdict, *rows])
  if not met:
    sys.exit(1)


def _killed(name: str, folder: Path, num_kills: int, generator) -> dict:
  quiet = folder / f"{name}_quiet"
  run = [
      sys.executable,
      str(kill_resume.ROOT / "apply.py"),
      f"--config={_CONFIGS / name}.py:quick,data=digits"
  ]
  began = time.monotonic()
  kill_resume.finish(run, quiet)
  length = time.monotonic() - began
  hits, unequal, killed = 0, [], []
  while hits < num_kills:
    killed.append(folder / f"{name}_killed_{len(killed)}")
    while hits < num_kills:
      delay = generator.uniform(0, length)
      by = (signal.SIGKILL, signal.SIGTERM)[generator.integers(2)]
      if not kill_resume.hit(run, killed[-1], lambda: True, delay, number=by):
        break  # it reached its end before it was stopped
      hits += 1
    kill_resume.finish(run, killed[-1])
    unequal += differences(quiet, killed[-1])
  return dict(
      name=name,
      seconds=round(length, 1),
      runs=len(killed),
      kills=hits,
      unequal=" ".join(unequal) or "-")


def differences(a: Path, b: Path) -> list[str]:
  """Names of cells and reports that differ."""
  one, other = ({
      str(file.relative_to(folder)): file
      for file in (folder / "cells").rglob("*")
      if file.is_file() and "seconds" not in str(file.relative_to(folder))
  }
                for folder in (a, b))
  found = sorted(one.keys() ^ other.keys())
  for name in sorted(one.keys() & other.keys()):
    if _content(one[name]) != _content(other[name]):
      found.append(name)
  if _content(a / "report.json") != _content(b / "report.json"):
    found.append("report.json")
  return found


def _content(file: Path):
  """The content of a file that must be equal."""
  if file.suffix == ".safetensors":
    tensors, _ = storage.read(file)
    return {
        name: tensors[name].tobytes()
        for name in sorted(tensors)
        if "seconds" not in name
    }
  return json.dumps(_timeless(json.loads(file.read_text())))


def _timeless(document):
  """A document without seconds, the command and numbers of the clock."""
  if isinstance(document, list):
    return [*map(_timeless, document)]
  if not isinstance(document, dict):
    return document
  if "seconds" in str(document.get("kind")):  # so long as a set takes
    return {}
  return {
      name: _timeless(part)
      for name, part in sorted(document.items())
      if "seconds" not in name and name not in _OTHER
  }


if __name__ == "__main__":
  main()
