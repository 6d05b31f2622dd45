"""Checks of settings that several harnesses share, before any work."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill_jax.data.source import check_source
from distill_jax.errors import ConfigError, DataError, shown


def check_counts(**counts: Any) -> None:
  """Refuses counts that are not whole numbers of at least 1."""
  for name, value in counts.items():
    _check_whole(name, value, 1)


def check_optional(**counts: Any) -> None:
  """Refuses counts that are not whole numbers of at least 0, which is none."""
  for name, value in counts.items():
    _check_whole(name, value, 0)


def check_positive(**values: Any) -> None:
  """Refuses what is not a finite number above 0."""
  for name, value in values.items():
    if not is_number(value):
      raise ConfigError(f"`{name}` must be a number; got {shown(value)}.")
    if not 0 < value < math.inf:
      raise ConfigError(f"`{name}` must be positive; got {value}.")


def check_switches(**values: Any) -> None:
  """Refuses what is neither True nor False."""
  for name, value in values.items():
    if not isinstance(value, bool):
      raise ConfigError(f"`{name}` must be True or False; got {shown(value)}.")


def check_seed(seed: Any) -> None:
  """Refuses what is not a whole number that NumPy and JAX take as a seed."""
  _check_whole("seed", seed, 0)


def check_per_class(source, per_class: int) -> None:
  """Refuses more rows of each class than its smallest class has samples."""
  check_counts(per_class=per_class)
  most = smallest_class(source)
  if per_class > most:
    raise ConfigError(
        "`per_class` must ask for at most the real samples of the smallest "
        f"class, {most:,}; got {per_class:,}. Ask for fewer.")


def smallest_class(source) -> int:
  """Training samples of the smallest class, absent classes left out."""
  counts = np.asarray(source.train.counts)
  return int(counts[counts > 0].min())


def check_tested(source) -> None:
  """Refuses what is not a source of data with a test part.

  Raises:
    DataError: with the remedy.
  """
  check_source(source)
  if source.test is None or not source.test.num_samples:
    raise DataError(
        f"`source` must have a test part; {source.name} has none. Give x_test "
        "and y_test, or test_fraction=0.2.")


def listed(name: str, given: Any) -> tuple[Any, ...]:
  """The entries of a list, which may be empty.

  Args:
    name: of the setting.
    given: a list, a tuple, a range or an array.

  Raises:
    ConfigError: a single value, which may be what its entry should be.
  """
  if isinstance(given, np.ndarray):
    given = given.tolist()
  if isinstance(given, str) or not isinstance(given, Sequence):
    raise ConfigError(
        f"`{name}` must be a list; got {shown(given)}. Write {name}=[...], "
        "with all brackets and quotes closed.")
  return tuple(given)


def distinct(name: str, given: Any) -> tuple[Any, ...]:
  """The entries of a list, which may be empty and names each of them once.

  Args:
    name: of the setting.
    given: see `listed`.

  Raises:
    ConfigError: no list, or an entry that is there twice.
  """
  entries = listed(name, given)
  for i, entry in enumerate(entries):
    if entry in entries[:i]:
      raise ConfigError(
          f"`{name}` must hold each entry once; got {shown(entry)} twice.")
  return entries


def specified(name: str, given: Any) -> dict[str, Any]:
  """A specification `{"name": ..., settings}`; a name alone has no settings.

  Args:
    name: of the setting.
    given: the specification, or the name.

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
  """Whether a setting is a number, which a truth value is not."""
  number = isinstance(value, int | float | np.integer | np.floating)
  return number and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
  """Whether a setting is a whole number, which a truth value is not."""
  return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_whole(name: str, value: Any, least: int) -> None:
  if not is_whole(value) or value < least:
    raise ConfigError(
        f"`{name}` must be a whole number of at least {least}; got "
        f"{shown(value)}.")
