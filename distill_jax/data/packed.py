"""Reads folders of arrays row by row, as `data.pack` writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax import storage, unpacking
from distill_jax.data import parts
from distill_jax.data.host import HostRows
from distill_jax.errors import DataError, shown

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
  for kind in "xy":
    named = [(file.stem[2:], file)
             for file in unpacking.entries(folder)
             if file.suffix.lower() == ".npy" and
             file.name.lower().startswith(f"{kind}_")]
    for part, file in parts.by_part(folder, named).items():
      found[f"{kind}_{part}"] = _opened(file, mapped=kind == "x")
    if f"{kind}_train" not in found:
      raise DataError(
          f"`spec` must hold {kind}_train.npy; {folder} has none. Pack the "
          "data again.")
  file = folder / NAMES
  if file.exists():
    with unpacking.reading(file):
      names = json.loads(storage.regular(file).read_text())
    found["class_names"] = _names(names, file)
    for name in [name for name in found if name.startswith("y_")]:
      # Labels become names, as a number could be a class's name or its index.
      found[name] = _named(found[name], found["class_names"], folder)
  return found


def _names(names, file: Path) -> list:
  """Checks the class names of a file."""
  if not (isinstance(names, list) and names and
          all(isinstance(name, str | int | float) for name in names)):
    raise DataError(
        f"`spec` must hold class names as a list in {NAMES}; {file} has "
        f"{shown(names)}. Pack the data again.")
  return names


def _named(labels: np.ndarray, names, folder: Path) -> np.ndarray:
  """Replaces labels, which are indices, by their names."""
  sound = labels.ndim == 1 and labels.dtype.kind in "iu"
  if not sound or not 0 <= labels.min(initial=0) <= labels.max(
      initial=0) < len(names):
    raise DataError(
        f"`spec` must hold labels that are indices into {NAMES}; those "
        f"of {folder} are not. Pack the data again.")
  return np.array(names, str)[labels]


def _opened(file: Path, mapped: bool) -> np.ndarray | HostRows:
  with unpacking.reading(file):
    mode = "r" if mapped else None
    array = np.load(storage.regular(file), mmap_mode=mode, allow_pickle=False)
    if not array.ndim:
      raise ValueError("it holds one number")
    unpacking.check_itemsize(array.dtype)
    try:
      return HostRows(array) if mapped else array
    except DataError as error:
      raise ValueError(str(error).rstrip(".")) from error
