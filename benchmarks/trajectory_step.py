"""One outer step of MTT against PyTorch with `create_graph`.

ConvNet of depth 3, ten classes of 32 x 32 x 3 images with ten samples each, all
of them in every student step, no augmentation. Both first have to agree on the
gradients by samples and step size, in float64. Bars on CPU: 5 steps without
rematerialisation take at most 1.1 times as long; 20 steps with it at most 1.6
times, at an eighth of what PyTorch's autograd keeps; on an accelerator half as
long for both. Without PyTorch only ours is timed.
"""

import agreement
import jax
import jax.numpy as jnp
import numpy as np
import optax
import timing
from sldd_step import find_torch

from distill_jax import initialisation, nn
from distill_jax.environment import platform
from distill_jax.estimators.backprop import backprop
from distill_jax.nn import vector
from distill_jax.objectives.mtt import Segment, trajectory_matching
from distill_jax.outer_loop import distill, distiller, learn, step_size_floor
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Distilled

CLASSES, SHAPE = 10, (32, 32, 3)
STEP_SIZE, RATES = 0.01, (100.0, 1e-7)
# Steps, whether rematerialised, bar on CPU.
WORKS = ((5, False, 1.1), (20, True, 1.6))
_ACCELERATOR_BAR, _MEMORY_BAR = 0.5, 1 / 8
_AGREE = 1e-9


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--num_steps", type=timing.positives, default=(5, 20),
      help="N, of 5 and 20",
  )
  parser.add_argument("--width", type=timing.positive, default=128)
  parser.add_argument("--samples_per_class", type=timing.positive, default=10)
  options = parser.parse_args(argv)
  torch_device = find_torch()
  rows = [
      _measure(*work, torch_device, options) for work in WORKS
      if work[0] in options.num_steps
  ]
  timing.show(rows)
  timing.write("trajectory_step", options, rows)


class Problem:
  """A set, and an expert's stretch that gradient steps of it could go."""

  def __init__(self, width: int, samples_per_class: int):
    generator = np.random.default_rng(0)
    size = CLASSES * samples_per_class
    self.network = nn.convnet(CLASSES, width=width)
    self.codes = generator.normal(size=(size, *SHAPE)).astype(np.float32)
    example = jnp.zeros((1, *SHAPE))
    self.start = self.network.init(jax.random.key(1), example)["params"]
    self.target = jax.tree.map(
        lambda leaf: leaf + 0.01 * generator.normal(size=leaf.shape).astype(
            np.float32
        ), self.start,
    )
    self.distilled = Distilled(
        jnp.asarray(self.codes),
        initialisation.one_hot(np.arange(size) * CLASSES // size, CLASSES),
        jnp.asarray([STEP_SIZE]),
    )

  def estimator(self, num_steps: int, remat: bool):
    """Of trajectory matching."""
    return backprop(
        trajectory_matching(self.network, num_steps=num_steps, remat=remat),
        pixels(), positive=lambda raw: raw,
    )

  @property
  def segment(self) -> Segment:
    """The stretch, as vectors."""
    return Segment(vector.flatten(self.start), vector.flatten(self.target))


def gradient_difference(width: int, num_steps, remat, device) -> float:
  """`agreement.difference` of the two gradients.

  In float64, to 1e-9, and on two samples a class: in float32 the two differ by
  a percent at width 128.
  """
  import torch
  import trajectory_torch

  torch.set_default_dtype(torch.float64)
  with jax.enable_x64(True):
    problem = _in_float64(Problem(width, 2))
    _, found, *_ = jax.jit(problem.estimator(num_steps, remat).estimate)(
        jax.random.key(0), problem.distilled, (), problem.segment
    )
    found = jax.device_get(found)
  codes, step_size = trajectory_torch.gradient(
      problem.codes, problem.start, problem.target, step_size=STEP_SIZE,
      num_steps=num_steps, device=device,
  )
  torch.set_default_dtype(torch.float32)
  return agreement.difference(
      found._asdict(), dict(codes=codes, raw_step_sizes=[step_size]),
      rtol=_AGREE,
  )


def _in_float64(problem: Problem) -> Problem:
  problem.codes, problem.start, problem.target, problem.distilled = (
      jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)
      for tree in (
          problem.codes, problem.start, problem.target, problem.distilled
      )
  )
  return problem


def _measure(num_steps, remat, bar, torch_device, options):
  problem = Problem(options.width, options.samples_per_class)
  row = {"steps": num_steps, "remat": remat}
  candidates = {"ours": _step(problem, num_steps, remat)}
  if torch_device is not None:
    import trajectory_torch

    row["difference"] = gradient_difference(
        options.width, num_steps, remat, torch_device
    )
    candidates["torch"] = trajectory_torch.stepper(
        problem.codes, problem.start, problem.target, step_size=STEP_SIZE,
        rates=RATES, num_steps=num_steps, device=torch_device,
    )
  timed = timing.alternate(
      candidates, rounds=options.rounds, seconds=options.seconds
  )
  for name, seconds in timed.items():
    row[f"{name}_ms"] = timing.milliseconds(seconds)
    row[f"{name}_seconds"] = seconds
  row["ours_bytes"] = _temporary_bytes(problem, num_steps, remat)
  if "torch" in timed:
    row["torch_bytes"] = trajectory_torch.saved_bytes(
        problem.codes, problem.start, problem.target, step_size=STEP_SIZE,
        num_steps=num_steps, device=torch_device,
    )
    bar = bar if platform() == "cpu" else _ACCELERATOR_BAR
    row["ours/torch"] = timing.ratio(timed["ours"], timed["torch"])
    row["bar"], row["met"] = bar, row["ours/torch"] <= bar
    if remat:
      share = row["ours_bytes"] / row["torch_bytes"]
      row["met"] = row["met"] and share <= _MEMORY_BAR
    row["torch_device"] = torch_device.type
  return row


def _step(problem: Problem, num_steps, remat):
  outer = distiller(
      problem.estimator(num_steps, remat),
      learn(
          codes=optax.sgd(RATES[0], 0.5), step_sizes=optax.sgd(RATES[1], 0.5)
      ),
      project=step_size_floor(1e-6),
  )
  state = outer.init(jax.random.key(0), problem.distilled)
  fed = jax.tree.map(lambda leaf: leaf[None], problem.segment)
  key = jax.random.key(1)
  return lambda: distill(
      key, state, (), step=outer.step, num_steps=1, per_step=fed
  )


def _temporary_bytes(problem: Problem, num_steps, remat) -> int:
  compiled = jax.jit(problem.estimator(num_steps, remat).estimate).lower(
      jax.random.key(0), problem.distilled, (), problem.segment
  ).compile()
  return compiled.memory_analysis().temp_size_in_bytes


if __name__ == "__main__":
  main()
