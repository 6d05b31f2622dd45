"""Convolution and pooling whose derivatives stay fast inside a loop.

Meta-gradients differentiate a network's gradient, inside `scan` and under
`vmap`. On a CPU, the backward pass of `lax.conv_general_dilated` is there 10 to
100 times slower than at top level. `conv2d` therefore has three forms with
equal results, and chooses one for the platform:

  direct     convolutions whose derivatives are convolutions in the same fast
             layout (`nn.direct`); stride 1 only. Fastest on a CPU from 32
             features on. There, with 256 images, it takes 0.5 to 0.7 of the
             time of `patches` for a forward pass, 0.5 for a step of
             distribution matching and 0.7 to 1 for a step of training.
  patches    shifted slices side by side, then one matrix product; derivatives
             are again slices and products. Fastest on a CPU with few features,
             and for results of at most 3 x 3 pixels, where a step of VGG11
             on 100 images takes a seventh of the time of the direct form.
  lax        JAX's own convolution. For accelerators.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

from distill_jax.environment import platform
from distill_jax.nn import direct
from distill_jax.types import Array

Shape = tuple[int, ...]
Padding = str | int | tuple[tuple[int, int], tuple[int, int]]
_MANY_FEATURES = 32
# For 512 features and 2 x 2 pixels, a convolution of XLA reaches 2 GFLOP/s on
# one core, and a product of matrices 200; for 4 x 4 pixels both reach 150.
_FEW_PIXELS = 9


def conv2d(
    x: Array,
    w: Array,
    *,
    stride: int | tuple[int, int] = 1,
    padding: Padding = "SAME",
    form: str | None = None) -> Array:
  """Two-dimensional convolution (as cross-correlation, usual for networks).

  Args:
    x: [B, H, W, C] images.
    w: [h, w, C, O] kernel, of the dtype of `x`.
    stride: one step or (vertical, horizontal).
    padding: 'SAME', 'VALID', a number of pixels on every side, or
      ((top, bottom), (left, right)).
    form: 'direct', 'patches' or 'lax'; by default the fastest one on the
      platform that the computation is traced for.

  Returns:
    [B, H', W', O], of the dtype of `x`.

  Raises:
    ValueError: shapes that do not fit, an unknown padding or form, or a stride
      other than 1 in direct form.
  """
  if x.ndim != 4 or w.ndim != 4 or x.shape[3] != w.shape[2]:
    raise ValueError(
        "`x` and `w` must be [B, H, W, C] and [h, w, C, O] with equal C; got "
        f"{x.shape} and {w.shape}.")
  stride = _pair(stride)
  pads = _pads(x.shape[1:3], w.shape[:2], stride, padding)
  size = tuple(
      s + lo + hi for s, (lo, hi) in zip(x.shape[1:3], pads, strict=True))
  if size[0] < w.shape[0] or size[1] < w.shape[1]:
    raise ValueError(
        f"`w` must fit into the padded image of {size} pixels; got "
        f"{w.shape[:2]}. Use larger images or more padding.")
  form = form or _fastest(size, w.shape, stride)
  if form not in _FORMS:
    raise ValueError(f"`form` must be one of {sorted(_FORMS)}; got {form!r}.")
  return _FORMS[form](x, w, stride, pads)


def _fastest(size: Shape, kernel: Shape, stride: Shape) -> str:
  """The fastest form for padded images of `size`, and the shape of a kernel."""
  if platform() != "cpu":
    return "lax"
  if stride != (1, 1) or kernel[3] < _MANY_FEATURES:
    return "patches"
  height, width = (s - k + 1 for s, k in zip(size, kernel[:2], strict=True))
  return "direct" if height * width > _FEW_PIXELS else "patches"


def max_pool(
    x: Array,
    window: int,
    *,
    stride: int | None = None,
    padding: int = 0) -> Array:
  """Largest value of each window: [B, H, W, C] -> [B, H', W', C].

  Equal largest values share the gradient. `relu(max_pool(x))` equals
  `max_pool(relu(x))` and is faster, as fewer values are rectified.

  Args:
    x: images.
    window: side of a window in pixels.
    stride: pixels from one window to the next; by default `window`.
    padding: pixels of -inf on every side.
  """
  stride = stride or window
  if stride == window and not padding:
    return _tiles(x, window).max((2, 4))
  x = _pad(x, ((padding, padding),) * 2, value=-jnp.inf)
  slices = _shifted(x, (window, window), (stride, stride))
  return functools.reduce(jnp.maximum, slices)


def avg_pool(x: Array, window: int) -> Array:
  """Mean of each tile: [B, H, W, C] -> [B, H // window, W // window, C].

  Args:
    x: images; rows and columns beyond the last whole tile are left out.
    window: side of a tile in pixels.
  """
  return _tiles(x, window).mean((2, 4))


def _tiles(x: Array, window: int) -> Array:
  """Non-overlapping tiles [B, H', window, W', window, C]; borders are dropped.

  On a CPU, the backward pass of a reduction over tiles takes a third less time
  than that of one over strided slices (LeNet, 1,024 images: 87 ms against 130
  ms in total).
  """
  height, width = (s // window for s in x.shape[1:3])
  x = x[:, :height * window, :width * window]
  return x.reshape(len(x), height, window, width, window, x.shape[3])


def _pair(value) -> tuple[int, int]:
  return (value, value) if isinstance(value, int) else tuple(value)


def _pads(size, window, stride, padding: Padding):
  """Padding as ((top, bottom), (left, right))."""
  if isinstance(padding, str):
    if padding not in ("SAME", "VALID"):
      raise ValueError(
          f"`padding` must be 'SAME', 'VALID' or pixels; got {padding!r}.")
    return tuple(lax.padtype_to_pads(size, window, stride, padding))
  if isinstance(padding, int):
    return ((padding, padding),) * 2
  return tuple(tuple(side) for side in padding)


def _pad(x: Array, pads, value=0.0) -> Array:
  if pads == ((0, 0), (0, 0)):
    return x
  return jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def _shifted(x: Array, window, stride) -> list[Array]:
  """The h * w strided slices of x that a window sees, row by row."""
  height, width = (
      (s - k) // t + 1
      for s, k, t in zip(x.shape[1:3], window, stride, strict=True))
  return [
      x[:, i:i + (height - 1) * stride[0] + 1:stride[0],
        j:j + (width - 1) * stride[1] + 1:stride[1]]
      for i in range(window[0])
      for j in range(window[1])
  ]


def _patches(x: Array, w: Array, stride, pads) -> Array:
  (height, width), x = w.shape[:2], _pad(x, pads)
  if x.shape[3] < direct.FEW_CHANNELS:
    # Rows of the window first, so that most copies are of `width` pixels: a few
    # channels only would be copied number by number.
    rows = jnp.concatenate(_shifted(x, (1, width), (1, stride[1])), axis=-1)
    slices = _shifted(rows, (height, 1), (stride[0], 1))
  else:
    slices = _shifted(x, (height, width), stride)
  columns = jnp.concatenate(slices, axis=-1)  # [B, H', W', h * w * C]
  # One product of matrices: with four axes, the gradient of w would be slow.
  y = columns.reshape(-1, columns.shape[3]) @ w.reshape(-1, w.shape[3])
  return y.reshape(*columns.shape[:3], w.shape[3])


def _lax(x: Array, w: Array, stride, pads) -> Array:
  return direct.plain(x, w, pads=pads, stride=stride)


def _direct(x: Array, w: Array, stride, pads) -> Array:
  if stride != (1, 1):
    raise ValueError(f"`stride` must be 1 in direct form; got {stride}.")
  return direct.convolve(x, w, pads)


_FORMS: dict[str, Callable] = {
    "direct": _direct,
    "patches": _patches,
    "lax": _lax
}
