"""All rows of docs/results.md, and those that a command means."""

import rows_matching
import rows_regression
import rows_text
from row import Row, distilled

from distill_jax.errors import ConfigError

SIZES = "sldd_mnist_sweep_"
# Figure 6 of arXiv 1910.02551, at a thirtieth of the outer steps.
_SIZES = (1, 2, 3, 5, 10, 20, 50, 100)
_SILENT = {"evaluation.baselines": ""}
# Published accuracy in percent, in the order of their worth.
_ACCELERATOR = {
    "sldd_mnist_fixed_100": 98.6,
    "dd_mnist_fixed_100": 96.6,
    "dd_mnist_fixed_10": 93.76,
    "dd_mnist_random_100": 79.5,
    "sldd_cifar10_fixed_100": 60.0,
    "sldd_cifar10_random_100": 39.8,
    "dd_cifar10_fixed_100": 54.0,
    "dd_cifar10_random_100": 36.8,
}


def table() -> dict[str, Row]:
  """Every row by name, in the page's order."""
  return {
      "sldd_digits": distilled("digits", "sldd:data=digits"),
      **_unrolled(),
      **rows_matching.small(),
      **rows_regression.rows(),
      **rows_text.rows(),
      **rows_matching.sweeps(),
      **_accelerator(),
      **rows_matching.full(),
      **rows_regression.full(),
  }


def chosen(wanted: list[str], known: dict[str, Row]) -> list[str]:
  """The rows meant: by name, or all that begin so and go on with `_`."""
  names = []
  for text in wanted:
    begun = [n for n in known if n == text or n.startswith(f"{text}_")]
    if not begun:
      raise ConfigError(f"`--rows` must name rows of --list; got {text}.")
    names += [text] if text in known else begun
  return [name for name in known if name in names]


def _unrolled() -> dict[str, Row]:
  rows = {}
  for size, published in ((10, 96.13), (5, 91.56)):
    for seed in range(3):
      rows[f"sldd_mnist_fixed_{size}_seed{seed}"] = distilled(
          "sldd_mnist", f"sldd:data=mnist,fixed,rows={size},steps=1",
          {"seed": seed, "num_steps": 120_000, **_SILENT}, published,
      )
  for size in _SIZES:
    rows[f"{SIZES}{size}"] = distilled(
        "sldd_mnist_sweep",
        f"sldd:data=mnist,fixed,rows={size},steps={max(size // 10, 1)}",
        {"num_steps": 2_000, **_SILENT, "evaluation.full_data": True},
    )
  rows["sldd_mnist_random_100"] = distilled(
      "sldd_mnist", "sldd:data=mnist,rows=100", {
          "step_size_learning_rate": 0.002, "evaluation.num_networks": 200,
          "evaluation.num_sets": 20, "evaluation.networks_per_set": 1,
          "evaluation.baselines": "all", "evaluation.full_data": True,
      }, 82.7,
  )
  return rows


def _accelerator() -> dict[str, Row]:
  rows = {}
  for name, published in _ACCELERATOR.items():
    method, data, theta, size = name.split("_")
    fixed, steps = ",fixed" * (theta == "fixed"), 1 if size == "10" else 10
    rows[name] = distilled(
        f"{method}_{data}",
        f"{method}:data={data}{fixed},rows={size},steps={steps}",
        _SILENT | ({} if fixed else {"evaluation.num_networks": 200}),
        published, accelerator=True,
    )
  return rows
