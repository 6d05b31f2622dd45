"""Checks of names: one or several of those that are known."""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from distill_jax.errors import ConfigError, fitting, shown

_Function = TypeVar("_Function", bound=Callable[..., Any])


def arguments_by_name(function: _Function) -> _Function:
  """Decorates a function that refuses unknown keywords as `one_of` does."""
  known = [*inspect.signature(function).parameters]
  where = function.__qualname__.removesuffix(".__init__")

  @functools.wraps(function)
  def call(*args, **given):
    for name in given:
      if name not in known:
        raise ConfigError(
            f"`{where}` must have arguments among "
            f"{fitting([k for k in known if k != 'self'])}; got {shown(name)}."
            f"{nearest(known, name)}")
    return function(*args, **given)

  return call  # pyright: ignore[reportReturnType]


def one_of(known: Collection[str], field: str, value: Any) -> Any:
  """Returns the entry of a dict, or the name itself if `known` is a sequence.

  Args:
    known: names, or a dict by name.
    field: name of the argument, for messages.
    value: a name.

  Raises:
    ConfigError: an unknown name; the message lists the known names and the
      nearest.
  """
  if value in known:
    return known[value] if isinstance(known, dict) else value
  raise ConfigError(
      f"`{field}` must be one of {fitting(sorted(known))}; got "
      f"{shown(value)}.{nearest(known, value)}")


def some_of(known: Collection[str], field: str,
            given: str | Iterable[str]) -> tuple[str, ...]:
  """Returns the names of a comma-separated text or of a list.

  Args:
    known: the known names.
    field: name of the argument, for messages.
    given: names; empty ones are left out.

  Raises:
    ConfigError: an unknown name; see `one_of`.
  """
  names = given.split(",") if isinstance(given, str) else given
  return tuple(
      one_of(tuple(known), field, name)
      for name in filter(None, (name.strip() for name in names)))


def nearest(known: Collection[str], value: Any) -> str:
  """" Did you mean ...?" with the nearest name, to end a message; or "".

  Upper and lower case are alike.
  """
  names = {name.casefold(): name for name in known}
  found = difflib.get_close_matches(str(value).casefold(), names, n=1)
  return "".join(f" Did you mean {names[name]!r}?" for name in found)
