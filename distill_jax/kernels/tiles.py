"""Gram matrices computed in tiles, with exact gradients in tiles.

A kernel of images can need megabytes per pair, while a loss of the Gram matrix
is small linear algebra. The two are therefore separated. The matrix is computed
tile by tile, and nothing else is stored. The loss gives the cotangent g of the
matrix. Each tile is then computed once more, for the vector-Jacobian product
with its part of g:

    dx = sum over tiles of  (dk / dx)' g_tile

This needs the memory of one tile, whatever the size of the two sets.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp

from distill_jax.devices import num_shards
from distill_jax.kernels.closed_form import Kernel
from distill_jax.parallel import batch_map, value_bytes, working_memory
from distill_jax.specification import with_spec
from distill_jax.types import Array

_TILES = "rows of tiles"


def tiled(kernel_fn: Kernel, *, tile: tuple[int, int] | None = None) -> Kernel:
  """Returns the same kernel, which needs only the memory of one tile.

  It is differentiable once, in reverse mode. In addition to the tile, the Gram
  matrix, its cotangent and the inputs are in memory.

  Args:
    kernel_fn: `(x1, x2) -> [n1, n2]`.
    tile: maximal number of rows and columns of a tile; by default what suits
      the machine. A pair of sets that fits in one tile is computed directly.
  """
  if tile is not None and min(tile) < 1:
    raise ValueError(f"`tile` must be positive; got {tile}.")

  def sizes(x1, x2):
    """The size of a tile, with no more rows than one device's share."""
    rows, columns = tile or tile_size(kernel_fn, x1, x2)
    return min(rows, -(-len(x1) // num_shards())), columns

  @jax.custom_vjp
  def by_tiles(x1, x2):
    rows, columns = sizes(x1, x2)
    x1_tiles, x2_tiles = _inputs(x1, rows), _inputs(x2, columns)

    def row(a):
      parts = jax.lax.map(partial(kernel_fn, a), x2_tiles)  # [J, rows, columns]
      return jnp.moveaxis(parts, 0, 1).reshape(len(a), -1)

    gram = batch_map(row, x1_tiles, chunk=1, items=_TILES)
    return gram.reshape(-1, gram.shape[-1])[:len(x1), :len(x2)]

  def forward(x1, x2):
    # Inputs without a gradient are known now, and cost nothing later.
    wanted = tuple(() if x.perturbed else None for x in (x1, x2))
    return by_tiles(x1.value, x2.value), (x1.value, x2.value, wanted)

  def backward(residuals, cotangent):
    x1, x2, wanted = residuals
    rows, columns = sizes(x1, x2)
    x1_tiles, x2_tiles = _inputs(x1, rows), _inputs(x2, columns)
    blocks = _cotangents(cotangent, rows)  # [I, rows, n2]
    wanted_1, wanted_2 = (w is not None for w in wanted)

    def row(carry, item):
      a, block = item
      parts = _cotangents(block.T, columns).swapaxes(1, 2)

      def pair(d_a, item):
        b, part = item
        if wanted_1 and wanted_2:
          d_1, d_2 = jax.vjp(kernel_fn, a, b)[1](part)
          return d_a + d_1, d_2
        if wanted_1:
          return d_a + jax.vjp(lambda a: kernel_fn(a, b), a)[1](part)[0], ()
        return d_a, jax.vjp(partial(kernel_fn, a), b)[1](part)[0]

      d_a, d_x2 = jax.lax.scan(pair, jnp.zeros_like(a), (x2_tiles, parts))
      return (carry + d_x2 if wanted_2 else carry), d_a

    def share(items):
      start = jnp.zeros_like(x2_tiles) if wanted_2 else 0.0
      return jax.lax.scan(row, start, items)

    each = -(-len(blocks) // num_shards())
    items = _inputs(x1_tiles, each), _cotangents(blocks, each)
    d_x2, d_x1 = batch_map(share, items, chunk=1, items=_TILES)
    return (
        d_x1.reshape(-1, *x1.shape[1:])[:len(x1)] if wanted_1 else None,
        d_x2.sum(0).reshape(-1, *x2.shape[1:])[:len(x2)] if wanted_2 else None)

  by_tiles.defvjp(forward, backward, symbolic_zeros=True)

  def gram(x1: Array, x2: Array) -> Array:
    rows, columns = sizes(x1, x2)
    if len(x1) <= rows and len(x2) <= columns:
      return kernel_fn(x1, x2)
    return by_tiles(x1, x2)

  return with_spec(gram, getattr(kernel_fn, "spec", ()))


def tile_size(kernel_fn: Kernel, x1: Array, x2: Array) -> tuple[int, int]:
  """Rows and columns of a tile that suit the machine's memory.

  Args:
    kernel_fn: traced for a few pairs.
    x1: inputs, or their shapes.
    x2: likewise.
  """

  def bytes_of(rows, columns):
    shapes = (
        jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype)
        for x, n in ((x1, rows), (x2, columns)))
    return value_bytes(kernel_fn, *shapes)

  # Bytes are bilinear in rows and columns; the pairs take most of them.
  pair = bytes_of(2, 2) - bytes_of(1, 2) - bytes_of(2, 1) + bytes_of(1, 1)
  pairs = max(1, working_memory() // max(pair, 1))
  columns = max(1, min(x2.shape[0], math.isqrt(pairs)))
  return max(1, min(x1.shape[0], pairs // columns)), columns


def _inputs(x: Array, size: int) -> Array:
  """[n, ...] -> [n / size, size, ...]; the last input is repeated to fill."""
  return _cut(x, size, "edge")


def _cotangents(x: Array, size: int) -> Array:
  """[n, ...] -> [n / size, size, ...]; zeros fill the end."""
  return _cut(x, size, "constant")


def _cut(x, size, mode):
  missing = -len(x) % size
  x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1), mode)
  return x.reshape(-1, size, *x.shape[1:])
