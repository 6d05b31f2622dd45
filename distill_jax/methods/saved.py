"""Continues from a saved set: the setting `start` is the path of its file."""

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import artifact, preprocessing
from distill_jax.errors import ArtifactError, ConfigError, shown
from distill_jax.labels import classes_of_labels, uncentred
from distill_jax.types import Distilled, Parameterization


def is_saved(start: str) -> bool:
  """Whether a start is a path and not a name."""
  return Path(start).suffix != "" or len(Path(start).parts) > 1


def from_saved(method, path):
  """Returns the method, starting from a saved set of the same size and kind.

  Args:
    method: a `Method` with a setting `start`.
    path: path of the saved set.
  """
  from distill_jax.methods import from_spec

  return from_spec({**method.spec, "start": str(path)})


def identity(start: str) -> str:
  """Identifies a start: its name, or the content of its file, not the path.

  Raises:
    ConfigError: the file cannot be read.
  """
  if not is_saved(start):
    return start
  try:
    content = Path(start).read_bytes()
  except OSError as error:
    raise ConfigError(
        f"`start` must be a file that can be read; {start}: {error.strerror}."
    ) from None
  return f"set {hashlib.sha256(content).hexdigest()[:16]}"


def continued(
    path: str, source, stored: Parameterization, begun: Distilled, *,
    label_space: str) -> Distilled:
  """Returns a start with a saved set's codes and labels.

  Args:
    path: path of the file.
    source: data of the run.
    stored: parameterization of the run.
    begun: any start of the run; the saved set must have the same shapes.
    label_space: label space of the run.

  Raises:
    ConfigError: the file is not a suitable set; the message says what differs.
  """
  if not Path(path).is_file():
    raise ConfigError(
        "`start` must be a name or the file of a saved set; there is no file "
        f"{path}.")
  try:
    saved = artifact.load(path)
  except ArtifactError as error:
    raise ConfigError(f"`start` must be a saved set; {error}") from None
  for field, wanted in (("parameterization", dict(stored.spec)["name"]),
                        ("label_space", label_space), ("class_names", tuple(
                            source.class_names)), ("student_init", "random")):
    if (found := getattr(saved, field)) != wanted:
      remedy = ""
      if (field, found) == ("label_space", "centred"):
        remedy = ". rat_bptt(regression=True) takes it"
      raise _wrong(
          path, f"of {field} {shown(wanted)}", f"{shown(found)}{remedy}")
  codes = artifact.float_codes(saved)
  if _shapes(codes) != _shapes(begun.codes):
    raise _wrong(
        path, f"of the run's own size, codes {_shapes(begun.codes)}",
        str(_shapes(codes)))
  decoded = stored.decode(jax.tree.map(jnp.asarray, codes))
  if (decoded.shape != saved.inputs.shape or
      not np.allclose(decoded, saved.inputs, rtol=1e-3, atol=1e-4)):
    raise _wrong(
        path, "that the `parameterization` of the run decodes", "another one")
  if not preprocessing.alike(source.preprocessing, saved.preprocessing):
    raise _wrong(
        path, "of the run's own preprocessing",
        "another one. Take its data, `preprocessing`, `validation_fraction` "
        "and `seed`")
  _, first = np.unique(stored.owner(codes), return_index=True)
  labels = saved.labels[first]
  centred = label_space == "centred"
  rows = uncentred(labels) if centred else labels
  wanted = uncentred(begun.labels) if centred else begun.labels
  if saved.hard_rows and not np.array_equal(classes_of_labels(rows),
                                            classes_of_labels(wanted)):
    raise _wrong(
        path, "with as many samples of each class, in the order of classes",
        "another order")
  return begun._replace(
      codes=jax.tree.map(_like, begun.codes, codes),
      labels=_like(begun.labels, labels))


def _wrong(path: str, rule: str, found: str) -> ConfigError:
  return ConfigError(f"`start` must be a set {rule}; {path} has {found}.")


def _shapes(tree):
  return jax.tree.map(np.shape, tree)


def _like(array, value):
  return jnp.asarray(value, array.dtype)
