"""Kernels of infinitely wide ReLU networks, in closed form.

The NNGP is the covariance of the outputs of such a network at initialisation;
the NTK governs its training by gradient descent (Lee et al., "Deep Neural
Networks as Gaussian Processes", 2017, arXiv 1711.00165; Jacot, Gabriel &
Hongler, "Neural Tangent Kernel", 2018, arXiv 1806.07572; with convolutions
Novak et al., 2018, arXiv 1810.05148, and Arora et al., 2019, arXiv 1904.11955).
Layer by layer, with K the NNGP, T the NTK, and w^2 and b^2 the variances of
weights and biases:

  affine   K <- w^2 A(K) + b^2,   T <- K + w^2 A(T)
  ReLU     K <- (r + (pi - a) K) / 2 pi,   T <- T (pi - a) / 2 pi
           a the angle of K in the variances v v',  r = sqrt(v v' - K^2)

A is the identity for dense layers and the mean over a window for convolutions.
Every factory returns `kernel_fn(x1, x2) -> [n1, n2]` with an attribute `spec`,
its specification; see `models`. Without pooling, a convolution needs only the
covariance of equal pixels, H W numbers per pair of images. Pooling needs that
of all pairs of pixels, (H W)^2 numbers: see `tiles`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from distill_jax.specification import specified
from distill_jax.types import Array, Kernel

_KINDS = ("nngp", "ntk")
_ROUNDING = 32  # in epsilons; inputs whose cosine is this near 1 are parallel


class Covariances(NamedTuple):
  """The covariances of two batches at a layer.

  Attributes:
    nngp: [n1, n2, *space], K.
    ntk: T, of the same shape.
    first: [n1, *space], variances of the first batch.
    second: [n2, *space], variances of the second batch.
  """

  nngp: Array
  ntk: Array
  first: Array
  second: Array


Layer = Callable[[Covariances], Covariances]
# In specifications `get` is called `kind`, as configurations have a method
# `get`.
_specified = specified(
    lambda name, settings: {
        "name": "kernel_ridge",
        "kernel": name,
        "kind": settings.pop("get"),
        **settings
    })


@_specified
def fully_connected(
    depth: int,
    *,
    get: str = "ntk",
    weight_std: float = np.sqrt(2),
    bias_std: float = 0.1) -> Kernel:
  """Kernel of `depth` hidden dense ReLU layers on flattened inputs.

  Args:
    depth: number of hidden layers, at least 0; 0 is a linear model.
    get: "ntk" or "nngp".
    weight_std: w of every layer, times fan_in^-1/2.
    bias_std: b of every layer.
  """
  affine = _checked(depth, get, weight_std, bias_std)
  layers = [affine(_same), _relu] * depth + [affine(_same)]

  def start(x1, x2):
    return _dense_start(*(x.reshape(len(x), -1) for x in (x1, x2)))

  return _kernel(start, layers, get)


@_specified
def convolutional(
    depth: int,
    *,
    size: int = 3,
    get: str = "ntk",
    weight_std: float = np.sqrt(2),
    bias_std: float = 0.1) -> Kernel:
  """Kernel of `depth` convolutions with ReLU, then flatten and dense.

  Strides are 1 and padding is SAME. Memory and time are linear in the pixels.

  Args:
    depth: number of convolutions, at least 1.
    size: side of their windows, odd.
    get: "ntk" or "nngp".
    weight_std: w of every layer, times fan_in^-1/2.
    bias_std: b of every layer.

  Returns:
    A kernel of images [n, H, W, C].
  """
  affine = _checked(depth, get, weight_std, bias_std, size)
  conv = affine(lambda x: _window_mean(x, size, (-2,), (-1,)))
  layers = [conv, _relu] * depth + [_everywhere(_pixel_mean), affine(_same)]
  return _kernel(_pixel_start, layers, get)


@_specified
def convolutional_pooled(
    depth: int,
    *,
    size: int = 3,
    pool: int = 2,
    before: int = 0,
    global_pool: bool = False,
    get: str = "ntk",
    weight_std: float = np.sqrt(2),
    bias_std: float = 0.1) -> Kernel:
  """Kernel of a ConvNet: blocks of convolution, ReLU and average pooling.

  The blocks are followed by flattening, or the mean over space, and a dense
  layer. Memory and time are quadratic in the pixels.

  Args:
    depth: number of blocks, at least 1.
    size: side of the convolutions' windows, odd.
    pool: side and stride of the pooling; it must divide the images' sides
      `depth` times.
    before: number of convolutions with ReLU before the blocks; 1 for the main
      network of Nguyen et al., 2021, arXiv 2107.13034.
    global_pool: whether to take the mean over space in place of flattening.
    get: "ntk" or "nngp".
    weight_std: w of every layer, times fan_in^-1/2.
    bias_std: b of every layer.

  Returns:
    A kernel of images [n, H, W, C].
  """
  affine = _checked(depth, get, weight_std, bias_std, size)
  _check_count("pool", pool, 1)
  _check_count("before", before, 0)

  # Both pixels of a pair move together.
  conv = affine(lambda x: _window_mean(x, size, (-4, -2), (-3, -1)))
  halve = _everywhere(lambda x: _pair_pool(x, pool))
  flatten = _everywhere(_all_pairs_mean if global_pool else _equal_pairs_mean)
  layers = ([conv, _relu_of_pairs] * before +
            [conv, _relu_of_pairs, halve] * depth +
            [flatten, affine(_same)])

  def start(x1, x2):
    for x in (x1, x2):
      if x.ndim == 4 and any(side % pool**depth for side in x.shape[1:3]):
        raise ValueError(
            f"`x1` and `x2` must have sides that {pool} divides {depth} times; "
            f"got {x.shape}. Pad them, or lower `depth`.")
    return _pair_start(x1, x2)

  return _kernel(start, layers, get)


def _kernel(start, layers: list[Layer], get: str) -> Kernel:

  def kernel_fn(x1: Array, x2: Array) -> Array:
    if x1.shape[1:] != x2.shape[1:]:
      raise ValueError(
          "`x1` and `x2` must hold inputs of one shape; got "
          f"{x1.shape[1:]} and {x2.shape[1:]}.")
    covariances = start(x1, x2)
    for layer in layers:
      covariances = layer(covariances)
    return getattr(covariances, get)

  return kernel_fn


def _checked(depth, get, weight_std, bias_std, size=None):
  """Checks the settings of a kernel; returns its affine layers."""
  _check_count("depth", depth, 0 if size is None else 1)
  if size is not None and (size < 1 or size % 2 == 0):
    raise ValueError(f"`size` must be odd and positive; got {size}.")
  if get not in _KINDS:
    raise ValueError(f"`get` must be one of {', '.join(_KINDS)}; got {get!r}.")
  if not weight_std > 0 or not bias_std >= 0:
    raise ValueError(
        "`weight_std` must be positive and `bias_std` at least 0; got "
        f"{weight_std} and {bias_std}.")
  weights, biases = float(weight_std)**2, float(bias_std)**2

  def affine(mean: Callable[[Array], Array]) -> Layer:

    def layer(c: Covariances) -> Covariances:
      nngp, first, second = (
          weights * mean(x) + biases for x in (c.nngp, c.first, c.second))
      return Covariances(nngp, nngp + weights * mean(c.ntk), first, second)

    return layer

  return affine


def _check_count(name: str, value: int, least: int) -> None:
  if not isinstance(value, int | np.integer) or value < least:
    raise ValueError(
        f"`{name}` must be a whole number of at least {least}; got {value}.")


def _same(x: Array) -> Array:
  return x


def _everywhere(f: Callable[[Array], Array]) -> Layer:
  """A linear layer without weights."""
  return lambda c: Covariances(*map(f, c))


# Inputs, where T is 0.


def _dense_start(x1, x2):
  nngp = _product("id,jd->ij", x1, x2) / x1.shape[1]
  first, second = (jnp.square(x).mean(-1) for x in (x1, x2))
  return Covariances(nngp, jnp.zeros_like(nngp), first, second)


def _pixel_start(x1, x2):
  _check_images(x1)
  nngp = _product("ihwc,jhwc->ijhw", x1, x2) / x1.shape[-1]
  first, second = (jnp.square(x).mean(-1) for x in (x1, x2))
  return Covariances(nngp, jnp.zeros_like(nngp), first, second)


def _pair_start(x1, x2):
  _check_images(x1)
  channels = x1.shape[-1]
  nngp = _product("ihwc,jHWc->ijhwHW", x1, x2) / channels
  first, second = (
      _product("ihwc,iHWc->ihwHW", x, x) / channels for x in (x1, x2))
  return Covariances(nngp, jnp.zeros_like(nngp), first, second)


def _check_images(x):
  if x.ndim != 4:
    raise ValueError(f"`x1` must be images [n, H, W, C]; got {x.shape}.")


def _product(indices, a, b):
  return jnp.einsum(indices, a, b, precision=lax.Precision.HIGHEST)


# Linear layers over space.


def _window_mean(x: Array, size: int, *directions: tuple[int, ...]) -> Array:
  """Mean over `size` steps in each direction; zeros beyond the image.

  A direction is a tuple of axes that move together: one axis of an image, or
  the same axis of both pixels of a pair.
  """
  reach = size // 2
  for axes in directions:
    widths = [(0, 0)] * x.ndim
    for axis in axes:
      widths[axis] = (reach, reach)
    padded = jnp.pad(x, widths)
    total: Any = 0
    for offset in range(size):
      part = padded
      for axis in axes:
        end = offset + x.shape[axis]
        part = lax.slice_in_dim(part, offset, end, axis=axis)
      total = total + part
    x = total / size
  return x


def _pair_pool(x: Array, size: int) -> Array:
  """[..., H, W, H, W], pooled over windows of both pixels of a pair."""
  *batch, height, width, _, _ = x.shape
  h, w = height // size, width // size
  x = x.reshape(*batch, h, size, w, size, h, size, w, size)
  return x.mean((-7, -5, -3, -1))


def _pixel_mean(x: Array) -> Array:
  """[..., H, W] -> [...]."""
  return x.mean((-2, -1))


def _all_pairs_mean(x: Array) -> Array:
  """[..., H, W, H, W] -> [...]."""
  return x.mean((-4, -3, -2, -1))


def _equal_pairs_mean(x: Array) -> Array:
  """[..., H, W, H, W] -> [...], over pairs of one pixel with itself."""
  return _variances(x).mean((-2, -1))


def _variances(x: Array) -> Array:
  """[..., H, W, H, W] -> [..., H, W], the variances of single pixels."""
  *batch, height, width, _, _ = x.shape
  flat = x.reshape(*batch, height * width, height * width)
  return jnp.diagonal(flat, axis1=-2, axis2=-1).reshape(*batch, height, width)


# ReLU.


def _relu(c: Covariances) -> Covariances:
  """ReLU where only the variances of single pixels are needed."""
  nngp, slope = _expectations(c.nngp, c.first[:, None], c.second)
  return Covariances(nngp, c.ntk * slope, c.first / 2, c.second / 2)


def _relu_of_pairs(c: Covariances) -> Covariances:
  """ReLU where the covariances of all pairs of pixels are known."""

  def expectations(covariance, first, second):
    return _expectations(
        covariance, first[..., None, None], second[..., None, None, :, :])

  first, second = _variances(c.first), _variances(c.second)
  nngp, slope = expectations(c.nngp, first[:, None], second)
  return Covariances(
      nngp, c.ntk * slope,
      expectations(c.first, first, first)[0],
      expectations(c.second, second, second)[0])


@jax.custom_jvp
def _expectations(covariance: Array, first: Array,
                  second: Array) -> tuple[Array, Array]:
  """`E[relu(u) relu(v)]` and `E[relu'(u) relu'(v)]` of centred Gaussians.

  Args:
    covariance: covariance of u and v.
    first: variance of u, of a shape that broadcasts.
    second: variance of v.
  """
  return _arc(covariance, first * second)[:2]


@_expectations.defjvp
def _expectations_jvp(primals, tangents):
  """The derivative, also in closed form. At u = v the angle has no derivative;
  its part in that of a kernel is 0, as inputs and variances change together.
  """
  covariance, *variances = primals
  d_covariance, *d_variances = tangents
  nngp, slope, root = _arc(covariance, variances[0] * variances[1])
  apart = root > 0
  # The derivative of log sqrt(product), by the factors, which are small.
  by_product = sum(
      jnp.where(v > 0, d / (2 * jnp.where(v > 0, v, 1)), 0)
      for v, d in zip(variances, d_variances, strict=True))
  d_nngp = slope * d_covariance + root / (2 * np.pi) * by_product
  d_slope = (
      jnp.where(apart, 1 / (2 * np.pi) / jnp.where(apart, root, 1), 0) *
      (d_covariance - covariance * by_product))
  return (nngp, slope), (d_nngp, d_slope)


def _arc(covariance, product):
  """The two expectations, and `sqrt(product - covariance^2)`.

  The root is set to 0 if the two inputs differ only by rounding.
  """
  gap = product - covariance * covariance
  nothing = _ROUNDING * jnp.finfo(covariance.dtype).eps * product
  apart = gap > nothing
  safe = jnp.sqrt(jnp.where(apart, gap, 1))
  root = jnp.where(apart, safe, 0)
  # (pi - a) / 2 pi; arctan of one argument is faster than of two.
  slope = jnp.where(
      apart, 1 / 4 + jnp.arctan(covariance / safe) / (2 * np.pi),
      jnp.where(covariance < 0, 0, 1 / 2))
  return root / (2 * np.pi) + slope * covariance, slope, root
