"""Times DM on samples in a file against the same samples on the device.

Random pixels of 32 x 32 x 3 are written to a file and distilled, ConvNet of
`--width`, from memory and from the file, step by step in turn. Bars: the sets
are equal bit for bit, and a step takes at most 1.1 times as long.

With `--gigabytes=6`, a file of that size is also distilled, in a process of its
own. Bar: it needs less than 2 GiB of resident memory.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import steps
import timing

import distill_jax as dd
from distill_jax import data, methods
from distill_jax.methods.steps import Watch, carry_out

BAR, MOST_GIBIBYTES = 1.1, 2.0
CLASSES, SHAPE = 10, (32, 32, 3)


def main(argv=None) -> None:
  parser = timing.parser(
      __doc__, width=128, batch_size=256, samples=50_000, num_steps=20)
  parser.add_argument(
      "--gigabytes", type=float, default=0.0, help="of the large file")
  parser.add_argument("--only", help=argparse.SUPPRESS)  # the large one
  options = parser.parse_args(argv)
  if options.only:
    _distil(_mapped(Path(options.only)), options)
    print(_peak())
    return
  with tempfile.TemporaryDirectory() as folder:
    rows = [_compared(Path(folder), options)]
    if options.gigabytes:
      rows.append(_large(Path(folder), options))
  for row in rows:
    timing.show([row])
  timing.write("host_rows", options, rows)


def _peak() -> float:
  """Peak memory of this process in GiB, without that of its parent."""
  status = Path("/proc/self/status").read_text()
  return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20


def _write(file: Path, samples: int) -> None:
  """Writes random pixels, in parts."""
  rows = np.lib.format.open_memmap(file, "w+", np.uint8, (samples, *SHAPE))
  generator = np.random.default_rng(0)
  for start in range(0, samples, 10_000):
    part = rows[start:start + 10_000]
    part[:] = generator.integers(0, 256, part.shape, np.uint8)
  rows.flush()


def _mapped(file: Path) -> dd.Source:
  x = np.load(file, mmap_mode="r")
  return data.from_host(x, np.arange(len(x)) % CLASSES, test_fraction=0)


def _plan(source, options):
  method = methods.dm(
      num_steps=options.num_steps,
      batch_size=options.batch_size,
      start="noise",
      parameterization={"name": "pixels"})
  network = dd.convnet(CLASSES, width=options.width)
  return steps.planned(source, method, network, per_class=10)


def _distil(source, options):
  """The set after all steps, and seconds per step of each chunk but the first.

  It is the set that `dd.condense` makes; rows of coming steps are read ahead.
  """
  watch = _Timed()
  made = carry_out(_plan(source, options), watch)
  return np.asarray(made.distilled.codes), watch.seconds[1:]


class _Timed(Watch):
  """Keeps the seconds per step of each chunk; the first chunk compiles."""

  log_every = 5

  def __init__(self):
    self.seconds: list[float] = []

  def chunk(self, plan, progress) -> None:
    del plan
    self.seconds.append(progress.seconds_per_step)


def _compared(folder: Path, options) -> dict:
  _write(folder / "x.npy", options.samples)
  there = _mapped(folder / "x.npy")
  x = np.load(folder / "x.npy")
  here = dd.from_arrays(x, np.arange(len(x)) % CLASSES, test_fraction=0)
  seconds, sets = dict(file=[], memory=[]), {}
  for _ in range(options.rounds):
    for name, source in (("file", there), ("memory", here)):
      sets[name], each = _distil(source, options)
      seconds[name].append(float(np.median(each)))
  equal = np.array_equal(*sets.values())
  row = dict(samples=options.samples, equal=equal)
  row |= timing.columns(seconds, BAR)
  row["met"] = bool(row["met"] and equal)
  return row


def _large(folder: Path, options) -> dict:
  file = folder / "large.npy"
  samples = int(options.gigabytes * 1e9) // int(np.prod(SHAPE))
  _write(file, samples)
  began = time.perf_counter()
  command = [
      sys.executable, __file__, f"--only={file}", f"--width={options.width}",
      f"--batch_size={options.batch_size}", f"--num_steps={options.num_steps}"
  ]
  said = subprocess.run(command, check=True, capture_output=True, text=True)
  peak = float(said.stdout.split()[-1])
  return dict(
      samples=samples,
      gigabytes=file.stat().st_size / 1e9,
      seconds=time.perf_counter() - began,
      peak_gibibytes=peak,
      met=peak < MOST_GIBIBYTES)


if __name__ == "__main__":
  main()
