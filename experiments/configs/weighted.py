"""A weighted sum of methods; `parts=A+B`, then options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/weighted.py:parts=dsa+dm,data=mnist \\
    --workdir=runs/weighted --data_dir=DATA

`weights=0.5+0.5`, by default equal ones. Other options are the first method's,
but for data, sizes, network and `quick`, which all parts share.
"""

from configs import combined

from distill_jax import methods
from distill_jax.commands import options
from distill_jax.errors import ConfigError

_SHARED = ("data", "ipc", "rows", "network", "width", "quick")


def options_of(method) -> list[str]:
  """The options that choose the methods that are added."""
  return ["parts=" + "+".join(part["name"] for part in method.parts)]


def get_config(text=None):
  """What is stored and learned is the first method's."""
  own, rest = combined.split(text, parts="dsa+dm", weights="")
  names = own.parts.split("+")
  try:
    weights = [float(weight) for weight in filter(None, own.weights.split("+"))]
  except ValueError:
    raise ConfigError(
        "`--config` option 'weights' must be numbers joined by +; got "
        f"{own.weights}.") from None
  shared = ",".join(
      item for item in rest.split(",") if options.named(item) & {*_SHARED})
  first, *others = (
      combined.configuration(name, shared if i else rest)
      for i, name in enumerate(names))
  parts = [combined.method_of(config) for config in (first, *others)]
  weights = weights or [1 / len(parts)] * len(parts)
  return combined.with_method(first, methods.weighted(*parts, weights=weights))
