"""Reads data, networks and methods as a user types them.

Importing this module is quick: its functions import what they need.
"""

import importlib
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from distill_jax.choices import nearest, one_of
from distill_jax.commands import options
from distill_jax.errors import ConfigError, DataError, plain, shown
from distill_jax.kinds import PLACES


def spec_of(text: str, data_dir: str | None = None) -> tuple[str, str]:
  """Returns the SPEC of data; a path of an unambiguous kind may stand for it.

  A folder of class folders with pictures is read as `folder:`, a .csv or .tsv
  file as `csv:`, and a .npz file as `npz:`.

  Args:
    text: SPEC or path.
    data_dir: a folder in which paths are also looked for, or None.

  Returns:
    The SPEC, and a line that says what was guessed, or "".

  Raises:
    DataError: the path does not exist, or may hold data of several kinds.
  """
  from distill_jax.data.readers import kind_of

  place = text.partition("?")[0]
  below = data_dir or os.environ.get("DISTILL_JAX_DATA") or "."
  found = [
      path
      for path in (Path(place).expanduser(), Path(below).expanduser() / place)
      if place and os.path.exists(path)
  ]
  if text == "digits" or (":" in place and not found):
    return text, ""
  if not found:
    raise DataError(
        "`data` must be digits, a path that exists, or a SPEC such as "
        f"folder:pictures; got {shown(text)}.{nearest(['digits'], text)}")
  path = found[0]
  kind = kind_of(path)
  if path.is_dir() and not any(path.iterdir()):
    raise DataError(
        f"`data` must hold samples; the folder {plain(path, 200)} is empty.")
  if kind is None:
    kinds = ", ".join(name for name, after in PLACES.items() if after)
    raise DataError(
        f"`data` must say of what kind {path} is, as in folder:{place}; kinds "
        f"are {kinds} and no single one can be told from what is there.")
  return f"{kind}:{text}", f"data: {text} is read as {kind}:{text}"


def imported(modules: Sequence[str]) -> None:
  """Imports modules, also from the current folder, for what they register.

  Args:
    modules: names as in an import.

  Raises:
    ConfigError: there is no such module, or its code fails.
  """
  if modules and os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())
  for name in modules:
    if name.endswith(".py") or "/" in name:
      raise ConfigError(
          f"`modules` must be as in an import; got {shown(name, 150)}. Write "
          f"{plain(Path(name).stem)}, in the folder of that file.")
    try:
      importlib.import_module(name)
    except (AttributeError, ImportError, NameError, SyntaxError, TypeError,
            ValueError) as error:
      raise ConfigError(
          "`modules` must be imported without an error; got "
          f"{shown(name, 60)} and {type(error).__name__}: {plain(error, 80)}. "
          "Its file must be in this folder or installed; --debug shows where "
          "it failed.") from error


def entry_of(name: str, field: str = "method"):
  """What is known of a method, by its name.

  Args:
    name: of the method.
    field: name of the argument, for messages.

  Raises:
    ConfigError: an unknown name.
  """
  from distill_jax import methods

  return _known(methods.ENTRIES, field, name)


def method_of(name: str, settings: Sequence[str]):
  """A method by its name, with settings such as `num_steps=300`.

  Raises:
    ConfigError: an unknown name or setting, or a value of another type.
  """
  from distill_jax import methods

  return methods.with_settings(
      entry_of(name).make(), options.settings(settings))


def network_of(text: str) -> dict[str, Any]:
  """The specification of `NAME[:setting=value,...]`.

  Raises:
    ConfigError: an unknown name, or a setting without a value.
  """
  from distill_jax import models

  name, _, fields = text.partition(":")
  _known(models.NAMES, "network", name)
  given = filter(None, fields.split(","))
  return dict(options.settings([*given], "--network"), name=name)


def _known(known: Collection[str], field: str, name: str):
  """As `one_of`; a name like no other may be one of the user's own."""
  try:
    return one_of(known, field, name)
  except ConfigError as error:
    if nearest(known, name):
      raise
    raise ConfigError(
        f"{error} One of your own needs `modules` MODULE.") from None
