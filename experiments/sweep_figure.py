"""The figure of a sweep, from its points."""

from collections.abc import Sequence

from distill_jax import figures
from distill_jax.evaluation import points

_AXES = {"samples": "samples", "bytes": "bytes", "bits": "bits per value"}


def draw(
    found: Sequence[dict],
    against: str,
    *,
    data: str,
    methods: Sequence[str],
    per_class_bytes: int = 0):
  """Draws accuracy against samples, bytes or bits, as a `Figure`.

  Args:
    found: points of a sweep, results of `points.point`.
    against: a key of `points.BASELINES`.
    data: SPEC or name of the data set.
    methods: names of the methods. If there is only one, the labels of lines
      leave it out.
    per_class_bytes: bytes per class of all sets, or 0 if they differ.
  """
  what = f"accuracy against {_AXES[against]}"
  if per_class_bytes:
    what = f"accuracy at equal bytes, {per_class_bytes:,} per class"
  alone = methods[0] if len(methods) == 1 else ""
  rows = [
      dict(p, label=_name(p["label"], alone, against))
      for p in points.drawn(list(found))
  ]
  return figures.accuracy_against(
      rows,
      against,
      title=f"{figures.data_name(data)}, {' and '.join(methods)}: {what}")


def _name(label: str, alone: str, against: str) -> str:
  """Label of a line in words, without the method if it is the only one."""
  found = figures.row_name(label)
  if found != label:
    # Real samples keep their 8 bits. They are at least as many as the label
    # rows of the set, so they may take more bytes than it.
    unchanged = label == points.baselines.TITLES["byte_matched_real"]
    return found + " or more, 8 bits" * (unchanged and against == "bits")
  method, *rest = label.split(", ")
  parts = [figures.row_name(part) for part in rest]
  return ", ".join(parts if parts and method == alone else [method, *parts])
