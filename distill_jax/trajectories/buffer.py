"""Experts on disk: a folder with one file per expert, read row by row.

A file is safetensors (`storage`) with `weights` [E + 1, n], float32 or
bfloat16; each row can be read without the others. Its document says how the
vector is laid out, and how and on what the expert was trained. The document has
a checksum of itself, which is checked at once, and of every row, which is
checked when the row is used. Files appear complete or not at all.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from distill_jax import storage
from distill_jax.errors import WorkdirError, plain, shown
from distill_jax.inner_loop import keeps_statistics
from distill_jax.nn import vector
from distill_jax.objectives.mtt import Segment
from distill_jax.trajectories.experts import Expert
from distill_jax.types import FilePath, PyTree

DTYPES = {"bfloat16": jnp.bfloat16, "float32": np.float32}
_NAME = re.compile(r"expert_(\d{3,})\.safetensors")
_SCHEMA = 1
_KINDS: dict[str, Any] = dict(
    layout=list, rows=list, accuracy=list, identity=dict, about=dict)


class Buffer(NamedTuple):
  """Experts of one network, trained alike on the same data.

  Attributes:
    files: one file per expert.
    num_epochs: E, the same for all experts.
    documents: the document of each file.
  """

  files: tuple[Path, ...]
  num_epochs: int
  documents: tuple[dict[str, Any], ...]

  @property
  def num_experts(self) -> int:
    """Number of experts."""
    return len(self.files)

  @property
  def accuracy(self) -> list[float]:
    """Final accuracy of each expert on held-out data, where it was measured."""
    return [d["accuracy"][-1] for d in self.documents if d["accuracy"]]

  def weights(self, expert: int, epoch: int) -> np.ndarray:
    """[n] float32, the weights of an expert after an epoch; 0 is the start.

    Raises:
      WorkdirError: the row is damaged, or the file is gone.
    """
    file = self.files[expert]
    try:
      with safe_open(file, framework="np") as opened:
        row = opened.get_slice("weights")[epoch:epoch + 1]
    except (OSError, SafetensorError) as error:
      raise _bad(file, str(error)) from error
    if _checksum(row) != self.documents[expert]["rows"][epoch]:
      raise _bad(file, f"the weights after epoch {epoch} are damaged")
    return row[0].astype(np.float32)

  def variables(self, epoch: int, fresh: PyTree) -> Iterator[PyTree]:
    """Yields the variables of each expert after an epoch, read one by one.

    Args:
      epoch: number of the epoch; 0 is before the first.
      fresh: variables of the network, which give the structure.

    Raises:
      ValueError: the network has more than weights, which files do not store.
    """
    if keeps_statistics(fresh):
      raise ValueError(
          "`fresh` must be variables of a network without statistics of "
          "batches, which experts do not keep; got "
          f"{', '.join(sorted(fresh))}. Take instance norm.")
    for expert in range(self.num_experts):
      weights = jnp.asarray(self.weights(expert, epoch))
      params = vector.unflatten(weights, fresh["params"])
      yield {**fresh, "params": params}

  def segment(self, expert: int, epoch: int, span: int) -> Segment:
    """An expert's segment of `span` epochs, beginning at an epoch."""
    return Segment(
        self.weights(expert, epoch), self.weights(expert, epoch + span))


def path_of(folder: FilePath, number: int) -> Path:
  """The file of expert `number`, from 0."""
  return Path(folder) / f"expert_{number:03}.safetensors"


def numbers(folder: FilePath) -> list[int]:
  """The numbers of the experts in a folder; [] if there is no folder."""
  folder = Path(folder)
  if not folder.is_dir():
    return []
  found = (_NAME.fullmatch(file.name) for file in folder.iterdir())
  return sorted(int(match[1]) for match in found if match)


def save_expert(
    folder: FilePath,
    number: int,
    expert: Expert,
    *,
    like: PyTree,
    identity: Mapping[str, Any],
    dtype: str = "float32",
    about: Mapping[str, Any] | None = None) -> None:
  """Writes the file of an expert.

  Args:
    folder: an existing folder.
    number: number of the expert, from 0.
    expert: its trajectory.
    like: the network's weights, or their shapes.
    identity: JSON values of everything that the expert depends on except its
      key: data, network, recipe. `open_buffer` compares it.
    dtype: one of `DTYPES`; bfloat16 halves the file and keeps 8 bits of
      precision per weight.
    about: further JSON values for readers, which are not compared.

  Raises:
    WorkdirError: the disk did not accept the file; no part of it remains.
  """
  if dtype not in DTYPES:
    raise ValueError(
        f"`dtype` must be one of {', '.join(DTYPES)}; got {dtype!r}.")
  weights = np.asarray(expert.weights, DTYPES[dtype])
  document: dict[str, Any] = dict(
      schema_version=_SCHEMA,
      number=number,
      layout=vector.layout(like),
      identity=dict(identity),
      about=dict(about or {}),
      rows=[_checksum(row[None]) for row in weights],
      accuracy=[round(float(value), 6) for value in expert.accuracy])
  document["own_sha256"] = storage.checksum({}, document)
  file = path_of(folder, number)
  try:
    storage.write(file, {"weights": weights}, document)
  except OSError as error:
    raise WorkdirError(
        f"`folder` must take an expert; saving {file} failed: "
        f"{error.strerror}. Free some space and run again: finished experts "
        "are intact.") from error


def open_buffer(
    folder: FilePath,
    *,
    like: PyTree,
    identity: Mapping[str, Any] | None = None,
    num_experts: int | None = None) -> Buffer:
  """Opens experts; reads their documents, but not the weights.

  Args:
    folder: the folder of `save_expert`.
    like: weights, or their shapes, of the network that will match the experts.
    identity: the required `identity` of the experts; None for any.
    num_experts: number of experts to open, the first ones; by default all.

  Raises:
    WorkdirError: there are too few experts, one is damaged, or one has another
      network, data or recipe; the message says what differs.
  """
  found = numbers(folder)[:num_experts]
  if not found or (num_experts and len(found) < num_experts):
    raise WorkdirError(
        f"`folder` must hold {num_experts or 'some'} experts; {folder} has "
        f"{len(found)}. Train more of them with experiments/experts.py.")
  files = tuple(path_of(folder, number) for number in found)
  documents = tuple(_document(file, like, identity) for file in files)
  lengths = {len(document["rows"]) for document in documents}
  if len(lengths) != 1:
    raise WorkdirError(
        f"`folder` must hold experts of one number of epochs; those in "
        f"{folder} have {', '.join(str(n - 1) for n in sorted(lengths))}.")
  return Buffer(files, lengths.pop() - 1, documents)


def _document(file: Path, like, identity) -> dict[str, Any]:
  """The document of a file, after checking that it fits."""
  try:
    document = storage.document(file)
    if document is None or document.get("schema_version") != _SCHEMA:
      raise ValueError("it is no expert")
    number = int(_NAME.fullmatch(file.name)[1])
    if document.get("number", number) != number:  # older files lack the number
      raise ValueError(f"it holds expert {document['number']}")
    _check_own(file, document)
    with safe_open(file, framework="np") as opened:
      weights = opened.get_slice("weights")
      shape, dtype = tuple(weights.get_shape()), weights.get_dtype()
    _check_kinds(document)
  except (OSError, ValueError, SafetensorError) as error:
    raise _bad(file, plain(error, 150)) from error
  wanted = vector.layout(like)
  _check_layout(file, document["layout"], wanted)
  size = sum(int(np.prod(part)) for _, part in wanted)
  if shape != (len(document["rows"]), size) or dtype not in ("BF16", "F32"):
    raise _bad(file, f"its weights are {dtype} {shape}")
  for field, wanted in (identity or {}).items():
    _check_same(file, field, document["identity"].get(field), wanted)
  return document


def _check_own(file: Path, document: Mapping[str, Any]) -> None:
  """Checks the document's checksum; in older files, that of the whole file."""
  if "own_sha256" not in document:
    tensors, own = storage.read(file)
    storage.check(tensors, own or {})
    return
  own = {k: v for k, v in document.items() if not k.endswith("sha256")}
  storage.check({}, dict(own, sha256=document["own_sha256"]))


def _check_kinds(document: Mapping[str, Any]) -> None:
  """Refuses missing fields, and fields of a wrong type."""
  for name, kind in _KINDS.items():
    if not isinstance(document.get(name), kind):
      raise ValueError(f"its {name} must be a {kind.__name__}")
  if not document["rows"] or not all(type(value) in (int, float)
                                     for value in document["accuracy"]):
    raise ValueError("it must have rows, and accuracies that are numbers")
  for part in document["layout"]:
    if not (isinstance(part, list) and len(part) == 2 and
            isinstance(part[0], str) and isinstance(part[1], list)):
      raise ValueError("its layout must be pairs of names and shapes")


def _check_layout(file: Path, found, wanted) -> None:
  found = {name: list(shape) for name, shape in found}
  wanted = dict(wanted)
  for name in [*wanted, *found]:
    if found.get(name) != wanted.get(name):
      raise WorkdirError(
          "`folder` must hold experts of the network that follows; "
          f"{plain(name)} is {wanted.get(name, 'absent')} there and "
          f"{plain(found.get(name, 'absent'))} in {file}. Train experts of "
          "this network in another folder.")


def _check_same(file: Path, field: str, found, wanted) -> None:
  """Refuses a different value; names the innermost field that differs."""
  if isinstance(wanted, Mapping) and isinstance(found, Mapping):
    for name in sorted({*wanted, *found}):
      _check_same(file, f"{field}.{name}", found.get(name), wanted.get(name))
  elif found != wanted:
    raise WorkdirError(
        "`folder` must hold experts trained as this run says; "
        f"{plain(field)} is {shown(wanted, 60)} and {file} has "
        f"{shown(found, 60)}. Train others in another folder.")


def _checksum(row: np.ndarray) -> int:
  return zlib.crc32(row.tobytes())


def _bad(file: Path, why: str) -> WorkdirError:
  return WorkdirError(
      f"`folder` must hold sound experts; {file}: {why}. Delete it to train it "
      "again.")
