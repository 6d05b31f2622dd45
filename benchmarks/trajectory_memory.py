"""Memory of trajectory matching against the student's steps.

The compiler's own account of one outer step (ConvNet of depth 3, 100 samples of
32x32x3); nothing is run, so `--rounds` and `--seconds` change nothing. Bars: 20
exact steps take at most 1.1 GiB, and 50 steps at most the weights of 30 more.
"""

import jax
import jax.numpy as jnp
import timing

from distill_jax import augmentation, nn
from distill_jax.estimators.backprop import backprop
from distill_jax.nn import vector
from distill_jax.objectives.mtt import Segment, trajectory_matching
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Distilled

SHAPE = (32, 32, 3)
_BAR = int(1.1 * 2**30)
_FLOAT = 4  # bytes
_STRATEGY = "color_crop_cutout_flip_scale_rotate"


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--num_steps", type=timing.positives, default=(20, 50),
      help="N, a rising list",
  )
  parser.add_argument("--width", type=timing.positive, default=128)
  parser.add_argument("--num_samples", type=timing.positive, default=100)
  options = parser.parse_args(argv)
  rows = []
  for name, settings in (
      ("exact", {}), ("tesla", dict(freeze=True)), ("kept", dict(remat=False)),
  ):
    first_steps, first = options.num_steps[0], None
    for num_steps in options.num_steps:
      temporary, weights = measured(
          options.width, options.num_samples, num_steps, **settings
      )
      bar = _BAR
      if first is None:
        first = temporary
      else:
        bar = first + _FLOAT * weights * (num_steps - first_steps)
      rows.append({
          "gradient": name, "steps": num_steps, "temporary_bytes": temporary,
          "weights": weights, "bar": bar if name == "exact" else "-",
          "met": temporary <= bar if name == "exact" else "-",
      })
  timing.show(rows)
  timing.write("trajectory_memory", options, rows)


def measured(width, num_samples, num_steps, **settings) -> tuple[int, int]:
  """Temporary bytes of one estimate, and weights of the network."""
  network = nn.convnet(10, width=width)
  estimator = backprop(
      trajectory_matching(
          network, num_steps=num_steps,
          augmentation=augmentation.dsa(_STRATEGY), **settings,
      ),
      pixels(), positive=lambda raw: raw,
  )
  distilled = Distilled(
      jnp.zeros((num_samples, *SHAPE)), jnp.zeros((num_samples, 10)),
      jnp.ones((1,)),
  )
  key = jax.random.key(0)
  params = jax.eval_shape(network.init, key, distilled.codes[:1])["params"]
  vector_shape = jax.eval_shape(vector.flatten, params)
  compiled = jax.jit(estimator.estimate).lower(
      key, distilled, (), Segment(vector_shape, vector_shape)
  ).compile()
  return compiled.memory_analysis().temp_size_in_bytes, vector_shape.size


if __name__ == "__main__":
  main()
