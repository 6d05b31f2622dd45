"""Activations with a setting, for networks that take theirs as an argument."""

import functools
from collections.abc import Callable

import jax

from distill_jax.types import Array


@functools.cache
def softplus(temperature: float = 60.0) -> Callable[[Array], Array]:
  """`x -> log(1 + exp(temperature x)) / temperature`: a ReLU with curvature.

  For methods that differentiate a network's derivative by its input, which a
  ReLU makes piecewise constant (RCIG, arXiv 2302.06755). One function for each
  temperature, so that equal networks compile once.

  Args:
    temperature: positive; the larger, the closer to a ReLU.
  """
  if not temperature > 0:
    raise ValueError(f"`temperature` must be positive; got {temperature}.")
  return lambda x: jax.nn.softplus(temperature * x) / temperature
