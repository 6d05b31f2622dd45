"""Activation functions that have a setting."""

import functools
from collections.abc import Callable

import jax

from distill_jax.types import Array


@functools.cache
def softplus(temperature: float = 60.0) -> Callable[[Array], Array]:
  """`x -> log(1 + exp(temperature x)) / temperature`: a smooth ReLU.

  It is for methods that differentiate a network's derivative with respect to
  its input, which a ReLU makes piecewise constant (RCIG, arXiv 2302.06755).
  Each temperature gives always the same function, so that equal networks
  compile only once.

  Args:
    temperature: positive; the larger it is, the closer the function is to a
      ReLU.
  """
  if not temperature > 0:
    raise ValueError(f"`temperature` must be positive; got {temperature}.")
  return lambda x: jax.nn.softplus(temperature * x) / temperature
