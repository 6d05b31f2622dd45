"""Convolution, forward and backward: inside `lax.scan` against top level.

One step evaluates a sum of squares of the output and its gradients with
respect to images and kernel, and feeds both into the next step. The same
chain of steps is compiled once as a `scan` and once written out, so the two
differ by the loop alone. Bar: `conv2d` in the loop takes at most 1.3 times as
long as outside it. Plain `lax.conv_general_dilated` stands beside it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import timing
from jax import lax

from distill_jax.nn.conv import conv2d

BAR = 1.3
_STEP_SIZE = 1e-6  # keeps every step's operands of one size


class Work(NamedTuple):
  """One convolution: [batch, size, size, channels] with a square kernel."""

  name: str
  batch: int
  size: int
  channels: int
  features: int
  kernel: int
  padding: int


WORK = (
    Work("3x3 64-64", 32, 16, 64, 64, 3, 1),
    Work("lenet first", 64, 28, 1, 6, 5, 2),
    Work("lenet second", 64, 14, 6, 16, 5, 0),
)


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--length", type=timing.positive, default=5, help="steps in a chain"
  )
  parser.add_argument(
      "--batch_size", type=timing.positive, help="instead of 32 and 64"
  )
  options = parser.parse_args(argv)
  rows = []
  for work in WORK:
    work = work._replace(batch=options.batch_size or work.batch)
    rows += _measure(work, options)
  timing.show(rows)
  timing.write("conv_scan", options, rows)


def plain(x, w, *, padding):
  """The library's convolution with the signature of `conv2d`."""
  return lax.conv_general_dilated(
      x, w, (1, 1), ((padding, padding),) * 2,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def chains(convolution, padding: int, length: int):
  """The same chain of steps written out, and as a `scan`."""

  def loss(x, w):
    return jnp.square(convolution(x, w, padding=padding)).sum()

  def step(carry, _=None):
    gradients = jax.grad(loss, (0, 1))(*carry)
    moved = jax.tree.map(lambda a, g: a - _STEP_SIZE * g, carry, gradients)
    return moved, None

  def top(*carry):
    for _ in range(length):
      carry, _ = step(carry)
    return carry

  def scan(*carry):
    return lax.scan(step, carry, length=length)[0]

  return jax.jit(top), jax.jit(scan)


def _measure(work: Work, options):
  k_x, k_w = jax.random.split(jax.random.key(0))
  shape = (work.kernel, work.kernel, work.channels, work.features)
  fan_in = work.kernel**2 * work.channels
  x = jax.random.normal(k_x, (work.batch, work.size, work.size, work.channels))
  w = jax.random.normal(k_w, shape) / fan_in**0.5

  candidates = {}
  for form, convolution in (("conv2d", conv2d), ("lax", plain)):
    top, scan = chains(convolution, work.padding, options.length)
    candidates[form, "top"] = lambda f=top: f(x, w)
    candidates[form, "scan"] = lambda f=scan: f(x, w)
  samples = timing.alternate(
      candidates, rounds=options.rounds, seconds=options.seconds
  )
  return [
      _row(work, form, samples[form, "top"], samples[form, "scan"], options)
      for form in ("conv2d", "lax")
  ]


def _row(work, form, top, scan, options):
  ratio = timing.ratio(scan, top)
  return {
      "work": work.name,
      "form": form,
      "top_ms": timing.milliseconds(top) / options.length,
      "scan_ms": timing.milliseconds(scan) / options.length,
      "scan/top": ratio,
      "bar": BAR if form == "conv2d" else "-",
      "met": ratio <= BAR if form == "conv2d" else "-",
      "top_seconds": top,
      "scan_seconds": scan,
  }


if __name__ == "__main__":
  main()
