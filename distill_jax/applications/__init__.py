"""Five applications of small sets, each for any method of the library.

  federated    every client uploads one small set; the server trains once
  continual    small sets of earlier tasks are the memory of a learner
  search       networks and recipes are ranked by training on a small set
  privacy      how much a set reveals about who was in the data
  robustness   attacks, poison, calibration, and real data of the same budget

Each application is a function of a source and JSON settings. It returns
`Findings`, a document that prints as a table and can draw a figure of itself.
With `cells=Cells(folder)` finished parts are kept in the folder, so that the
same call continues after an interruption.
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
  """Returns an application's function: `(source, *, cells, seed, **settings)`.

  Args:
    name: one of `NAMES`.

  Raises:
    ConfigError: an unknown name.
  """
  one_of(NAMES, "application", name)
  module = importlib.import_module(f"distill_jax.applications.{name}")
  return module.run
