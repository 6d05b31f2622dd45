"""Times KIP's loss and gradient with our kernel and neural-tangents' kernel.

FC-1, 100 samples of 32 x 32 x 3 in ten classes with learned labels, 1,000 and
5,000 targets; float32, since neural-tangents computes in float64 wherever JAX
has it switched on. Both sides differ only in the kernel, and must first agree
on a gradient. Bar: ours takes at most as long. Without neural-tangents only
ours is timed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import steps
import timing

from distill_jax import data, methods
from distill_jax.kernels import neural_tangents
from distill_jax.kernels.closed_form import Kernel, fully_connected
from distill_jax.types import Batch

BAR = 1.0
CLASSES, SHAPE = 10, (32, 32, 3)


def main(argv=None) -> None:
  options = timing.parser(
      __doc__, num_samples=100, num_targets=(1000, 5000)).parse_args(argv)
  kernels = {"ours": fully_connected(1), "neural_tangents": theirs()}
  rows = [_compared(kernels, m, options) for m in options.num_targets]
  timing.report("kip_step", options, rows)


def theirs() -> Kernel | None:
  """The same kernel by neural-tangents; None, with a message, without it."""
  try:
    stax = neural_tangents.import_neural_tangents().stax
  except ImportError:
    print("neural-tangents is not installed: only ours is timed.")
    return None
  settings = {"W_std": 2**0.5, "b_std": 0.1, "parameterization": "ntk"}
  _, _, kernel_fn = stax.serial(
      stax.Flatten(), stax.Dense(1, **settings), stax.Relu(),
      stax.Dense(1, **settings))
  return neural_tangents.from_stax(kernel_fn)


def step(kernel: Kernel, num_samples: int, num_targets: int):
  """`() -> (loss, gradient)` with respect to samples and labels."""
  generator = np.random.default_rng(0)
  source = data.from_arrays(
      generator.integers(0, 256, (num_samples, *SHAPE), np.uint8),
      np.arange(num_samples) % CLASSES,
      test_fraction=0)
  method = methods.kip(start="noise", learn_labels=True)
  plan = steps.planned(source, method, kernel, num_rows=num_samples)
  batch = Batch(
      jnp.asarray(generator.normal(size=(num_targets, *SHAPE)), jnp.float32),
      jnp.arange(num_targets, dtype=jnp.int32) % CLASSES)
  run = jax.jit(plan.estimator.estimate)
  return lambda: run(plan.keys.run, plan.start, (), batch)[:2]


def _compared(kernels, num_targets, options):
  candidates = {
      name: kernel and step(kernel, options.num_samples, num_targets)
      for name, kernel in kernels.items()
  }
  row = {"samples x targets": f"{options.num_samples} x {num_targets}"}
  if all(candidates.values()):
    row["difference"] = steps.difference(
        *(
            dict(codes=found.codes, labels=found.labels)
            for _, found in (run() for run in candidates.values())))
  return row | timing.compare(options, BAR, **candidates)


if __name__ == "__main__":
  main()
