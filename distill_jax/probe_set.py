"""A set of feature points, together with the ridge probe that is fitted on it.

    f(z) = (z - m)' W + offset
    argmin_W  sum_i w_i |f(z_i) - y_i|^2 + lam_s |W|^2

m and the offset are those of the real data, whatever the mean of the points is.
`frozen_features` makes such sets, and any points may be wrapped in one. Labels
are always centred, see `labels.centred_rows`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax import artifact, environment, schema
from distill_jax.data.source import Source
from distill_jax.errors import ArtifactError
from distill_jax.labels import centred_rows, classes_of_labels, uncentred
from distill_jax.moments import Probe

# The fields that `probe_artifact` stores in `extra`.
_FITTING = ("weights", "ridge", "input_offset", "label_offset")


class ProbeSet(NamedTuple):
  """Labelled points and how a probe is fitted on them; NumPy, float64.

  Attributes:
    inputs: z_i [M, D], in the space of the features.
    labels: y_i [M, K], centred.
    weights: w_i [M], positive.
    ridge: lam_s, an absolute number. If a set is exact for every ridge, it may
      be replaced.
    input_offset: m [D], mean of the real features.
    label_offset: [K], the prediction at m.
    method: name of the method that made it.
    keeps_sums: whether the points have the same Gram matrix and cross-products
      as the real features about their mean, exactly or as nearly as M points
      can. Only such sets can be joined.
  """

  inputs: np.ndarray
  labels: np.ndarray
  weights: np.ndarray
  ridge: float
  input_offset: np.ndarray
  label_offset: np.ndarray
  method: str
  keeps_sums: bool = False

  def __repr__(self) -> str:
    return (
        f"ProbeSet: {len(self.inputs)} points of {self.inputs.shape[1]} "
        f"features by {self.method}, ridge {self.ridge:.3g}")


def fit_probe(probe_set: ProbeSet) -> Probe:
  """The probe that is fitted on a set, in float64."""
  root = np.sqrt(probe_set.weights)[:, None]
  z = root * (probe_set.inputs - probe_set.input_offset)
  y = root * (probe_set.labels - probe_set.label_offset)
  size, features = z.shape
  if size <= features:
    gram = z @ z.T + probe_set.ridge * np.eye(size)
    weights = z.T @ np.linalg.solve(gram, y)
  else:
    gram = z.T @ z + probe_set.ridge * np.eye(features)
    weights = np.linalg.solve(gram, z.T @ y)
  return Probe(weights, probe_set.input_offset, probe_set.label_offset)


def probe_artifact(
    probe_set: ProbeSet,
    source: Source,
    *,
    provenance=None) -> artifact.Artifact:
  """Makes an `Artifact` of a probe set.

  It is for `evaluate_set(..., learner=linear_probe())`. Arrays become float32.
  The weights, the ridge and the offsets are stored in `extra`, and its bytes
  count them. The recipe of the artifact, which is for networks, does not use
  them.

  Args:
    probe_set: a set in the model space of the source.
    source: the `data.Source` that its moments were made of; it gives class
      names and preprocessing.
    provenance: see `to_artifact`.
  """
  extra = schema.nested(
      "extra", {
          "probe": {
              name: np.asarray(getattr(probe_set, name)) for name in _FITTING
          }
      })
  made = artifact.from_samples(
      probe_set.inputs,
      _exact(probe_set.labels, source.num_classes),
      class_names=source.class_names,
      preprocessing=source.preprocessing,
      method=probe_set.method,
      label_space="centred",
      recipe={"name": "kip"},
      provenance={
          "data": source.name,
          "num_real": source.train.num_samples,
          "keeps_sums": probe_set.keeps_sums,
          "fingerprint": source.fingerprint(),
          "versions": environment.versions(),
          **(provenance or {})
      })
  return with_extra(made, extra)


def with_extra(made: artifact.Artifact, extra) -> artifact.Artifact:
  """Adds a probe to a set, and to its bytes.

  Args:
    made: the set without a probe.
    extra: `{"probe": {name: array}}`.
  """
  sizes = {k: v for k, v in made.storage_bytes.items() if k != "probe"}
  kept = sum(leaf.nbytes for leaf in extra["probe"].values())
  sizes["total"] = sum(
      made.storage_bytes[k]
      for k in ("samples", "labels", "step_sizes", "decoder")) + kept
  return schema.check(
      made._replace(extra=extra, storage_bytes={
          **sizes, "probe": kept
      }))


def pooled(sets: Sequence[artifact.Artifact]) -> dict[str, Any]:
  """The points of the union of sets, and how a probe is fitted on them.

  If the points of each set have the same Gram matrix and cross-products as its
  real features about their mean, the union has those of all real features about
  the common mean m. For sets c of n_c real samples,

    G = sum_c G_c + n_c (m_c - m)(m_c - m)'

  The points of each set are therefore moved to m, and one more point of weight
  n_c is added at m_c.

  Args:
    sets: sets of `probe_artifact`, for features of one source.

  Returns:
    `inputs`, `labels` and `extra` of the union, whose ridge is the sum of
    ridges.

  Raises:
    ArtifactError: the points of a set only keep its own probe, from which the
      probe of the union does not follow.
  """
  for one in sets:
    if not one.provenance.get("keeps_sums", False):
      raise ArtifactError(
          "`artifacts` must keep the sums of their real features to be joined; "
          f"got a set of {one.method} that has the probe of its own data "
          "alone. Take frozen_features of kind class_means_and_covariance or "
          "sufficient_statistics_set.")
  counts = np.array([one.provenance["num_real"] for one in sets], np.float64)
  own = [one.extra["probe"] for one in sets]
  means = np.stack([np.float64(p["input_offset"]) for p in own])
  offsets = np.stack([np.float64(p["label_offset"]) for p in own])
  mean, offset = counts @ means / counts.sum(), counts @ offsets / counts.sum()
  inputs = [one.inputs - m + mean for one, m in zip(sets, means, strict=True)]
  labels = [
      one.labels - o + offset for one, o in zip(sets, offsets, strict=True)
  ]
  extra = dict(
      weights=np.concatenate([*(p["weights"] for p in own), counts]),
      ridge=np.sum([p["ridge"] for p in own]),
      input_offset=mean,
      label_offset=offset)
  return dict(
      inputs=np.float32(np.concatenate([*inputs, means])),
      labels=np.float32(np.concatenate([*labels, offsets])),
      extra=schema.nested("extra", {"probe": extra}))


def has_probe(made: artifact.Artifact) -> bool:
  """Whether a set says how a probe is fitted on it."""
  return isinstance(made.extra, Mapping) and "probe" in made.extra


def _exact(labels, num_classes):
  """Hard labels, exact to the last bit, as a file recognises them."""
  rows = centred_rows(classes_of_labels(uncentred(labels)), num_classes)
  return rows if np.allclose(labels, rows, rtol=0, atol=1e-6) else labels
