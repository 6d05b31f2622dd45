"""Work in cells: each is done once and kept, so that a stopped job goes on.

A cell is one independent piece of a harness (one client, one task of one
order, one network on one set), named for what it is. Its result is JSON, arrays
or a distilled set. Whatever a cell depends on is either in its name or in the
identity of the folder.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from distill_jax import artifact as artifacts
from distill_jax import storage
from distill_jax.artifact import Artifact
from distill_jax.compilation import make_room
from distill_jax.errors import ConfigError, WorkdirError, plain, shown
from distill_jax.runs import workdir
from distill_jax.runs.console import say
from distill_jax.runs.files import read_json, write_json
from distill_jax.types import Array

_NAME = re.compile(r"[a-z0-9][a-z0-9_.=+-]*(/[a-z0-9][a-z0-9_.=+-]*)*", re.I)

_SUM = "sha256"  # of the rest of a JSON document


class Cells:
  """Results by name: in memory, or in a folder where work goes on.

      with Cells("runs/federated", identity).held() as cells:
        found = cells.json("client_0/report", measure)   # measured once

  Files are written whole or not at all, so a process may be killed at any
  moment; the cell that was being made is made again.
  """

  def __init__(
      self,
      folder: str | Path | None = None,
      identity: Mapping[str, Any] | None = None):
    """Args:
      folder: where results are kept; None for memory alone.
      identity: JSON values that must be the same when work goes on: settings,
        data, seed.
    """
    self.folder: Any = None if folder is None else Path(folder)
    self._identity = dict(identity or {})
    self._memory: dict[str, Any] = {}

  @contextlib.contextmanager
  def held(self):
    """Opens the folder for this process alone.

    Raises:
      WorkdirError: it holds other work (naming the settings that differ) or
        other files, or another process works in it.
    """
    if self.folder is None:
      yield self
      return
    new = not (self.folder / "config.json").exists()
    check_folder(self.folder)
    if not (self.folder / "cells").is_dir():
      workdir.create(self.folder)
    with storage.alone(self.folder), self._left_if_empty(new):
      storage.forget_halves(self.folder, "*.json", "*.safetensors", "*.png")
      workdir.open_workdir(
          self.folder,
          self._identity,
          dict(config=self._identity),
          num_steps=None)
      yield self

  @contextlib.contextmanager
  def _left_if_empty(self, new: bool):
    """Frees a new folder for other settings if they were refused at once."""
    try:
      yield
    except BaseException:
      if new and not (self.folder / "cells").exists():
        storage.remove(self.folder / "config.json")
      raise

  def json(self, name: str, make: Callable[[], Any]) -> Any:
    """A JSON value: an object, as `make` returns it."""

    def write(file, value):
      write_json(file, {**value, _SUM: _checksum(value)})

    return self._get(name, ".json", make, _read_sound, write)

  def arrays(
      self, name: str,
      make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by name, as `make` returns them."""

    def read(file):
      try:
        tensors, document = storage.read(file)
        storage.check(tensors, document or {})
        return dict(tensors)
      except (OSError, ValueError) as error:
        raise _damaged(file, error) from error

    def write(file, value):
      value = {k: np.ascontiguousarray(v) for k, v in value.items()}
      storage.write(file, value, {})

    return self._get(name, ".safetensors", make, read, write)

  def artifact(self, name: str, make: Callable[[], Artifact]) -> Artifact:
    """A distilled set, as `make` returns it."""

    def read(file):
      try:
        return artifacts.load(file)
      except ValueError as error:
        raise _damaged(file, error) from error

    return self._get(
        name, ".safetensors", make, read, lambda f, v: artifacts.save(v, f))

  def kept(self, name: str) -> Artifact:
    """A distilled set that is there already."""

    def missing():
      raise WorkdirError(f"{name} must have been made before it is asked for.")

    return self.artifact(name, missing)

  def done(self, name: str) -> bool:
    """Whether there is a result of this name."""
    if self.folder is None:
      return name in self._memory
    return any(
        self._file(name, suffix).exists()
        for suffix in (".json", ".safetensors"))

  def _file(self, name: str, suffix: str) -> Path:
    return self.folder / "cells" / f"{name}{suffix}"

  def _get(self, name, suffix, make, read, write):
    if not is_name(name):
      raise ValueError(
          "`name` must be letters, digits and _.=+- in parts between slashes; "
          f"got {name!r}.")
    if self.folder is None:
      if name not in self._memory:
        make_room()
        self._memory[name] = make()
      return self._memory[name]
    file = self._file(name, suffix)
    if file.exists():
      return read(file)
    make_room()
    value = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, value)
    say(f"  {name}")
    return read(file)  # what a later start will find


def cells_of(given: Cells | None) -> Cells:
  """Cells, in memory where none are given.

  Raises:
    ConfigError: what are no cells, such as the name of a folder.
  """
  if given is None:
    return Cells()
  if not isinstance(given, Cells):
    raise ConfigError(
        f"`cells` must be Cells; got {shown(given)}. Open a folder by "
        "`with Cells(FOLDER, settings).held() as cells:`.")
  return given


def key_of(seed: int, *places: int) -> Array:
  """The key of one piece of work, whatever was done before it.

  Args:
    seed: of the harness.
    *places: numbers of the piece: client, task, arm.
  """
  key = jax.random.key(seed)
  for place in places:
    key = jax.random.fold_in(key, place)
  return key


def is_name(text: str) -> bool:
  """Whether a text can be the name of a cell, or one part of it."""
  return bool(_NAME.fullmatch(text))


def check_folder(folder: Path) -> None:
  """Refuses a folder that is not one of cells, or does not say of which.

  Raises:
    WorkdirError: other files, or cells with a damaged `config.json` or none.
  """
  file = folder / "config.json"
  if not (folder / "cells").is_dir():
    workdir.check_own(folder)
    return
  if not file.exists() and not any((folder / "cells").iterdir()):
    return  # nothing to mistake
  try:
    if not isinstance(read_json(file, {}).get("identity"), Mapping):
      raise WorkdirError("it has no identity")
  except WorkdirError:
    raise WorkdirError(
        f"{file} must be there and sound, as it says what cells are of. "
        "Restore it, or take another folder; one that was used without held() "
        "has none.") from None


def _read_sound(file: Path) -> dict[str, Any]:
  """A JSON document as it was written."""
  document = read_json(file, {})
  told = document.pop(_SUM, None)
  if told != _checksum(document):
    error = ValueError("it was damaged or changed")
    raise _damaged(file, error)
  return document


def _checksum(document: Mapping[str, Any]) -> str:
  """SHA-256 of JSON values, as they are read again."""
  read = json.loads(json.dumps(document))
  return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def _damaged(file: Path, error: Exception) -> WorkdirError:
  return WorkdirError(
      f"{file} must be sound; {plain(error, 150)}. Delete it to make it again.")
