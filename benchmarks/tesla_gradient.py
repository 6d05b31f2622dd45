"""How far TESLA's gradient is from the exact one, against the student's steps.

An expert of the digits (ConvNet of depth 2), twenty real samples
that start a set, the stretch from its first epoch to its third; no
augmentation. For the gradient by the samples, the share of the exact one that
the difference is in norm, and the cosine between both; for that by the step
size, their ratio. Nothing is timed: `--rounds` and `--seconds` change nothing.
"""

import jax
import jax.numpy as jnp
import timing

from distill_jax import data, initialisation, nn
from distill_jax.estimators.backprop import backprop
from distill_jax.objectives.mtt import Segment, trajectory_matching
from distill_jax.parameterization.pixels import pixels
from distill_jax.trajectories.experts import train_experts


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--num_steps", type=timing.positives, default=(1, 5, 20, 50)
  )
  parser.add_argument("--width", type=timing.positive, default=16)
  parser.add_argument("--step_size", type=float, default=0.05)
  options = parser.parse_args(argv)
  k_expert, k_start = jax.random.split(jax.random.key(0))
  source = data.read("digits")
  network = nn.convnet(source.num_classes, depth=2, width=options.width)
  expert, = train_experts(
      k_expert[None], network, source.train, num_epochs=3, step_size=0.1,
      batch_size=64,
  )
  segment = Segment(*map(jnp.asarray, (expert.weights[1], expert.weights[3])))
  distilled = initialisation.from_real(
      k_start, source, pixels(), num_samples=20, step_size=None
  )._replace(raw_step_sizes=jnp.asarray([options.step_size]))
  rows = [
      compared(network, distilled, segment, num_steps)
      for num_steps in options.num_steps
  ]
  timing.show(rows)
  timing.write("tesla_gradient", options, rows)


def compared(network, distilled, segment, num_steps: int) -> dict:
  """The two gradients of one unroll, side by side."""
  (loss, ours, *_), (_, frozen, *_) = (
      _estimate(backprop(
          trajectory_matching(network, num_steps=num_steps, freeze=freeze),
          pixels(), positive=lambda raw: raw,
      ), distilled, segment) for freeze in (False, True)
  )
  a, b = ours.codes.ravel(), frozen.codes.ravel()
  length = jnp.linalg.norm(a)
  return {
      "steps": num_steps,
      "loss": float(loss),
      "difference": float(jnp.linalg.norm(b - a) / length),
      "cosine": float(a @ b / length / jnp.linalg.norm(b)),
      "step_size_ratio": float(
          frozen.raw_step_sizes[0] / ours.raw_step_sizes[0]
      ),
  }


def _estimate(estimator, distilled, segment):
  return jax.jit(estimator.estimate)(
      jax.random.key(0), distilled, (), segment
  )


if __name__ == "__main__":
  main()
