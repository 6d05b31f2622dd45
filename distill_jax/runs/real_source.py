"""Reads real data with the classes and preprocessing of a distilled set."""

from typing import Any

import numpy as np

from distill_jax import data
from distill_jax.artifact import Artifact
from distill_jax.errors import DataError, listed
from distill_jax.runs.console import say
from distill_jax.text.embedding import is_of_words


def source_of(
    artifact: Artifact,
    spec: str,
    *,
    data_dir: str | None = None,
    validation_fraction: float = 0.0):
  """Reads the real data of a set.

  Args:
    artifact: the set.
    spec: SPEC of the data.
    data_dir: a folder of data sets, or None.
    validation_fraction: fraction of train, held out for choosing settings.

  Returns:
    A `data.Source`.

  Raises:
    DataError: the data cannot be read, or have samples of another kind or
      shape, or other classes.
  """
  try:
    read = data.read(
        spec,
        data_dir=data_dir,
        preprocessing=artifact.preprocessing,
        validation_fraction=validation_fraction,
        class_names=artifact.class_names,
        text=_text(artifact))
  except DataError as error:
    # Read by themselves, they are compared with those of the set.
    made = data.read(spec, data_dir=data_dir)
    _check_samples(artifact, made, spec)
    made.in_classes(artifact.class_names)
    names = listed(artifact.class_names, 3, 16)
    raise DataError(f"{error} The classes of the set are {names}.") from error
  _check_samples(artifact, read, spec)
  counts = np.asarray(read.train.counts)
  if not counts.all():
    absent = [read.class_names[c] for c in np.flatnonzero(counts == 0)]
    raise DataError(
        f"the data must have samples of every class of the set; {spec} has "
        f"none of {listed(absent)}. Take the data that the set was made of.")
  for fact in ("left_out", "test_part"):
    if fact in read.facts:
      say(read.facts[fact])
  return read


def _check_samples(artifact: Artifact, read: data.Source, spec: str) -> None:
  """Refuses data whose samples have another kind or shape than those of a set.

  Raises:
    DataError: the message says how they differ.
  """
  remedy = "Take the data that the set was made of."
  of_words = is_of_words(artifact.preprocessing)
  if of_words != is_of_words(read.preprocessing):
    kinds = {True: "texts", False: "numbers"}
    raise DataError(
        f"the data must be {kinds[of_words]}, as those of the set; {spec} has "
        f"{kinds[not of_words]}. {remedy}")
  ours, theirs = artifact.inputs.shape[1:], read.example.shape[1:]
  if ours != theirs and not of_words:
    if len(ours) == 3 and spec.startswith("folder:") and ours[:2] != theirs[:2]:
      remedy = f"?size={ours[0]}x{ours[1]} after the folder resizes pictures."
    raise DataError(
        f"the data must have samples shaped like those of the set, {ours}; "
        f"{spec} has {theirs}. {remedy}")


def _text(artifact: Artifact) -> dict[str, Any]:
  """Arguments of `from_texts` that make real texts fit a set."""
  if not is_of_words(artifact.preprocessing):
    return {}
  facts = artifact.provenance.get("facts", {})
  known = {name: facts[name] for name in ("length", "tokens") if name in facts}
  if artifact.inputs.ndim == 3:
    known = {"length": artifact.inputs.shape[1], **known}
  return {**known, "drop_duplicates": "dropped" in facts}
