"""Specifications of networks: settings that are functions are given by name."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn

from distill_jax import specification
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.nn import activations, conv, layers, norms

FUNCTIONS: dict[str, dict[str, Any]] = {
    "activation": {
        "leaky_relu": nn.leaky_relu,
        "relu": nn.relu,
        "sigmoid": nn.sigmoid,
        "softplus": activations.softplus(),
        "swish": nn.swish
    },
    "initialisation": {
        "he_normal": layers.he_normal(),
        "lecun_normal": layers.lecun_normal(),
        "torch_uniform": layers.torch_uniform(),
        "xavier_normal": layers.xavier_normal()
    },
    "norm": {
        "batch": norms.batch_norm,
        "fast_batch": norms.fast_batch_norm,
        "group": norms.group_norm,
        "instance": norms.instance_norm,
        "layer": norms.layer_norm,
        "none": None
    },
    "pool": {
        "average": partial(conv.avg_pool, window=2),
        "max": partial(conv.max_pool, window=2),
        "none": lambda x: x
    }
}


def specified(make: Callable) -> Callable:
  """Decorates a network's factory; see `specification.specified`."""
  parameters = inspect.signature(make).parameters

  def describe(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    spec = {"name": name}
    for setting, value in settings.items():
      known = FUNCTIONS.get(setting)
      if known is None:
        spec[setting] = value
      elif names := [n for n, entry in known.items() if entry is value]:
        spec[setting] = names[0]
      elif value is not parameters[setting].default:
        raise ConfigError(f"`{setting}` must have a name; got {value}.")
    return spec

  return specification.specified(describe)(make)


def functions(settings: Mapping[str, Any]) -> dict[str, Any]:
  """Replaces the names of functions in settings by the functions.

  Raises:
    ConfigError: an unknown name.
  """
  return {
      name:
          one_of(FUNCTIONS[name], f"network {name}", value)
          if name in FUNCTIONS else value for name, value in settings.items()
  }
