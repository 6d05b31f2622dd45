"""One outer step of TDD: ours against the same mathematics in PyTorch.

TextConvNet with ten steps of six sentences, Bi-LSTM with two epochs of one
step, sentences of `--length` words, new initialisations and real batches,
`--num_steps` outer steps in one call. Both sides must first agree on a
gradient. Bar: ours takes at most 1.1 times as long. Without PyTorch only ours
is timed.
"""

from functools import partial

import steps
import timing
import unrolled

SIZES = {"text_convnet": (10, 1), "bi_lstm": (1, 2)}  # S, E


def main(argv=None) -> None:
  parser = timing.parser(
      __doc__, networks=",".join(SIZES), length=30, batch_size=128, num_steps=5)
  options = parser.parse_args(argv)
  names = options.networks.split(",")
  if not set(names) <= set(SIZES):
    parser.error(f"`networks` must be among {', '.join(SIZES)}; got {names}.")
  device, rows = steps.find_torch(), []
  for name in names:
    sizes = SIZES[name]
    problem = partial(unrolled.tdd, name, options.length, *sizes)
    row = {"network": name, "steps x epochs": "{} x {}".format(*sizes)}
    rows.append(row | unrolled.compared(name, problem, device, options))
  timing.report("text_step", options, rows)


if __name__ == "__main__":
  main()
