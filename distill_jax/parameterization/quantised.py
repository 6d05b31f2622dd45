"""Quantised storage: the codes of another parameterization in 8, 4 or 2 bits.

The codes v of a group share a scale a and a minimum m, stored as float16:

    m = min, rounded down,   a = (max - m) / (2^b - 1)
    q = round((v - m) / a),   v' = m + a q

A group of equal values stays exact if float16 has that value, and otherwise
changes by less than 1e-5.

Decoding uses v' in place of v, and the gradient passes straight through, as if
v' were v (Bengio et al., "Estimating or Propagating Gradients Through
Stochastic Neurons", 2013, arXiv 1308.3432). Optimisers update float codes;
integers, scales and minima are computed from these at every step. Finished
distilled sets are quantised by patches in arXiv 2603.13346 (2026); QuADD, arXiv
2603.02411 (2026), quantises while distilling. Here levels are uniform: they are
not clustered, learned or entropy-coded.

The product a q has at most 19 significant bits, so that m + a q is rounded only
once, whether fused or not. Every program that reads the file therefore gets
exactly the v' on which the set was trained, bit for bit.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from distill_jax import specification
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError, shown
from distill_jax.types import Array, Parameterization, Spec

BITS = (8, 4, 2)
GROUPS = ("patch", "image", "channel", "tensor")
PATCH = 8


class Quantiser(NamedTuple):
  """How the values of an array are grouped, and the bits of each.

  Attributes:
    bits: 8, 4 or 2.
    group: which values share a scale and a minimum: "patch" (p x p pixels of an
      image, with all channels), "image" (a row along the first axis), "channel"
      (an entry of the last axis, in all rows) or "tensor" (the array). An array
      without four axes has no patches; its groups are rows. One with fewer
      than two axes is one group.
    patch: p, in pixels; the last patches of a side may be smaller.
  """

  bits: int = 8
  group: str = "patch"
  patch: int = PATCH

  def checked(self) -> "Quantiser":
    """The quantiser itself.

    Raises:
      ConfigError: a setting that is unknown or out of range.
    """
    if type(self.bits) is not int or self.bits not in BITS:
      raise ConfigError(f"`bits` must be 8, 4 or 2; got {shown(self.bits)}.")
    one_of(GROUPS, "group", self.group)
    if type(self.patch) is not int or not 1 <= self.patch <= 256:
      raise ConfigError(
          f"`patch` must be 1..256 pixels; got {shown(self.patch)}.")
    return self

  def groups(self, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Groups along each axis of an array."""
    if self.group == "tensor" or len(shape) < 2:
      return (1,) * len(shape)
    if self.group == "channel":
      return (*[1] * (len(shape) - 1), shape[-1])
    if self._in_patches(shape):
      return (
          shape[0], -(-shape[1] // self.patch), -(-shape[2] // self.patch), 1)
    return (shape[0], *[1] * (len(shape) - 1))

  def num_bytes(self, shape: tuple[int, ...]) -> int:
    """Number of bytes of a stored array of floats, without its shape."""
    groups = math.prod(self.groups(shape))
    return -(-math.prod(shape) * self.bits // 8) + 4 * groups

  def integers(self, values: Array) -> tuple[Array, Array, Array]:
    """Returns what is stored of an array of floats.

    Args:
      values: any shape, within the range of float16.

    Returns:
      q as uint8 in 0..2^b - 1, of the shape of the values; a and m as float16,
      of the shape `groups`.
    """
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    dtype, levels = values.dtype, 2**self.bits - 1
    minimum = _rounded_down(self._reduced(values, jnp.min))
    above = self._reduced(values, jnp.max) - minimum.astype(dtype)
    scale = (above / levels).astype(jnp.float16)
    step = self._spread(scale, values.shape).astype(dtype)
    offset = values - self._spread(minimum, values.shape).astype(dtype)
    q = jnp.where(step > 0, offset / jnp.where(step > 0, step, 1), 0)
    return jnp.clip(jnp.round(q), 0, levels).astype(jnp.uint8), scale, minimum

  def floats(
      self, q: Array, scale: Array, minimum: Array, dtype=jnp.float32) -> Array:
    """v' = m + a q, from the result of `integers`."""
    step, least = (
        self._spread(part, q.shape).astype(jnp.promote_types(dtype, "float32"))
        for part in (scale, minimum))
    return (least + step * q.astype(step.dtype)).astype(dtype)

  def rounded(self, values: Array) -> Array:
    """v' of floats v, with the gradient of v; integers stay unchanged.
    """
    if not jnp.issubdtype(values.dtype, jnp.floating):
      return values

    @jax.custom_jvp
    def straight(values):
      return self.floats(*self.integers(values), values.dtype)

    straight.defjvps(lambda tangent, primal, values: tangent)
    return straight(values)

  def _in_patches(self, shape) -> bool:
    return self.group == "patch" and len(shape) == 4

  def _reduced(self, values, reduce):
    """Reduces each group to one value, [*groups]."""
    groups, size = self.groups(values.shape), self.patch
    if not self._in_patches(values.shape):
      axes = tuple(i for i, n in enumerate(groups) if n == 1)
      return reduce(values, axes, keepdims=True).reshape(groups)
    _, tall, wide, _ = groups
    rows, height, width, channels = values.shape
    # Repeats the last row and column, which adds no new extremes to a patch.
    padding = ((0, 0), (0, size * tall - height), (0, size * wide - width),
               (0, 0))
    patches = jnp.pad(values, padding,
                      "edge").reshape(rows, tall, size, wide, size, channels)
    return reduce(patches, (2, 4, 5)).reshape(groups)

  def _spread(self, groups, shape):
    """Expands the value of each group to its entries, up to broadcasting."""
    if not self._in_patches(shape):
      return groups
    groups = jnp.repeat(groups, self.patch, 1)[:, :shape[1]]
    return jnp.repeat(groups, self.patch, 2)[:, :, :shape[2]]


def _rounded_down(values):
  """Rounds down to float16, so that the levels above reach all values."""
  half = values.astype(jnp.float16)
  below = jnp.nextafter(half, jnp.float16(-jnp.inf))
  return jnp.where(half.astype(values.dtype) > values, below, half)


def quantised(
    inner: Parameterization | Mapping | Spec | str | None = None,
    *,
    bits: int = 8,
    group: str = "patch",
    patch: int = PATCH) -> Parameterization:
  """Stores the codes of another parameterization in few bits.

  Every array of floats among its codes is quantised, including its decoder.
  While the set is learned, codes are floats. The artifact stores integers and
  scales in their place; if the inner parameterization has no specification, it
  stores the floats.

  Args:
    inner: the parameterization that is quantised, or its name or specification;
      `pixels` by default.
    bits: bits per value, 8, 4 or 2.
    group: which values share a scale and a minimum: "patch", "image", "channel"
      or "tensor"; see `Quantiser`.
    patch: side of a patch in pixels, 1..256.

  Raises:
    ConfigError: a setting is unknown or out of range, or `inner` is quantised.

  Example:
    stored = quantised({"name": "multi_formation", "factor": 2}, bits=4)
  """
  from distill_jax.parameterization import from_spec

  quantiser = Quantiser(bits, group, patch).checked()
  if not isinstance(inner, Parameterization):
    inner = from_spec(_spec(inner))
  if dict(inner.spec).get("name") == "quantised":
    raise ConfigError(
        "`inner` must be a parameterization of floats; got quantised.")
  settings = dict(inner=inner.spec, **quantiser._asdict())

  def decode(codes):
    return inner.decode(jax.tree.map(quantiser.rounded, codes))

  return inner._replace(
      decode=decode,
      # Rows can be separated only if they have scales of their own.
      separates_classes=inner.separates_classes and group in ("patch", "image"),
      spec=specification.frozen(dict(name="quantised", **settings))
      if inner.spec else ())


def _spec(inner) -> dict:
  if inner is None or isinstance(inner, str):
    return {"name": inner or "pixels"}
  try:
    return dict(inner)
  except (TypeError, ValueError):
    raise ConfigError(
        "`inner` must be a parameterization, its name or its specification; "
        f"got {shown(inner)}.") from None
