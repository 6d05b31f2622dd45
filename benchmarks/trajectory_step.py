"""Times one outer step of MTT against PyTorch with `create_graph`.

ConvNet of depth 3, ten classes of 32 x 32 x 3 images with ten samples each, all
of them in every student step, no augmentation. Both sides must first agree on
the gradients by samples and step size, in float64. Bars on a CPU: 5 steps
without rematerialisation take at most 1.1 times as long, and 20 steps with it
at most 1.6 times as long, at an eighth of the memory that PyTorch's autograd
keeps. Bar on an accelerator: both take half as long. Without PyTorch only ours
is timed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import steps
import timing

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
# Number of steps, whether rematerialised, bar on a CPU.
WORKS = ((5, False, 1.1), (20, True, 1.6))
_ACCELERATOR_BAR, _MEMORY_BAR = 0.5, 1 / 8
_AGREE = 1e-9


def main(argv=None) -> None:
  settings = dict(num_steps=(5, 20), width=128, samples_per_class=10)
  options = timing.parser(__doc__, **settings).parse_args(argv)
  device = steps.find_torch()
  works = [work for work in WORKS if work[0] in options.num_steps]
  rows = [_compared(*work, device, options) for work in works]
  timing.report("trajectory_step", options, rows)


class Problem:
  """A set, and an expert's segment that gradient steps on it could take."""

  def __init__(self, width: int, samples_per_class: int, num_steps, remat):
    generator = np.random.default_rng(0)
    size = CLASSES * samples_per_class
    network = nn.convnet(CLASSES, width=width)
    codes = generator.normal(size=(size, *SHAPE)).astype(np.float32)
    self.num_steps = num_steps
    self.start = network.init(jax.random.key(1), codes[:1])["params"]
    self.target = jax.tree.map(
        lambda leaf: leaf + 0.01 * np.float32(
            generator.normal(size=leaf.shape)), self.start)
    self.distilled = Distilled(
        jnp.asarray(codes),
        initialisation.one_hot(np.arange(size) * CLASSES // size, CLASSES),
        jnp.asarray([STEP_SIZE]))
    self.estimator = backprop(
        trajectory_matching(network, num_steps=num_steps, remat=remat),
        pixels(),
        positive=lambda raw: raw)

  def in_float64(self) -> "Problem":
    """The same numbers in float64."""
    self.start, self.target, self.distilled = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64),
        (self.start, self.target, self.distilled))
    return self

  @property
  def arguments(self):
    """The arguments of `estimator.estimate`."""
    segment = Segment(vector.flatten(self.start), vector.flatten(self.target))
    return jax.random.key(0), self.distilled, (), segment

  def stepper(self):
    """`() -> State, Info`: one outer step."""
    rules = [optax.sgd(rate, 0.5) for rate in RATES]
    outer = distiller(
        self.estimator,
        learn(codes=rules[0], step_sizes=rules[1]),
        project=step_size_floor(1e-6))
    key, distilled, _, segment = self.arguments
    state = outer.init(key, distilled)
    return lambda: distill(key, state, segment, step=outer.step, num_steps=1)

  def in_torch(self, device):
    """The same problem in PyTorch."""
    import convnet_torch

    ends = self.distilled.codes, self.start, self.target
    return convnet_torch.Trajectory(*ends, STEP_SIZE, self.num_steps, device)


def gradient_difference(width: int, num_steps, remat, device) -> float:
  """`steps.difference` of the two gradients.

  It is computed in float64, to 1e-9, with two samples per class. In float32,
  the two differ by a percent at width 128.
  """
  import torch

  torch.set_default_dtype(torch.float64)
  with jax.enable_x64(True):
    problem = Problem(width, 2, num_steps, remat).in_float64()
    _, found, *_ = jax.jit(problem.estimator.estimate)(*problem.arguments)
    found = jax.device_get(found)
  theirs = problem.in_torch(device).gradient()
  torch.set_default_dtype(torch.float32)
  return steps.difference(found._asdict(), theirs, rtol=_AGREE)


def _compared(num_steps, remat, bar, device, options):
  problem = Problem(options.width, options.samples_per_class, num_steps, remat)
  row, theirs = {"steps": num_steps, "remat": remat}, None
  if device is not None:
    row["difference"] = gradient_difference(
        options.width, num_steps, remat, device)
    theirs = problem.in_torch(device)
  bar = bar if platform() == "cpu" else _ACCELERATOR_BAR
  step = theirs and theirs.stepper(RATES)
  row |= timing.compare(options, bar, ours=problem.stepper(), torch=step)
  row["ours_bytes"] = steps.temporary_bytes(
      problem.estimator.estimate, *problem.arguments)
  if theirs:
    row["torch_bytes"] = theirs.saved_bytes()
    if remat:
      share = row["ours_bytes"] / row["torch_bytes"]
      row["met"] = row["met"] and share <= _MEMORY_BAR
  return row | steps.named(device)


if __name__ == "__main__":
  main()
