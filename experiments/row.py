"""A row of docs/results.md: what is measured, by which command."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

# Fields of a configuration that are no settings of its method.
_OWN = ("evaluation", "log_every", "seed", "validation_fraction")


class Row(NamedTuple):
  """Attributes:
    group: the file below docs/results.
    arguments: of its program, without places of files.
    published: accuracy in percent, or None.
    accelerator: whether it is meant for one.
    program: the launcher, of `launched.PROGRAMS`.
    sets: the rows whose sets it takes, by what it calls them.
  """

  group: str
  arguments: tuple[str, ...]
  published: float | None = None
  accelerator: bool = False
  program: str = "distill"
  sets: Mapping[str, str] = MappingProxyType({})


def distilled(
    group: str,
    config: str,
    fields: Mapping[str, Any] = MappingProxyType({}),
    published: float | None = None,
    **more,
) -> Row:
  """A row of `distill.py`.

  Args:
    group: as of `Row`, as are `published` and what more is given.
    config: METHOD:OPTIONS.
    fields: of the configuration, those of the method by their own names.
  """
  method, _, options = config.partition(":")
  return Row(
      group,
      (f"--config=experiments/configs/{method}.py:{options}",
       *(f"--config.{field(name)}={v}" for name, v in fields.items())),
      published, **more,
  )


def field(name: str) -> str:
  """The field of a configuration that a setting is."""
  return name if name.partition(".")[0] in _OWN else f"method.{name}"
