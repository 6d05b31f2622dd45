"""How figures name what applications compare: "DM, four in one"."""

import re

from distill_jax import methods
from distill_jax.figures.titles import row_name

# What harnesses and our configurations add to the name of a maker.
_ADDED = {
    "noise": "from noise",
    "real": "from real samples",
    "tiles": "four in one"
}
_OTHERS = {
    "class_mean": "class mean",
    "dp_sgd": "DP-SGD",
    "gdumb": "GDumb",
    "kd": "knowledge distillation",
    "noised_means": "noised means",
    "random_real": "random real"
}


def title(name: str) -> str:
  """A maker, a memory, an arm or a learner in words.

  Args:
    name: in tables; such as "dm_tiles", "random_real as dm_tiles", "real,
      bytes of kip", "all_real_50" or "dp_sgd_eps8". What is not known loses its
      underscores.

  Example:
    title("random_real as dm")  # random real, as many bytes as DM
  """
  for mark in (" as ", ", bytes of "):
    _, found, of = name.partition(mark)
    if found:
      others = [title(other) for other in of.split(" and ")]
      return f"random real, as many bytes as {' and '.join(others)}"
  parts = name.split("_")
  for end in range(len(parts), 0, -1):
    known = _known("_".join(parts[:end]))
    if known:
      return ", ".join((known, *map(_added, parts[end:])))
  return row_name(name)


def _known(name: str) -> str:
  """Of a method, a learner or a row; "" for others."""
  if name in methods.ENTRIES:
    return methods.ENTRIES[name].make().title
  if name in _OTHERS:
    return _OTHERS[name]
  found = row_name(name)
  return found if found != name.replace("_", " ") else ""


def _added(part: str) -> str:
  """One word after a known name."""
  if part.isdecimal():
    return f"{int(part):,} steps"
  if re.fullmatch(r"eps[0-9.]+", part):
    return f"ε = {part.removeprefix('eps')}"
  return _ADDED.get(part, part)
