"""How figures name a set and a run: data, method, size and loss."""

from typing import Any

import numpy as np

from distill_jax.figures.captions import classes_of_rows


def method_name(artifact) -> str:
  """The method as papers spell it, where the set knows: "SLDD"."""
  return artifact.provenance.get("title") or artifact.method


def loss_name(artifact) -> str:
  """The loss in `metrics.jsonl`: whose outer loss, and what it measures."""
  name = f"outer loss of {method_name(artifact)}"
  loss = artifact.provenance.get("loss")
  return f"{name}: {loss}" if loss else name


def data_name(spec: str) -> str:
  """The data set without kind, folders and options of its SPEC."""
  _, mark, place = spec.partition(":")
  place = (place if mark and place else spec).partition("?")[0]
  return place.rstrip("/").rpartition("/")[2] or spec


def set_size(artifact) -> str:
  """"10 samples (1 per class)", and the steps where there are several."""
  num = artifact.num_samples
  size = f"{num:,} sample{'s' * (num > 1)}"
  found: list[Any] = [_per_class(artifact)] if _per_class(artifact) else []
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
  return f"{data} by {method_name(artifact)}, {set_size(artifact)}"


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
