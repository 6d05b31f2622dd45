"""Writes tensors and a JSON document to one file, atomically.

The format is safetensors, which only holds numbers: reading a file cannot run
code. The document is in the file's metadata under the key `distill_jax`, with a
SHA-256 of itself and the tensors, so that a changed byte is noticed.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from distill_jax.errors import WorkdirError, plain, shown
from distill_jax.types import FilePath

KEY = "distill_jax"
_DTYPES = {
    "BOOL", "U8", "I8", "U16", "I16", "F16", "BF16", "U32", "I32", "F32", "U64",
    "I64", "F64", "C64"
}
_DEPTH = 64  # deepest nesting of lists and dicts

Tensors = dict[str, np.ndarray]


class _Own:
  """Whether this process writes files."""

  writes = True


def only_read() -> None:
  """From now on, this process changes no file and takes no lock.

  It is for all but the first of several processes that do the same: the first
  one writes what they would write.
  """
  _Own.writes = False


def write(path: FilePath, tensors: Tensors, document: dict[str, Any]) -> None:
  """Writes a file atomically.

  Args:
    path: path of the file; its folder must exist.
    tensors: arrays by name.
    document: JSON values.

  Raises:
    OSError: the file could not be written; an older one is unchanged.
    TypeError, ValueError: the document is not JSON.
  """
  if not _Own.writes:
    return
  tensors = {name: np.array(t, order="C") for name, t in tensors.items()}
  document = {**document, "sha256": checksum(tensors, document)}
  metadata = {KEY: to_json(document)}
  replace(path, safetensors.numpy.save(tensors, metadata))


def read(path: FilePath) -> tuple[Tensors, dict[str, Any] | None]:
  """Reads a file; `check` compares the checksum.

  Returns:
    The tensors, and the document or None.

  Raises:
    OSError: the file cannot be opened.
    ValueError: it is not a safetensors file, is cut short, or holds tensors or
      a document of another kind.
  """
  try:
    with safe_open(regular(path), framework="np") as file:
      document = _document(file)
      tensors = {}
      for name in file.keys():
        dtype = file.get_slice(name).get_dtype()
        if dtype not in _DTYPES:
          raise ValueError(f"tensor {shown(name)} has the unknown type {dtype}")
        tensors[name] = file.get_tensor(name)
  except SafetensorError as error:
    raise _cut_short(error) from error
  return tensors, document


def document(path: FilePath) -> dict[str, Any] | None:
  """Reads only the document, whatever the size of the tensors.

  Raises:
    OSError, ValueError: see `read`.
  """
  try:
    with safe_open(regular(path), framework="np") as file:
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
  """SHA-256 of the document, and of name, type, shape and bytes of tensors."""
  digest = hashlib.sha256(to_json(document).encode())
  for name in sorted(tensors):
    tensor = tensors[name]
    digest.update(f"\n{name} {tensor.dtype.name} {tensor.shape}\n".encode())
    digest.update(tensor.tobytes())
  return digest.hexdigest()


def to_json(document: dict[str, Any]) -> str:
  """A document as JSON text, always spelled the same way.

  Raises:
    TypeError, ValueError: it is not JSON, or is nested too deeply.
  """
  _check_depth(document)
  return json.dumps(document, sort_keys=True, allow_nan=False)


def replace(path: FilePath, content: bytes, *, shared: bool = False) -> None:
  """Writes a file atomically: it has the old or the new content, never a part.

  Args:
    path: path of the file; its folder must exist.
    content: the new content.
    shared: whether all who may read or write the folder may do the same with
      the file.

  Raises:
    OSError: no space, folder or permission. The message names the file, and
      nothing is left behind.
  """
  if not _Own.writes:
    return
  path = Path(path)
  # A random name, because process numbers of two machines may be equal.
  temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
  try:
    with naming(path):
      with open(temporary, "xb") as file:
        if shared:
          _share(file.fileno(), path.parent)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
      os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise
  _sync_folder(path.parent)


def append(path: FilePath, text: str) -> None:
  """Adds text to a file.

  Raises:
    OSError: see `replace`.
  """
  if _Own.writes:
    with naming(path), open(path, "a") as file:
      file.write(text)


def remove(path: FilePath) -> None:
  """Removes a file if it exists."""
  if _Own.writes:
    Path(path).unlink(missing_ok=True)


def regular(path: FilePath) -> Path:
  """Returns the path of a regular file; pipes or devices may never end.

  Raises:
    OSError: the file is not regular, or does not exist.
  """
  mode = os.stat(path).st_mode
  if not stat.S_ISREG(mode):
    kind = "folder" if stat.S_ISDIR(mode) else "pipe or device"
    raise OSError(errno.EINVAL, f"a {kind}, not a regular file", str(path))
  return Path(path)


@contextlib.contextmanager
def naming(path: FilePath):
  """A context that adds the file's name to an `OSError` without one."""
  try:
    yield
  except OSError as error:
    said = error.strerror or str(error)
    raise OSError(error.errno, said, str(path)) from error


@contextlib.contextmanager
def turns(path: FilePath):
  """A context that only one process, user or machine enters at a time.

  The lock is a file beside `path`, which is not removed. Partial files that
  killed writers left are removed.

  Raises:
    OSError: the folder does not support the lock, or a link is in its place.
  """
  if not _Own.writes:
    yield
    return
  path = Path(path)
  handle = _lock(path.with_name(f".{path.name}.lock"))
  try:
    fcntl.flock(handle, fcntl.LOCK_EX)
    forget_halves(path.parent, glob.escape(path.name))
    yield
  finally:
    os.close(handle)


def forget_halves(folder: FilePath, *names: str) -> None:
  """Removes partial files of killed writers; nobody else may write there.

  Args:
    folder: folder that is searched, with all folders below.
    *names: patterns of the files that were to be written.
  """
  for name in names if _Own.writes else ():
    for partial in Path(folder).rglob(f".{name}.*.partial"):
      with contextlib.suppress(OSError):  # it is another user's file
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(folder: Path, name: str = "workdir"):
  """A context in which only this process uses a folder.

  Args:
    folder: an existing folder.
    name: what the folder is, for messages.

  Raises:
    WorkdirError: another process uses it.
  """
  if not _Own.writes:
    yield
    return
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


def _lock(file: Path) -> int:
  """Opens a lock that all who may write the folder can use."""
  flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
  with contextlib.suppress(FileExistsError):
    handle = os.open(file, flags | os.O_CREAT | os.O_EXCL, 0o666)
    _share(handle, file.parent)
    return handle
  return os.open(file, flags)


def _share(handle: int, folder: Path) -> None:
  os.fchmod(handle, folder.stat().st_mode & 0o666)


def _document(file) -> dict[str, Any] | None:
  """Reads the document of an open file."""
  text = (file.metadata() or {}).get(KEY)
  if text is None:
    return None
  try:
    found = json.loads(text)
  except (json.JSONDecodeError, RecursionError) as error:
    raise ValueError(f"its metadata is not JSON ({error})") from error
  if not isinstance(found, dict):
    raise ValueError("its metadata is not a JSON object")
  _check_depth(found)
  return found


def _check_depth(value, most: int = _DEPTH) -> None:
  if not isinstance(value, dict | list | tuple):
    return
  if not most:
    raise ValueError(f"its metadata is nested more than {_DEPTH} deep")
  for part in value.values() if isinstance(value, dict) else value:
    _check_depth(part, most - 1)


def _cut_short(error: SafetensorError) -> ValueError:
  return ValueError(f"not a safetensors file, or cut short ({plain(error)})")


def _sync_folder(folder: Path) -> None:
  """Makes a rename survive a power failure."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
