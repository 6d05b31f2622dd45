"""Measuring by alternation: A, B, A, B, ... within one process.

A machine's speed drifts; two candidates timed in turn drift together, so the
benchmarks report the median over rounds of the ratio within a round.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import pathlib
import platform
import shlex
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np

from distill_jax import environment

RAW = argparse.RawDescriptionHelpFormatter  # docstrings as they are
_PAUSE = 0.1  # seconds in which one runtime's idle threads go to sleep
_PACKAGES = (
    "python", "jax", "jaxlib", "numpy", "flax", "optax", "torch",
    "neural-tangents")


def parser(description: str, **settings) -> argparse.ArgumentParser:
  """The options of a benchmark that times; of `settings` too."""
  result = argparse.ArgumentParser(description=description, formatter_class=RAW)
  add = result.add_argument
  add("--rounds", type=positive, default=5, help="alternating rounds")
  add("--seconds", type=float, default=1.0, help="least length of a sample")
  return with_settings(result, **settings)


def with_settings(parser: argparse.ArgumentParser, **settings):
  """The parser with `--out` and an option for each setting, its default.

  A setting is text, a number of at least 1, or a tuple of such numbers.
  """
  for name, value in settings.items():
    kind = {str: str, tuple: positives}.get(type(value), positive)
    shown = f"default: {_joined(value)}"
    parser.add_argument(f"--{name}", type=kind, default=value, help=shown)
  parser.add_argument("--out", default="", help="JSON file to write")
  return parser


def positive(text: str) -> int:
  """An option's value as an integer of at least 1."""
  value = int(text)
  if value < 1:
    raise argparse.ArgumentTypeError(f"must be at least 1; got {value}")
  return value


def positives(text: str) -> tuple[int, ...]:
  """An option's value `3,5` as integers of at least 1."""
  return tuple(positive(part) for part in text.split(","))


def alternate(candidates: dict, *, rounds: int, seconds: float = 1.0) -> dict:
  """Times candidates in turn, after a warm-up of each.

  Args:
    candidates: functions by name; their results are waited for.
    rounds: samples taken of each.
    seconds: a sample repeats its candidate for about this long at least.

  Returns:
    Seconds per call by name.
  """
  repeats = {}
  for name, run in candidates.items():
    _seconds_per_call(run, 1)  # compiles
    repeats[name] = math.ceil(seconds / _seconds_per_call(run, 1)) or 1
  samples = {name: [] for name in candidates}
  for _ in range(rounds):
    for name, run in candidates.items():
      time.sleep(_PAUSE)
      samples[name].append(_seconds_per_call(run, repeats[name]))
  return samples


def compare(options, bar: float | None, per_call: int = 1, **candidates):
  """Times candidates, but those that are None; `columns` of their samples."""
  candidates = {name: run for name, run in candidates.items() if run}
  samples = alternate(
      candidates, rounds=options.rounds, seconds=options.seconds)
  return columns(samples, bar, per_call)


def columns(samples: dict, bar: float | None = None, per_call: int = 1) -> dict:
  """Columns of a result: `A_ms`, `A_seconds`, and of A and B `A/B`, `met`.

  Args:
    samples: seconds per call of A, and maybe of B, by name.
    bar: the largest ratio A/B that is good enough; None for none.
    per_call: steps of a call, for milliseconds of one step.
  """
  row = {}
  for name, seconds in samples.items():
    row[f"{name}_ms"] = milliseconds(seconds) / per_call
    row[f"{name}_seconds"] = seconds
  if len(samples) > 1:
    share = ratio(*samples.values())
    row["/".join(samples)] = share
    row["bar"] = "-" if bar is None else bar
    row["met"] = "-" if bar is None else share <= bar
  return row


def ratio(above: list[float], below: list[float]) -> float:
  """Median over rounds of the ratio of two candidates' samples."""
  return float(np.median(np.divide(above, below)))


def milliseconds(samples: list[float]) -> float:
  """Median of samples in seconds, as milliseconds."""
  return 1e3 * float(np.median(samples))


def show(rows: list[dict[str, Any]]) -> None:
  """Prints rows of one set of columns as a table, without lists of samples."""
  columns = [c for c, value in rows[0].items() if not isinstance(value, list)]
  table = [columns, *([_text(row[c]) for c in columns] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  for line in table:
    cells = (cell.rjust(w) for cell, w in zip(line, widths, strict=True))
    print("  ".join(cells))


def describe_machine() -> dict[str, Any]:
  """Device, processor, cores, versions and date: what a timing depends on."""
  device = jax.devices()[0]
  installed = {"python": platform.python_version()}
  for found in importlib.metadata.distributions():
    installed[found.name.lower().replace("_", "-")] = found.version
  return {
      "platform": device.platform,
      "device": device.device_kind,
      "num_devices": jax.device_count(),
      "cpu": _cpu_model(),
      "cores": environment.num_cores(),
      "versions": {
          name: installed.get(name) for name in _PACKAGES
      },
      "date": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")
  }


def report(script: str, options, rows: list[dict[str, Any]]) -> None:
  """Prints the results, and writes them if `--out` was given."""
  show(rows)
  write(script, options, rows)


def write(script: str, options, rows: list[dict[str, Any]]) -> None:
  """Writes the results as JSON to `options.out`, if that was given.

  `script` is a name without `.py`, with the command if there are several.
  """
  if not options.out:
    return
  flags = [
      f"--{name}" if value is True else f"--{name}={_joined(value)}"
      for name, value in vars(options).items()
      if name != "out" and value is not None and value is not False
  ]
  file, *command = script.split()
  parts = ["python", f"benchmarks/{file}.py", *command, *flags]
  document = {
      "benchmark": script,
      "command": shlex.join(parts),
      "machine": describe_machine(),
      "results": rows
  }
  text = json.dumps(document, indent=2) + "\n"
  pathlib.Path(options.out).write_text(text)


def run(
    script: str,
    arguments: list[str],
    out: pathlib.Path,
    *,
    timeout: float | None = None,
    env: dict[str, str] | None = None) -> dict[str, Any]:
  """The document that `python benchmarks/SCRIPT.py ARGUMENTS` writes to `out`.

  It is a process of its own, which has the device for itself.

  Raises:
    subprocess.SubprocessError: it failed, or took more than `timeout` seconds.
  """
  program = pathlib.Path(__file__).parent / f"{script}.py"
  command = [sys.executable, str(program), *arguments, f"--out={out}"]
  subprocess.run(command, check=True, timeout=timeout, env=env)
  return json.loads(out.read_text())


def _seconds_per_call(run, repeats):
  start = time.perf_counter()
  for _ in range(repeats):
    jax.block_until_ready(run())
  return (time.perf_counter() - start) / repeats


def _text(value):
  return f"{value:.4g}" if isinstance(value, float) else str(value)


def _joined(value):
  return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _cpu_model():
  info = pathlib.Path("/proc/cpuinfo")
  lines = info.read_text().splitlines() if info.exists() else []
  models = [ln.split(":", 1)[1].strip() for ln in lines if "model name" in ln]
  return models[0] if models else platform.processor() or platform.machine()
