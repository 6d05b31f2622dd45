"""Several initialisations: as a loop and as a `vmap`.

The SLDD meta-gradient for four initialisations through `batch_map`, once with
`chunk=1` (a loop) and once with all of them in one chunk (a `vmap`). Bar: what
`batch_map` does by default on this platform is not slower than the other.
"""

import jax
import timing
from sldd_problem import problem, random_split

from distill_jax.environment import platform
from distill_jax.parallel import batch_map

BAR = 1.0


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--num_initialisations", type=timing.positive, default=4
  )
  parser.add_argument("--num_epochs", type=timing.positive, default=5)
  parser.add_argument("--batch_size", type=timing.positive, default=1024)
  options = parser.parse_args(argv)
  samples = timing.alternate(
      candidates(options), rounds=options.rounds, seconds=options.seconds
  )
  default, other = ("loop", "vmap") if platform() == "cpu" else ("vmap", "loop")
  ratio = timing.ratio(samples[default], samples[other])
  rows = [{
      "initialisations": options.num_initialisations,
      "loop_ms": timing.milliseconds(samples["loop"]),
      "vmap_ms": timing.milliseconds(samples["vmap"]),
      "default": default,
      "default/other": ratio,
      "bar": BAR,
      "met": ratio <= BAR,
      "loop_seconds": samples["loop"],
      "vmap_seconds": samples["vmap"],
  }]
  timing.show(rows)
  timing.write("batch_map_bench", options, rows)


def candidates(options) -> dict:
  """`loop` and `vmap`: functions `() -> gradients`, one per initialisation.

  Args:
    options: with `num_initialisations`, `num_epochs` and `batch_size`.
  """
  sldd = problem(num_epochs=options.num_epochs, batch_size=options.batch_size)
  split = random_split(max(options.batch_size, 10))
  batch = sldd.estimator.sample(jax.random.key(0), split)
  keys = jax.random.split(jax.random.key(1), options.num_initialisations)

  def gradients(chunk):
    @jax.jit
    def run(keys, distilled, batch):
      return batch_map(
          lambda key: sldd.estimator.estimate(key, distilled, (), batch)[1],
          keys, chunk=chunk,
      )

    return lambda: run(keys, sldd.distilled, batch)

  return {"loop": gradients(1), "vmap": gradients(options.num_initialisations)}


if __name__ == "__main__":
  main()
