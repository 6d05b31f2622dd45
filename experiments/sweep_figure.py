"""The figure of a sweep, from its points."""

from collections.abc import Sequence

from distill_jax import figures
from distill_jax.evaluation import points

_AXES = {"samples": "samples", "bytes": "bytes", "bits": "bits of a value"}


def draw(
    found: Sequence[dict],
    against: str,
    *,
    data: str,
    methods: Sequence[str],
    per_class_bytes: int = 0):
  """Accuracy against samples, bytes or bits, as a `Figure`.

  Args:
    found: of `points.point`.
    against: of `points.BASELINES`.
    data: SPEC or name of the data set.
    methods: in words; where there is one, lines are named without it.
    per_class_bytes: of all sets, or 0 where they differ.
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
  """A line in words, without the method where all are of one."""
  found = figures.row_name(label)
  if found != label:
    # Real samples are as the data have them: of 8 bits where bits are compared.
    unchanged = label == points.baselines.TITLES["byte_matched_real"]
    return found + ", 8 bits" * (unchanged and against == "bits")
  method, *rest = label.split(", ")
  parts = [figures.row_name(part) for part in rest]
  return ", ".join(parts if parts and method == alone else [method, *parts])
