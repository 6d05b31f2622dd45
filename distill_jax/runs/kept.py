"""Results kept in JSON files, each under a name made of all that it depends on.

Entries that someone changed are measured again. A result that cannot be written
is not kept, but used.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from distill_jax import storage
from distill_jax.errors import WorkdirError
from distill_jax.runs.console import say
from distill_jax.runs.files import read_json, update_json, write_json
from distill_jax.storage import checksum


def once(
    cache: Path | None, measure: Callable[[], dict[str, Any]],
    **fields: Any) -> dict[str, Any]:
  """Returns what the cache holds for these fields, or measures it.

  Args:
    cache: the cache file, or None.
    measure: `() -> JSON values`.
    **fields: JSON values of everything that the result depends on.
  """
  if cache is None:
    return measure()
  name = name_of(fields)
  found = read(cache, [name])
  return found[name] if found else add(cache, name, measure())


class Unfinished:
  """Keeps the parts of a computation in a file until all of it is finished.

  Only one call at a time may use the file. A file that is damaged counts as
  empty. Each process of a joint run remembers its parts, so that all of them
  decide alike whether a part is there.

  Attributes:
    seconds: how long the parts took that were found in the file.
  """

  def __init__(self, file: Path | None):
    """Uses a file, which need not exist; None keeps nothing."""
    self._file = file
    self._entries: dict[str, Any] = {}
    self._counted: set[str] = set()  # names whose seconds count already
    self.seconds = 0.0
    if file is not None:
      try:
        self._entries = read_json(file, {}, "Its results are measured anew.")
      except WorkdirError as error:
        say(f"  {error}")

  def once(
      self, measure: Callable[[], dict[str, Any]],
      fields: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what the file holds for these fields, or measures it.

    Args:
      measure: `() -> JSON values`.
      fields: `() -> JSON values of everything that the result depends on`;
        called only if there is a file.
    """
    if self._file is None:
      return measure()
    name = name_of(fields())
    found = _sound(self._file, self._entries, [name])
    if found:
      if name not in self._counted:
        self.seconds += found[name]["seconds"]
        self._counted.add(name)
      return found[name]["part"]
    began = time.perf_counter()
    part = measure()
    timed = dict(part=part, seconds=time.perf_counter() - began)
    self._counted.add(name)
    try:
      self._entries |= _entry(name, timed)
      write_json(self._file, self._entries)
    except (OSError, ValueError) as error:
      say(f"  this result is not kept: {error}")
    return part

  def finish(self) -> None:
    """Removes the file."""
    if self._file is not None:
      storage.remove(self._file)


def name_of(fields: Mapping[str, Any]) -> str:
  """The name of the result that depends on these JSON values."""
  return json.dumps(fields, sort_keys=True)


def read(cache: Path, names: Collection[str]) -> dict[str, Any]:
  """The results of these names that are there and that nobody changed."""
  cache.parent.mkdir(parents=True, exist_ok=True)
  return _sound(cache, read_json(cache, {}), names)


def _sound(cache: Path, kept: Mapping[str, Any],
           names: Collection[str]) -> dict[str, Any]:
  """The results of these names among entries of a file, if unchanged."""
  there = {name: kept[name] for name in names if name in kept}
  sound = {n: v["found"] for n, v in there.items() if _is_sound(n, v)}
  if len(sound) < len(there):
    say(
        f"{cache}: {len(there) - len(sound)} of {len(there)} results are not as"
        " they were measured; measuring them anew")
  return sound


def add(cache: Path, name: str, found: dict[str, Any]) -> dict[str, Any]:
  """Adds a result to the cache, if that can be written, and returns it."""
  try:
    update_json(cache, lambda before: before | _entry(name, found), {})
  except WorkdirError as error:  # the result took minutes, so it is reported
    say(f"  this result is not kept: {error}")
  return found


def _entry(name: str, found: dict[str, Any]) -> dict[str, Any]:
  return {name: dict(found=found, sha256=checksum({}, {name: found}))}


def _is_sound(name: str, entry) -> bool:
  """Whether an entry and its name are unchanged."""
  try:
    return entry["sha256"] == checksum({}, {name: entry["found"]})
  except (KeyError, RecursionError, TypeError, ValueError):
    return False
