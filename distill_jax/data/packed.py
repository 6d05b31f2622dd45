"""Folders of arrays that are read row by row, as `data.pack` writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax import unpacking
from distill_jax.data import parts
from distill_jax.data.host import HostRows
from distill_jax.errors import DataError, plain

NAMES = "names.json"


def read(folder: Path) -> dict[str, Any]:
  """Arguments of `data.from_host` for a packed folder, or for one like it.

  Args:
    folder: with `x_train.npy` and `y_train.npy`, those of `validation` and
      `test` if there are any, and maybe `names.json`, a list of the classes'
      names.

  Raises:
    DataError: a file is missing or damaged.
  """
  found = {}
  for part in parts.NAMES:
    for kind in "xy":
      file = folder / f"{kind}_{part}.npy"
      if part == "train" or file.exists():
        found[f"{kind}_{part}"] = _opened(file, mapped=kind == "x")
  names = folder / NAMES
  if names.exists():
    with unpacking.reading(names):
      found["class_names"] = json.loads(names.read_text())
  return found


def _opened(file: Path, mapped: bool) -> np.ndarray | HostRows:
  try:
    mode = "r" if mapped else None
    array = np.load(file, mmap_mode=mode, allow_pickle=False)
    return HostRows(array) if mapped else array
  except (OSError, ValueError, EOFError) as error:
    raise DataError(
        f"`spec` must hold whole .npy files; {file}: {plain(error, 120)}. Pack "
        "the data again.") from error
