"""Small sets as harnesses compare them: who makes one, and what it takes.

A `Maker` turns real data into a set. What a set takes are the seconds of making
it and the bytes that whoever sends or keeps it counts.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from distill_jax.artifact import Artifact, from_samples
from distill_jax.methods.method import Method
from distill_jax.types import Array

_RECIPE = {"name": "converged"}  # unless a harness trains by another


class Maker(NamedTuple):
  """How a small set is made of real data.

  Attributes:
    name: in tables and file names.
    make: `(key, source, num_rows, network) -> Artifact` with label rows of the
      classes that the source has. The network is the harness's; makers that
      need none ignore it. `timed` calls this function.
    spec: JSON document from which `makers.maker` makes it again.
    method: the method, or None for a choice of real samples.
    network: that the method works with, in place of the harness's.
    exact: whether samples are real ones, which have 8 bits a value where the
      data have.
  """

  name: str
  make: Callable[[Array, Any, int, Any], Artifact]
  spec: Any
  method: Method | None = None
  network: Any = None
  exact: bool = False


def of_samples(
    source,
    inputs: Array,
    classes: np.ndarray,
    method: str,
    provenance: Mapping[str, Any] | None = None) -> Artifact:
  """The set of some samples with hard labels, for any network.

  Args:
    source: the data that it was made of.
    inputs: [M, ...] in model space.
    classes: [M] int.
    method: who made it.
    provenance: JSON values that are recorded, beside the name of the data.
  """
  made = from_samples(
      np.asarray(inputs),
      classes,
      class_names=source.class_names,
      preprocessing=source.preprocessing,
      recipe=_RECIPE,
      method=method,
      provenance=dict(provenance or {}, data=source.name))
  return made._replace(raw_dtype=source.raw_dtype)


def timed(
    one: Maker, key: Array, source, num_rows: int, network=None) -> Artifact:
  """A maker's set, which knows how long it took; see `seconds_of`.

  Args:
    one: the maker.
    key: consumed.
    source: the data.
    num_rows: label rows.
    network: of the harness, whatever the maker does with it.

  Returns:
    The set; `provenance["seconds_made"]` are seconds by the wall clock,
    compilation included.
  """
  began = time.perf_counter()
  made = one.make(key, source, num_rows, network)
  seconds = round(time.perf_counter() - began, 3)
  return made._replace(provenance={**made.provenance, "seconds_made": seconds})


def seconds_of(artifact: Artifact) -> float:
  """Seconds of making a set: those of `timed`, or else of its distilling."""
  known = artifact.provenance
  return float(known.get("seconds_made", known.get("seconds", 0.0)))


def stored_bytes(artifact: Artifact, exact: bool = False) -> int:
  """Bytes of samples and labels, as whoever sends or keeps a set counts them.

  A hard label takes one byte (two beyond 256 classes) and a soft row 4 bytes a
  class; a value takes 4 bytes, or 1 where samples are real and of 8 bits.

  Args:
    artifact: the set.
    exact: whether its samples are real ones; see `Maker`.
  """
  sizes = artifact.storage_bytes
  labels = sizes["labels"]
  if artifact.hard_rows:
    labels = len(artifact.labels) * _bytes_of_class(artifact.num_classes)
  values = sizes["total"] - sizes["labels"]
  if exact and artifact.raw_dtype == "uint8":
    values = artifact.inputs.size
  return values + labels


def bytes_of_sample(source, exact: bool = True) -> int:
  """Bytes of one sample and the number of its class; see `stored_bytes`.

  Args:
    source: the data.
    exact: whether it is a real sample; others have 4 bytes a value.
  """
  value = 1 if exact and source.raw_dtype == "uint8" else 4
  values = int(np.prod(source.train.sample_shape)) * value
  return values + _bytes_of_class(source.num_classes)


def rows_of_bytes(source, budget: int) -> int:
  """Real samples whose bytes fit a budget, at least one; see `stored_bytes`."""
  fit = budget // bytes_of_sample(source)
  return max(1, min(fit, source.train.num_samples))


def _bytes_of_class(num_classes: int) -> int:
  return 1 if num_classes <= 256 else 2
