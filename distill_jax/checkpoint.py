"""Checkpoints of a run: the last few states, each in one file.

A state is any pytree of arrays, including typed PRNG keys. Its leaves are
stored by path. `restore` fills them into the structure of a state that the
program has built anew, so no class is ever read from disk, and a state of
another run is refused with the name of the leaf that differs.

The files are safetensors. Orbax's `CheckpointManager` (0.12.8) was tried first.
It restores types well, but it accepted an array with a flipped bit, refuses
arrays of size zero (a set without step sizes) and then holds the process for
300 s, and reports a full disk by pages of tracebacks from its threads. Saving
here is synchronous: for 100 images of 28x28 with Adam (1 MB) it takes 9 to 31
ms on two busy cores, mostly for the disk; orbax's asynchronous saving blocked
for 11 to 37 ms. Leaves must be addressable from this process.
"""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from distill_jax import storage
from distill_jax.errors import WorkdirError, plain
from distill_jax.types import PyTree

_NAME = re.compile(r"step_(\d{9,})\.safetensors")


class Checkpoints:
  """The latest states of one run, in a folder of their own.

  If a process is killed during a save, earlier states stay intact.
  """

  def __init__(self, directory, *, keep: int = 2):
    """Opens the folder, and creates it if it is missing.

    Args:
      directory: a folder of this run only; remains of a killed save are
        removed.
      keep: number of states kept, at least 1. With 2, a damaged file costs one
        interval.

    Raises:
      ValueError: `keep` is below 1.
      WorkdirError: the folder cannot be created.
    """
    if keep < 1:
      raise ValueError(f"`keep` must be at least 1; got {keep}.")
    self._directory, self._keep = Path(directory), keep
    try:
      self._directory.mkdir(parents=True, exist_ok=True)
      storage.forget_halves(self._directory, "step_*")
    except OSError as error:
      raise WorkdirError(
          f"`directory` must be a folder that can be written; got {directory}: "
          f"{error.strerror}.") from error

  def save(
      self,
      step: int,
      state: PyTree,
      extra: dict[str, Any] | None = None) -> None:
    """Writes a state and deletes the oldest.

    Args:
      step: number of outer steps made; a state of the same step is replaced.
      state: pytree of arrays and typed keys.
      extra: JSON values to store with it.

    Raises:
      WorkdirError: the disk did not accept the file; earlier states are intact.
    """
    tensors, keys = _to_tensors(state)
    document = {"step": step, "keys": keys, "extra": extra or {}}
    try:
      storage.write(self._path(step), tensors, document)
      for old in self._steps()[:-self._keep]:
        storage.remove(self._path(old))
    except OSError as error:
      raise WorkdirError(
          f"`directory` must take a checkpoint; saving step {step} in "
          f"{self._directory} failed: {error.strerror}. Free some space and "
          "run again: earlier checkpoints are intact.") from error

  def latest_step(self) -> int | None:
    """The newest step on disk, or None."""
    steps = self._steps()
    return steps[-1] if steps else None

  def restore(self, step: int, like: PyTree) -> PyTree:
    """Reads the state of a step, or the newest valid one before it.

    Args:
      step: a step that was saved.
      like: a state of the same run. The result has its structure, shapes, types
        and placement on devices; its values are ignored.

    Returns:
      The state, bit for bit. A damaged file is skipped with a warning.

    Raises:
      WorkdirError: there is no valid state up to `step`, or it belongs to
        another run.
    """
    failures = []
    for found in reversed([s for s in self._steps() if s <= step]):
      try:
        tensors, document = self._read(found)
      except (OSError, ValueError) as error:
        failures.append(f"step {found}: {error}")
        logging.warning(
            "The checkpoint of step %d is passed over: %s.", found, error)
        continue
      return _from_tensors(tensors, document["keys"], like)
    raise WorkdirError(
        f"`directory` must hold a sound checkpoint up to step {step}; got "
        f"{self._directory} with {plain('; '.join(failures) or 'none', 130)}. "
        "Start again in an empty folder.")

  def sound(self, step: int, like: PyTree) -> PyTree | None:
    """Reads the state of exactly this step; None if it is missing or damaged.

    Args:
      step: step of the state.
      like: as in `restore`.

    Raises:
      WorkdirError: the state belongs to another run.
    """
    if step not in self._steps():
      return None
    try:
      tensors, document = self._read(step)
    except (OSError, ValueError) as error:
      logging.warning("The state of step %d is passed over: %s.", step, error)
      return None
    return _from_tensors(tensors, document["keys"], like)

  def extra(self, step: int) -> dict[str, Any]:
    """Returns the `extra` values of a saved step.

    Raises:
      WorkdirError: there is no valid state of that step.
    """
    try:
      return self._read(step)[1]["extra"]
    except (OSError, ValueError) as error:
      raise WorkdirError(
          f"`step` must have a sound checkpoint; got {step}: {error}."
      ) from error

  def _steps(self) -> list[int]:
    matches = (_NAME.fullmatch(p.name) for p in self._directory.iterdir())
    return sorted(int(match[1]) for match in matches if match)

  def _path(self, step: int) -> Path:
    return self._directory / f"step_{step:09d}.safetensors"

  def _read(self, step: int):
    tensors, document = storage.read(self._path(step))
    if document is None:
      raise ValueError("it has no metadata")
    storage.check(tensors, document)
    if document.get("step") != step:  # by the name of the file
      raise ValueError(f"it is of step {plain(document.get('step'))}")
    if not all(isinstance(document.get(n), dict) for n in ("keys", "extra")):
      raise ValueError("it is no checkpoint")
    return tensors, document


def _is_key(leaf) -> bool:
  return jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key)


def _named_leaves(tree: PyTree):
  leaves, _ = jax.tree.flatten_with_path(tree)
  return [(jax.tree_util.keystr(path) or "state", x) for path, x in leaves]


def _to_tensors(state: PyTree):
  """Leaves by path, and the generator of each leaf that is a key."""
  leaves = _named_leaves(state)
  keys = {n: str(jax.random.key_impl(x)) for n, x in leaves if _is_key(x)}
  data = {n: jax.random.key_data(x) if n in keys else x for n, x in leaves}
  return {n: np.asarray(x) for n, x in jax.device_get(data).items()}, keys


def _from_tensors(tensors, keys: dict[str, str], like: PyTree) -> PyTree:
  """The inverse of `_to_tensors`; checks that `like` has the same leaves."""
  found, wanted = _kinds(tensors, keys), _kinds(*_to_tensors(like))
  for name in sorted(set(found) | set(wanted)):
    if found.get(name) != wanted.get(name):
      raise WorkdirError(
          f"`like` must be a state of the same run; {plain(name)} is "
          f"{wanted.get(name, 'absent')} and the checkpoint has "
          f"{plain(found.get(name, 'none'))}. Use the code and the config that "
          "wrote it, or another folder.")
  leaves = [_as(x, tensors[name]) for name, x in _named_leaves(like)]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _kinds(tensors, keys: dict[str, str]) -> dict[str, str]:
  """Type, shape and, for a key, the generator of each leaf."""
  return {
      name: f"{tensor.dtype.name} {tensor.shape} {keys.get(name, '')}".strip()
      for name, tensor in tensors.items()
  }


def _as(leaf, data: np.ndarray):
  """Converts `data` to the kind of array that `leaf` is.

  It is placed on the leaf's devices, if these are fixed.
  """
  if not isinstance(leaf, jax.Array):
    return data if isinstance(leaf, np.ndarray) else type(leaf)(data)
  where = leaf.sharding if leaf.committed else None
  if not _is_key(leaf):
    return jax.device_put(data, where)
  key = jax.random.wrap_key_data(
      jnp.asarray(data), impl=jax.random.key_impl(leaf))
  return jax.device_put(key, where)
