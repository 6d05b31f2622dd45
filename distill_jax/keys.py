"""Random keys that users give."""

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.errors import ConfigError


def check_key(key, name: str = "key") -> None:
  """Refuses what is not one random key, an integer above all.

  Args:
    key: what a user gave.
    name: of the argument.

  Raises:
    ConfigError: anything but a typed key or the two numbers of an older one.
  """
  dtype, shape = getattr(key, "dtype", None), np.shape(key)
  typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
  if (typed and shape == ()) or (dtype == np.uint32 and shape == (2,)):
    return
  what = f"{type(key).__name__} {key!r}" if np.isscalar(key) else (
      f"{type(key).__name__} of shape {shape}")
  raise ConfigError(
      f"`{name}` must be a random key, such as jax.random.key(0); got {what}.")
