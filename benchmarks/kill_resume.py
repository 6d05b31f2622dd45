"""Kills runs at random moments: they must end with the bits of a quiet run.

One run of `experiments/distill.py` on the digits, or with `--experts=12` one
call of `experiments/experts.py`, is left in peace; another is killed (SIGKILL)
again and again while it starts, compiles, computes, saves or evaluates, each
time resumed by the same command, and then left to finish. Bars: every tensor of
the two artifacts and every logged loss are equal bit for bit. Of experts, all
files are sound after every kill, no finished one is trained again, and in the
end all are equal bit for bit.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import timing

from distill_jax import storage
from distill_jax.trajectories import buffer

ROOT = Path(__file__).parents[1] / "experiments"
LOG_EVERY = 2  # steps; each log line has its checkpoint
_POLL = 0.002  # seconds between looks at a folder
_START, _EXPERT = 4.0, 6.0  # seconds in which a start, or an expert, is hit


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  settings = dict(kills=10, steps=400, options="fixed", epochs=6)
  timing.with_settings(parser, **settings)
  parser.add_argument("--experts", type=int, default=0, help="not a run")
  parser.add_argument("--seed", type=int, default=0, help="of the moments")
  options = parser.parse_args(argv)
  generator = np.random.default_rng(options.seed)
  with TemporaryDirectory() as folder:
    work = _experts if options.experts else _run
    folders = [Path(folder) / name for name in ("quiet", "killed")]
    verdict, rows = work(*folders, options, generator)
  verdict = {"kills": sum(row["killed"] for row in rows), **verdict}
  timing.show(rows)
  print(", ".join(f"{name}: {value}" for name, value in verdict.items()))
  timing.write("kill_resume", options, [verdict, *rows])
  if not verdict["met"]:
    sys.exit(1)


def _run(quiet, killed, options, generator):
  run = command(options.options, options.steps)
  finish(run, quiet)
  sizes = dict(num_kills=options.kills, num_steps=options.steps)
  rows = kill(run, killed, **sizes, generator=generator)
  finish(run, killed)
  unequal = differences(quiet, killed)
  return {"unequal": unequal, "met": not unequal}, rows


def _experts(quiet, killed, options, generator):
  run = [
      sys.executable,
      str(ROOT / "experts.py"),
      f"--config={ROOT / 'configs' / 'mtt.py'}:data=digits,quick,width=4",
      f"--config.method.experts.num={options.experts}",
      f"--config.method.experts.num_epochs={options.epochs}"
  ]
  finish(run, quiet)
  rows = kill_experts(run, killed, options, generator)
  before = times(killed)
  finish(run, killed)
  sound = before.items() <= times(killed).items()
  sound = sound and all(row["sound"] and row["kept"] for row in rows)
  equal = weights(quiet) == weights(killed)
  return {"sound": sound, "equal": equal, "met": sound and equal}, rows


def command(options: str, num_steps: int) -> list[str]:
  """A run of the digits with some options that saves every other step."""
  config = ROOT / "configs" / "sldd.py"
  return [
      sys.executable,
      str(ROOT / "distill.py"),
      f"--config={config}:data=digits,quick,rows=10,epochs=2,{options}",
      "--config.network.depth=1", "--config.network.width=4",
      "--config.method.batch_size=64", f"--config.method.num_steps={num_steps}",
      f"--config.log_every={LOG_EVERY}",
      f"--config.checkpoint_every={LOG_EVERY}",
      "--config.evaluation.num_networks=1", "--config.evaluation.baselines=",
      "--config.evaluation.full_data=false", "--config.figures=false"
  ]


def start(run: list[str], folder: Path, env=None) -> subprocess.Popen:
  """Starts a run, or resumes it, in a process of its own."""
  flag = "out" if run[1].endswith("experts.py") else "workdir"
  pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
  command = [*run, f"--{flag}={folder}"]
  return subprocess.Popen(command, env=env, text=True, **pipes)


def finish(run: list[str], folder: Path, env=None) -> str:
  """Lets a run reach its end; returns its messages."""
  process = start(run, folder, env)
  _, said = process.communicate()
  if process.returncode:
    raise RuntimeError(f"exit code {process.returncode}: {said}")
  return said


def hit(run: list[str], folder: Path, reached, delay, env=None) -> bool:
  """Kills a process some seconds after `reached()`; False if it had ended."""
  process = start(run, folder, env)
  try:
    while process.poll() is None and not reached():
      time.sleep(_POLL)
    time.sleep(delay)
  finally:
    process.kill()
    process.communicate()
  return process.returncode == -signal.SIGKILL


def kill(run, folder, *, num_kills, num_steps, generator, env=None) -> list:
  """Kills a run at random moments, resuming it in between; a row for each.

  A moment is a number of new log lines, such that all of them fit into half
  the run, and a delay after the last of these.
  """
  rows = []
  most = num_steps // LOG_EVERY // (2 * num_kills)
  for _ in range(num_kills):
    wanted = int(generator.integers(0, most + 1))
    delay = generator.uniform(0, 0.05 if wanted else _START)
    lines = len(log(folder)) + wanted
    killed = hit(run, folder, lambda n=lines: len(log(folder)) >= n, delay, env)
    rows.append({
        "killed": killed,
        "lines_awaited": wanted,
        "delay_s": delay,
        "logged_step": max((row["step"] for row in log(folder)), default=0),
        "checkpoints": len(list(folder.glob("checkpoints/step_*"))),
        "artifact": (folder / "distilled.safetensors").exists()
    })
  return rows


def kill_experts(run, folder: Path, options, generator) -> list[dict[str, Any]]:
  """Kills the training of experts: after some more of them, and a while."""
  rows, most = [], max((options.experts - 1) // options.kills, 1)
  for _ in range(options.kills):
    before, more = times(folder), int(generator.integers(0, most + 1))
    delay = generator.uniform(0, 0.3 if more else _EXPERT)
    wanted = len(before) + more
    killed = hit(run, folder, lambda n=wanted: len(times(folder)) >= n, delay)
    after = times(folder)
    rows.append({
        "killed": killed,
        "delay_s": delay,
        "experts": len(after),
        "sound": all(map(_is_sound, folder.glob("expert_*"))),
        "kept": before.items() <= after.items()
    })
  return rows


def log(folder: Path) -> list[dict[str, Any]]:
  """The whole lines of a run's log."""
  file = folder / "metrics.jsonl"
  lines = file.read_text().split("\n")[:-1] if file.exists() else []
  return [json.loads(line) for line in lines]


def times(folder: Path) -> dict[str, int]:
  """When each expert's file was written."""
  files = folder.glob("expert_*")
  return {file.name: file.stat().st_mtime_ns for file in files}


def weights(folder: Path) -> dict[str, bytes]:
  """The weights of each expert."""
  files = folder.glob("expert_*")
  return {f.name: storage.read(f)[0]["weights"].tobytes() for f in files}


def differences(a: Path, b: Path) -> list[str]:
  """Names of tensors that differ in any bit, and the log where it differs."""
  one, other = (
      storage.read(run / "distilled.safetensors")[0] for run in (a, b))
  found = sorted(one.keys() ^ other.keys()) + [
      name for name in sorted(one.keys() & other.keys())
      if one[name].tobytes() != other[name].tobytes()
  ]
  rows = [[row | {"seconds": 0} for row in log(run)] for run in (a, b)]
  return found if rows[0] == rows[1] else [*found, "metrics.jsonl"]


def _is_sound(file: Path) -> bool:
  """Whether a file is a whole expert."""
  number = int(file.stem.partition("_")[2])
  try:
    storage.check(*storage.read(file))
  except (OSError, ValueError):
    return False
  return file == buffer.path_of(file.parent, number)


if __name__ == "__main__":
  main()
