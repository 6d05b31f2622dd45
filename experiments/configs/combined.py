"""What the configurations of methods made of others share."""

import importlib

import ml_collections
from configs.common import fields

from distill_jax import methods
from distill_jax.choices import one_of
from distill_jax.commands import options


def split(text: str | None, **own):
  """Options of the combination, and those of the methods in it, as text."""
  items = [item.strip() for item in (text or "").split(",") if item.strip()]
  mine = [item for item in items if item.partition("=")[0] in own]
  rest = ",".join(item for item in items if item not in mine)
  return options.parse(",".join(mine), **own), rest


def configuration(name: str, text: str) -> ml_collections.ConfigDict:
  """Of one of the methods that are combined."""
  plain = set(methods.ENTRIES) - {"exclusive", "weighted"}
  one_of(plain, "--config method", name)
  return importlib.import_module(f"configs.{name}").get_config(text)


def method_of(config) -> methods.Method:
  """What a configuration describes."""
  return methods.from_spec(config.method.to_dict())


def with_method(config, method: methods.Method) -> ml_collections.ConfigDict:
  """The configuration with another method."""
  del config.method
  config.method = fields(method.spec)
  return config
