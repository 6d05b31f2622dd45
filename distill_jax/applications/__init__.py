"""What distilled sets are made for: five harnesses over any method.

  federated    one upload from each client, one training on the server
  continual    a memory of earlier tasks
  search       networks and recipes ranked on a small set
  privacy      what a set tells about who was in the data
  robustness   attacked, poisoned, calibrated, and for the same seconds

Each is a function of a source and JSON settings that returns `Findings`: a
document that prints as a table and draws itself. `cells=Cells(folder)` keeps
what is done, so that the same call goes on after an interruption.
"""

import importlib
from collections.abc import Callable

from distill_jax.applications.cells import Cells
from distill_jax.applications.findings import Findings
from distill_jax.applications.makers import maker
from distill_jax.applications.small_sets import Maker
from distill_jax.choices import one_of

__all__ = ["Cells", "Findings", "Maker", "NAMES", "harness", "maker"]

NAMES = ("continual", "federated", "privacy", "robustness", "search")


def harness(name: str) -> Callable[..., Findings]:
  """The function of an application: `(source, *, cells, seed, **settings)`.

  Args:
    name: of `NAMES`.

  Raises:
    ConfigError: an unknown name.
  """
  one_of(NAMES, "application", name)
  module = importlib.import_module(f"distill_jax.applications.{name}")
  return module.run
