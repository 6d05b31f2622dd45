"""Runs every method on one device and on several: they must agree.

Each method's launcher takes six outer steps of its quick form, made small, on
one and on so many simulated devices of the CPU. Bar: losses and norms of
gradients of every step are equal within 1e-5 of their size. The rows say what
the devices shared.
"""

import argparse
import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import compiling
import kill_resume
import numpy as np
import timing

from distill_jax import methods

MOST = 1e-5


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  timing.with_settings(parser, devices=8, steps=6, methods="all")
  options = parser.parse_args(argv)
  names = options.methods.split(",")
  names = sorted(methods.ENTRIES) if names == ["all"] else names
  with TemporaryDirectory() as folder:
    rows = [compared(name, options, Path(folder)) for name in names]
  worst = max(row["difference"] for row in rows)
  timing.show(rows)
  verdict = dict(most=worst, bar=MOST, met=worst <= MOST)
  print(f"largest difference {worst:.1e}; bar {MOST:g}: {verdict['met']}")
  timing.write("devices", options, [verdict, *rows])


def compared(name: str, options, folder: Path) -> dict[str, Any]:
  """The row of a method."""
  run = [
      *kill_resume.small(name, options.steps, folder), "--config.log_every=1",
      "--config.checkpoint_every=6", "--config.evaluation.num_networks=2"
  ]
  losses, said = [], ""
  for number in (1, options.devices):
    own = folder / name / str(number)
    done = subprocess.run([*run, f"--workdir={own}", f"--devices={number}"],
                          env=os.environ | environment(options.devices),
                          capture_output=True,
                          text=True)
    said = done.stdout + done.stderr
    if done.returncode:
      raise RuntimeError(f"{name} on {number}: {said}")
    losses.append(
        np.array(
            [[row["loss"], row["grad_norm"]] for row in kill_resume.log(own)]))
  one, several = losses
  row = dict(
      method=name,
      steps=len(one),
      difference=float(
          np.max(np.abs(several / one - 1), initial=0.0, where=one != 0)),
      shared=" + ".join(
          dict.fromkeys(re.findall(r"\d+ devices(?:: | share )(.*)", said))))
  print(row, flush=True)
  return row


def environment(number: int) -> dict[str, str]:
  """Variables of a process that has so many devices and compiles quickly."""
  count = f"--xla_force_host_platform_device_count={number}"
  return {
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": f"{count} {compiling.FLAGS}"
  }


if __name__ == "__main__":
  main()
