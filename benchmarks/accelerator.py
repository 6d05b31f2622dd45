"""All that is to be measured on an accelerator, in one call of a few minutes.

In this order, until `--minutes` are over: what matrix products reach there, the
forms of convolution, the share of the measured rate that outer steps reach,
every benchmark against its bar, and rows of results. Each part writes its own
JSON file into `--out`, at once; the same command goes on with what is missing.
A part that fails leaves its message there, and the next one begins.

    python benchmarks/accelerator.py --out=DIR --minutes=8 --data_dir=DATA

`--size=tiny` tries all of it on a CPU. Rates are of floating-point operations:
XLA's count of one forward pass, times a number of passes counted by hand: of a
step of DM C (B + 3 m) (C classes, B real
and m distilled samples of each; a gradient costs two more), of DSA
C (3 B + 9 m) (the gradient of a gradient costs three times a gradient), of MTT
9 for each sample of each inner step, and of an evaluation 3 for each sample and
epoch, the test left out.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import steps
import timing
import trajectory_step

import distill_jax as dd
from distill_jax import methods, nn
from distill_jax.evaluation import recipes, student
from distill_jax.evaluation.cost import flops_of
from distill_jax.nn.conv import conv2d

HERE = Path(__file__).parent
# Widths and sizes of what is timed.
SIZES = {
    "full":
        SimpleNamespace(
            product=8192,
            width=128,
            images=256,
            batch=256,
            per_class=10,
            networks=16,
            epochs=20,
            inner=10,
            rounds=5,
            seconds=0.5),
    "tiny":
        SimpleNamespace(
            product=64,
            width=4,
            images=2,
            batch=4,
            per_class=2,
            networks=2,
            epochs=1,
            inner=2,
            rounds=1,
            seconds=0.0)
}
# Scripts and their arguments, the most telling first; small ones for a trial.
SCRIPTS = {
    "matching_step":
        "--width=2 --samples_per_class=1 --batch_size=2 "
        "--num_real=2",
    "trajectory_step": "--width=2 --samples_per_class=1 --num_steps=5",
    "frepo_step": "--width=2 --num_samples=10 --num_real=16 --steps=1",
    "evaluation": "--num_networks=2 --num_test=20",
    "sldd_step": "--num_epochs=1 --batch_size=8 --num_real=16 --num_steps=1",
    "text_step":
        "--networks=text_convnet --length=6 --batch_size=4 "
        "--num_steps=1",
    "kip_step": "--num_samples=10 --num_targets=20",
    "conv_scan": "--length=2 --batch_size=1"
}
_PLAIN = dict(start="noise", parameterization={"name": "pixels"})


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  add = parser.add_argument
  add("--out", type=Path, required=True, help="folder of the results")
  add("--minutes", type=float, default=8.0, help="begin nothing after that")
  add("--size", choices=SIZES, default="full", help="tiny for a trial")
  add("--data_dir", help="folder of data sets, for rows of results")
  add("--rows", default="", help="rows of results, the first ones first")
  add("--workdir", default="runs", help="where rows run")
  add("--only", help=argparse.SUPPRESS)
  options = parser.parse_args(argv)
  if options.only:
    found = _OWN[options.only](SIZES[options.size], options.out.parent)
    options.out.write_text(
        json.dumps(dict(machine=timing.describe_machine(), results=found)))
    return
  deadline = time.monotonic() + 60 * options.minutes
  options.out.mkdir(parents=True, exist_ok=True)
  for name, part in _parts(options, deadline):
    file = options.out / f"{name}.json"
    left = deadline - time.monotonic()
    if file.exists():
      print(f"{name}: there already", flush=True)
    elif left <= 0:
      print(f"{name}: no time left", flush=True)
    else:
      _measure(name, part, file)


def _measure(name: str, part: Callable[[], Any], file: Path) -> None:
  """Runs a part and writes what it gives, or why it gives nothing."""
  began, kept = time.monotonic(), file
  failed = file.with_suffix(".failed")
  failed.unlink(missing_ok=True)
  print(f"{name} ...", flush=True)
  try:
    found = part()
  # A part is a process of its own, which has said why it failed; the others may
  # still succeed. Faults of this program are not caught.
  except (subprocess.SubprocessError, OSError) as error:
    print(f"{name} failed: {error}", flush=True)
    # Beside the file, so that another call tries again.
    found, kept = dict(error=str(error)), failed
  seconds = round(time.monotonic() - began, 1)
  document = dict(part=name, seconds=seconds, **found)
  kept.write_text(json.dumps(document, indent=2) + "\n")
  print(f"{name}: {seconds} s", flush=True)


def _parts(options, deadline) -> Iterator[tuple[str, Callable[[], Any]]]:
  """Names, and `() -> {"machine", "results"}`.

  Each is a process of its own, which has the device for itself.
  """
  sizes = SIZES[options.size]
  run = partial(_program, options.out, deadline)
  for name in _OWN:
    arguments = [f"--only={name}", f"--size={options.size}"]
    yield name, partial(run, "accelerator", arguments)
  for name, small in SCRIPTS.items():
    arguments = small.split() if options.size == "tiny" else []
    arguments += [f"--rounds={sizes.rounds}", f"--seconds={sizes.seconds}"]
    yield name, partial(run, name, arguments)
  for row in filter(None, options.rows.split(",")):
    yield f"row_{row}", partial(_row, row, options, deadline)


# ------------------------------------------------------------------- roofline


def products(sizes, folder: Path) -> dict[str, float]:
  """Operations a second of square matrix products, by precision."""
  del folder
  n = sizes.product
  x = jax.random.normal(jax.random.key(0), (n, n))
  works = {
      "float32": (x, "highest"),
      "default": (x, "default"),  # TF32 on an NVIDIA card
      "bfloat16": (x.astype(jnp.bfloat16), "default")
  }
  run = {}
  for name, (matrix, precision) in works.items():
    product = jax.jit(partial(jnp.matmul, precision=precision))
    run[name] = partial(product, matrix, matrix)
  samples = timing.alternate(run, rounds=sizes.rounds, seconds=sizes.seconds)
  return {
      name: 2 * n**3 / float(np.median(seconds))
      for name, seconds in samples.items()
  }


def convolutions(sizes, folder: Path) -> list[dict[str, Any]]:
  """Forms of a 3 x 3 convolution: forward, with gradients, under `vmap`."""
  del folder
  width = sizes.width
  k_x, k_w = jax.random.split(jax.random.key(0))
  x = jax.random.normal(k_x, (sizes.images, 16, 16, width))
  w = jax.random.normal(k_w, (4, 3, 3, width, width)) / (9 * width)**0.5

  def forward(form, x, w):
    return conv2d(x, w, padding=1, form=form)

  def gradient(form, x, w):
    return jax.grad(lambda x, w: jnp.square(forward(form, x, w)).sum(),
                    (0, 1))(x, w)

  rows = []
  for what, function in (("forward", forward), ("gradient", gradient)):
    for networks in (1, 4):
      run = {}
      for form in ("lax", "patches", "direct"):
        one = partial(function, form)
        program = jax.jit(jax.vmap(one, (None, 0)) if networks > 1 else one)
        run[form] = partial(program, x, w if networks > 1 else w[0])
      samples = timing.alternate(
          run, rounds=sizes.rounds, seconds=sizes.seconds)
      rows.append(
          dict(
              what=what,
              networks=networks,
              **{
                  f"{form}_ms": timing.milliseconds(seconds)
                  for form, seconds in samples.items()
              }))
  timing.show(rows)
  return rows


def shares(sizes, folder: Path) -> list[dict[str, Any]]:
  """Operations a second of steps, and their share of the products' rate."""
  rates = json.loads((folder / "products.json").read_text())["results"]
  works = dict(_works(sizes))
  samples = timing.alternate({
      name: run for name, (run, _) in works.items()
  },
                             rounds=sizes.rounds,
                             seconds=sizes.seconds)
  rows = []
  for name, (_, operations) in works.items():
    seconds = float(np.median(samples[name]))
    rate = operations / seconds
    rows.append(
        dict(
            work=name,
            ms=1e3 * seconds,
            teraflops=rate / 1e12,
            share_of_default=rate / rates["default"],
            share_of_float32=rate / rates["float32"]))
  timing.show(rows)
  return rows


def _works(sizes):
  """Names, `() -> anything`, and operations by hand."""
  classes, per_class = 10, sizes.per_class
  network = nn.convnet(classes, width=sizes.width)
  example = jnp.zeros((1, 32, 32, 3))
  variables = network.init(jax.random.key(0), example)
  forward = flops_of(lambda x: network.apply(variables, x)[0], example)
  source = _images(classes, sizes.batch)
  made = {
      "dm": (methods.dm, {}, sizes.batch + 3 * per_class),
      "dsa": (
          methods.dsa, dict(steps_per_network=1),
          3 * sizes.batch + 9 * per_class)
  }
  for name, (make, own, passes) in made.items():
    method = make(**_PLAIN, **own, batch_size=sizes.batch)
    plan = steps.planned(source, method, network, per_class=per_class)
    yield name, (steps.stepper(plan, 1), classes * passes * forward)
  problem = trajectory_step.Problem(sizes.width, per_class, sizes.inner, True)
  passes = 9 * classes * per_class * sizes.inner
  yield "mtt", (problem.stepper(), passes * forward)
  recipe = recipes.from_spec(dict(name="dsa", num_epochs=sizes.epochs))
  set_ = dd.from_samples(
      np.asarray(source.train.inputs[::sizes.batch // per_class]),
      np.asarray(source.train.labels[::sizes.batch // per_class]),
      raw=True,
      class_names=source.class_names,
      preprocessing=source.preprocessing)
  learner = student(network, recipe)
  yield "evaluation", (
      lambda: dd.evaluate_set(
          jax.random.key(1),
          set_,
          source.test,
          learner=learner,
          num_networks=sizes.networks).confusion,
      3 * len(set_.inputs) * sizes.epochs * sizes.networks * forward)


def _images(classes: int, each: int):
  generator = np.random.default_rng(0)
  x = generator.integers(0, 256, (classes * each, 32, 32, 3), np.uint8)
  y = np.repeat(np.arange(classes), each)
  return dd.from_arrays(x, y, x_test=x[::each], y_test=y[::each])


# ------------------------------------------------------ other programs

# What is measured here, by name.
_OWN = {"products": products, "convolutions": convolutions, "shares": shares}


def _program(folder: Path, deadline, name, arguments) -> dict[str, Any]:
  """What a benchmark measures."""
  out = folder / f"{name}.part"
  found = timing.run(name, arguments, out, timeout=_left(deadline))
  out.unlink()
  return {key: found[key] for key in ("machine", "results")}


def _row(name, options, deadline) -> dict[str, Any]:
  """The record of a row of results."""
  program = HERE.parent / "experiments" / "reproduce.py"
  command = [
      sys.executable, program, f"--rows={name}", f"--workdir={options.workdir}",
      f"--data_dir={options.data_dir}"
  ]
  subprocess.run(list(map(str, command)), check=True, timeout=_left(deadline))
  files = (HERE.parent / "docs" / "results").glob("*.json")
  records = [
      record for file in files for record in json.loads(file.read_text())
  ]
  return dict(results=next(r for r in records if r["row"] == name))


def _left(deadline) -> float:
  """Seconds that a program may take."""
  return max(deadline - time.monotonic(), 1)


if __name__ == "__main__":
  main()
