"""The options after the colon of `--config=FILE:options` and its like.

`fixed,images=5` is two options: a bare name is a switch, `name=value` takes
the type of its default. An unknown name is an error that lists the known ones.
"""

import types

from distill_jax.errors import ConfigError


def parse(
    text: str | None, flag: str = "--config", **defaults
) -> types.SimpleNamespace:
  """Options as attributes.

  Args:
    text: comma-separated options; None or empty for none.
    flag: that they were given to, for errors.
    **defaults: every known option with its default; its type is the option's.

  Raises:
    ConfigError: an unknown option, or a value of another type.
  """
  values = dict(defaults)
  for item in filter(None, (text or "").split(",")):
    name, given, value = item.strip().partition("=")
    if name not in defaults:
      raise ConfigError(
          f"`{flag}` option {name!r} is unknown. Known: "
          f"{', '.join(sorted(defaults))}."
      )
    kind = type(defaults[name])
    if kind is bool:
      if given:
        raise ConfigError(
            f"`{flag}` option {name!r} is a switch and takes no value; got "
            f"{value!r}."
        )
      values[name] = True
      continue
    try:
      values[name] = kind(value)
    except ValueError:
      raise ConfigError(
          f"`{flag}` option {name!r} takes a value of type {kind.__name__}; "
          f"got {value!r}. Write {name}={defaults[name]}."
      ) from None
  return types.SimpleNamespace(**values)


def exclusive(chosen: types.SimpleNamespace, *names: str) -> None:
  """Refuses more than one of the switches `names`."""
  on = [name for name in names if getattr(chosen, name)]
  if len(on) > 1:
    raise ConfigError(
        f"`--config` options {' and '.join(on)} exclude each other. Give one."
    )
