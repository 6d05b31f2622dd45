"""Checks of random keys that users give."""

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.errors import ConfigError


def check_key(key, name: str = "key") -> None:
  """Raises an error unless a value is one random key.

  The most common mistake is an integer.

  Args:
    key: the value that a user gave.
    name: name of the argument, for messages.

  Raises:
    ConfigError: neither a typed key nor the two numbers of an older key.
  """
  dtype, shape = getattr(key, "dtype", None), np.shape(key)
  typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
  if (typed and shape == ()) or (dtype == np.uint32 and shape == (2,)):
    return
  what = f"{type(key).__name__} {key!r}" if np.isscalar(key) else (
      f"{type(key).__name__} of shape {shape}")
  raise ConfigError(
      f"`{name}` must be a random key, such as jax.random.key(0); got {what}.")
