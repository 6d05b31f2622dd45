"""Every method of the field as a value that can be passed around.

    dm = methods.dm(num_steps=500)
    methods.from_spec(dm.spec)                     # the same method, from JSON
    methods.published("dm", per_class=10, traits=traits)  # the paper's settings
    methods.usual(source)                          # a default for any data
    print(methods.table())                         # a list of all methods

A factory such as `methods.dm` takes settings by name, as JSON values;
`help(methods.dm)` lists them. Its defaults suit data of any kind and take
minutes on a CPU. The settings that a paper published for a data set come from
`published`.
"""

from collections.abc import Mapping
from typing import Any

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.methods.decoupled import cim, rded, sre2l
from distill_jax.methods.distributions import cafe, dm, ncfm
from distill_jax.methods.exclusive import edd, exclusive
from distill_jax.methods.frozen_features import frozen_features
from distill_jax.methods.gradients import dc, dsa, idc, recipes_of
from distill_jax.methods.kernels import kip, label_solve
from distill_jax.methods.method import Method, Plan, Task, plan
from distill_jax.methods.rat_bptt import rat_bptt
from distill_jax.methods.regression import frepo, rcig, rfad
from distill_jax.methods.saved import from_saved
from distill_jax.methods.settings import ENTRIES, complete
from distill_jax.methods.soft_neighbours import soft_neighbours
from distill_jax.methods.steps import NonFinite, carry_out
from distill_jax.methods.trained import tgdd
from distill_jax.methods.traits import Traits, traits_of
from distill_jax.methods.trajectories import datm, ftd, mtt, tesla
from distill_jax.methods.unrolled import dd, sldd, tdd
from distill_jax.methods.usual import usual
from distill_jax.methods.weighting import hybrid, weighted

__all__ = [
    "ENTRIES", "Method", "NonFinite", "Plan", "Task", "Traits", "cafe",
    "carry_out", "cim", "datm", "dc", "dd", "dm", "dsa", "edd", "exclusive",
    "frepo", "from_saved", "from_spec", "frozen_features", "ftd", "hybrid",
    "idc", "kip", "label_solve", "mtt", "ncfm", "plan", "published", "rat_bptt",
    "rcig", "rded", "rfad", "sldd", "soft_neighbours", "sre2l", "table", "tdd",
    "tesla", "tgdd", "traits_of", "usual", "weighted", "with_settings"
]


def from_spec(spec: Mapping[str, Any]) -> Method:
  """Makes a method from `{"name": ..., **settings}`.

  Raises:
    ConfigError: an unknown name or setting, or a value out of its range.
  """
  settings = dict(spec)
  return one_of(ENTRIES, "method", settings.pop("name", None)).make(**settings)


def published(
    name: str,
    *,
    per_class: int,
    traits: Traits,
    quick: bool = False,
    **given) -> Method:
  """Makes a method with the settings that its paper published.

  Settings that the paper leaves open have the factory's defaults.

  Args:
    name: name of the method.
    per_class: label rows per class.
    traits: facts about the data set.
    quick: whether to use, in addition, the settings of a trial run of a minute.
    **given: settings that take precedence over all others.

  Raises:
    ConfigError: as in `from_spec`.
  """
  entry = one_of(ENTRIES, "method", name)
  if per_class < 1:
    raise ConfigError(f"`per_class` must be at least 1; got {per_class}.")
  values = dict(entry.published(per_class, traits, given))
  recipe = (given.get("recipe") or {}).get("name")
  if recipe:  # the recipe too is as published
    values["recipe"] = recipes_of(traits).get(recipe, {"name": recipe})
  for more in (entry.quick if quick else {}, given):
    complete(name, entry.defaults, more)  # raises for misspelt names
    values = _merged(values, more)
  return entry.make(**values)


def with_settings(method: Method, settings: Mapping[str, Any]) -> Method:
  """Returns the method with other settings; a dict changes only its entries."""
  complete(method.name, ENTRIES[method.name].defaults, settings)
  return from_spec(_merged(method.spec, settings))


def table() -> str:
  """All methods: their paper, what they match, their labels and their cost."""
  lines = []
  for name, entry in sorted(ENTRIES.items()):
    made = entry.make()
    matches = f"matches: {made.loss}; " * bool(made.loss)
    needs = f"; needs {entry.needs}" * bool(entry.needs)
    for start, line in ((name, entry.summary), ("", entry.paper),
                        ("", f"{matches}labels: {entry.labels}"),
                        ("", f"cost: {entry.cost}; steps: {made.num_steps:,}"
                         f"{needs}")):
      lines.append(f"{start:<17}{line}")
  return "\n".join(lines)


def _merged(values: Mapping, more: Mapping) -> dict[str, Any]:
  """Merges one nested dict into another, entry by entry."""
  merged = dict(values)
  for name, value in more.items():
    old = merged.get(name)
    if isinstance(old, Mapping) and isinstance(value, Mapping):
      renamed = "name" in value and value["name"] != old.get("name")
      value = value if renamed else _merged(old, value)
    merged[name] = value
  return merged
