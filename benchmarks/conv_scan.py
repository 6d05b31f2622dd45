"""Convolution, forward and backward: inside `lax.scan` against top level.

One step evaluates a sum of squares of the output and its gradients with
respect to images and kernel, and feeds both into the next step. The same chain
of steps (`--length`) is compiled once as a `scan` and once written out, so the
two differ only in the loop. Bar: `conv2d` in the loop takes at most 1.3 times
as long as outside it. Plain `lax.conv_general_dilated` is timed for comparison.
"""

import jax
import jax.numpy as jnp
import timing
from jax import lax

from distill_jax.nn.conv import conv2d

BAR = 1.3
_STEP_SIZE = 1e-6  # keeps every step's operands of one size

# Name, batch, side, channels, features, side of the kernel, padding.
WORK = (
    ("3x3 64-64", 32, 16, 64, 64, 3, 1),
    ("lenet first", 64, 28, 1, 6, 5, 2),
    ("lenet second", 64, 14, 6, 16, 5, 0),
    ("vgg last", 20, 2, 512, 512, 3, 1),
)


def main(argv=None) -> None:
  parser = timing.parser(__doc__, length=5)
  parser.add_argument(
      "--batch_size", type=timing.positive, help="instead of 20 to 64")
  options = parser.parse_args(argv)
  rows = []
  for name, batch, *sizes in WORK:
    sizes = (options.length, options.batch_size or batch, *sizes)
    for form, function, bar in (("conv2d", conv2d, BAR), ("lax", plain, None)):
      pair = candidates(function, *sizes)
      row = timing.compare(options, bar, options.length, **pair)
      rows.append({"work": name, "form": form, **row})
  timing.report("conv_scan", options, rows)


def plain(x, w, *, padding):
  """The library's convolution with the signature of `conv2d`."""
  return lax.conv_general_dilated(
      x,
      w, (1, 1), ((padding, padding),) * 2,
      dimension_numbers=("NHWC", "HWIO", "NHWC"))


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


def candidates(
    convolution, length, batch, side, channels, features, kernel,
    padding) -> dict:
  """`scan` and `top`: functions `() -> images, kernel`."""
  k_x, k_w = jax.random.split(jax.random.key(0))
  x = jax.random.normal(k_x, (batch, side, side, channels))
  w = jax.random.normal(k_w, (kernel, kernel, channels, features))
  w = w / (kernel**2 * channels)**0.5
  top, scan = chains(convolution, padding, length)
  return {"scan": lambda: scan(x, w), "top": lambda: top(x, w)}


if __name__ == "__main__":
  main()
