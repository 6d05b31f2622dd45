"""Small sets as applications compare them: their maker, time and size.

A `Maker` turns real data into a set. The cost of a set is the seconds to make
it and the bytes to send or store it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from distill_jax.artifact import Artifact, from_samples
from distill_jax.methods.method import Method
from distill_jax.types import Array

_RECIPE = {"name": "converged"}  # used unless an application has a recipe


class Maker(NamedTuple):
  """How a small set is made of real data.

  Attributes:
    name: name in tables and file names.
    make: `(key, source, num_rows, network) -> Artifact` with `num_rows` label
      rows of the classes that the source has. `network` is the application's
      network; makers that need none ignore it. `timed` calls this function.
    spec: JSON document from which `makers.maker` makes it again.
    method: the method, or None for a choice of real samples.
    network: the network that the method distils with, in place of the
      application's; None for none.
    exact: whether samples are real ones, which have 8 bits per value if the
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
  """A set of samples with hard labels, for any network.

  Args:
    source: the data that the samples were made of.
    inputs: [M, ...] in model space.
    classes: [M] int.
    method: name of what made them.
    provenance: JSON values to record, beside the name of the data.
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
  """Makes a maker's set and records the time it took; see `seconds_of`.

  Args:
    one: the maker.
    key: consumed.
    source: the data.
    num_rows: number of label rows.
    network: the application's network; the maker may ignore it.

  Returns:
    The set; `provenance["seconds_made"]` are seconds of wall-clock time,
    including compilation.
  """
  began = time.perf_counter()
  made = one.make(key, source, num_rows, network)
  seconds = round(time.perf_counter() - began, 3)
  return made._replace(provenance={**made.provenance, "seconds_made": seconds})


def seconds_of(artifact: Artifact) -> float:
  """Seconds of making a set: from `timed`, or else of its distillation."""
  known = artifact.provenance
  return float(known.get("seconds_made", known.get("seconds", 0.0)))


def stored_bytes(artifact: Artifact, exact: bool = False) -> int:
  """Bytes of samples and labels that must be sent or stored.

  A hard label takes one byte (two for more than 256 classes), a soft label four
  bytes per class. A value takes four bytes, or one if samples are real and have
  8 bits.

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
  """Bytes of one sample with a hard label; see `stored_bytes`.

  Args:
    source: the data.
    exact: whether it is a real sample; others have four bytes per value.
  """
  value = 1 if exact and source.raw_dtype == "uint8" else 4
  values = int(np.prod(source.train.sample_shape)) * value
  return values + _bytes_of_class(source.num_classes)


def rows_of_bytes(source, budget: int) -> int:
  """Number of real samples that fit a budget of bytes, at least one."""
  fit = budget // bytes_of_sample(source)
  return max(1, min(fit, source.train.num_samples))


def _bytes_of_class(num_classes: int) -> int:
  return 1 if num_classes <= 256 else 2
