"""KIP's loss and gradient with our kernel, against neural-tangents' kernel.

FC-1, 100 samples of 32 x 32 x 3 in ten classes with learned labels, 1,000 and
5,000 targets; float32, since neural-tangents computes in float64 wherever JAX
has it switched on. Both sides share all but the kernel, and first have to agree
on a gradient. Bar: ours takes at most as long. Without neural-tangents only
ours is timed.
"""

import agreement
import jax
import jax.numpy as jnp
import numpy as np
import timing

from distill_jax.kernels.closed_form import Kernel, fully_connected
from distill_jax.kernels.neural_tangents import (
    from_stax,
    import_neural_tangents,
)
from distill_jax.labels import centred_rows
from distill_jax.objectives.kip import kernel_regression
from distill_jax.types import Batch, Samples

BAR = 1.0
CLASSES, SHAPE = 10, (32, 32, 3)


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument("--num_samples", type=timing.positive, default=100)
  parser.add_argument(
      "--num_targets", type=timing.positives, default=(1000, 5000),
      help="a list",
  )
  options = parser.parse_args(argv)
  kernels = {"ours": fully_connected(1)}
  theirs = find_neural_tangents()
  if theirs is not None:
    kernels["neural_tangents"] = theirs
  rows = [_measure(kernels, m, options) for m in options.num_targets]
  timing.show(rows)
  timing.write("kip_step", options, rows)


def find_neural_tangents() -> Kernel | None:
  """The same kernel by neural-tangents, or None after saying why."""
  try:
    stax = import_neural_tangents().stax
  except ImportError:
    print("neural-tangents is not installed: only ours is timed.")
    return None
  settings = {"W_std": 2**0.5, "b_std": 0.1, "parameterization": "ntk"}
  _, _, kernel_fn = stax.serial(
      stax.Flatten(), stax.Dense(1, **settings), stax.Relu(),
      stax.Dense(1, **settings),
  )
  return from_stax(kernel_fn)


def step(kernel: Kernel, num_samples: int, num_targets: int):
  """`() -> (loss, gradient)` with respect to samples and labels."""
  objective = kernel_regression(
      kernel, sample=lambda key, data: data, num_classes=CLASSES
  )
  generator = np.random.default_rng(0)

  def images(size):
    return jnp.asarray(generator.normal(size=(size, *SHAPE)), jnp.float32)

  def classes(size):
    return jnp.arange(size, dtype=jnp.int32) % CLASSES

  own = Samples(
      images(num_samples), centred_rows(classes(num_samples), CLASSES),
      jnp.zeros((0,), jnp.float32),
  )
  batch = Batch(images(num_targets), classes(num_targets))
  key = jax.random.key(0)

  @jax.jit
  def run(own, batch):
    def loss(learned):
      inputs, labels = learned
      samples = own._replace(inputs=inputs, labels=labels)
      return objective.loss(key, samples, (), batch)[0]

    return jax.value_and_grad(loss)((own.inputs, own.labels))

  return lambda: run(own, batch)


def _measure(kernels, num_targets, options):
  candidates = {
      name: step(kernel, options.num_samples, num_targets)
      for name, kernel in kernels.items()
  }
  row = {"samples x targets": f"{options.num_samples} x {num_targets}"}
  if len(candidates) > 1:
    row["difference"] = agreement.difference(*(
        dict(zip(("inputs", "labels"), run()[1], strict=True))
        for run in candidates.values()
    ))
  timed = timing.alternate(
      candidates, rounds=options.rounds, seconds=options.seconds
  )
  for name, seconds in timed.items():
    row[f"{name}_ms"] = timing.milliseconds(seconds)
    row[f"{name}_seconds"] = seconds
  if len(timed) > 1:
    row["ours/neural_tangents"] = timing.ratio(*timed.values())
    row["bar"], row["met"] = BAR, row["ours/neural_tangents"] <= BAR
  return row


if __name__ == "__main__":
  main()
