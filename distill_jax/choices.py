"""One or some of several, by name."""

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from distill_jax.errors import ConfigError, plain, shown


def one_of(known: Collection[str], field: str, value: Any) -> Any:
  """The entry of a dict, or the name itself of a sequence.

  Args:
    known: names, or a dict by name.
    field: what the message calls the value.
    value: a name.

  Raises:
    ConfigError: an unknown name; it lists the known ones and the nearest.
  """
  if value in known:
    return known[value] if isinstance(known, dict) else value
  raise ConfigError(
      f"`{field}` must be one of {plain(', '.join(sorted(known)), 160)}; got "
      f"{shown(value)}.{nearest(known, value)}")


def some_of(known: Collection[str], field: str,
            given: str | Iterable[str]) -> tuple[str, ...]:
  """Names of a text with commas between them, or of a list.

  Args:
    known: names.
    field: what the message calls them.
    given: names, of which empty ones are left out.

  Raises:
    ConfigError: an unknown name; see `one_of`.
  """
  names = given.split(",") if isinstance(given, str) else given
  return tuple(
      one_of(tuple(known), field, name)
      for name in filter(None, (name.strip() for name in names)))


def nearest(known: Collection[str], value: Any) -> str:
  """The end of a message that asks for the nearest name; "" without one."""
  found = difflib.get_close_matches(str(value), known, n=1)
  return "".join(f" Did you mean {name!r}?" for name in found)
