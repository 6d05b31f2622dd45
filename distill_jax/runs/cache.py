"""A JSON file of results, each under a name made of all that it depends on.

Entries that someone changed are measured again. A file that cannot be written
keeps nothing, but stops no measurement.
"""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from distill_jax.errors import WorkdirError
from distill_jax.runs.console import say
from distill_jax.runs.files import read_json, update_json
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


def name_of(fields: Mapping[str, Any]) -> str:
  """The name of the result that depends on these JSON values."""
  return json.dumps(fields, sort_keys=True)


def read(cache: Path, names: Collection[str]) -> dict[str, Any]:
  """The results of these names that are there and that nobody changed."""
  cache.parent.mkdir(parents=True, exist_ok=True)
  kept = read_json(cache, {})
  there = {name: kept[name] for name in names if name in kept}
  sound = {n: v["found"] for n, v in there.items() if _is_sound(n, v)}
  if len(sound) < len(there):
    say(
        f"{cache}: {len(there) - len(sound)} of {len(there)} results are not as"
        " they were measured; measuring them anew")
  return sound


def add(cache: Path, name: str, found: dict[str, Any]) -> dict[str, Any]:
  """Adds a result to the cache, if that can be written, and returns it."""
  entry = dict(found=found, sha256=checksum({}, {name: found}))
  try:
    update_json(cache, lambda before: before | {name: entry}, {})
  except WorkdirError as error:  # the result took minutes, so it is reported
    say(f"  this result is not kept: {error}")
  return found


def _is_sound(name: str, entry) -> bool:
  """Whether an entry and its name are unchanged."""
  try:
    return entry["sha256"] == checksum({}, {name: entry["found"]})
  except (KeyError, RecursionError, TypeError, ValueError):
    return False
