"""One outer step of TDD: ours against the same mathematics in PyTorch.

TextConvNet with ten steps of six sentences, Bi-LSTM with two epochs of one
step, sentences of 30 words, fresh initialisations and real batches. Both sides
first have to agree on a gradient. Bar: ours takes at most 1.1 times as long.
Without PyTorch only ours is timed.
"""

import agreement
import jax
import sldd_step
import text_problem
import timing

from distill_jax.outer_loop import distill

BAR = 1.1
SIZES = {  # S, E
    "text_convnet": (10, 1),
    "bi_lstm": (1, 2),
}


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument("--networks", default=",".join(SIZES))
  parser.add_argument("--length", type=timing.positive, default=30)
  parser.add_argument("--batch_size", type=timing.positive, default=128)
  parser.add_argument(
      "--num_steps", type=timing.positive, default=5, help="in one call"
  )
  options = parser.parse_args(argv)
  names = options.networks.split(",")
  if not set(names) <= set(SIZES):
    parser.error(f"`networks` must be among {', '.join(SIZES)}; got {names}.")
  torch_device = sldd_step.find_torch()
  rows = [_measure(name, torch_device is not None, options) for name in names]
  timing.show(rows)
  timing.write("text_step", options, rows)


def gradient_difference(name: str, *, length: int, batch_size: int) -> float:
  """`agreement.difference` of an outer gradient and PyTorch's."""
  import text_torch

  ours = _problem(name, length, batch_size, fixed=True)
  k_sample, k_estimate = jax.random.split(jax.random.key(1))
  theta, split = ours.state.objective, ours.source.train
  batch = ours.estimator.sample(k_sample, split)
  _, gradient, _, _ = jax.jit(ours.estimator.estimate)(
      k_estimate, ours.distilled, theta, batch
  )
  theirs = text_torch.gradients(
      text_torch.NETWORKS[name], theta["params"], ours.distilled, ours.order,
      batch.inputs, batch.labels,
  )
  return agreement.difference(
      gradient._asdict(), dict(zip(gradient._fields, theirs, strict=False))
  )


def _problem(name, length, batch_size, fixed=False):
  num_steps, num_epochs = SIZES[name]
  return text_problem.problem(
      name, length=length, num_steps=num_steps, num_epochs=num_epochs,
      batch_size=batch_size, fixed=fixed,
  )


def _measure(name, with_torch, options):
  ours = _problem(name, options.length, options.batch_size)
  split, key = ours.source.train, jax.random.key(0)
  candidates = {"ours": lambda: distill(
      key, ours.state, split, step=ours.distiller.step,
      num_steps=options.num_steps,
  )}
  row = {"network": name, "steps x epochs": "{} x {}".format(*SIZES[name])}
  if with_torch:
    import text_torch

    row["difference"] = gradient_difference(
        name, length=options.length, batch_size=options.batch_size
    )
    candidates["torch"] = text_torch.trainer(
        text_torch.NETWORKS[name],
        ours.network.init(key, ours.source.example), ours.distilled,
        ours.order, split, batch_size=options.batch_size,
        num_steps=options.num_steps,
    )
  samples = timing.alternate(
      candidates, rounds=options.rounds, seconds=options.seconds
  )
  for which, seconds in samples.items():
    row[f"{which}_ms"] = timing.milliseconds(seconds) / options.num_steps
    row[f"{which}_seconds"] = seconds
  if "torch" in samples:
    row["ours/torch"] = timing.ratio(samples["ours"], samples["torch"])
    row["bar"], row["met"] = BAR, row["ours/torch"] <= BAR
  return row


if __name__ == "__main__":
  main()
