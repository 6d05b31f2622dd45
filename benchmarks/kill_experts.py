"""Kills the training of experts at random moments; nothing of them is lost.

One call of `experiments/experts.py` on the digits is left in peace; another is
killed (SIGKILL) again and again while it starts, compiles, trains or saves,
each time gone on with by the same command, and then left to finish. The bar:
after every kill all files are sound experts, none that was finished is trained
again, and in the end all have the bits of those of the quiet call.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import timing

from distill_jax import storage
from distill_jax.trajectories import buffer

ROOT = Path(__file__).parents[1]
_POLL = 0.002  # seconds between looks at the folder
_START = 6.0  # seconds within which a call is hit before its next expert


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--kills", type=timing.positive, default=10)
  parser.add_argument("--experts", type=timing.positive, default=12)
  parser.add_argument("--epochs", type=timing.positive, default=6)
  parser.add_argument("--seed", type=int, default=0, help="of the moments")
  parser.add_argument("--out", default="", help="JSON file to write")
  options = parser.parse_args(argv)
  generator = np.random.default_rng(options.seed)
  with TemporaryDirectory() as folder:
    quiet, killed = Path(folder) / "quiet", Path(folder) / "killed"
    finish(quiet, options)
    rows = [kill(killed, options, generator) for _ in range(options.kills)]
    before = times(killed)
    finish(killed, options)
    kept = all(times(killed)[name] == then for name, then in before.items())
    equal = contents(quiet) == contents(killed)
  timing.show(rows)
  sound = all(row["sound"] and row["kept"] for row in rows) and kept
  kills = sum(row["killed"] for row in rows)
  print(f"after {kills} kills: sound and kept {sound}, bit-identical {equal}")
  timing.write("kill_experts", options, [
      {"kills": kills, "sound": sound, "equal": equal, "met": sound and equal},
      *rows,
  ])
  if not (sound and equal):
    sys.exit(1)


def start(folder: Path, options) -> subprocess.Popen:
  """Trains experts of the digits, or goes on, in a process of its own."""
  config = ROOT / "experiments" / "configs" / "mtt_mnist.py"
  return subprocess.Popen(
      [
          sys.executable, str(ROOT / "experiments" / "experts.py"),
          f"--config={config}:quick,width=4", f"--out={folder}",
          f"--config.experts.num={options.experts}",
          f"--config.experts.num_epochs={options.epochs}",
      ],
      text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
  )


def finish(folder: Path, options) -> None:
  """Lets a call reach its end.

  Raises:
    RuntimeError: it failed.
  """
  process = start(folder, options)
  _, said = process.communicate()
  if process.returncode:
    raise RuntimeError(f"exit code {process.returncode}: {said}")


def kill(folder: Path, options, generator) -> dict:
  """Kills a call at a random moment: after some more experts, and a while."""
  before = times(folder)
  most = max((options.experts - 1) // options.kills, 1)
  wanted = len(before) + int(generator.integers(0, most + 1))
  delay = generator.uniform(0, 0.3 if wanted > len(before) else _START)
  process = start(folder, options)
  try:
    while process.poll() is None and len(times(folder)) < wanted:
      time.sleep(_POLL)
    time.sleep(delay)
  finally:
    process.kill()
    process.communicate()
  after = times(folder)
  return {
      "killed": process.returncode < 0,
      "delay_s": delay,
      "experts": len(after),
      "sound": all(map(_is_sound, folder.glob("expert_*"))),
      "kept": all(after[name] == then for name, then in before.items()),
  }


def times(folder: Path) -> dict[str, int]:
  """When each expert's file was written."""
  return {
      file.name: file.stat().st_mtime_ns for file in folder.glob("expert_*")
  }


def contents(folder: Path) -> dict[str, bytes]:
  """The weights of each expert."""
  return {
      file.name: storage.read(file)[0]["weights"].tobytes()
      for file in folder.glob("expert_*")
  }


def _is_sound(file: Path) -> bool:
  """Whether a file is whole, and an expert's."""
  number = int(file.stem.partition("_")[2])
  if file != buffer.path_of(file.parent, number):
    return False
  try:
    storage.check(*storage.read(file))
  except (OSError, ValueError):
    return False
  return True


if __name__ == "__main__":
  main()
