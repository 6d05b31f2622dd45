"""Makers by name: whatever turns real data into a small set, by one signature.

A maker is a method of the library, a choice of real samples or a set with
differential privacy, so that a harness compares them without knowing which is
which. See `small_sets` for the record and for what its sets take.
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
from distill_jax.errors import ConfigError, plain, shown
from distill_jax.methods.condensing import condense
from distill_jax.methods.method import Keys, Method, plan

# Makers with settings that are no methods.
OTHERS = {"noised_means": noised_means.maker}


def maker(given: Maker | Method | Mapping[str, Any] | str) -> Maker:
  """A maker of whatever names one.

  Args:
    given: a `Method`; its specification `{"name": ..., settings}` or its name;
      `{"method": ..., "network": ...}` with a network of its own;
      `{"name": "noised_means", "epsilon": ...}`; or a choice of real samples:
      random_real, kmeans, herding, kcentre, class_mean, all_real. Each
      specification may hold `label`, the maker's name in tables, so that two
      makers of one method have different names.

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
  """Makers of different names; see `maker`.

  Args:
    given: what `maker` takes, one at least.
    argument: what the harness calls them.
    taken: names that the harness gives to other rows.

  Raises:
    ConfigError: no list, an empty one, or a name that is there twice, taken, or
      cannot name a file.
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
  """Refuses what is no list of makers, and an empty one.

  A text, a mapping and a method's record are sequences too, of other things.
  """
  given = listed(argument, None if isinstance(given, Maker | Method) else given)
  if not given:
    raise ConfigError(
        f"`{argument}` must name at least one; got none. Begin with "
        "random_real and dm.")


def _unknown(given: Any) -> ConfigError:
  """The error for what is no maker; choices of real samples come first."""
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
  """Refuses names that are there twice, and what cannot name a file."""
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
  """Refuses what a maker's method cannot do with data, before any step.

  Args:
    one: the maker.
    source: the data.
    num_rows: label rows that it will be asked for.
    network: of the harness.

  Raises:
    ConfigError, DataError, ValueError: of the method's own plan.
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
  """What a method works with: its own, or the harness's if it takes networks.

  Args:
    method: of a maker.
    own: `Maker.network`.
    network: of the harness, or None.
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
  """The maker of this name; methods may have settings, and so may others."""
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
        f"{plain(', '.join(settings))}.")
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
