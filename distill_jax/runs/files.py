"""The files that runs leave: JSON documents and a log of steps."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill_jax import storage
from distill_jax.errors import WorkdirError


def update_json(file: Path, change: Callable[[Any], Any], empty) -> Any:
  """Changes the content of a JSON file and returns it.

  Processes that share the file wait for each other.

  Args:
    file: in a folder that exists; `empty` stands for one that does not exist.
    change: from the old content to the new.
    empty: content of no file.

  Raises:
    WorkdirError: the file holds no JSON, or cannot be written.
  """
  try:
    with storage.turns(file):
      content = change(read_json(file, empty))
      storage.replace(file, _to_bytes(content), shared=True)
  except OSError as error:
    raise WorkdirError(
        f"{file} must be a file that can be written; {error.strerror}. Free "
        "some space, or choose another folder.") from error
  return content


def read_json(file: Path, empty) -> Any:
  """What a JSON file holds, `empty` where there is none.

  Raises:
    WorkdirError: the file holds no JSON.
  """
  if not file.exists():
    return empty
  try:
    return json.loads(file.read_text())
  except ValueError as error:
    raise WorkdirError(
        f"{file} must hold JSON; {error}. Delete it to measure anew.") from None


def write_json(file: Path, content) -> None:
  """Writes atomically: the old file or the new one, never a part."""
  storage.replace(file, _to_bytes(content))


def _to_bytes(content) -> bytes:
  return (json.dumps(content, indent=2) + "\n").encode()


class MetricsLog:
  """`metrics.jsonl`: one JSON object a log step; a resumed run goes on in it.

  Lines after `step` belong to work that was lost, and are dropped.
  """

  def __init__(self, folder: Path, step: int):
    self._file = folder / "metrics.jsonl"
    kept = [line for line in self.read(folder) if line["step"] <= step]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    storage.replace(self._file, text.encode())
    self.seconds = kept[-1]["seconds"] if kept else 0.0

  def write(self, **values) -> None:
    with self._file.open("a") as file:
      file.write(json.dumps(values) + "\n")

  @staticmethod
  def read(folder: Path) -> list[dict]:
    file = folder / "metrics.jsonl"
    if not file.exists():
      return []
    lines = []
    for line in file.read_text().splitlines():
      try:
        lines.append(json.loads(line))
      except ValueError:  # The last line, cut off when the run was killed.
        break
    return lines


def command() -> str:
  """The command line, as one would type it."""
  return shlex.join(["python", *sys.argv])
