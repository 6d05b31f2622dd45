"""How figures name a set and a run: data, method, size and loss."""

import numpy as np

from distill_jax.figures.captions import classes_of_rows

_NAMES = {
    "exclusive": "exclusive segments",
    "external": "an external method",
    "frepo": "FRePo",
    "frozen_features": "frozen features",
    "hybrid": "DSA and DM together",
    "label_solve": "label solve",
    "rat_bptt": "RaT-BPTT",
    "soft_neighbours": "soft neighbours",
    "weighted": "a weighted sum of methods"
}
_GRADIENTS = "distance of gradients"
_REAL = "cross-entropy on real data"
_EXPERTS = "distance to the experts' parameters"
_REGRESSION = "regression loss on real data"
_LOSSES = {
    "cafe": "distance of features, and discrimination",
    "datm": _EXPERTS,
    "dc": _GRADIENTS,
    "dd": _REAL,
    "dm": "distance of mean embeddings",
    "dsa": _GRADIENTS,
    "edd": _GRADIENTS,
    "frepo": _REGRESSION,
    "ftd": _EXPERTS,
    "idc": _GRADIENTS,
    "kip": _REGRESSION,
    "mtt": _EXPERTS,
    "ncfm": "distance of characteristic functions",
    "rat_bptt": _REAL,
    "rcig": _REGRESSION,
    "rfad": _REGRESSION,
    "sldd": _REAL,
    "soft_neighbours": _REAL,
    "tdd": _REAL,
    "tesla": _EXPERTS
}


def method_name(method: str) -> str:
  """A method as papers spell it: "sldd" -> "SLDD"; others as they are."""
  if method in _NAMES:
    return _NAMES[method]
  return method.upper() if method in _LOSSES else method


def loss_name(method: str) -> str:
  """The loss in `metrics.jsonl`: whose outer loss, and what it measures."""
  name = f"outer loss of {method_name(method)}"
  return f"{name}: {_LOSSES[method]}" if method in _LOSSES else name


def data_name(spec: str) -> str:
  """The data set without kind, folders and options of its SPEC."""
  _, mark, place = spec.partition(":")
  place = (place if mark and place else spec).partition("?")[0]
  return place.rstrip("/").rpartition("/")[2] or spec


def set_size(artifact) -> str:
  """"10 samples (1 per class)", and the steps where there are several."""
  num = artifact.num_samples
  size = f"{num:,} sample{'s' * (num > 1)}"
  found = [_per_class(artifact)] if _per_class(artifact) else []
  if len(artifact.order) > 1:
    found.append(f"{len(artifact.order)} steps")
  texts = [f"{f} per class" if isinstance(f, int) else f for f in found]
  return f"{size} ({', '.join(texts)})" if texts else size


def set_title(artifact) -> str:
  """"digits by SLDD, 10 samples (1 per class)".

  Args:
    artifact: an `Artifact`.
  """
  data = data_name(str(artifact.provenance.get("data") or "unnamed data"))
  return f"{data} by {method_name(artifact.method)}, {set_size(artifact)}"


def _per_class(artifact) -> int | None:
  """Samples of each class, where all have as many."""
  if artifact.num_rows != artifact.num_samples:
    return None  # a label row decodes into several samples
  known = artifact.provenance.get("per_class")
  if known:
    return known
  counts = np.bincount(classes_of_rows(artifact.labels, artifact.label_space))
  counts = set(counts[counts > 0].tolist())
  return counts.pop() if len(counts) == 1 else None
