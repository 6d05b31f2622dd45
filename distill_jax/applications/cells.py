"""Divides work into cells, each done once and kept, so that work can continue.

A cell is one independent piece of an application (one client, one task of one
order, one network on one set), and its name says which. Its result is JSON,
arrays or a distilled set. Everything that a result depends on is either in the
cell's name or in the identity of the folder.
"""

import contextlib
import hashlib
import json
import re
import time
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

_SUM = "sha256"  # field with the checksum of the rest of a JSON document


class Cells:
  """Results by name, kept in memory or in a folder.

      with Cells("runs/federated", identity).held() as cells:
        found = cells.json("client_0/report", measure)   # measured once

  Files are written whole or not at all, so that a process may be killed at any
  moment. A cell that was not finished is computed again.
  """

  def __init__(
      self,
      folder: str | Path | None = None,
      identity: Mapping[str, Any] | None = None):
    """Args:
      folder: where results are kept; None keeps them in memory only.
      identity: JSON values that must be the same when work continues, such as
        settings, data and seed.
    """
    self.folder: Any = None if folder is None else Path(folder)
    self._identity = dict(identity or {})
    self._memory: dict[str, Any] = {}
    self._earlier, self._began = 0.0, time.perf_counter()
    self._clock: Path | None = None  # the file of the seconds, if held

  @property
  def seconds(self) -> float:
    """Seconds since `held`, with those of earlier calls in the same folder.

    Of an interrupted call those until its last finished cell count.
    """
    return self._earlier + time.perf_counter() - self._began

  @contextlib.contextmanager
  def held(self):
    """A context in which only this process works in the folder.

    Raises:
      WorkdirError: the folder holds other work (the message names the settings
        that differ) or other files, or another process works in it.
    """
    self._began = time.perf_counter()
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
      self._clock = clock = self.folder / "seconds.json"
      self._earlier = read_json(clock, {}).get("seconds", 0.0)
      yield self

  @contextlib.contextmanager
  def _left_if_empty(self, new: bool):
    """Frees a new folder for other settings if no cell was finished in it."""
    try:
      yield
    except BaseException:
      if new and not (self.folder / "cells").exists():
        storage.remove(self.folder / "config.json")
      raise

  def json(self, name: str, make: Callable[[], Any]) -> Any:
    """Returns the JSON object of a cell; `make` computes it if missing."""

    def write(file, value):
      write_json(file, {**value, _SUM: _checksum(value)})

    return self._get(name, ".json", make, _read_sound, write)

  def arrays(
      self, name: str,
      make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns the named arrays of a cell; `make` computes them if missing."""

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
    """Returns the distilled set of a cell; `make` computes it if missing."""

    def read(file):
      try:
        return artifacts.load(file)
      except ValueError as error:
        raise _damaged(file, error) from error

    return self._get(
        name, ".safetensors", make, read, lambda f, v: artifacts.save(v, f))

  def kept(self, name: str) -> Artifact:
    """Returns the distilled set of a cell that is known to be finished."""

    def missing():
      raise WorkdirError(f"{name} must have been made before it is asked for.")

    return self.artifact(name, missing)

  def done(self, name: str) -> bool:
    """Whether the cell of this name is finished."""
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
    if self._clock is not None:
      write_json(self._clock, dict(seconds=self.seconds))
    say(f"  {name}")
    return read(file)  # the same value that a later start will read


def cells_of(given: Cells | None) -> Cells:
  """Returns the given cells, or new ones in memory if none are given.

  Raises:
    ConfigError: the value is not `Cells`, such as the name of a folder.
  """
  if given is None:
    return Cells()
  if not isinstance(given, Cells):
    raise ConfigError(
        f"`cells` must be Cells; got {shown(given)}. Open a folder by "
        "`with Cells(FOLDER, settings).held() as cells:`.")
  return given


def key_of(seed: int, *places: int) -> Array:
  """The key of one piece of work, which does not depend on earlier work.

  Args:
    seed: seed of the application.
    *places: numbers that identify the piece, such as client, task or arm.
  """
  key = jax.random.key(seed)
  for place in places:
    key = jax.random.fold_in(key, place)
  return key


def is_name(text: str) -> bool:
  """Whether a text can be the name of a cell, or one part of such a name."""
  return bool(_NAME.fullmatch(text))


def check_folder(folder: Path) -> None:
  """Raises an error if a folder does not hold cells or has no valid identity.

  Raises:
    WorkdirError: the folder holds other files, or its `config.json` is damaged
      or missing.
  """
  file = folder / "config.json"
  if not (folder / "cells").is_dir():
    workdir.check_own(folder)
    return
  if not file.exists() and not any((folder / "cells").iterdir()):
    return  # there are no cells yet
  try:
    if not isinstance(read_json(file, {}).get("identity"), Mapping):
      raise WorkdirError("it has no identity")
  except WorkdirError:
    raise WorkdirError(
        f"{file} must be there and sound, as it says what cells are of. "
        "Restore it, or take another folder; one that was used without held() "
        "has none.") from None


def _read_sound(file: Path) -> dict[str, Any]:
  """Reads a JSON document and checks that it is as it was written."""
  document = read_json(file, {})
  told = document.pop(_SUM, None)
  if told != _checksum(document):
    error = ValueError("it was damaged or changed")
    raise _damaged(file, error)
  return document


def _checksum(document: Mapping[str, Any]) -> str:
  """SHA-256 of JSON values as they read after being written."""
  read = json.loads(json.dumps(document))
  return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def _damaged(file: Path, error: Exception) -> WorkdirError:
  return WorkdirError(
      f"{file} must be sound; {plain(error, 150)}. Delete it to make it again.")
