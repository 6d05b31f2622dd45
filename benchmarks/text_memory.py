"""Memory of TDD on long sentences with a recurrent network.

The compiler's own account of one outer step: Bi-LSTM, sentences of 400 words,
six samples, five inner steps. Nothing is run, so
`--rounds` and `--seconds` change nothing. Bar: 4 GiB with the time loop in
parts; beside it the same with all states kept.
"""

from unittest import mock

import jax
import text_problem
import timing

from distill_jax.nn import recurrent

BAR = 4 * 2**30


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument("--length", type=timing.positive, default=400)
  parser.add_argument("--num_epochs", type=timing.positive, default=5)
  parser.add_argument("--batch_size", type=timing.positive, default=128)
  options = parser.parse_args(argv)
  rows = []
  for name, whole in (("in parts", recurrent.WHOLE), ("kept", options.length)):
    with mock.patch.object(recurrent, "WHOLE", whole):
      temporary = temporary_bytes(
          options.length, options.num_epochs, options.batch_size
      )
    barred = name == "in parts"
    rows.append({
        "states": name, "words": options.length,
        "inner_steps": options.num_epochs, "temporary_bytes": temporary,
        "GiB": temporary / 2**30, "bar": BAR if barred else "-",
        "met": temporary <= BAR if barred else "-",
    })
  timing.show(rows)
  timing.write("text_memory", options, rows)


def temporary_bytes(length: int, num_epochs: int, batch_size: int) -> int:
  """Of one estimate of the meta-gradient."""
  ours = text_problem.problem(
      "bi_lstm", length=length, num_steps=1, num_epochs=num_epochs,
      batch_size=batch_size,
  )
  split = ours.source.train
  batch = jax.eval_shape(ours.estimator.sample, jax.random.key(0), split)
  lowered = jax.jit(ours.estimator.estimate).lower(
      jax.random.key(0), ours.distilled, ours.state.objective, batch
  )
  return lowered.compile().memory_analysis().temp_size_in_bytes


if __name__ == "__main__":
  main()
