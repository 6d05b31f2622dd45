"""Settings of methods: JSON values by name, with defaults and ranges.

A method is declared by a dict of its settings and a function that makes a
`Method` of their values. `declare` turns both into the factory that users call.
The factory knows every setting and its default. It refuses a misspelt name and
suggests the nearest one, and refuses values of a wrong type or out of range. It
records the settings, so that the method can be rebuilt from JSON.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from distill_jax.choices import nearest
from distill_jax.errors import ConfigError
from distill_jax.methods.meanings import docstring
from distill_jax.methods.method import Method
from distill_jax.methods.traits import Traits

# Types of the settings that may be None: the data, the network or the method
# then decide.
_KINDS = {"distance": str, "network": dict, "recipe": dict, "strategy": str}
# Nested settings that are checked in another module.
_FREE = ("network", "of", "parameterization", "recipe")
_OF_LABELS = ("learn_labels", "label_learning_rate", "start_labels")
# Settings whose allowed range differs from that of others with their name.
_OWN = ("experts.batch_size", "student.batch_size")
# Allowed ranges, each with the names of its settings.
_RANGES = ((
    lambda v: v >= 1, "at least 1", (
        "batch_size", "batches_between", "epochs", "max_epochs", "max_age",
        "most_steps", "num", "num_epochs", "num_frequencies",
        "num_initialisations", "num_steps", "restart_every", "size",
        "snap_steps", "span", "steps", "steps_per_network", "watched", "window",
        "at_least", "candidates", "k")), (
            lambda v: v >= 0, "at least 0", (
                "anchor_weight", "at_once", "average", "batch_per_class",
                "calibration", "clip_average", "clip_each", "clip_norm",
                "covariances", "discrimination", "epochs_between",
                "least_steps", "lowest", "margin", "num_crops", "radius",
                "restart_after", "rollbacks", "sample_length", "seed",
                "skip_above", "snap", "spike", "stage", "statistics",
                "student.batch_size", "experts.batch_size", "surrogate_gap",
                "weight_decay")),
           (
               lambda v: v > 0, "positive", (
                   "extra_learning_rate", "frequency_scale", "l2_rate",
                   "label_learning_rate", "learning_rate", "network_step_size",
                   "ridge", "step_size", "step_size_floor",
                   "step_size_learning_rate", "target_scale", "temperature")), (
                       lambda v: 0 <= v < 1, "in [0, 1)",
                       ("average", "beta1", "beta2", "label_beta1",
                        "momentum")), (
                            lambda v: 0 <= v <= 1, "in [0, 1]",
                            ("amplitude", "drop_correct", "last_rate", "mix")),
           (lambda v: 0 < v <= 1, "in (0, 1]", ("least_area",)))


class Entry(NamedTuple):
  """What is known of a method before it is made.

  Attributes:
    make: the factory.
    defaults: every setting; they suit data of any kind and a few minutes.
    title: see `Method`.
    labels: of the set, in words.
    paper: where it comes from.
    cost: of an outer step, in words.
    needs: what must exist before the first step, or "".
    published: `(per_class, traits, given) -> settings` of the paper, where
      `given` are the settings that the caller fixed.
    quick: settings of a trial run of a minute.
    preprocessing: `(per_class, traits) -> name` of the published one, "" for
      mean and standard deviation.
  """

  make: Callable[..., Method]
  defaults: Mapping[str, Any]
  title: str
  labels: str
  paper: str
  cost: str
  needs: str
  published: Callable[[int, Traits, Mapping], Mapping[str, Any]]
  quick: Mapping[str, Any]
  preprocessing: Callable[[int, Traits], str]

  @property
  def summary(self) -> str:
    """One line on what it does."""
    return (self.make.__doc__ or "").strip().splitlines()[0]


ENTRIES: dict[str, Entry] = {}


def declare(
    defaults: Mapping[str, Any],
    *,
    paper: str,
    cost: str,
    title: str = "",
    loss: str = "",
    labels: str = "",
    needs: str = "",
    published: Callable = lambda per_class, traits, given: {},
    quick: Mapping[str, Any] | None = None,
    preprocessing: Callable[[int, Traits], str] = lambda size, traits: "",
    name: str | None = None):
  """Decorates `(settings) -> Method` into a factory with keyword arguments.

  Args:
    defaults: every setting that the method has.
    paper: authors, title, year and arXiv id.
    cost: of an outer step, in words.
    title: see `Method`; the name in capitals by default.
    loss: see `Method`.
    labels: see `Entry`; by default as the settings say.
    needs: what must exist before the first step.
    published: see `Entry`.
    quick: see `Entry`; `num_steps` of 20 by default.
    preprocessing: see `Entry`.
    name: by default that of the function.
  """

  def decorate(make: Callable[[SimpleNamespace], Method]):
    own = name or make.__name__
    for field, value in defaults.items():
      if value is None and field not in _KINDS:
        raise ValueError(
            f"`{field}` of {own} must have a default that shows its type; got "
            f"None. None is for {', '.join(sorted(_KINDS))}.")

    def factory(**given) -> Method:
      values = complete(own, defaults, given)
      check_ranges(values)
      made = make(SimpleNamespace(**values))
      return made._replace(
          name=own, settings=values, title=title or own.upper(), loss=loss)

    functools.update_wrapper(factory, make)
    factory.__name__ = own
    factory.__doc__ = docstring(make, own, paper, cost, defaults)
    factory.__signature__ = inspect.Signature([
        inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=value)
        for field, value in defaults.items()
    ],
                                              return_annotation=Method)
    ENTRIES[own] = Entry(
        factory, defaults, title or own.upper(), labels or _labels(defaults),
        paper, cost, needs, published,
        {"num_steps": 20} if quick is None else quick, preprocessing)
    return factory

  return decorate


def _labels(defaults: Mapping[str, Any]) -> str:
  """What becomes of labels, as far as settings tell."""
  if "keep_teacher" in defaults:
    return "a teacher's, of each view"
  if "learn_labels" not in defaults:
    return "one-hot"
  if defaults["learn_labels"]:
    return "learned"
  return "one-hot; learn_labels=True learns them"


def complete(where: str, defaults: Mapping[str, Any],
             given: Mapping[str, Any]) -> dict[str, Any]:
  """Merges given settings into the defaults, as JSON values.

  Args:
    where: what the settings belong to, for messages.
    defaults: every known setting with its default.
    given: some settings; a dict replaces only the entries that it names.

  Raises:
    ConfigError: an unknown name, or a value of a wrong type.
  """
  values: dict[str, Any] = {
      field: _plain(value) for field, value in defaults.items()
  }
  for field, value in given.items():
    if field in _OF_LABELS and field not in defaults:
      raise ConfigError(
          f"`{where}` must not have the setting {field!r}: its objective does "
          "not read labels, so they cannot be learned. Labels stay one-hot.")
    if field not in defaults:
      raise ConfigError(
          f"`{where}` must have settings among {', '.join(sorted(defaults))}; "
          f"got {field!r}.{nearest(defaults, field)}")
    default: Any = values[field]
    value: Any = _plain(value)
    if isinstance(default, dict) and isinstance(value, dict):
      free = field in _FREE
      renamed = free and value.get("name", default.get("name")) != (
          default.get("name"))
      value = value if renamed else ({
          **default,
          **value
      } if free else complete(f"{where}.{field}", default, value))
    _check_kind(where, field, value, default)
    as_float = isinstance(default, float) and isinstance(value, int)
    values[field] = float(value) if as_float else value
  return values


def check_ranges(values: Mapping[str, Any], where: str = "") -> None:
  """Refuses numbers out of the allowed range of their name.

  Raises:
    ConfigError: the message gives the name, the range and the value.
  """
  for field, value in values.items():
    if isinstance(value, dict) and field not in _FREE:
      check_ranges(value, f"{where}{field}.")
    if isinstance(value, bool) or not isinstance(value, int | float):
      continue
    for holds, rule, names in _RANGES:
      own = f"{where}{field}" in _OWN
      if (f"{where}{field}" if own else field) in names and not holds(value):
        raise ConfigError(f"`{where}{field}` must be {rule}; got {value}.")


def _check_kind(where, field, value, default) -> None:
  kind: Any = _KINDS.get(field) if default is None else type(default)
  if value is None and field in _KINDS or isinstance(value, kind):
    if isinstance(value, bool) == (kind is bool):
      return
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return
  raise ConfigError(
      f"`{where}` must have `{field}` of type {kind.__name__}; got {value!r}.")


def _plain(value) -> Any:
  """Copies a value as JSON: tuples become lists, and mappings dicts."""
  if isinstance(value, Mapping) or hasattr(value, "to_dict"):
    return {k: _plain(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(v) for v in value]
  return value.item() if isinstance(value, np.generic) else value
