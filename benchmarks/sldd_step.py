"""One outer step of SLDD: ours against the same mathematics in PyTorch.

Gradient with respect to samples, labels and step sizes through E inner steps,
and its Adam update; a fresh initialisation and a fresh real batch every step.
Both sides first have to agree on a gradient. Bar: ours takes at most 1.1 times
as long. Without PyTorch only ours is timed.
"""

import importlib.util

import agreement
import jax
import timing
from sldd_problem import Problem, problem, random_split

from distill_jax.environment import num_cores, platform
from distill_jax.outer_loop import distill

BAR = 1.1


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--num_epochs", type=timing.positives, default=(3, 5), help="E, a list"
  )
  parser.add_argument("--batch_size", type=timing.positive, default=1024)
  parser.add_argument("--num_real", type=timing.positive, default=60_000)
  parser.add_argument(
      "--num_steps", type=timing.positive, default=10, help="in one call"
  )
  options = parser.parse_args(argv)
  if options.num_real < options.batch_size:
    parser.error(
        f"`num_real` must be at least `batch_size`; got {options.num_real}."
    )
  torch_device = find_torch()
  split = random_split(options.num_real)
  rows = []
  for num_epochs in options.num_epochs:
    rows.append(_measure(num_epochs, split, torch_device, options))
  timing.show(rows)
  timing.write("sldd_step", options, rows)


def find_torch():
  """The torch device to compare with, or None after saying why."""
  if importlib.util.find_spec("torch") is None:
    print("PyTorch is not installed: only ours is timed.")
    return None
  import sldd_torch

  accelerator = platform() != "cpu"
  device = sldd_torch.choose_device(accelerator)
  if accelerator and device.type == "cpu":
    print("PyTorch finds no CUDA device: only ours is timed.")
    return None
  sldd_torch.use_cores(num_cores())
  return device


def gradient_difference(
    num_epochs: int, batch_size: int, split, torch_device
) -> float:
  """`agreement.difference` of an outer gradient and PyTorch's.

  Args:
    num_epochs: E.
    batch_size: B.
    split: real data.
    torch_device: from `find_torch`.
  """
  import sldd_torch

  ours = problem(num_epochs=num_epochs, batch_size=batch_size, fixed=True)
  k_sample, k_estimate = jax.random.split(jax.random.key(1))
  theta = ours.state.objective
  batch = ours.estimator.sample(k_sample, split)
  sldd_torch.allow_tf32(False)
  with jax.default_matmul_precision("highest"):
    _, gradient, _, _ = jax.jit(ours.estimator.estimate)(
        k_estimate, ours.distilled, theta, batch
    )
  theirs = sldd_torch.gradients(
      theta["params"], ours.distilled, batch.inputs, batch.labels, torch_device
  )
  sldd_torch.allow_tf32(True)
  return agreement.difference(
      gradient._asdict(), dict(zip(gradient._fields, theirs, strict=False))
  )


def _measure(num_epochs, split, torch_device, options):
  ours = problem(num_epochs=num_epochs, batch_size=options.batch_size)
  candidates = {"ours": _ours(ours, split, options.num_steps)}
  row = {"steps x epochs": f"1 x {num_epochs}"}
  if torch_device is not None:
    import sldd_torch

    row["difference"] = gradient_difference(
        num_epochs, options.batch_size, split, torch_device
    )
    candidates["torch"] = sldd_torch.trainer(
        ours.distilled, split, batch_size=options.batch_size,
        num_steps=options.num_steps, device=torch_device,
    )
  samples = timing.alternate(
      candidates, rounds=options.rounds, seconds=options.seconds
  )
  for name, seconds in samples.items():
    row[f"{name}_ms"] = timing.milliseconds(seconds) / options.num_steps
    row[f"{name}_seconds"] = seconds
  if "torch" in samples:
    row["ours/torch"] = timing.ratio(samples["ours"], samples["torch"])
    row["bar"], row["met"] = BAR, row["ours/torch"] <= BAR
    row["torch_device"] = torch_device.type
  return row


def _ours(ours: Problem, split, num_steps: int):
  key = jax.random.key(0)
  return lambda: distill(
      key, ours.state, split, step=ours.distiller.step, num_steps=num_steps
  )


if __name__ == "__main__":
  main()
