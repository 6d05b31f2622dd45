"""Samples stored as they are: one code per sample, no decoder."""

import jax.numpy as jnp

from distill_jax.specification import specified
from distill_jax.types import Parameterization


@specified()
def pixels() -> Parameterization:
  """The plain parameterization: codes are the inputs [M, ...] themselves.

  Example:
    parameterization = dd.pixels()
  """

  def init(key, inputs):
    del key
    return inputs

  def decode(codes):
    return codes

  def owner(codes):
    return jnp.arange(codes.shape[0], dtype=jnp.int32)

  return Parameterization(init, decode, owner, separates_classes=True)
