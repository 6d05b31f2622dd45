"""Parses options in a text, such as those after `--config=FILE:`.

`fixed,images=5` is two options: a name without a value is a switch,
`name=value` takes the type of its default, and `a.b=value` sets a nested field.
The error for an unknown name lists the known ones and the nearest.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError, shown


def parse(
    text: str | None,
    flag: str = "--config",
    hint: str = "",
    **defaults) -> SimpleNamespace:
  """Returns options as attributes.

  Args:
    text: comma-separated options; None or empty for none.
    flag: the flag that they were given to, for errors.
    hint: text at the end of the error for an unknown option.
    **defaults: every known option with its default, whose type is the option's
      type; None stands for a text.

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
  """Converts `{"a.b": 1}` to `{"a": {"b": 1}}`.

  Raises:
    ConfigError: both `a` and `a.b` have a value.
  """
  document: dict[str, Any] = {}
  for name, value in values.items():
    *path, last = name.split(".")
    inner = document
    for part in path:
      inner = inner.setdefault(part, {})
      if not isinstance(inner, dict):
        raise ConfigError(
            f"{shown(name)} must not be set where {part!r} has a value of its "
            f"own; got {shown(inner)}. Leave one of them out.")
    if isinstance(inner.get(last), dict):
      raise ConfigError(
          f"{shown(name)} must not be set where fields of it are; got "
          f"{shown(value)}. Leave one of them out.")
    inner[last] = value
  return document


def recipe(text: str) -> dict[str, Any]:
  """The recipe `NAME[:field=value,...]`, with only the given fields.

  Raises:
    ConfigError: an unknown name or field.
  """
  from distill_jax.evaluation import recipes

  name, _, fields = text.partition(":")
  defaults = recipes.from_spec(dict(name=name)).spec
  del defaults["name"]
  chosen = vars(parse(fields, "--recipe", **defaults))
  return dict(name=name, **{field: chosen[field] for field in named(fields)})


def settings(items: Sequence[str], flag: str = "--set") -> dict[str, Any]:
  """Converts `a=1` and `b.c=text` to nested settings.

  If a name is given twice, its last value counts.

  Raises:
    ConfigError: an item has no name or no value.
  """
  values = {}
  for item in items:
    name, mark, text = item.partition("=")
    if not name or not mark:
      raise ConfigError(f"`{flag}` must be NAME=VALUE; got {shown(item)}.")
    values[name.strip()] = value(text.strip())
  return nested(values)


def value(text: str):
  """The value of a text: JSON, a Python literal, or else the text itself."""
  for read in json.loads, ast.literal_eval:
    try:
      return read(text)
    except (RecursionError, SyntaxError, TypeError, ValueError):
      continue
  return text


def _items(text: str | None):
  return [
      item.strip().partition("=")
      for item in (text or "").split(",")
      if item.strip()
  ]
