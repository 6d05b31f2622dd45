"""Choices of real samples, and of their means: the baselines of small sets."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from distill_jax import selection
from distill_jax.applications.small_sets import Maker, of_samples
from distill_jax.data.source import Split
from distill_jax.errors import ConfigError
from distill_jax.initialisation import present_classes
from distill_jax.types import Array

_ENCODE_ROWS = 1024


def _by_class(select: Callable) -> Callable:
  """A choice that takes classes in turn as long as they have samples."""

  def choose(key, source, num_rows):
    classes = _classes(source, num_rows)
    return select(key, source.train, classes)[0], classes

  return choose


def _classes(source, num_rows: int) -> np.ndarray:
  """The class of each row, [M] int; no class has more rows than samples.

  If a class has too few samples, its rows go to the other classes, so that no
  sample is chosen twice.

  Raises:
    ConfigError: more rows than there are samples.
  """
  total, counts = source.train.num_samples, np.asarray(source.train.counts)
  if num_rows > total:
    raise ConfigError(
        f"`num_rows` must ask for at most the real samples; got {num_rows:,} "
        f"rows for {total:,} samples. Ask for fewer.")
  classes = present_classes(source, num_rows)
  if (np.bincount(classes, minlength=len(counts)) <= counts).all():
    return classes
  turns = np.concatenate([np.arange(count) for count in counts])
  owners = np.repeat(np.arange(len(counts)), counts)
  return np.sort(owners[np.lexsort((owners, turns))][:num_rows])


def _all(key, source, num_rows):
  """Every sample, whatever number of rows is asked for."""
  del key, num_rows
  split = source.train
  rows = np.arange(split.num_samples)
  return encoded(split, rows), np.asarray(split.labels)


def encoded(split: Split, rows: np.ndarray) -> Array:
  """Samples in model space, encoded block by block to save memory."""
  return jnp.concatenate([
      split.encode(split.inputs[rows[start:start + _ENCODE_ROWS]])
      for start in range(0, len(rows), _ENCODE_ROWS)
  ])


# By name: a choice, and whether it returns real samples (not means of them).
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


def chosen(name: str) -> Maker:
  """The maker of the choice `name` of `REAL`."""
  choose, exact = REAL[name]

  def make(key, source, num_rows, network=None):
    del network
    return of_samples(source, *choose(key, source, num_rows), method=name)

  return Maker(name, make, name, exact=exact)
