"""Times steps of DM, SLDD, FRePo and MTT, and the import, of two checkouts.

    python benchmarks/commits.py --before=DIR --after=DIR [--out=FILE.json]

Each round times each checkout in fresh processes: `import distill_jax`, and
`--steps` steps on the digits in one compiled call, after one to warm up. A
checkout without `methods` takes the same steps through objectives.
"""

import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import optax
import timing

import distill_jax as dd
from distill_jax.nn import vector
from distill_jax.objectives import frepo, mtt, pool
from distill_jax.outer_loop import step_size_floor

_MTT = dict(
    strategy="",
    optimizer="adam",
    student=dict(num_steps=5),
    step_size_learning_rate=0.02)
WORK = dict(  # settings, learned fields, step sizes
    dm=(dict(strategy="", batch_size=64), ["codes"], 0),
    sldd=(dict(epochs=3, clip_norm=0.0), ["codes", "labels", "step_sizes"], 3),
    frepo=({}, ["codes", "labels"], 0), mtt=(_MTT, ["codes", "step_sizes"], 1)
)


def main(argv=None) -> None:
  options = timing.parser(
      __doc__, before="", after="", width=16, steps=20,
      child="").parse_args(argv)
  if options.child:
    print(json.dumps({name: seconds(name, options) for name in WORK}))
    return
  samples = {name: {"after": [], "before": []} for name in ("import", *WORK)}
  for side in ("after", "before") * options.rounds:
    for name, value in in_checkout(getattr(options, side), options).items():
      samples[name][side].append(value)
  timing.report(
      "commits", options, [{
          "work": name,
          **timing.columns(sides)
      } for name, sides in samples.items()])


def in_checkout(folder: str, options) -> dict[str, float]:
  """Seconds of the import, and of a step of each method."""
  env = {**os.environ, "PYTHONPATH": folder}
  began = time.perf_counter()
  subprocess.run([sys.executable, "-c", "import distill_jax"], env=env)
  imported = time.perf_counter() - began
  flags = [f"--width={options.width}", f"--steps={options.steps}", "--child=1"]
  found = subprocess.check_output([sys.executable, __file__, *flags], env=env)
  return {"import": imported, **json.loads(found)}


def seconds(name: str, options) -> float:
  """Seconds of one outer step in this process."""
  source, key = dd.read("digits"), jax.random.key(0)
  network = dd.convnet(source.num_classes, depth=2, width=options.width)
  start = dd.from_real(
      key, source, dd.pixels(), num_samples=source.num_classes,
      step_size=None)._replace(raw_step_sizes=jnp.full((WORK[name][2],), 0.02))
  drawn_from = source.train
  if name == "mtt":
    weights = vector.flatten(network.init(key, source.example)["params"])
    drawn_from = mtt.Segment(weights, weights + 0.01)
  step, state = outer(name, source, network, start)
  for _ in ("warms up", "counts"):
    began = time.perf_counter()
    jax.block_until_ready(
        dd.distill(key, state, drawn_from, step=step, num_steps=options.steps))
  return (time.perf_counter() - began) / options.steps


def outer(name: str, source, network, start):
  """Step and state: of a plan, or of objectives in old checkouts."""
  settings, fields, _ = WORK[name]
  if hasattr(dd, "methods"):
    import steps

    method = getattr(dd.methods, name)(schedule="constant", **settings)
    method = method._replace(prepare=method._field_defaults["prepare"])
    plan = steps.planned(source, method, network, per_class=1, start=start)
    return plan.outer.step, plan.state
  real = dict(sample=dd.mixed(256), num_classes=source.num_classes)
  rows, adam = jnp.arange(source.num_classes), optax.adam
  objective = dict(
      dm=dd.distribution_matching(
          network, rows[:, None], sample=dd.per_class(64, lazy=True)),
      sldd=dd.unrolled(network, rows[None], **real),
      frepo=frepo.feature_regression(
          network,
          **real,
          pool=pool.network_pool(
              network, size=10, max_age=101, optimizer=adam(3e-4))),
      mtt=mtt.trajectory_matching(network, num_steps=5))[name]
  raw, project = {}, None
  if name == "mtt":
    raw, project = dict(positive=lambda x: x), step_size_floor(1e-6)
  made = dd.distiller(
      dd.backprop(objective, dd.pixels(), **raw),
      dd.learn(**dict.fromkeys(fields, adam(0.02))),
      project=project)
  return made.step, made.init(jax.random.key(0), start)


if __name__ == "__main__":
  main()
