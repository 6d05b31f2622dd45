"""Saves and loads distilled sets; docs/artifact.md describes the format."""

import os
from pathlib import Path

from distill_jax import schema, storage
from distill_jax.artifact.record import Artifact
from distill_jax.errors import ArtifactError, listed, plain, shown
from distill_jax.types import FilePath

SET = "distilled.safetensors"  # the set in the folder of a run


def save(artifact: Artifact, path: FilePath) -> None:
  """Writes a set as a safetensors file, completely or not at all.

  Args:
    artifact: the set.
    path: path of the file; its folder must exist. An existing file is replaced
      at the end.

  Raises:
    ArtifactError: the set breaks a rule of the schema, or the file cannot be
      written; an existing file is then left unchanged.

  Example:
    dd.save(made, "set.safetensors")
  """
  tensors, document = schema.split(schema.check(artifact))
  try:
    storage.write(path, tensors, document)
  except OSError as error:
    raise unwritable(path, error) from error


def load(path: FilePath) -> Artifact:
  """Reads a set and checks all of it before use.

  Nothing in the file is executed.

  Args:
    path: of the file; or of a folder with a file distilled.safetensors, such as
      that of a run.

  Raises:
    ArtifactError: there is no such file; or it is not a distilled set, is
      damaged, has a later schema, or breaks a rule of its schema.

  Example:
    made = dd.load("set.safetensors")
  """
  if not isinstance(path, str | os.PathLike):
    raise ArtifactError(
        f"`path` must name a distilled set; got {shown(path)}. Give a path.")
  if os.path.isdir(path):
    path = _inside(Path(path))
  shown_path = plain(path, 120)
  try:
    tensors, document = storage.read(path)
  except FileNotFoundError as error:
    raise ArtifactError(
        f"`path` must name a distilled set; there is no {shown_path}."
    ) from error
  except (OSError, ValueError) as error:
    reason = plain(getattr(error, "strerror", None) or error, 120)
    raise ArtifactError(
        f"`path` must name a distilled set; got {shown_path}: {reason}. Fetch "
        "or save it again.") from error
  if document is None:
    raise ArtifactError(
        f"`path` must name a distilled set; {shown_path} has no metadata "
        f"{storage.KEY!r}. Wrap its arrays with `from_samples`, then `save`.")
  return build(path, tensors, document)


def _inside(folder: Path) -> Path:
  """The file of a set in a folder."""
  if (folder / SET).exists():
    return folder / SET
  others = sorted(file.name for file in folder.glob("*.safetensors"))
  remedy = "Let the run of that folder end, or name a file."
  if others:
    remedy = f"Name one of its files: {listed(others)}."
  raise ArtifactError(
      "`path` must name a distilled set; the folder "
      f"{plain(str(folder), 120)} has no {SET}. {remedy}")


def build(path: FilePath, tensors: storage.Tensors, document: dict) -> Artifact:
  """Makes a checked artifact of the content of a file.

  Args:
    path: path of the file, for messages.
    tensors: arrays by name.
    document: the metadata, with its checksum.

  Raises:
    ArtifactError: a rule of the schema is broken.
  """
  try:
    return schema.check(Artifact(**schema.fields(tensors, document)))
  except ArtifactError as error:
    raise ArtifactError(f"{error} (in {path})") from error


def unwritable(path: FilePath, error: OSError) -> ArtifactError:
  """The error to raise when a file could not be written."""
  return ArtifactError(
      f"`path` must be a file that can be written; got {path}: "
      f"{error.strerror}. Free some space or name an existing folder; an older "
      "file is untouched.")
