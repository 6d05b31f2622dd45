"""The files of a run: JSON documents and a log of steps."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill_jax import storage
from distill_jax.errors import WorkdirError, counted
from distill_jax.records import log_lines, read_json
from distill_jax.runs.console import say


def update_json(file: Path, change: Callable[[Any], Any], empty) -> Any:
  """Changes the content of a JSON file and returns the new content.

  Processes that share the file wait for each other.

  Args:
    file: path in an existing folder.
    change: a function from the old content to the new.
    empty: the old content if the file does not exist.

  Raises:
    WorkdirError: the file does not hold JSON, or cannot be written.
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


def write_json(file: Path, content) -> None:
  """Writes atomically: the file is the old one or the new one, never a part."""
  storage.replace(file, _to_bytes(content))


def _to_bytes(content) -> bytes:
  return (json.dumps(content, indent=2) + "\n").encode()


class MetricsLog:
  """`metrics.jsonl`: one JSON object per log step; a resumed run appends.

  Lines after `step` belong to work that was lost, and are dropped. Damaged
  lines are dropped too, and their number is printed.
  """

  def __init__(self, folder: Path, step: int):
    self._file = folder / "metrics.jsonl"
    lines, damaged = log_lines(self._file)
    if damaged:
      say(
          f"{self._file}: {counted(damaged, 'damaged line')} left out of "
          f"{damaged + len(lines):,}")
    kept = [line for line in lines if line["step"] <= step]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    storage.replace(self._file, text.encode())
    self.seconds = kept[-1]["seconds"] if kept else 0.0

  def write(self, **values) -> None:
    storage.append(self._file, json.dumps(values) + "\n")

  @staticmethod
  def read(folder: Path) -> list[dict]:
    return log_lines(folder / "metrics.jsonl")[0]


def command() -> str:
  """The command line, as one would type it."""
  program, *arguments = sys.argv
  if program.endswith(".py") or program.startswith("-"):
    return shlex.join(["python", program, *arguments])
  return shlex.join([Path(program).name, *arguments])
