"""Kills a run at random moments: it must end with the bits of a quiet run.

One run of `experiments/distill.py` on the digits is left in peace; another is
killed (SIGKILL) again and again while it starts, compiles, distils, saves or
evaluates, each time resumed by the same command, and then left to finish. The
bar: every tensor of the two artifacts and every logged loss are equal bit for
bit.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import timing

from distill_jax import storage

ROOT = Path(__file__).parents[1]
LOG_EVERY = 2  # steps; each log line has its checkpoint
_POLL = 0.002  # seconds between looks at the log
_START = 4.0  # seconds within which a run is hit before its first log line


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--kills", type=timing.positive, default=10)
  parser.add_argument("--steps", type=timing.positive, default=400)
  parser.add_argument("--options", default="fixed", help="of the configuration")
  parser.add_argument("--seed", type=int, default=0, help="of the moments")
  parser.add_argument("--out", default="", help="JSON file to write")
  options = parser.parse_args(argv)
  with TemporaryDirectory() as folder:
    quiet, killed = Path(folder) / "quiet", Path(folder) / "killed"
    run = command(options.options, options.steps)
    finish(run, quiet)
    rows = kill(
        run, killed, num_kills=options.kills, num_steps=options.steps,
        generator=np.random.default_rng(options.seed),
    )
    finish(run, killed)
    timing.show(rows)
    unequal = differences(quiet, killed)
  kills = sum(row["killed"] for row in rows)
  print(f"bit-identical after {kills} kills: {not unequal} {unequal}")
  timing.write("kill_resume", options, [
      {"kills": kills, "unequal": unequal, "met": not unequal}, *rows
  ])
  if unequal:
    sys.exit(1)


def command(options: str, num_steps: int) -> list[str]:
  """A run of the digits that logs and saves every other step.

  Args:
    options: of the configuration, such as "fixed".
    num_steps: outer updates.
  """
  config = ROOT / "experiments" / "configs" / "sldd_digits.py"
  return [
      sys.executable, str(ROOT / "experiments" / "distill.py"),
      f"--config={config}:quick,images=10,epochs=2,{options}",
      "--config.network.depth=1", "--config.network.width=4",
      "--config.batch_size=64", f"--config.num_steps={num_steps}",
      f"--config.log_every={LOG_EVERY}",
      f"--config.checkpoint_every={LOG_EVERY}",
      "--config.evaluation.num_networks=1", "--config.evaluation.baselines=",
      "--config.evaluation.full_data=false", "--config.figures=false",
  ]


def start(
    run: list[str], folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen:
  """Starts a run, or goes on with it, in a process of its own."""
  return subprocess.Popen(
      [*run, f"--workdir={folder}"], env=env, text=True,
      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
  )


def finish(
    run: list[str], folder: Path, env: Mapping[str, str] | None = None
) -> str:
  """Lets a run reach its end; returns what it said.

  Raises:
    RuntimeError: it failed.
  """
  process = start(run, folder, env)
  _, said = process.communicate()
  if process.returncode:
    raise RuntimeError(f"exit code {process.returncode}: {said}")
  return said


def kill(
    run: list[str],
    folder: Path,
    *,
    num_kills: int,
    num_steps: int,
    generator: np.random.Generator,
    env: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
  """Kills a run at random moments, resuming it in between.

  A moment is a number of new log lines, such that all of them fit into half
  the run, and a delay after the last of these.

  Args:
    run: of `command`.
    folder: its workdir.
    num_kills: how often.
    num_steps: of the run.
    generator: of the moments.
    env: of the processes; by default this one's.

  Returns:
    A row for each process; one that ended before its moment says so.
  """
  rows = []
  most = num_steps // LOG_EVERY // (2 * num_kills)
  for _ in range(num_kills):
    wanted = int(generator.integers(0, most + 1))
    delay = generator.uniform(0, 0.05 if wanted else _START)
    process = start(run, folder, env)
    try:
      _wait_for_lines(process, folder, len(log(folder)) + wanted)
      time.sleep(delay)
    finally:
      process.kill()
      process.communicate()
    rows.append({
        "killed": process.returncode == -signal.SIGKILL,
        "lines_awaited": wanted,
        "delay_s": delay,
        "logged_step": max((row["step"] for row in log(folder)), default=0),
        "checkpoints": len(list(folder.glob("checkpoints/step_*"))),
        "artifact": (folder / "distilled.safetensors").exists(),
    })
  return rows


def log(folder: Path) -> list[dict[str, Any]]:
  """The whole lines of a run's log."""
  file = folder / "metrics.jsonl"
  lines = file.read_text().split("\n")[:-1] if file.exists() else []
  return [json.loads(line) for line in lines]


def differences(a: Path, b: Path) -> list[str]:
  """Names of tensors and of log columns that differ in any bit."""
  tensors = [storage.read(run / "distilled.safetensors")[0] for run in (a, b)]
  found = [
      name for name in sorted(tensors[0].keys() | tensors[1].keys())
      if not all(name in one for one in tensors)
      or tensors[0][name].tobytes() != tensors[1][name].tobytes()
  ]
  logs = [
      [{k: v for k, v in row.items() if k != "seconds"} for row in log(run)]
      for run in (a, b)
  ]
  return found if logs[0] == logs[1] else [*found, "metrics.jsonl"]


def _wait_for_lines(process, folder, wanted) -> None:
  while process.poll() is None and len(log(folder)) < wanted:
    time.sleep(_POLL)


if __name__ == "__main__":
  main()
