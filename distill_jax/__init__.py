"""Dataset distillation in JAX: a small synthetic set in place of a data set.

    import distill_jax as dd

    source = dd.from_arrays(x, y)      # images, a table or time series
    made = dd.condense(source, per_class=10)
    print(dd.evaluate(made, source))   # compared with random real samples
    x_small, y_small = made.to_numpy()
    made.save("ten.safetensors")       # dd.load reads it back

`condense(source, dd.methods.dsa(), per_class=10)` chooses the method.
`print(dd.methods.table())` lists all methods, and `help(dd.methods.dm)`
explains the settings of one. `Run` distils in a folder and keeps a log,
checkpoints, a report and figures there.

A distilled set S solves `argmin_S E[objective(S, real)]`. `condense` is built
from pure functions that can also be used alone. They answer four questions:
what is stored (parameterization), what is matched (objective), how its gradient
is estimated (estimator), and how the outer problem is optimised (distiller).
"""

import importlib
from typing import TYPE_CHECKING

from distill_jax._version import __version__ as __version__

if TYPE_CHECKING:  # every public name, for editors and type checkers
  from distill_jax.public import *  # noqa: F403


def __getattr__(name: str):
  """A module of the library, or a public name, imported when it is used.

  So a program that only shows its help does not wait for JAX.
  """
  module = f"{__name__}.{name}"
  if not name.startswith("_"):
    try:
      return importlib.import_module(module)
    except ModuleNotFoundError as error:
      if error.name != module:
        raise
  if not name.startswith("_") or name == "__all__":
    public = importlib.import_module(f"{__name__}.public")
    if name in ("__all__", *public.__all__):
      globals()[name] = getattr(public, name)
      return globals()[name]
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
  public = importlib.import_module(f"{__name__}.public")
  return sorted({*globals(), *public.__all__})
