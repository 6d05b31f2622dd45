"""Memory of a gradient-matching step against the number of classes.

Classes are matched one after the other on a CPU and their real inputs gathered
in turn, so only samples and results grow with their number, not real batches
and the graphs of double differentiation. The compiler's own account of a whole
outer step, sampling included, says whether that is so; nothing is run, so
`--rounds` and `--seconds` change nothing. Bar: 100 classes take at most 1.5
times the memory of 10.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import timing

from distill_jax import data, initialisation, nn
from distill_jax.estimators.backprop import backprop
from distill_jax.objectives.dc import gradient_matching
from distill_jax.objectives.network_training import on_samples
from distill_jax.outer_loop import distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Distilled

BAR = 1.5
SHAPE = (32, 32, 3)


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--num_classes", type=timing.positives, default=(10, 100),
      help="a rising list",
  )
  parser.add_argument("--width", type=timing.positive, default=128)
  parser.add_argument("--samples_per_class", type=timing.positive, default=10)
  parser.add_argument("--batch_size", type=timing.positive, default=256)
  options = parser.parse_args(argv)
  rows = []
  for num_classes in options.num_classes:
    temporary = temporary_bytes(
        num_classes, options.width, options.samples_per_class,
        options.batch_size,
    )
    first = rows[0]["temporary_bytes"] if rows else temporary
    rows.append({
        "classes": num_classes,
        "temporary_bytes": temporary,
        "to the first": temporary / first,
        "bar": BAR,
        "met": temporary <= BAR * first,
    })
  timing.show(rows)
  timing.write("matching_memory", options, rows)


def temporary_bytes(
    num_classes: int, width: int, samples_per_class: int, batch_size: int
) -> int:
  """Temporary memory of one compiled outer step."""
  labels = np.repeat(np.arange(num_classes), batch_size)
  images = np.zeros((len(labels), *SHAPE), np.uint8)
  split = data.from_arrays(images, labels, test_fraction=0).train
  classes = np.repeat(np.arange(num_classes), samples_per_class)
  network = nn.convnet(num_classes, width=width)
  objective = gradient_matching(
      network, initialisation.class_members(classes, num_classes),
      sample=data.per_class(batch_size, lazy=True), num_classes=num_classes,
      training=on_samples(network, num_epochs=1),
  )
  outer = distiller(backprop(objective, pixels()), learn(codes=optax.sgd(0.1)))
  start = Distilled(
      jnp.zeros((len(classes), *SHAPE)),
      initialisation.one_hot(classes, num_classes), jnp.zeros((0,)),
  )
  key = jax.random.key(0)
  state = jax.eval_shape(outer.init, key, start)
  compiled = jax.jit(outer.step).lower(key, state, split).compile()
  return compiled.memory_analysis().temp_size_in_bytes


if __name__ == "__main__":
  main()
