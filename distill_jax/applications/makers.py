"""Makers: whatever turns real data into a small set, by one signature.

A maker is a method of the library or a choice of real samples, so that a
harness compares them without knowing which is which. Sizes are numbers of
samples or bytes, as a receiver would count them: see `stored_bytes`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import methods, selection
from distill_jax.artifact import Artifact, from_samples
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError, plain
from distill_jax.initialisation import present_classes
from distill_jax.methods.condensing import condense
from distill_jax.methods.method import Method
from distill_jax.types import Array

_RECIPE = {"name": "converged"}  # of real samples, unless a harness says


class Maker(NamedTuple):
  """How a small set is made of real data.

  Attributes:
    name: in tables and file names.
    make: `(key, source, num_rows, network) -> Artifact` with label rows of the
      classes that the source has; the network is the harness's, if any.
    spec: JSON document from which `maker` makes it again.
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


def maker(given: Maker | Method | Mapping[str, Any] | str) -> Maker:
  """A maker of whatever names one.

  Args:
    given: a `Method`; its specification `{"name": ..., settings}` or its name;
      `{"method": ..., "network": ..., "name": ...}` with a network of its own
      and another name in tables; or a choice of real samples: random_real,
      kmeans, herding, kcentre, class_mean, all_real.

  Raises:
    ConfigError: an unknown name.
  """
  if isinstance(given, Maker):
    return given
  if isinstance(given, Method):
    return _distilled(given)
  if isinstance(given, Mapping) and "method" in given:
    return _named(given)
  if isinstance(given, Mapping):
    return _distilled(methods.from_spec(given))
  if given in REAL:
    return _chosen(given)
  one_of([*REAL, *methods.ENTRIES], "maker", given)
  return _distilled(methods.from_spec({"name": given}))


def makers(given: Sequence[Any]) -> tuple[Maker, ...]:
  """Makers of different names; see `maker`."""
  made = tuple(map(maker, given))
  names = [one.name for one in made]
  if twice := {name for name in names if names.count(name) > 1}:
    raise ConfigError(
        f"`makers` must have different names; got {', '.join(sorted(twice))} "
        "twice. Rename one: maker(...)._replace(name=...).")
  return made


def stored_bytes(artifact: Artifact, exact: bool = False) -> int:
  """Bytes of samples and labels, as whoever sends or keeps a set counts them.

  A hard label takes one byte (two beyond 256 classes) and a soft row 4 bytes a
  class; a value 4 bytes, or 1 where samples are real and of 8 bits.

  Args:
    artifact: the set.
    exact: whether its samples are real ones; see `Maker`.
  """
  sizes = artifact.storage_bytes
  labels = sizes["labels"]
  if artifact.label_regime == "hard":
    labels = len(artifact.labels) * (1 if artifact.num_classes <= 256 else 2)
  values = sizes["total"] - sizes["labels"]
  if exact and artifact.raw_dtype == "uint8":
    values = artifact.inputs.size
  return values + labels


def rows_of_bytes(source, budget: int) -> int:
  """Real samples whose bytes fit a budget, at least one; see `stored_bytes`."""
  value = 1 if source.raw_dtype == "uint8" else 4
  each = int(np.prod(source.train.sample_shape)) * value
  each += 1 if source.num_classes <= 256 else 2
  return max(1, min(budget // each, source.train.num_samples))


def student_for(method: Method, own, network):
  """What a method works with: its own, or the harness's if it takes networks.

  Args:
    method: of a maker.
    own: `Maker.network`.
    network: of the harness, or None.
  """
  return network if own is None and method.model == "network" else own


def _named(given: Mapping[str, Any]) -> Maker:
  for field in given:
    one_of(("method", "name", "network"), "maker", field)
  method = maker(given["method"]).method
  if method is None:
    raise ConfigError(
        f"`maker` must have a method; got {plain(given['method'])}. Choices of "
        "real samples are given by name.")
  made = _distilled(method, given.get("network"))
  return made._replace(name=given.get("name", method.name), spec=dict(given))


def _distilled(method: Method, own=None) -> Maker:

  def make(key, source, num_rows, network=None):
    return condense(
        source,
        method,
        student_for(method, own, network),
        num_rows=num_rows,
        key=key)

  return Maker(method.name, make, method.spec, method, own)


def _chosen(name: str) -> Maker:
  choose, exact = REAL[name]

  def make(key, source, num_rows, network=None):
    del network
    inputs, classes = choose(key, source, num_rows)
    made = from_samples(
        np.asarray(inputs),
        classes,
        class_names=source.class_names,
        preprocessing=source.preprocessing,
        recipe=_RECIPE,
        method=name,
        provenance=dict(data=source.name))
    return made._replace(raw_dtype=source.raw_dtype)

  return Maker(name, make, name, exact=exact)


def _by_class(select: Callable) -> Callable:
  """A choice of samples whose classes take turns."""

  def choose(key, source, num_rows):
    classes = present_classes(source, num_rows)
    return select(key, source.train, classes)[0], classes

  return choose


def _all(key, source, num_rows):
  """Every sample, whatever number is asked for."""
  del key, num_rows
  split = source.train
  rows = [
      split.encode(split.inputs[start:start + 1024])
      for start in range(0, split.num_samples, 1024)
  ]
  return jnp.concatenate(rows), np.asarray(split.labels)


# Choices of real samples, and whether what they give are samples themselves.
REAL = {
    "all_real": (_all, True),
    "class_mean": (
        _by_class(lambda key, split, c: selection.class_mean(split, c)), False),
    "herding":
        (_by_class(lambda key, split, c: selection.herding(split, c)), True),
    "kcentre":
        (_by_class(lambda key, split, c: selection.kcentre(split, c)), True),
    "kmeans": (
        _by_class(lambda key, split, c: selection.kmeans(key, split, c, 1)),
        False),
    "random_real": (
        _by_class(
            lambda key, split, c: selection.random_real(key, split, c, 1)), True
    )
}


def key_of(seed: int, *places: int) -> Array:
  """The key of one piece of work, whatever was done before it.

  Args:
    seed: of the harness.
    *places: numbers of the piece: client, task, arm.
  """
  key = jax.random.key(seed)
  for place in places:
    key = jax.random.fold_in(key, place)
  return key


def check_counts(**counts: Any) -> None:
  """Refuses counts that are no whole numbers of at least 1."""
  for name, value in counts.items():
    if not isinstance(value, int | np.integer) or value < 1:
      raise ConfigError(
          f"`{name}` must be a whole number of at least 1; got "
          f"{plain(value)}.")
