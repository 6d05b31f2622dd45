"""Runs that go on from a saved set: `config.start` is its path."""

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from methods import TRAJECTORIES, UNROLLED

from distill_jax import artifact
from distill_jax.errors import ArtifactError, ConfigError
from distill_jax.labels import classes_of_labels, uncentred
from distill_jax.types import Distilled, Parameterization


def is_saved(start: str) -> bool:
  """Whether a start is the path of a file, not a name."""
  return Path(start).suffix != "" or len(Path(start).parts) > 1


def identity(config) -> dict:
  """What a run is: its fields, and of a saved start the content, not the path.
  """
  fields = config.to_dict()
  if is_saved(config.start):
    fields["start"] = f"set {_checksum(config.start)}"
  return fields


def check(config) -> None:
  """Refuses a saved start where samples and labels are not all there is."""
  alone = config.method not in UNROLLED + TRAJECTORIES
  if is_saved(config.start) and (not alone or "segments" in config):
    raise ConfigError(
        f"`start` must be a name with {config.method}, whose sets have steps, "
        f"experts or segments of their own; got the file {config.start}."
    )


def read(
    config, source, stored: Parameterization, begun: Distilled
) -> Distilled:
  """A saved set's codes and labels.

  Args:
    config: of the run.
    source: its data.
    stored: its parameterization.
    begun: any start of the run, whose shapes the saved set must have.

  Raises:
    ConfigError: the file is no such set; it says what differs.
  """
  if not Path(config.start).is_file():
    raise ConfigError(
        "`start` must be a name or the file of a saved set; there is no file "
        f"{config.start}."
    )
  try:
    saved = artifact.load(config.start)
  except ArtifactError as error:
    raise ConfigError(f"`start` must be a saved set; {error}") from None
  centred = config.get("label_space", "raw") == "centred"
  for field, wanted in (
      ("parameterization", config.parameterization.name),
      ("label_space", "centred" if centred else "raw"),
      ("class_names", tuple(source.class_names)),
      ("student_init", "random"),
  ):
    if (found := getattr(saved, field)) != wanted:
      remedy = ""
      if (field, found) == ("label_space", "centred"):
        remedy = ". The option `regression` of rat_bptt takes it"
      raise _wrong(config, f"of {field} {wanted!r}", f"{found!r}{remedy}")
  codes = saved.codes if jax.tree.leaves(saved.codes) else saved.inputs
  if _shapes(codes) != _shapes(begun.codes):
    raise _wrong(
        config, f"of the run's own size, codes {_shapes(begun.codes)}",
        str(_shapes(codes)),
    )
  decoded = stored.decode(jax.tree.map(jnp.asarray, codes))
  if (decoded.shape != saved.inputs.shape
      or not np.allclose(decoded, saved.inputs, rtol=1e-3, atol=1e-4)):
    raise _wrong(
        config, "that the `parameterization` of the run decodes", "another one"
    )
  if not _alike(source.preprocessing, saved.preprocessing):
    raise _wrong(
        config, "of the run's own preprocessing",
        "another one. Take its data, `preprocessing`, `validation_fraction` "
        "and `seed`",
    )
  _, first = np.unique(stored.owner(codes), return_index=True)
  labels = saved.labels[first]
  rows = uncentred(labels) if centred else labels
  wanted = uncentred(begun.labels) if centred else begun.labels
  if saved.label_regime == "hard" and not np.array_equal(
      classes_of_labels(rows), classes_of_labels(wanted)
  ):
    raise _wrong(
        config, "with as many samples of each class, in the order of classes",
        "another order",
    )
  return begun._replace(
      codes=jax.tree.map(_like, begun.codes, codes),
      labels=_like(begun.labels, labels),
  )


def _wrong(config, rule: str, found: str) -> ConfigError:
  return ConfigError(
      f"`start` must be a set {rule}; {config.start} has {found}."
  )


def _shapes(tree):
  return jax.tree.map(np.shape, tree)


def _like(array, value):
  return jnp.asarray(value, array.dtype)


def _alike(one, other) -> bool:
  """Whether two preprocessings are of one kind and of the same numbers."""
  return (
      type(one) is type(other) and _shapes(one) == _shapes(other)
      and all(
          np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(
              jax.tree.leaves(one), jax.tree.leaves(other), strict=True
          )
      )
  )


def _checksum(path: str) -> str:
  try:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
  except OSError as error:
    raise ConfigError(
        f"`start` must be a file that can be read; {path}: {error.strerror}."
    ) from None
