"""Merges distilled sets, for instance of clients, shards or tasks."""

import itertools
from collections.abc import Sequence
from typing import NoReturn

import jax
import numpy as np

from distill_jax import environment, schema
from distill_jax.artifact import Artifact, from_samples
from distill_jax.errors import ArtifactError, plain, shown
from distill_jax.preprocessing import name_of
from distill_jax.probe_set import has_probe, pooled, with_extra

_SHARED = (
    "class_names", "label_space", "label_scale", "modality", "raw_dtype",
    "recipe", "network")
_PREFIX = "merged "


def merge(artifacts: Sequence[Artifact]) -> Artifact:
  """Makes one set of the samples of several sets, as a single step.

  Sets of shards of one source (`Source.take`) share its preprocessing. Codes
  are left out; `storage_bytes` are summed. The sets may differ in their one
  step size and in learned scalars (RFAD's temperature); the union has the
  means, which `provenance` notes. Sets of a linear probe become one set with
  the probe of all their data, if they store the sums that it needs, see
  `probe_set.pooled`.

  Args:
    artifacts: at least one set. Each has one step and no fixed initialisation.
      They agree in class names, labels, preprocessing, sample shape, recipe and
      network.

  Returns:
    The union; `provenance["parts"]` lists the sets.

  Raises:
    ArtifactError: the message names what differs, or what cannot be merged.

  Example:
    both = dd.merge([made, made])
  """
  artifacts = [artifacts] if isinstance(artifacts,
                                        Artifact) else list(artifacts)
  for one in artifacts:
    if not isinstance(one, Artifact):
      raise ArtifactError(
          f"`artifacts` must hold artifacts; got {type(one).__name__}. `load` "
          "reads files.")
  if not artifacts:
    raise ArtifactError("`artifacts` must hold at least one set; got none.")
  first = artifacts[0]
  for number, other in enumerate(artifacts, 1):
    _check(first, other, number)
  if len(artifacts) > 1 and all(map(has_probe, artifacts)):
    return _of_probes(artifacts)
  artifacts = [a.as_floats() for a in artifacts]
  first = artifacts[0]
  starts = np.cumsum([0, *(a.num_samples for a in artifacts[:-1])])
  shared = {
      name: value for name, value in first.provenance.items() if all(
          a.provenance.get(name) == value for a in artifacts)
  }
  means = {}
  for name in ("step_sizes", "extra"):
    values = [getattr(a, name) for a in artifacts]
    if not all(_equal(values[0], value) for value in values):
      means[name] = jax.tree.map(lambda *x: np.mean(x, 0, x[0].dtype), *values)
      shared[name] = f"mean of {len(artifacts)} sets"
  return schema.check(
      first._replace(
          inputs=np.concatenate([a.inputs for a in artifacts]),
          labels=np.concatenate([a.labels for a in artifacts]),
          **means,
          order=np.concatenate([
              a.order + np.int32(start)
              for a, start in zip(artifacts, starts, strict=True)
          ],
                               axis=1),
          method=_PREFIX + _names(a.method for a in artifacts),
          parameterization=_names(a.parameterization for a in artifacts),
          label_regime=max(a.label_regime for a in artifacts),  # soft if one is
          storage_bytes=_sums([a.storage_bytes for a in artifacts]),
          provenance={
              **shared, "versions": environment.versions(),
              "parts": [part for a in artifacts for part in _parts(a)]
          }))


def _of_probes(artifacts: Sequence[Artifact]) -> Artifact:
  union = pooled(artifacts)
  first = artifacts[0]
  made = from_samples(
      union["inputs"],
      union["labels"],
      class_names=first.class_names,
      preprocessing=first.preprocessing,
      method=_PREFIX + _names(a.method for a in artifacts),
      label_space=first.label_space,
      recipe=first.recipe,
      network=first.network,
      provenance=dict(
          data=first.provenance.get("data"),
          num_real=sum(a.provenance["num_real"] for a in artifacts),
          keeps_sums=True,
          parts=[part for a in artifacts for part in _parts(a)]))
  return with_extra(made, union["extra"])


def _sums(sizes: Sequence[dict[str, int]]) -> dict[str, int]:
  """Bytes of all sets; shared word vectors count once."""
  names = dict.fromkeys(name for one in sizes for name in one)
  total = {name: sum(one.get(name, 0) for one in sizes) for name in names}
  return total | {k: v for k, v in sizes[0].items() if k == "vectors"}


def _names(names) -> str:
  parts = [name.removeprefix(_PREFIX).split(", ") for name in names]
  return ", ".join(sorted(set().union(*parts)))


def _parts(artifact: Artifact) -> list[dict]:
  """What the union stores about a set; for a union, about its own parts."""
  if "parts" in artifact.provenance:
    return artifact.provenance["parts"]
  return [{
      "method": artifact.method,
      "data": artifact.provenance.get("data"),
      "fingerprint": artifact.provenance.get("fingerprint"),
      "num_samples": artifact.num_samples
  }]


def _check(first: Artifact, other: Artifact, number: int) -> None:
  """Refuses a set that cannot be merged with the first."""
  if len(other.order) > 1 or jax.tree.leaves(other.initial):
    raise ArtifactError(
        "`artifacts` must have one step and no fixed initialisation; set "
        f"{number} has {len(other.order)} and {other.student_init} "
        "initialisation.")
  if other.views:
    raise ArtifactError(
        "`artifacts` must have no labels of views, whose batches are of one "
        f"set alone; set {number} has. Merge what `without_views()` returns.")
  for name in _SHARED:
    ours, theirs = getattr(first, name), getattr(other, name)
    if name == "class_names" and ours != theirs:
      _raise_names(ours, theirs, number)
    if ours != theirs:
      raise ArtifactError(
          f"`artifacts` must agree in {name}; got {plain(ours, 80)} and, in "
          f"set {number}, {plain(theirs, 80)}.")
  same = {
      "the shape of a sample": first.inputs.shape[1:] == other.inputs.shape[1:],
      "preprocessing":
          _equal((name_of(first.preprocessing), *first.preprocessing),
                 (name_of(other.preprocessing), *other.preprocessing)),
      "extra":
          _equal(first.extra, other.extra) or
          (has_probe(first) and has_probe(other))
          or _scalars(first.extra) and _scalars(other.extra),
      "step_sizes":
          _equal(first.step_sizes, other.step_sizes)
          or first.step_sizes.shape == other.step_sizes.shape == (1,)
  }
  for name, agrees in same.items():
    if not agrees:
      raise ArtifactError(
          f"`artifacts` must agree in {name}; set {number} has another than "
          "set 1.")


def _raise_names(ours, theirs, number: int) -> NoReturn:
  """Raises an error that names the first class that differs."""
  pairs = itertools.zip_longest(ours, theirs)
  place, (one, two) = next(
      (place, pair) for place, pair in enumerate(pairs) if len(set(pair)) > 1)
  raise ArtifactError(
      "`artifacts` must agree in class_names and their order; class "
      f"{place} of {len(ours)} is {shown(one)} and, in set {number} of "
      f"{len(theirs)} classes, {shown(two)}.")


def _equal(a, b) -> bool:
  """Whether two pytrees hold the same arrays."""
  return jax.tree.structure(a) == jax.tree.structure(b) and all(
      map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def _scalars(extra) -> bool:
  """Whether a set's `extra` consists of scalars, not of a probe's offsets."""
  return all(np.ndim(leaf) == 0 for leaf in jax.tree.leaves(extra))
