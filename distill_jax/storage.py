"""Tensors and a JSON document in one file that appears whole or not at all.

The format is safetensors, which holds plain numbers: reading a file cannot run
code. The document stands in its metadata under the key `distill_jax`, with a
SHA-256 over itself and the tensors, so that a changed byte is noticed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from distill_jax.errors import WorkdirError
from distill_jax.types import FilePath

KEY = "distill_jax"
_DTYPES = {
    "BOOL", "U8", "I8", "U16", "I16", "F16", "BF16", "U32", "I32", "F32", "U64",
    "I64", "F64", "C64"
}

Tensors = dict[str, np.ndarray]


def write(path: FilePath, tensors: Tensors, document: dict[str, Any]) -> None:
  """Writes a file atomically.

  Args:
    path: of the file; its folder exists.
    tensors: arrays by name.
    document: JSON values.

  Raises:
    OSError: the file could not be written; an older one is untouched.
    TypeError, ValueError: the document is not JSON.
  """
  tensors = {name: np.array(t, order="C") for name, t in tensors.items()}
  document = {**document, "sha256": checksum(tensors, document)}
  metadata = {KEY: to_json(document)}
  replace(path, safetensors.numpy.save(tensors, metadata))


def read(path: FilePath) -> tuple[Tensors, dict[str, Any] | None]:
  """Reads a file; the checksum is left to `check`.

  Returns:
    The tensors, and the document, or None where there is none.

  Raises:
    OSError: the file cannot be opened.
    ValueError: it is no safetensors file, is cut short, or holds tensors or a
      document of another kind.
  """
  try:
    with safe_open(path, framework="np") as file:
      document = _document(file)
      tensors = {}
      for name in file.keys():
        dtype = file.get_slice(name).get_dtype()
        if dtype not in _DTYPES:
          raise ValueError(f"tensor {name!r} has the unknown type {dtype}")
        tensors[name] = file.get_tensor(name)
  except SafetensorError as error:
    raise _cut_short(error) from error
  return tensors, document


def document(path: FilePath) -> dict[str, Any] | None:
  """The document alone, whatever the size of the tensors.

  Raises:
    As `read`.
  """
  try:
    with safe_open(path, framework="np") as file:
      return _document(file)
  except SafetensorError as error:
    raise _cut_short(error) from error


def check(tensors: Tensors, document: dict[str, Any]) -> None:
  """Compares the checksum.

  Raises:
    ValueError: tensors or document are not those that were written.
  """
  kept = {k: v for k, v in document.items() if k != "sha256"}
  if document.get("sha256") != checksum(tensors, kept):
    raise ValueError("its checksum does not fit: it was damaged or changed")


def checksum(tensors: Tensors, document: dict[str, Any]) -> str:
  """SHA-256 over the document, and name, type, shape and bytes of tensors."""
  digest = hashlib.sha256(to_json(document).encode())
  for name in sorted(tensors):
    tensor = tensors[name]
    digest.update(f"\n{name} {tensor.dtype.name} {tensor.shape}\n".encode())
    digest.update(tensor.tobytes())
  return digest.hexdigest()


def to_json(document: dict[str, Any]) -> str:
  """The one spelling of a document."""
  return json.dumps(document, sort_keys=True, allow_nan=False)


def replace(path: FilePath, content: bytes) -> None:
  """Gives a file new content: the old one or the new one, never a part.

  Raises:
    OSError: no space, no folder, no permission; nothing is left behind.
  """
  path = Path(path)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
  try:
    with open(temporary, "wb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError:
    temporary.unlink(missing_ok=True)
    raise
  _sync_folder(path.parent)


@contextlib.contextmanager
def alone(folder: Path, name: str = "workdir"):
  """Holds a folder for this process.

  Args:
    folder: exists.
    name: of what it is, for the message.

  Raises:
    WorkdirError: another process runs in it.
  """
  handle = os.open(folder, os.O_RDONLY)
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield
  except BlockingIOError:
    raise WorkdirError(
        f"`{name}` must be of one process; another one runs in {folder}. "
        "Wait for it, or choose another folder.") from None
  finally:
    os.close(handle)


def _document(file) -> dict[str, Any] | None:
  """Of an open file."""
  text = (file.metadata() or {}).get(KEY)
  if text is None:
    return None
  try:
    found = json.loads(text)
  except (json.JSONDecodeError, RecursionError) as error:
    raise ValueError(f"its metadata is not JSON ({error})") from error
  if not isinstance(found, dict):
    raise ValueError("its metadata is not a JSON object")
  return found


def _cut_short(error: SafetensorError) -> ValueError:
  return ValueError(f"not a safetensors file, or cut short ({error})")


def _sync_folder(folder: Path) -> None:
  """Makes a rename outlast a power cut."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
