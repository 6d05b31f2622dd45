"""Convolution as two operations, each of which is the derivative of the other.

On a CPU, `lax.conv_general_dilated` is fast in the forward pass. Its
derivatives are convolutions in layouts for which XLA has only slow code there,
and `vmap` over kernels makes a grouped convolution of it, which is also slow.
With

  convolve   y[b, i, j, o] = sum over p, q, c: x[b, i+p, j+q, c] w[p, q, c, o]
  correlate  k[p, q, c, o] = sum over b, i, j: x[b, i+p, j+q, c] g[b, i, j, o]

the derivatives of both are again these two operations. They can be
differentiated in forward and reverse mode to any order, and stay in the fast
layout. Under `vmap`, an operand that all items share is folded into one
operation; otherwise items are computed one after the other.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from distill_jax.types import Array

Pads = tuple[tuple[int, int], ...]  # of rows and columns
# With fewer channels than this, a matrix product has too few rows to be fast.
FEW_CHANNELS = 16


def convolve(x: Array, w: Array, pads: Pads) -> Array:
  """Convolution of stride 1: [B, H, W, C], [h, w, C, O] -> [B, H', W', O].

  Args:
    x: images.
    w: kernel.
    pads: ((top, bottom), (left, right)) pixels; negative ones crop.
  """
  return _convolve.bind(x, w, pads=pads)


def correlate(x: Array, g: Array, pads: Pads) -> Array:
  """Derivative by the kernel: [B, H, W, C], [B, H', W', O] -> [h, w, C, O].

  Args:
    x: images.
    g: cotangent of the convolved images.
    pads: padding of the convolution.
  """
  return _correlate.bind(x, g, pads=pads)


def plain(x: Any, w: Any, *, pads: Pads, stride=(1, 1)) -> Array:
  """JAX's own convolution of images [B, H, W, C] and a kernel [h, w, C, O]."""
  return lax.conv_general_dilated(
      x, w, stride, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _summed(x: Array, g: Array, *, pads: Pads) -> Array:
  """`correlate`, with images and channels swapped unless channels are few.
  """
  if x.shape[3] >= FEW_CHANNELS:
    swapped = plain(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), pads=pads)
    return swapped.transpose(1, 2, 0, 3)
  height, width = _kernel_size(x, g, pads)
  x = lax.pad(
      x, jnp.zeros((), x.dtype),
      ((0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)))
  rows = jnp.concatenate([x[:, :, q:q + g.shape[2]] for q in range(width)],
                         axis=-1)
  flat = g.reshape(-1, g.shape[3])
  products = [
      rows[:, p:p + g.shape[1]].reshape(-1, rows.shape[3]).T @ flat
      for p in range(height)
  ]
  return jnp.stack(products).reshape(height, width, x.shape[3], g.shape[3])


def _kernel_size(x, g, pads: Pads) -> tuple[int, int]:
  return _slots(x.shape[1:3], g.shape[1:3], pads)


def _slots(size, window, pads: Pads) -> tuple[int, int]:
  """Rows and columns of positions that a window can take in padded images."""
  height, width = (
      s + sum(pad) - w + 1
      for s, w, pad in zip(size, window, pads, strict=True))
  return height, width


def _transposed(g: Array, w: Array, pads: Pads) -> Array:
  """The cotangent of the images of `convolve(x, w)`."""
  reach = tuple((size - 1 - lo, size - 1 - hi)
                for size, (lo, hi) in zip(w.shape[:2], pads, strict=True))
  return convolve(g, jnp.flip(w, (0, 1)).swapaxes(2, 3), reach)


def _primitive(
    name: str, function: Callable, shape: Callable, by_first, by_second,
    batched: Callable) -> Primitive:
  """An operation that is linear in each of two operands.

  Args:
    name: name in traces and errors.
    function: `(x, y, *, pads) -> result`, how it is computed.
    shape: `(x, y, pads) -> shape` of the result.
    by_first: `(cotangent, x, y, *, pads)`, the cotangent of the first operand;
      of that operand, only the shape may be used.
    by_second: likewise for the second operand.
    batched: `(x, y, x_axis, y_axis, pads) -> result, axis`.
  """
  made = Primitive(name)
  made.def_impl(function)
  made.def_abstract_eval(
      lambda x, y, *, pads: ShapedArray(shape(x, y, pads), x.dtype))
  mlir.register_lowering(made, mlir.lower_fun(function, multiple_results=False))
  ad.defbilinear(made, by_first, by_second)
  batching.primitive_batchers[made] = (
      lambda operands, axes, *, pads: batched(*operands, *axes, pads))
  return made


def _convolve_batched(x, w, x_axis, w_axis, pads):
  if w_axis is None:  # one batch with the images of all items
    x = jnp.moveaxis(x, x_axis, 0)
    found = convolve(x.reshape(-1, *x.shape[2:]), w, pads)
    return found.reshape(*x.shape[:2], *found.shape[1:]), 0
  w = jnp.moveaxis(w, w_axis, -2)  # [h, w, C, N, O]
  if x_axis is None:  # one kernel with the outputs of all items
    found = convolve(x, w.reshape(*w.shape[:3], -1), pads)
    return found.reshape(*found.shape[:3], *w.shape[3:]), 3
  return _one_by_one(convolve, x, jnp.moveaxis(w, -2, 0), x_axis, 0, pads)


def _correlate_batched(x, g, x_axis, g_axis, pads):
  if g_axis is None:  # one batch with the channels of all items
    x = jnp.moveaxis(x, x_axis, -2)
    found = correlate(x.reshape(*x.shape[:3], -1), g, pads)
    return found.reshape(*found.shape[:2], *x.shape[3:], found.shape[3]), 2
  if x_axis is None:
    g = jnp.moveaxis(g, g_axis, -2)
    found = correlate(x, g.reshape(*g.shape[:3], -1), pads)
    return found.reshape(*found.shape[:3], *g.shape[3:]), 3
  return _one_by_one(correlate, x, g, x_axis, g_axis, pads)


def _one_by_one(function, x, y, x_axis, y_axis, pads):
  operands = jnp.moveaxis(x, x_axis, 0), jnp.moveaxis(y, y_axis, 0)
  return lax.map(lambda pair: function(*pair, pads), operands), 0


_convolve = _primitive(
    "convolve", plain, lambda x, w, pads:
    (x.shape[0], *_slots(x.shape[1:3], w.shape[:2], pads), w.shape[3]),
    lambda g, x, w, *, pads: _transposed(g, w, pads),
    lambda g, x, w, *, pads: correlate(x, g, pads), _convolve_batched)
_correlate = _primitive(
    "correlate", _summed, lambda x, g, pads:
    (*_kernel_size(x, g, pads), x.shape[3], g.shape[3]),
    lambda k, x, g, *, pads: _transposed(g, k, pads),
    lambda k, x, g, *, pads: convolve(x, k, pads), _correlate_batched)
