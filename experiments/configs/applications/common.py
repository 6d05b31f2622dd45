"""What the configuration files of all applications share.

    experiments/configs/applications/NAME.py:OPTION,OPTION=VALUE,...

  data=NAME     of `data_sets.DATA_SETS`: its SPEC and published constants;
                `--data=SPEC` reads other data
  quick         a trial run of a minute or two

Every setting of the harness is an option too if it is one value
(`num_clients=10`), and a flag in any case: `--config.settings.name=value`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from configs.data_sets import DATA_SETS

from distill_jax import applications
from distill_jax.choices import one_of
from distill_jax.commands import options

_GIVEN = ("source", "cells", "seed")


def configure(
    name: str,
    *,
    data: str = "mnist",
    validation_fraction: float = 0.0,
    float64: bool = False,
    quick: Mapping[str, Any],
    **settings) -> Callable:
  """`get_config` of an application.

  Args:
    name: of `applications.NAMES`.
    data: the data set, by default.
    validation_fraction: of the training data.
    float64: whether kernels need it.
    quick: settings of a trial run.
    **settings: those that differ from the harness's defaults.
  """
  known = {
      p.name: p for p in inspect.signature(applications.harness(
          name)).parameters.values() if p.name not in _GIVEN
  }
  usual = {**{name: p.default for name, p in known.items()}, **settings}
  plain = {k: v for k, v in usual.items() if isinstance(v, int | float | str)}

  def get_config(text: str | None = None) -> ml_collections.ConfigDict:
    chosen = options.parse(text, data=data, quick=False, **plain)
    given = {k: getattr(chosen, k) for k in options.named(text) & plain.keys()}
    data_set = one_of(DATA_SETS, "data", chosen.data)
    config = ml_collections.ConfigDict()
    config.application = name
    config.data = data_set.spec
    config.preprocessing = _mutable(data_set.preprocessing)
    config.validation_fraction = validation_fraction
    config.float64 = float64
    config.seed = 0
    values = _mutable({**usual, **(quick if chosen.quick else {}), **given})
    for field, value in values.items():
      # A flag may give it any type, not just that of its default.
      text = isinstance(value, str) and known[field].annotation is not str
      if text or value is None or value == {}:
        values[field] = ml_collections.FieldReference(value, field_type=object)
    config.settings = ml_collections.ConfigDict(values)
    return config

  return get_config


def _mutable(value):
  """JSON values as ConfigDict takes them."""
  if isinstance(value, Mapping):
    return {k: _mutable(v) for k, v in value.items()}
  if isinstance(value, tuple | list):
    return tuple(map(_mutable, value))  # which flags can replace
  return value
