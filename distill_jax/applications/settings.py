"""Checks of settings that several applications share, before any work."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill_jax.data.source import check_source
from distill_jax.errors import ConfigError, DataError, shown


def check_counts(**counts: Any) -> None:
  """Raises an error unless counts are whole numbers of at least 1."""
  for name, value in counts.items():
    _check_whole(name, value, 1)


def check_optional(**counts: Any) -> None:
  """Raises an error unless counts are whole numbers of at least 0."""
  for name, value in counts.items():
    _check_whole(name, value, 0)


def check_positive(**values: Any) -> None:
  """Raises an error unless values are finite numbers above 0."""
  for name, value in values.items():
    if not is_number(value):
      raise ConfigError(f"`{name}` must be a number; got {shown(value)}.")
    if not 0 < value < math.inf:
      raise ConfigError(f"`{name}` must be positive; got {value}.")


def check_switches(**values: Any) -> None:
  """Raises an error unless values are True or False."""
  for name, value in values.items():
    if not isinstance(value, bool):
      raise ConfigError(f"`{name}` must be True or False; got {shown(value)}.")


def check_seed(seed: Any) -> None:
  """Raises an error unless a seed is a whole number of at least 0."""
  _check_whole("seed", seed, 0)


def check_per_class(source, per_class: int) -> None:
  """Raises an error for more rows per class than the smallest class has."""
  check_counts(per_class=per_class)
  most = smallest_class(source)
  if per_class > most:
    raise ConfigError(
        "`per_class` must ask for at most the real samples of the smallest "
        f"class, {most:,}; got {per_class:,}. Ask for fewer.")


def smallest_class(source) -> int:
  """Number of training samples of the smallest class that has any."""
  counts = np.asarray(source.train.counts)
  return int(counts[counts > 0].min())


def check_tested(source) -> None:
  """Raises an error unless a value is a source with a test part.

  Raises:
    DataError: the message says how to add a test part.
  """
  check_source(source)
  if source.test is None or not source.test.num_samples:
    raise DataError(
        f"`source` must have a test part; {source.name} has none. Give x_test "
        "and y_test, or test_fraction=0.2.")


def listed(name: str, given: Any) -> tuple[Any, ...]:
  """Returns the entries of a list, which may be empty.

  Args:
    name: name of the setting, for messages.
    given: a list, a tuple, a range or an array.

  Raises:
    ConfigError: a single value, which may have been meant as the only entry.
  """
  if isinstance(given, np.ndarray):
    given = given.tolist()
  if isinstance(given, str) or not isinstance(given, Sequence):
    raise ConfigError(
        f"`{name}` must be a list; got {shown(given)}. Write {name}=[...], "
        "with all brackets and quotes closed.")
  return tuple(given)


def distinct(name: str, given: Any) -> tuple[Any, ...]:
  """Returns the entries of a list, which may be empty but not repeat one.

  Args:
    name: name of the setting, for messages.
    given: see `listed`.

  Raises:
    ConfigError: not a list, or a repeated entry.
  """
  entries = listed(name, given)
  for i, entry in enumerate(entries):
    if entry in entries[:i]:
      raise ConfigError(
          f"`{name}` must hold each entry once; got {shown(entry)} twice.")
  return entries


def specified(name: str, given: Any) -> dict[str, Any]:
  """Returns a specification `{"name": ..., settings}`.

  Args:
    name: name of the setting, for messages.
    given: the specification, or only its name.

  Raises:
    ConfigError: neither.
  """
  if isinstance(given, str):
    return {"name": given}
  if isinstance(given, Mapping) and isinstance(given.get("name"), str):
    return dict(given)
  raise ConfigError(
      f"`{name}` must be a name, or a mapping {{'name': ..., settings}}; got "
      f"{shown(given)}.")


def is_number(value: Any) -> bool:
  """Whether a value is a number; True and False are not."""
  number = isinstance(value, int | float | np.integer | np.floating)
  return number and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
  """Whether a value is a whole number; True and False are not."""
  return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_whole(name: str, value: Any, least: int) -> None:
  if not is_whole(value) or value < least:
    raise ConfigError(
        f"`{name}` must be a whole number of at least {least}; got "
        f"{shown(value)}.")
