"""One outer step of SLDD: ours against the same mathematics in PyTorch.

Gradient with respect to samples, labels and step sizes through E inner steps
(`--num_epochs`), and its Adam update; a fresh initialisation and a fresh real
batch every step, `--num_steps` steps in one call. Both sides first have to
agree on a gradient. Bar: ours takes at most 1.1 times as long. Without PyTorch
only ours is timed.
"""

from functools import partial

import steps
import timing
import unrolled


def main(argv=None) -> None:
  options = timing.parser(
      __doc__,
      num_epochs=(3, 5),
      batch_size=1024,
      num_real=60_000,
      num_steps=10).parse_args(argv)
  device, rows = steps.find_torch(), []
  source = unrolled.random_images(max(options.num_real, options.batch_size))
  problem = partial(unrolled.sldd, source)
  for num_epochs in options.num_epochs:
    row = {
        "steps x epochs": f"1 x {num_epochs}",
        **unrolled.compared(
            "lenet", partial(problem, num_epochs=num_epochs), device, options)
    }
    rows.append(row | steps.named(device))
  timing.report("sldd_step", options, rows)


if __name__ == "__main__":
  main()
