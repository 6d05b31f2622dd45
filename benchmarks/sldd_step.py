"""One outer step of SLDD: ours against the same mathematics in PyTorch.

Gradient with respect to samples, labels and step sizes through E inner steps
(`--num_epochs`), and its Adam update; a new initialisation and a new real batch
every step, `--num_steps` steps in one call. Both sides must first agree on a
gradient. Bar: ours takes at most 1.1 times as long. Without PyTorch only ours
is timed.
"""

from functools import partial

import steps
import timing
import unrolled


def main(argv=None) -> None:
  settings = dict(num_epochs=(3, 5), batch_size=1024, num_real=60_000)
  parser = timing.parser(__doc__, **settings, num_steps=10)
  options = parser.parse_args(argv)
  device, rows = steps.find_torch(), []
  source = unrolled.random_images(max(options.num_real, options.batch_size))
  for num_epochs in options.num_epochs:
    problem = partial(unrolled.sldd, source, num_epochs)
    row = unrolled.compared("lenet", problem, device, options)
    rows.append({"steps x epochs": f"1 x {num_epochs}", **row})
    rows[-1] |= steps.named(device)
  timing.report("sldd_step", options, rows)


if __name__ == "__main__":
  main()
