"""Compares ratios of the CPU benchmarks with those stored in `results/`.

    python benchmarks/compare.py [--names=conv_scan,frepo_step] [--out=FILE]

Each benchmark of `COMPARED` does the work of its stored result in fewer rounds,
in a process of its own. A row is `worse` if its ratio is more than `tolerance`
times the stored one, and `better` if the stored one is more than `tolerance`
times its ratio. A benchmark that needs a package that is not installed is left
out, and its row says so. The exit code is 1 if a row is worse or a benchmark
fails.

Only ratios are compared: those of the times of two programs, of the memory of a
program and its bar, or of a rate and that of a matrix product. They change
little between machines, but they do change. On another kind of processor,
compare two commits on that processor.
"""

import argparse
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import timing

RESULTS = Path(__file__).parent / "results"
# Modules that one side of a comparison needs, and the names of their packages.
_NEEDED = {"torch": "PyTorch", "neural_tangents": "neural-tangents"}
_EXACT = 1.05  # tolerance of numbers that are counted, not timed


class Compared(NamedTuple):
  """A benchmark that is compared with its stored result.

  Attributes:
    command: script and arguments of a short run of the same work.
    ratio: the column `A/B`, or two columns A and B whose quotient is taken; A
      may be 1. Smaller is better.
    by: columns that identify a row.
    needs: a module that the other side needs, or "".
    tolerance: the largest factor, above 1, by which the ratio may exceed the
      stored one.
  """

  command: str
  ratio: str
  by: tuple[str, ...]
  needs: str = ""
  tolerance: float = 1.25


# Benchmarks by the NAME of their stored result, results/NAME_cpu.json.
COMPARED = {
    "conv_scan":
        Compared(
            "conv_scan --length=5 --rounds=3 --seconds=0.3", "scan/top",
            ("work", "form")),
    "evaluation":
        Compared(
            "evaluation --num_networks=5 --num_test=10000 --rounds=3",
            "one_call/loop", ("networks",)),
    "frepo_step":
        Compared("frepo_step --rounds=3 --seconds=0", "ours/python", ()),
    "host_rows":
        Compared(
            "host_rows --width=32 --num_steps=15 --rounds=3", "file/memory",
            ("samples",)),
    "kip_step":
        Compared(
            "kip_step --rounds=5 --seconds=0.3", "ours/neural_tangents",
            ("samples x targets",), "neural_tangents"),
    "matching_step":
        Compared(
            "matching_step --rounds=3 --seconds=0", "ours/torch", ("work",),
            "torch"),
    "packing":
        Compared(
            "packing --images=10000", "decoded_per_second/packed_per_second",
            ("kind",)),
    "scaling":
        Compared(
            "scaling --classes=10 --per_class=10 --width=32,128 --side=32 "
            "--rounds=3 --seconds=0.5", "1/share_of_product",
            ("classes", "per_class", "width", "side")),
    "sldd_step":
        Compared(
            "sldd_step --rounds=3 --seconds=0.3", "ours/torch",
            ("steps x epochs",), "torch"),
    "text_step":
        Compared(
            "text_step --rounds=3 --seconds=0.3", "ours/torch", ("network",),
            "torch"),
    "text_step_400":
        Compared(
            "text_step --length=400 --batch_size=64 --num_steps=1 --rounds=3 "
            "--seconds=0", "ours/torch", ("network",), "torch"),
    "trajectory_step":
        Compared(
            "trajectory_step --num_steps=5 --rounds=3 --seconds=0",
            "ours/torch", ("steps",), "torch"),
    "trajectory_step_20":
        Compared(
            "trajectory_step --num_steps=20 --rounds=2 --seconds=0",
            "ours/torch", ("steps",), "torch"),
    "matching_memory":
        Compared(
            "memory matching", "to the first", ("classes",), tolerance=_EXACT),
    "text_memory":
        Compared(
            "memory text", "temporary_bytes/bar", ("states",),
            tolerance=_EXACT),
    "trajectory_memory":
        Compared(
            "memory trajectory",
            "temporary_bytes/bar", ("gradient", "steps"),
            tolerance=_EXACT),
    "unroll_memory":
        Compared(
            "memory unroll --num_steps=1,10,100",
            "temporary_bytes/bar", ("remat", "steps"),
            tolerance=_EXACT)
}


def main(argv=None) -> int:
  """Prints the table, and returns the exit code."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  timing.with_settings(parser, names="all")
  options = parser.parse_args(argv)
  names = [*COMPARED] if options.names == "all" else options.names.split(",")
  if not set(names) <= {*COMPARED}:
    parser.error(f"`names` must be among {', '.join(COMPARED)}; got {names}.")
  rows = []
  for name in names:
    rows += compared(name, COMPARED[name])
  timing.report("compare", options, rows)
  return int(any(row["verdict"] in ("worse", "failed") for row in rows))


def compared(name: str, work: Compared) -> list[dict[str, Any]]:
  """Rows of the table; without numbers if nothing could be measured."""
  if work.needs and importlib.util.find_spec(work.needs) is None:
    return [_row(name, f"{_NEEDED[work.needs]} is not installed")]
  stored = ratios(work, json.loads((RESULTS / f"{name}_cpu.json").read_text()))
  print(f"{name} ...", flush=True)
  script, *arguments = work.command.split()
  with TemporaryDirectory() as folder:
    try:
      found = timing.run(
          script,
          arguments,
          Path(folder) / "result.json",
          env={
              **os.environ, "JAX_PLATFORMS": "cpu"
          })
    except subprocess.CalledProcessError:  # the process has printed why
      return [_row(name, "failed")]
  rows = []
  for which, now in ratios(work, found).items():
    before = stored.get(which)
    verdict = "not stored" if before is None else judged(
        now / before, work.tolerance)
    shown = "-" if before is None else before
    rows.append(_row(name, verdict, which, shown, now, work.tolerance))
  known = [row for row in rows if row["verdict"] != "not stored"]
  return rows if known else [*rows, _row(name, "failed")]


def judged(change: float, tolerance: float) -> str:
  """The verdict on a ratio that is `change` times the stored one."""
  if not change <= tolerance:  # also true for NaN
    return "worse"
  return "better" if change * tolerance < 1 else "ok"


def ratios(work: Compared, document: dict[str, Any]) -> dict[str, float]:
  """The ratios of a result, by the columns that identify a row.

  Rows without a bar, which are there for comparison only, are left out.
  """
  above, _, below = work.ratio.partition("/")
  found = {}
  for row in document["results"]:
    columns = {"1": 1, **row}
    if row.get("bar") == "-":
      continue
    which = " ".join(str(columns.get(column)) for column in work.by)
    if work.ratio in row:
      found[which] = row[work.ratio]
    elif above in columns and below in columns:
      found[which] = columns[above] / columns[below]
  return found


def _row(name, verdict, which="-", stored="-", now="-", tolerance="-"):
  return {
      "benchmark": name,
      "row": which or "-",
      "stored": stored,
      "now": now,
      "tolerance": tolerance,
      "verdict": verdict
  }


if __name__ == "__main__":
  raise SystemExit(main())
