"""Kills runs at random moments: they must end with the bits of a quiet run.

One run of `experiments/distill.py` on the digits, or with `--experts=12` one
call of `experiments/experts.py`, is left in peace; another is killed (SIGKILL)
again and again while it starts, compiles, computes, saves or evaluates, each
time resumed by the same command, and then left to finish. Bars: every tensor of
the two artifacts and every logged loss are equal bit for bit. Of experts, all
files are sound after every kill, no finished one is trained again, and in the
end all are equal bit for bit.

With `--methods=all`, or names with commas, each method is run so in its quick
form, made small: stopped by SIGKILL or SIGTERM while it starts, prepares, steps
and evaluates. Bar: the same files, tensors, log and report, but for seconds and
the command.
"""

import argparse
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import compiling
import numpy as np
import timing

from distill_jax import methods, storage
from distill_jax.runs.workdir import flat
from distill_jax.trajectories import buffer

ROOT = Path(__file__).parents[1] / "experiments"
LOG_EVERY = 2  # steps; each log line has its checkpoint
_POLL = 0.002  # seconds between looks at a folder
_START, _EXPERT = 4.0, 6.0  # seconds in which a start, or an expert, is hit
# What a run does once each of these files is there, and before.
_FILES = ("config.json", "metrics.jsonl", "distilled.safetensors")
_PHASES = ("start", "preparation", "steps", "evaluation")
# What differs between two runs of one kind.
_CHANGING = {"command", "seconds"}
# Methods that others are made of, and options that keep methods small.
_OF = {"exclusive": "dm", "weighted": "dsa"}
_FEW = {
    "batch_size": 16,
    "recipe.num_epochs": 2,
    "recipe.num_steps": 4,
    "steps_per_network": 4,
    "epochs_between": 1,
    "segments.at_least": 8,
    "segments.recipe.num_epochs": 2,
    "epochs": 2,
    "max_epochs": 2,
    "watched": 4,
    "num_frequencies": 8,
    "num_initialisations": 1,
    "solver.num_steps": 3,
    "student.num_steps": 3
}
_TEXTS = (
    "--config.text.dim=6", "--config.text.length=8", "--config.network.width=4")


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  settings = dict(kills=10, steps=400, options="fixed", epochs=6)
  timing.with_settings(parser, **settings)
  parser.add_argument("--experts", type=int, default=0, help="not a run")
  parser.add_argument("--methods", default="", help="all, or names")
  parser.add_argument("--seed", type=int, default=0, help="of the moments")
  options = parser.parse_args(argv)
  generator = np.random.default_rng(options.seed)
  with TemporaryDirectory() as folder:
    work = _experts if options.experts else _run
    work = _methods if options.methods else work
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


def _methods(quiet, killed, options, generator):
  env = os.environ | {
      "JAX_COMPILATION_CACHE_DIR": str(quiet.parent / "cache"),
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "XLA_FLAGS": compiling.FLAGS
  }
  names = options.methods.split(",")
  rows = []
  for name in sorted(methods.ENTRIES) if names == ["all"] else names:
    folders = (quiet / name, killed / name)
    run = small(name, options.steps, quiet.parent)
    row = {"method": name, **dict.fromkeys(_PHASES, 0), "unequal": "-"}
    try:
      finish(run, quiet / f"{name} compiles", env)
      lengths = _lengths(run, folders[0], env)
      for phase in _stop(run, folders[1], lengths, options, generator, env):
        row[phase] += 1
      finish(run, folders[1], env)
      row["unequal"] = " ".join(differences(*folders)) or "-"
    except RuntimeError as error:
      row["unequal"] = str(error)
    row["killed"] = sum(row[phase] for phase in _PHASES)
    print(row, flush=True)
    rows.append(row)
  return {"met": all(row["unequal"] == "-" for row in rows)}, rows


def command(options: str, num_steps: int) -> list[str]:
  """A run of the digits with some options that saves every other step."""
  small = f"data=digits,rows=10,epochs=2,batch_size=64,num_steps={num_steps}"
  return [
      *_command("sldd", f"{small},{options}"), "--config.network.depth=1",
      "--config.network.width=4", "--config.evaluation.baselines="
  ]


def _command(name: str, options: str) -> list[str]:
  return [
      sys.executable,
      str(ROOT / "distill.py"),
      f"--config={ROOT / 'configs' / name}.py:quick,{options}",
      f"--config.log_every={LOG_EVERY}",
      f"--config.checkpoint_every={LOG_EVERY}",
      "--config.evaluation.num_networks=1", "--config.evaluation.num_sets=1",
      "--config.evaluation.full_data=false", "--config.figures=false"
  ]


def small(name: str, num_steps: int, folder: Path) -> list[str]:
  """A run of a method in its smallest form, on data that it takes."""
  entry = methods.ENTRIES[_OF.get(name, name)]
  known = set(flat(entry.make(**entry.quick).spec))
  if name == "exclusive":
    known |= {"segments.at_least"}
  few = {"num_steps": num_steps, **_FEW}
  options = [f"{key}={value}" for key, value in few.items() if key in known]
  if name == "tdd":
    data = _table(folder, "text", "word{0} word{1}", "&text=text&tokens=spaces")
    options += ["data=tweets", "own", "ipc=1", "snap=2", "snap_steps=4"]
    return [*_command(name, ",".join(options)), *_TEXTS, f"--data={data}"]
  if name == "frozen_features":
    data = _table(folder, "a,b", "{0},{1}", "")
    return [*_command(name, ",".join(options)), f"--data={data}"]
  options += ["data=digits", "ipc=2"]
  if entry.make().model != "network":
    return _command(name, ",".join(options))
  if name == "sre2l":  # which needs batch norms
    return _command(name, ",".join([*options, "width=4"]))
  run = _command(name, ",".join([*options, "network=mlp"]))
  return [*run, "--config.network.widths=(8,)"]


def _table(folder: Path, columns: str, row: str, more: str) -> str:
  """SPEC of a table of two classes, written to a folder."""
  rows = [row.format(i % 7, i % 2) + f",{'ab'[i % 2]}" for i in range(60)]
  file = folder / "table.csv"
  file.write_text("\n".join([f"{columns},label", *rows, ""]))
  return f"csv:{file}?label=label&test=0.2{more}"


def start(run: list[str], folder: Path, env=None) -> subprocess.Popen:
  """Starts a run, or resumes it, in a process of its own."""
  flag = "out" if run[1].endswith("experts.py") else "workdir"
  pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
  command = [*run, f"--{flag}={folder}"]
  return subprocess.Popen(command, env=env, text=True, **pipes)


def finish(run: list[str], folder: Path, env=None) -> str:
  """Lets a run reach its end; returns its messages."""
  return _said(start(run, folder, env))


def hit(
    run: list[str],
    folder: Path,
    reached,
    delay: float,
    env=None,
    number: int = signal.SIGKILL) -> bool:
  """Stops a process some seconds after `reached()`; False if it had ended."""
  process = start(run, folder, env)
  try:
    while process.poll() is None and not reached():
      time.sleep(_POLL)
    time.sleep(delay)
    process.send_signal(number)
    _said(process, 0, -number, 128 + number)
  finally:
    process.kill()
    process.wait()
  return process.returncode != 0


def _said(process: subprocess.Popen, *codes: int) -> str:
  """Messages of a process, which must end with one of some exit codes."""
  _, said = process.communicate()
  if process.returncode not in (codes or (0,)):
    raise RuntimeError(f"exit code {process.returncode}: {said}")
  return said


def _lengths(run, folder: Path, env) -> list[float]:
  """Seconds that a run takes in each phase."""
  times, process = [0.0] * len(_PHASES), start(run, folder, env)
  before = time.monotonic()
  while process.poll() is None:
    time.sleep(_POLL)
    now = time.monotonic()
    times[_phase(folder)] += now - before
    before = now
  _said(process)
  return times


def _phase(folder: Path) -> int:
  """What a run does; a method of several parts logs in their folders first."""
  there = [
      i for i, name in enumerate(_FILES, 1)
      if (folder / name).exists() or any(folder.glob(f"parts/*/{name}"))
  ]
  return max(there, default=0)


def _stop(run, folder: Path, lengths, options, generator, env):
  """Stops a run in one phase after another, at random moments of each.

  Yields:
    The phase in which it was stopped.
  """
  for number in range(options.kills):
    wanted = number * len(_PHASES) // options.kills
    delay = generator.uniform(0, lengths[wanted])
    if wanted and _phase(folder) >= wanted:
      delay += lengths[0]  # it starts once more
    reached = functools.partial(lambda phase: _phase(folder) >= phase, wanted)
    by = (signal.SIGKILL, signal.SIGTERM)[generator.integers(2)]
    if hit(run, folder, reached, delay, env, by):
      yield _PHASES[_phase(folder)]


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
  """Names of what differs in any bit: files, tensors, the log, the report."""
  one, other = (
      storage.read(run / "distilled.safetensors")[0] for run in (a, b))
  found = sorted(one.keys() ^ other.keys()) + [
      name for name in sorted(one.keys() & other.keys())
      if one[name].tobytes() != other[name].tobytes()
  ]
  for read in (_names, log, _report):
    one, other = (json.dumps(_lasting(read(run))) for run in (a, b))
    found += [read.__name__.strip("_")] * (one != other)
  return found


def _names(folder: Path) -> list[str]:
  return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


def _report(folder: Path) -> dict[str, Any]:
  return json.loads((folder / "report.json").read_text())


def _lasting(document):
  """A document without what differs between two runs of one kind."""
  if isinstance(document, list):
    return [_lasting(part) for part in document]
  if not isinstance(document, dict):
    return document
  kept = document.keys() - _CHANGING
  return {name: _lasting(document[name]) for name in sorted(kept)}


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
