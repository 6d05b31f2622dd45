"""Makers by name: everything that turns real data into a small set.

A maker is a method of the library, a choice of real samples, or a set with
differential privacy. All have one signature, so that applications compare them
without knowing which is which. See `small_sets` for the record `Maker`.
"""

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import jax

from distill_jax import methods, specification
from distill_jax.applications import noised_means
from distill_jax.applications.cells import is_name
from distill_jax.applications.real import REAL, chosen
from distill_jax.applications.settings import listed
from distill_jax.applications.small_sets import Maker
from distill_jax.choices import nearest, one_of
from distill_jax.errors import ConfigError, fitting, plain, shown
from distill_jax.methods.condensing import condense
from distill_jax.methods.method import Keys, Method, plan

# Makers with settings that are not methods.
OTHERS = {"noised_means": noised_means.maker}


def maker(given: Maker | Method | Mapping[str, Any] | str) -> Maker:
  """Returns the maker that a name, a specification or a method stands for.

  Args:
    given: one of
      a `Method`, its specification `{"name": ..., settings}` or its name;
      `{"method": ..., "network": ...}`, a method with a network of its own;
      `{"name": "noised_means", "epsilon": ...}`;
      a choice of real samples: random_real, kmeans, herding, kcentre,
      class_mean, all_real.
      Every specification may hold `label`, the maker's name in tables, so that
      two makers of one method have different names.

  Raises:
    ConfigError: an unknown name or setting.

  Example:
    maker({"name": "dm", "start": "noise", "label": "dm_from_noise"})
  """
  if isinstance(given, Maker):
    return given
  if isinstance(given, Method):
    return _distilled(given)
  if isinstance(given, Mapping):
    return _specified(given)
  if isinstance(given, str):
    return _named(given, {})
  raise _unknown(given)


def makers(
    given: Sequence[Any],
    argument: str = "makers",
    taken: Collection[str] = ()) -> tuple[Maker, ...]:
  """Returns makers with different names; see `maker`.

  Args:
    given: a list of what `maker` takes, not empty.
    argument: the application's name of the argument, for messages.
    taken: names that the application gives to other rows.

  Raises:
    ConfigError: not a list, an empty list, or a name that is repeated, taken,
      or not possible in a file name.
  """
  check_list(given, argument)
  made = tuple(map(maker, given))
  check_names((one.name for one in made), argument)
  for one in made:
    if one.name in taken:
      raise ConfigError(
          f"`{argument}` must not have the name {one.name}, which is that of "
          "another row. Choose another `label`.")
  return made


def check_list(given: Any, argument: str) -> None:
  """Raises an error unless a value is a list of makers that is not empty.

  Texts, mappings and a method's record are sequences too, but not of makers.
  """
  given = listed(argument, None if isinstance(given, Maker | Method) else given)
  if not given:
    raise ConfigError(
        f"`{argument}` must name at least one; got none. Begin with "
        "random_real and dm.")


def _unknown(given: Any) -> ConfigError:
  """The error for an unknown maker; it names choices of real samples first."""
  if callable(given):
    name = getattr(given, "__name__", "dm")
    remedy = f" Call it: methods.{name}()." if name in methods.ENTRIES else ""
  else:
    remedy = nearest([*REAL, *OTHERS, *methods.ENTRIES], given)
  known = ", ".join(sorted([*REAL, *OTHERS]))
  return ConfigError(
      f"`maker` must be one of {known}, or one of the {len(methods.ENTRIES)} "
      "methods that `distill_jax.methods.ENTRIES` lists; got "
      f"{shown(given)}.{remedy}")


def check_names(names: Iterable[str], argument: str = "makers") -> None:
  """Raises an error if a name is repeated or not possible in a file name."""
  names = list(names)
  for name in names:
    if not is_name(name) or "/" in name:
      raise ConfigError(
          f"`{argument}` must have names of letters, digits and _.=+-; got "
          f"{shown(name)}. Choose another `label`.")
  if twice := sorted({name for name in names if names.count(name) > 1}):
    method = twice[0] if twice[0] in methods.ENTRIES else "dm"
    raise ConfigError(
        f"`{argument}` must have different names; got {', '.join(twice)} "
        "twice. Leave one out, or name a method: "
        f'{{"method": "{method}", "label": "another_name"}}.')


def check_sound(one: Maker, source, num_rows: int, network=None) -> None:
  """Raises an error if a maker's method cannot distil the data.

  No step is run.

  Args:
    one: the maker.
    source: the data.
    num_rows: label rows that it will be asked for.
    network: the network of the application.

  Raises:
    ConfigError, DataError, ValueError: raised by the method's own plan.
  """
  if one.method is None:
    return

  def sound(planned):
    raise _SoundError

  with contextlib.suppress(_SoundError):
    plan(
        source,
        one.method,
        student_for(one.method, one.network, network),
        num_rows=num_rows,
        keys=Keys.of(jax.random.key(0)),
        store=sound)


class _SoundError(Exception):
  """Ends a plan once the data are known to be sound."""


def student_for(method: Method, own, network):
  """The network a method distils with: its own, or the application's.

  Args:
    method: the method of a maker.
    own: `Maker.network`; None for none of its own.
    network: the network of the application, or None. Only methods of networks
      take it.
  """
  return network if own is None and method.model == "network" else own


def _specified(given: Mapping[str, Any]) -> Maker:
  settings = dict(given)
  label = settings.pop("label", None)
  if "method" in settings:
    made = _with_network(settings)
  else:
    if "name" not in settings:
      raise ConfigError(
          f"`maker` must have a `name` or a `method`; got {shown(given)}.")
    made = _named(settings.pop("name"), settings)
  if label is None:
    return made
  if not isinstance(label, str):
    raise ConfigError(
        f"`label` must be a name in tables; got {shown(label)} in `maker`.")
  return made._replace(name=label, spec=dict(given))


def _named(name: Any, settings: Mapping[str, Any]) -> Maker:
  """The maker of a name, with settings if it is not a choice of samples."""
  if not isinstance(name, str):
    raise _unknown(name)
  if name in methods.ENTRIES:
    return _distilled(methods.from_spec({"name": name, **settings}))
  if name in OTHERS:
    return specification.build(OTHERS, "maker", {"name": name, **settings})
  if name not in REAL:
    raise _unknown(name)
  if settings:
    raise ConfigError(
        f"`maker` {name} must have no settings but `label`; got "
        f"{fitting(settings, 60)}.")
  return chosen(name)


def _with_network(spec: Mapping[str, Any]) -> Maker:
  for field in spec:
    one_of(("label", "method", "network"), "maker", field)
  method = maker(spec["method"]).method
  if method is None:
    raise ConfigError(
        f"`maker` must have a method; got {plain(spec['method'])}. Choices of "
        "real samples are given by name.")
  return _distilled(method, spec.get("network"))._replace(spec=dict(spec))


def _distilled(method: Method, own=None) -> Maker:

  def make(key, source, num_rows, network=None):
    return condense(
        source,
        method,
        student_for(method, own, network),
        num_rows=num_rows,
        key=key)

  return Maker(method.name, make, method.spec, method, own)
