"""Makers: whatever turns real data into a small set, by one signature.

A maker is a method of the library or a choice of real samples, so that a
harness compares them without knowing which is which. Sizes are numbers of
samples or bytes, as a receiver would count them: see `stored_bytes`.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax import methods
from distill_jax.applications.cells import is_name
from distill_jax.applications.real import REAL
from distill_jax.artifact import Artifact, from_samples
from distill_jax.choices import nearest, one_of
from distill_jax.errors import ConfigError, plain, shown
from distill_jax.methods.condensing import condense
from distill_jax.methods.method import Keys, Method, plan
from distill_jax.types import Array

_RECIPE = {"name": "converged"}  # of real samples, unless a harness says


class Maker(NamedTuple):
  """How a small set is made of real data.

  Attributes:
    name: in tables and file names.
    make: `(key, source, num_rows, network) -> Artifact` with label rows of the
      classes that the source has. The network is the harness's, which whoever
      takes none leaves alone; see also `timed`.
    spec: JSON document from which `maker` makes it again.
    method: the method, or None for a choice of real samples.
    network: that the method works with, in place of the harness's.
    exact: whether samples are real ones, which have 8 bits a value where the
      data have.
  """

  name: str
  make: Callable[[Array, Any, int, Any], Artifact]
  spec: Any
  method: Method | None = None
  network: Any = None
  exact: bool = False


def maker(given: Maker | Method | Mapping[str, Any] | str) -> Maker:
  """A maker of whatever names one.

  Args:
    given: a `Method`; its specification `{"name": ..., settings}` or its name;
      `{"method": ..., "network": ...}` with a network of its own;
      `{"name": "noised_means", "epsilon": ...}`; or a choice of real samples:
      random_real, kmeans, herding, kcentre, class_mean, all_real. Each
      specification may hold `label`, its name in tables, by which two makers
      of one method differ.

  Raises:
    ConfigError: an unknown name or setting.

  Example:
    maker({"name": "dm", "start": "noise", "label": "dm from noise"})
  """
  if isinstance(given, Maker):
    return given
  if isinstance(given, Method):
    return _distilled(given)
  if isinstance(given, Mapping):
    return _specified(given)
  if isinstance(given, str) and given in REAL:
    return _chosen(given)
  if isinstance(given, str) and given in methods.ENTRIES:
    return _distilled(methods.from_spec({"name": given}))
  raise _unknown(given)


def makers(given: Sequence[Any], argument: str = "makers") -> tuple[Maker, ...]:
  """Makers of different names; see `maker`.

  Args:
    given: what `maker` takes, one at least.
    argument: what the harness calls them.

  Raises:
    ConfigError: no list, an empty one, or names that are there twice.
  """
  check_list(given, argument)
  made = tuple(map(maker, given))
  check_names((one.name for one in made), argument)
  for one in made:
    if not is_name(one.name):
      raise ConfigError(
          f"`{argument}` must have names of letters, digits and _.=+-, as "
          f"files are named for them; got {shown(one.name)}. Choose another "
          "`label`.")
  return made


def check_list(given: Any, argument: str) -> None:
  """Refuses what is no list of makers, and an empty one.

  A text, a mapping and a method's record are sequences too, of other things.
  """
  single = isinstance(given, str | Mapping | Maker | Method)
  if single or not isinstance(given, Sequence):
    raise ConfigError(
        f"`{argument}` must be a list; got {shown(given)}. "
        f"Write {argument}=[...].")
  if not given:
    raise ConfigError(
        f"`{argument}` must name at least one; got none. Begin with "
        "random_real and dm.")


def _unknown(given: Any) -> ConfigError:
  """The error for what is no maker; choices of real samples come first."""
  known = ", ".join(sorted(methods.ENTRIES))
  if callable(given):
    name = getattr(given, "__name__", "dm")
    remedy = f" Call it: methods.{name}()." if name in methods.ENTRIES else ""
  else:
    remedy = nearest([*REAL, *methods.ENTRIES], given)
  return ConfigError(
      f"`maker` must be one of {', '.join(sorted(REAL))}, or a method: "
      f"{plain(known, 80)}; got {shown(given)}.{remedy}")


def check_names(names: Iterable[str], argument: str = "makers") -> None:
  """Refuses names that are there twice."""
  names = list(names)
  if twice := sorted({name for name in names if names.count(name) > 1}):
    method = twice[0] if twice[0] in methods.ENTRIES else "dm"
    raise ConfigError(
        f"`{argument}` must have different names; got {', '.join(twice)} "
        "twice. Leave one out, or name a method: "
        f'{{"method": "{method}", "label": "another name"}}.')


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


def timed(
    one: Maker, key: Array, source, num_rows: int, network=None) -> Artifact:
  """A maker's set, which knows how long it took; see `seconds_of`.

  Args:
    one: the maker.
    key: consumed.
    source: the data.
    num_rows: label rows.
    network: of the harness, whatever the maker does with it.

  Returns:
    The set; `provenance["seconds_made"]` are by the wall clock, with what had
    to be compiled.
  """
  began = time.perf_counter()
  made = one.make(key, source, num_rows, network)
  seconds = round(time.perf_counter() - began, 3)
  return made._replace(provenance={**made.provenance, "seconds_made": seconds})


def seconds_of(artifact: Artifact) -> float:
  """Seconds of making a set: those of `timed`, or else of its distilling."""
  known = artifact.provenance
  return float(known.get("seconds_made", known.get("seconds", 0.0)))


def stored_bytes(artifact: Artifact, exact: bool = False) -> int:
  """Bytes of samples and labels, as whoever sends or keeps a set counts them.

  A hard label takes one byte (two beyond 256 classes) and a soft row 4 bytes a
  class; a value 4 bytes, or 1 where samples are real and of 8 bits.

  Args:
    artifact: the set.
    exact: whether its samples are real ones; see `Maker`.
  """
  sizes = artifact.storage_bytes
  labels = sizes["labels"]
  if artifact.label_regime == "hard":
    labels = len(artifact.labels) * _bytes_of_class(artifact.num_classes)
  values = sizes["total"] - sizes["labels"]
  if exact and artifact.raw_dtype == "uint8":
    values = artifact.inputs.size
  return values + labels


def bytes_of_sample(source, exact: bool = True) -> int:
  """Bytes of one sample and the number of its class; see `stored_bytes`.

  Args:
    source: the data.
    exact: whether it is a real sample, not of float32 in any case.
  """
  value = 1 if exact and source.raw_dtype == "uint8" else 4
  values = int(np.prod(source.train.sample_shape)) * value
  return values + _bytes_of_class(source.num_classes)


def _bytes_of_class(num_classes: int) -> int:
  return 1 if num_classes <= 256 else 2


def rows_of_bytes(source, budget: int) -> int:
  """Real samples whose bytes fit a budget, at least one; see `stored_bytes`."""
  fit = budget // bytes_of_sample(source)
  return max(1, min(fit, source.train.num_samples))


def student_for(method: Method, own, network):
  """What a method works with: its own, or the harness's if it takes networks.

  Args:
    method: of a maker.
    own: `Maker.network`.
    network: of the harness, or None.
  """
  return network if own is None and method.model == "network" else own


def _specified(given: Mapping[str, Any]) -> Maker:
  spec = dict(given)
  label = spec.pop("label", None)
  if "method" in spec:
    made = _with_network(spec)
  elif spec.get("name") == "noised_means":
    made = _noised(spec)
  else:
    made = _distilled(methods.from_spec(spec))
  if label is None:
    return made
  return made._replace(name=label, spec=dict(given))


def _with_network(spec: Mapping[str, Any]) -> Maker:
  for field in spec:
    one_of(("label", "method", "network"), "maker", field)
  method = maker(spec["method"]).method
  if method is None:
    raise ConfigError(
        f"`maker` must have a method; got {plain(spec['method'])}. Choices of "
        "real samples are given by name.")
  return _distilled(method, spec.get("network"))._replace(spec=dict(spec))


def _noised(spec: Mapping[str, Any]) -> Maker:
  from distill_jax.applications import noised_means  # which imports this

  settings = {k: v for k, v in spec.items() if k != "name"}
  try:
    return noised_means.maker(**settings)
  except TypeError as error:
    raise ConfigError(f"`maker` 'noised_means': {error}.") from None


def _distilled(method: Method, own=None) -> Maker:

  def make(key, source, num_rows, network=None):
    return condense(
        source,
        method,
        student_for(method, own, network),
        num_rows=num_rows,
        key=key)

  return Maker(method.name, make, method.spec, method, own)


def _chosen(name: str) -> Maker:
  choose, exact = REAL[name]

  def make(key, source, num_rows, network=None):
    del network
    inputs, classes = choose(key, source, num_rows)
    made = from_samples(
        np.asarray(inputs),
        classes,
        class_names=source.class_names,
        preprocessing=source.preprocessing,
        recipe=_RECIPE,
        method=name,
        provenance=dict(data=source.name))
    return made._replace(raw_dtype=source.raw_dtype)

  return Maker(name, make, name, exact=exact)


def key_of(seed: int, *places: int) -> Array:
  """The key of one piece of work, whatever was done before it.

  Args:
    seed: of the harness.
    *places: numbers of the piece: client, task, arm.
  """
  key = jax.random.key(seed)
  for place in places:
    key = jax.random.fold_in(key, place)
  return key


def check_counts(**counts: Any) -> None:
  """Refuses counts that are no whole numbers of at least 1."""
  for name, value in counts.items():
    if not isinstance(value, int | np.integer) or value < 1:
      raise ConfigError(
          f"`{name}` must be a whole number of at least 1; got "
          f"{plain(value)}.")


def check_per_class(source, per_class: int) -> None:
  """Refuses more rows of each class than its smallest class has samples."""
  counts = np.asarray(source.train.counts)
  most = int(counts[counts > 0].min())
  if per_class > most:
    raise ConfigError(
        "`per_class` must ask for at most the real samples of the smallest "
        f"class, {most:,}; got {per_class:,}. Ask for fewer.")
