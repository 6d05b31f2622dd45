"""Reads folders of arrays row by row, as `data.pack` writes them."""

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
  """Returns the arguments of `data.from_host` for a packed folder.

  Args:
    folder: it holds `x_train.npy` and `y_train.npy`, optionally the same for
      `validation` and `test`, and optionally `names.json`, a list of the class
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
  file = folder / NAMES
  if file.exists():
    with unpacking.reading(file):
      names = found["class_names"] = json.loads(file.read_text())
    for name in [name for name in found if name.startswith("y_")]:
      # Labels become names, as a number could be a class's name or its index.
      found[name] = _named(found[name], names, folder)
  return found


def _named(labels: np.ndarray, names, folder: Path) -> np.ndarray:
  """Replaces labels, which are indices, by their names."""
  sound = labels.ndim == 1 and labels.dtype.kind in "iu" and isinstance(
      names, list) and names
  if not sound or not 0 <= labels.min(initial=0) <= labels.max(
      initial=0) < len(names):
    raise DataError(
        f"`spec` must hold labels that are indices into {NAMES}; those "
        f"of {folder} are not. Pack the data again.")
  return np.array(names, str)[labels]


def _opened(file: Path, mapped: bool) -> np.ndarray | HostRows:
  try:
    mode = "r" if mapped else None
    array = np.load(file, mmap_mode=mode, allow_pickle=False)
    if not array.ndim:
      raise ValueError("it holds one number")
    return HostRows(array) if mapped else array
  except (OSError, ValueError, EOFError) as error:
    raise DataError(
        f"`spec` must hold whole .npy files; {file}: {plain(error, 120)}. Pack "
        "the data again.") from error
