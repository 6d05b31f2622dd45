"""Dataset distillation in JAX: a small synthetic set in place of a data set.

    import distill_jax as dd

    source = dd.from_arrays(x, y)      # images, a table, time series; labels
    made = dd.condense(source, per_class=10)
    print(dd.evaluate(made, source))   # next to random real samples
    x_small, y_small = made.to_numpy()
    made.save("ten.safetensors")       # and dd.load

`condense(source, dd.methods.dsa(), per_class=10)` names a method;
`print(dd.methods.table())` lists them, `help(dd.methods.dm)` the
settings of one. `Run` distils in a folder, with a log, checkpoints, a report
and figures.

A set solves `argmin_S E[ objective(S, real) ]`. Beneath the one call are pure
functions: what is stored (parameterization) x what is matched (objective) x how
its gradient is estimated x how the outer problem is optimised.
"""

import importlib
from typing import TYPE_CHECKING

from distill_jax._version import __version__ as __version__

if TYPE_CHECKING:
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
  return sorted({*globals(), *__getattr__("__all__")})
