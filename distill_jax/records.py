"""What runs leave, read back: JSON documents and logs of steps."""

import json
from pathlib import Path
from typing import Any

from distill_jax import storage
from distill_jax.errors import WorkdirError

REPORT, CONFIG = "report.json", "config.json"  # files in the folder of a run


def read_json(
    file: Path, empty, remedy: str = "Delete it to measure anew.") -> Any:
  """What a JSON file holds, `empty` where there is none.

  Args:
    file: may be missing.
    empty: content of no file; the content is of its type.
    remedy: of a damaged file, for the message.

  Raises:
    WorkdirError: the file holds no JSON, or another type than `empty`.
  """
  if not file.exists():
    return empty
  try:
    content = json.loads(storage.regular(file).read_bytes())
    if not isinstance(content, type(empty)):
      raise ValueError(f"it is no {type(empty).__name__}")
  except (OSError, RecursionError, ValueError) as error:
    raise WorkdirError(f"{file} must hold JSON; {error}. {remedy}") from None
  return content


def log_lines(file: Path) -> tuple[list[dict], int]:
  """The sound lines of a log, and how many are damaged.

  The last one, cut off when the run was killed, counts as neither.
  """
  if not file.exists():
    return [], 0
  try:
    *whole, last = storage.regular(file).read_bytes().split(b"\n")
  except OSError as error:
    raise WorkdirError(
        f"{file} must be a file that can be read; {error.strerror}. Choose "
        "another folder.") from error
  found = [*map(_line, whole)]
  sound = [line for line in (*found, _line(last)) if line is not None]
  return sound, found.count(None)


def _line(text: bytes) -> dict | None:
  """Of a log; None if it is damaged."""
  try:
    line = json.loads(text)
  except (RecursionError, ValueError):
    return None
  sound = isinstance(line, dict) and {"step", "seconds", "loss"} <= line.keys()
  numbers = sound and all(
      type(v) is float or (type(v) is int and abs(v) < 2**63)
      for v in line.values())
  return line if numbers and type(line["step"]) is int else None
