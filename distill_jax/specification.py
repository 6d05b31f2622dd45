"""Specifications: a factory's name and JSON settings, and back.

    {"name": "convnet", "depth": 3, "width": 128, ...}

A record keeps its specification as a tuple of pairs, which is hashable.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from distill_jax.choices import nearest, one_of
from distill_jax.errors import ConfigError, shown
from distill_jax.types import Spec

# The least and the most of a setting's numbers; "" for all other settings. A
# file may claim anything: nothing larger is ever built.
LIMITS = {
    "": (-1e7, 1e7),
    **dict.fromkeys(("channels", "hidden", "width", "widths"), (1, 2**14)),
    **dict.fromkeys(("heads", "patch", "size", "windows"), (1, 256)),
    **dict.fromkeys(("depth", "num_layers"), (0, 256))
}
_MOST_ENTRIES = 256  # of a list of numbers
_KINDS = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: (int | float, "a number"),
    str: (str, "text"),
    tuple: (list | tuple, "a list")
}

Describe = Callable[[str, dict[str, Any]], Mapping[str, Any]]


def named(name: str, settings: dict[str, Any]) -> dict[str, Any]:
  """The usual form: the factory's name, then its settings."""
  return {"name": name, **settings}


def specified(describe: Describe = named) -> Callable[[Callable], Callable]:
  """Decorates a factory, whose products then carry their specification.

  Settings are the keyword-only arguments and those with a default, whether
  given or not. A product with a setting that is not a JSON value gets `()`.

  Args:
    describe: `(name, settings) -> specification`; raises `ConfigError` for a
      setting without a name.
  """

  def decorate(make: Callable) -> Callable:
    signature = inspect.signature(make)

    @functools.wraps(make)
    def specify(*args, **kwargs):
      product = make(*args, **kwargs)
      bound = signature.bind(*args, **kwargs)
      bound.apply_defaults()
      settings = dict(bound.arguments)
      settings.pop("num_outputs", None)
      try:
        spec = frozen(describe(make.__name__, settings))
      except ConfigError:
        spec = ()
      check_limits(make.__name__, dict(spec))
      return with_spec(product, spec)

    return specify

  return decorate


def with_spec(product, spec: Spec):
  """A record, or a function, that carries this specification."""
  if hasattr(product, "_replace"):
    return product._replace(spec=spec)
  product.spec = spec
  return product


def check(
    field: str, settings: Mapping[str, Any], defaults: Mapping[str,
                                                               Any]) -> None:
  """Refuses settings of another kind than their defaults, or out of limits.

  Args:
    field: what messages call the specification.
    settings: by name.
    defaults: by name; any kind will do where there is none.

  Raises:
    ConfigError: naming the setting.
  """
  for name, value in settings.items():
    default = defaults.get(name)
    kind = next((k for k in _KINDS if isinstance(default, k)), None)
    if kind is None:
      continue
    allowed, wanted = _KINDS[kind]
    odd = isinstance(value, bool) and kind is not bool
    if odd or not isinstance(value, allowed):
      raise ConfigError(
          f"`{name}` must be {wanted}; got {shown(value)} in `{field}`.")
    if kind is tuple and default and isinstance(value, list | tuple):
      for entry in value:
        check(field, {name: entry}, {name: default[0]})
  check_limits(field, settings)


def check_limits(field: str, settings: Mapping[str, Any]) -> None:
  """Refuses numbers out of `LIMITS`.

  Raises:
    ConfigError: naming the setting.
  """
  for name, value in settings.items():
    least, most = LIMITS.get(name, LIMITS[""])
    numbers = value if isinstance(value, list | tuple) else (value,)
    if len(numbers) > _MOST_ENTRIES:
      raise ConfigError(
          f"`{name}` of `{field}` must have at most {_MOST_ENTRIES} entries; "
          f"got {len(numbers):,}.")
    for number in numbers:
      if isinstance(number, int | float) and not least <= number <= most:
        raise ConfigError(
            f"`{name}` of `{field}` must be in [{least:,g}, {most:,g}]; got "
            f"{shown(number)}. specification.LIMITS has the limits.")


def build(factories: Mapping[str, Callable], field: str, spec, *args) -> Any:
  """What a factory makes of a specification.

  Args:
    factories: by name.
    field: what messages call the specification.
    spec: `{"name": ..., **settings}`.
    *args: the factory's positional arguments.

  Raises:
    ConfigError: an unknown name or setting, or one that is missing.
  """
  settings = dict(spec)
  name = settings.pop("name", None)
  make = one_of(factories, field, name)
  defaults = {
      p.name: None if p.annotation is p.empty else p.default
      for p in list(inspect.signature(make).parameters.values())[len(args):]
  }
  known = list(defaults)
  for setting in set(settings) - set(known):
    raise ConfigError(
        f"`{field}` {name!r} has no setting {setting!r}; it has "
        f"{', '.join(sorted(known)) or 'none'}.{nearest(known, setting)}")
  check(field, settings, defaults)
  try:
    return make(*args, **settings)
  except TypeError as error:
    raise ConfigError(f"`{field}` {name!r}: {error}.") from None


def frozen(spec: Mapping[str, Any] | Spec) -> Spec:
  """Pairs of names and values, lists as tuples.

  Raises:
    ConfigError: a value is not JSON's.
  """
  return tuple((name, _frozen(value)) for name, value in dict(spec).items())


def thawed(spec: Spec) -> dict[str, Any]:
  """A JSON object, tuples as lists."""
  return {name: _thawed(value) for name, value in spec}


def _frozen(value):
  if isinstance(value, np.ndarray | np.generic):
    value = value.tolist()
  if isinstance(value, list | tuple):
    return tuple(map(_frozen, value))
  if value is None or isinstance(value, bool | int | float | str):
    return value
  raise ConfigError(f"a specification must hold JSON values; got {value!r}.")


def _thawed(value):
  return list(map(_thawed, value)) if isinstance(value, tuple) else value
