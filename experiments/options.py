"""The options after the colon of `--config=FILE:options` and its like.

`fixed,images=5` is two options: a bare name is a switch, `name=value` takes
the type of its default, `a.b=value` goes into a nested field. An unknown name
is an error that lists the known ones and the nearest.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError, shown


def parse(
    text: str | None,
    flag: str = "--config",
    hint: str = "",
    **defaults) -> SimpleNamespace:
  """Options as attributes.

  Args:
    text: comma-separated options; None or empty for none.
    flag: that they were given to, for errors.
    hint: what the error for an unknown option ends with.
    **defaults: every known option with its default; its type is the option's,
      text where the default is None.

  Raises:
    ConfigError: an unknown option, or a value of another type.
  """
  values = dict(defaults)
  for name, given, value in _items(text):
    try:
      one_of(list(defaults), f"{flag} option", name)
    except ConfigError as error:
      raise ConfigError(f"{error}{hint}") from None
    default = defaults[name]
    kind = str if default is None else type(default)
    if kind is bool:
      if given and value.lower() not in ("true", "false"):
        raise ConfigError(
            f"`{flag}` option {name!r} is a switch; got {shown(value)}. Write "
            f"{name} or {name}=false.")
      values[name] = value.lower() != "false"
      continue
    try:
      values[name] = kind(value)
    except ValueError:
      raise ConfigError(
          f"`{flag}` option {name!r} takes a value of type {kind.__name__}; "
          f"got {shown(value)}. Write {name}={default}.") from None
  return SimpleNamespace(**values)


def named(text: str | None) -> set[str]:
  """Names of the options that were given."""
  return {name for name, _, _ in _items(text)}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
  """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
  document: dict[str, Any] = {}
  for name, value in values.items():
    *path, last = name.split(".")
    inner = document
    for part in path:
      inner = inner.setdefault(part, {})
    inner[last] = value
  return document


def _items(text: str | None):
  return [
      item.strip().partition("=")
      for item in (text or "").split(",")
      if item.strip()
  ]
