"""One of several, by name."""

from distill_jax.errors import ConfigError

# Parameterizations whose codes are pixels, each of samples of one class.
OF_PIXELS = ("multi_formation", "pixels")


def one_of(known, field: str, value):
  """The entry of a dict, or the name itself of a sequence.

  Raises:
    ConfigError: not among the known; it lists them.
  """
  if value not in known:
    raise ConfigError(
        f"`{field}` must be one of {', '.join(sorted(known))}; got {value!r}."
    )
  return known[value] if isinstance(known, dict) else value
