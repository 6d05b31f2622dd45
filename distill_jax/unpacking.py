"""Opens files of unknown origin: regular files, unpacked within a limit.

The first bytes of a file, not its name, tell how it is packed. It may unpack to
512 MiB, or to 50 times its size if that is more. The environment variable
DISTILL_JAX_UNPACKED_BYTES sets another limit.
"""

import contextlib
import gzip
import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from distill_jax import storage
from distill_jax.errors import DataError, fitting, plain

LIMIT = "DISTILL_JAX_UNPACKED_BYTES"
_LEAST, _TIMES = 2**29, 50  # limits: bytes, and times the size of the file
_LONGEST_LINE = 2**24  # bytes
_CHUNK = 2**20
_PACKED = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\0": lzma.open}
_ZIP = (b"PK\3\4", b"PK\5\6")  # first bytes; the latter of empty archives
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}
# Errors that damaged content raises; wrong headers raise KeyError and others.
_MISHAPS = (
    OSError, EOFError, ValueError, LookupError, TypeError, OverflowError,
    RuntimeError, MemoryError, SyntaxError, struct.error, tokenize.TokenError,
    zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@contextlib.contextmanager
def reading(path: Path, argument: str = "spec", what: str = "") -> Iterator:
  """Turns any failure of reading a file into an error of one line.

  Args:
    path: path of the file.
    argument: the argument that named it, for messages.
    what: the part of the file that is read, for messages.

  Raises:
    DataError: reading failed.
  """
  try:
    yield
  except _MISHAPS as error:
    if isinstance(error, DataError):
      raise
    reason = plain(getattr(error, "strerror", None) or error, 100)
    raise DataError(
        f"`{argument}` must hold readable files; {what and f'{what} of '}{path}"
        f" fails: {reason}. Write or fetch it again.") from error


def entries(folder: Path, argument: str = "spec") -> list[Path]:
  """The entries of a folder, sorted by name."""
  with reading(folder, argument):
    return sorted(folder.iterdir(), key=lambda entry: entry.name)


def check_size(unpacked: int, packed: int, path: Path, argument: str) -> None:
  """Raises an error if unpacked data are too large for the size of a file.

  Args:
    unpacked: bytes in memory.
    packed: bytes on disk.
    path: path of the file or folder.
    argument: the argument that named it, for messages.
  """
  said = os.environ.get(LIMIT)
  if said and not said.isdecimal():
    raise DataError(f"{LIMIT} must be a number of bytes; got {plain(said)!r}.")
  most = int(said) if said else max(_LEAST, _TIMES * packed)
  if unpacked > most:
    raise DataError(
        f"`{argument}` must unpack to {most:,} bytes at most; {path} of "
        f"{packed:,} has {unpacked:,} or more. Set {LIMIT} if you trust it.")


def check_itemsize(dtype: np.dtype) -> None:
  """Raises a `ValueError` for values of no bytes: any number would fit."""
  if not dtype.itemsize:
    raise ValueError(f"its values, {dtype}, take no bytes")


@contextlib.contextmanager
def opened(
    path: Path,
    argument: str = "spec",
    choose: Callable[[list[str]], list[str]] = list) -> Iterator[IO[bytes]]:
  """The bytes of a file; if it is a gzip, xz or zip archive, its content.

  Whoever reads the bytes must keep within the limit, see `check_size`.

  Args:
    path: path of the file.
    argument: the argument that named it, for messages.
    choose: `(names) -> names`, chooses among the files of a zip archive; one
      must remain.

  Raises:
    DataError: the file is not a regular file, or cannot be read.
  """
  with reading(path, argument), open(storage.regular(path), "rb") as file:
    begin = file.peek(8)
    unpack = [f for magic, f in _PACKED.items() if begin.startswith(magic)]
    if begin.startswith(_ZIP):
      with zipfile.ZipFile(file) as archive:
        member = _member(path, archive, argument, choose)
        check_size(member.file_size, _size(file), path, argument)
        with archive.open(member) as stream:
          yield stream
    elif unpack:
      with unpack[0](file) as stream:
        yield stream
    else:
      yield file


def content(path: Path, argument: str = "spec") -> bytes:
  """All bytes of a text file, packed or not; lines have at most 16 MiB."""
  chunks, line = [], 0
  with opened(path, argument) as stream:
    size = os.path.getsize(path)
    while chunk := stream.read(_CHUNK):
      check_size(len(chunk) + _CHUNK * len(chunks), size, path, argument)
      end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
      line = len(chunk) + (line if end < 0 else -end - 1)
      _check_line(path, argument, line)
      chunks.append(chunk)
  return b"".join(chunks)


def lines(stream: IO, path: Path, argument: str) -> Iterator[bytes]:
  """The lines of a stream of `opened`; each has at most 16 MiB."""
  size, taken, checked = os.path.getsize(path), 0, 0
  while line := stream.readline(_LONGEST_LINE + 1):
    taken += len(line)
    if taken > checked:  # not for every line, because it takes time
      _check_line(path, argument, len(line))
      check_size(taken, size, path, argument)
      checked = taken + _CHUNK
    yield line


@contextlib.contextmanager
def arrays(path: Path,
           argument: str = "spec") -> Iterator[Mapping[str, np.ndarray]]:
  """The arrays of an `.npz` file, each read when it is used.

  Raises:
    DataError: there is no such file, or it is damaged. When an array is used:
      it is a pickle, too large, or its size is not what its header says.
  """
  with reading(path, argument), open(storage.regular(path), "rb") as file:
    if not file.peek(4).startswith(_ZIP):
      raise DataError(
          f"`{argument}` must name an .npz file; {path} is not one. "
          "Write it with numpy.savez.")
    with zipfile.ZipFile(file) as archive:
      yield _Arrays(path, archive, _size(file), argument)


class _Arrays(Mapping):
  """The mapping that `arrays` returns."""

  def __init__(self, path, archive, size, argument):
    self._path, self._archive, self._argument = path, archive, argument
    self._size, self._taken = size, 0
    members = archive.infolist()
    self._members = {m.filename.removesuffix(".npy"): m for m in members}
    if len(self._members) < len(members):
      raise DataError(
          f"`{argument}` must hold arrays of different names; {path} has one "
          "name twice. Write it again.")
    for name, member in self._members.items():
      # An archive has each name twice, and opening compares the two. A damaged
      # name is therefore noticed, and no array is silently lost.
      with reading(path, argument, plain(name)), archive.open(member):
        pass

  def __iter__(self):
    return iter(self._members)

  def __len__(self):
    return len(self._members)

  def __getitem__(self, name):
    member = self._members[name]
    with reading(self._path, self._argument, plain(name)):
      self._taken += member.file_size
      check_size(self._taken, self._size, self._path, self._argument)
      with self._archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        shape, _, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
          raise DataError(
              f"`{self._argument}` must hold plain arrays; {plain(name)} of "
              f"{self._path} is a pickle, which could run code. Save numbers "
              "or fixed-length strings.")
        check_itemsize(dtype)
        said = math.prod(shape) * dtype.itemsize
        found = member.file_size - stream.tell()
      if said != found:
        raise ValueError(f"its shape takes {said} bytes, it has {found}")
      with self._archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _size(file) -> int:
  return os.fstat(file.fileno()).st_size


def _member(path, archive, argument, choose) -> zipfile.ZipInfo:
  """The one file of an archive that is read."""
  names = [
      name for name in archive.namelist() if not name.endswith("/") and
      not name.startswith("__MACOSX") and not Path(name).name.startswith(".")
  ]
  chosen = choose(names)
  if len(chosen) != 1:
    raise DataError(
        f"`{argument}` must be an archive of one such file; {path} holds "
        f"{fitting(names, 100) or 'none'}. Unpack it and name the "
        "file.")
  return archive.getinfo(chosen[0])


def _check_line(path: Path, argument: str, size: int) -> None:
  if size > _LONGEST_LINE:
    raise DataError(
        f"`{argument}` must hold lines of {_LONGEST_LINE:,} bytes at most; "
        f"{path} has a longer one. Is it a text?")
