"""Targets that are no classes are refused. Given: data `x`, numbers `y`."""

import distill_jax as dd

try:
  dd.from_arrays(x, y)
except dd.DataError as error:
  message = str(error)
