"""Shared by the configuration files of all methods.

    experiments/configs/METHOD.py:OPTION,OPTION=VALUE,...

  data=NAME           a name of `data_sets.DATA_SETS`, with the settings that
                      were published for it; `--data=SPEC` reads other data
                      with the same settings, but standardised by their own
                      mean and std
  ipc=N, rows=N       label rows per class, or of the whole set
  width=W             width of the ConvNet
  dtype=bfloat16      type in which networks compute; weights and losses stay
                      float32
  network=NAME        student, or kernel: fc1, fc3, conv3, convnet3
  features=NAME       for frepo, rfad and rcig: the network that the set is
                      distilled with, by default of the student's kind
  preprocessing=NAME  standardise, zca, relative_zca, fitted to the data,
                      instead of published constants
  vectors=FILE, own   for texts: word vectors from a file, or learned only on
                      the data set
  recipe=NAME         how networks train on the set, as published
  parameterization.name=NAME  pixels, multi_formation, linear_bases,
                      hallucinator, frequency, field, quantised; what is
                      quantised is parameterization.inner.name=NAME
  quick               a trial run of a minute or two

Every setting of the method is an option too: `fixed`, `steps=10`,
`start=noise`, `experts.num=20`. Any field is also a flag:
`--config.method.learning_rate=0.01`.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import ml_collections
from configs.data_sets import DATA_SETS, text_fields
from configs.students import STEP_SIZES, network_of

from distill_jax import methods, models, parameterization
from distill_jax.choices import one_of
from distill_jax.commands import options
from distill_jax.errors import ConfigError
from distill_jax.evaluation import baselines, recipes
from distill_jax.runs import workdir

_EVALUATION = dict(
    num_networks=20,
    baselines=f"{baselines.DEFAULT},byte_matched_real",
    num_sets=5,
    networks_per_set=4,
    full_data=False)
_OF_KERNELS = dict(
    num_networks=1,
    baselines="random_real",
    num_sets=3,
    networks_per_set=1,
    full_data=False)
_HINT = (
    " Other fields are flags, such as --config.evaluation.num_networks=5; "
    "--print_config lists them.")
_PARAMETERIZATIONS = {
    "field": dict(width=6, depth=2, per_row=1, fit_steps=500, fit_rate=0.01),
    "frequency": dict(keep=49, mask="variance", per_row=1),
    "hallucinator": dict(num_styles=5),
    "linear_bases": dict(num_bases=16, reduction=2),
    "multi_formation": dict(factor=2),
    "pixels": {},
    "quantised": dict(
        bits=8, group="patch", patch=8, inner=dict(name="pixels"))
}
_QUICK = dict(
    num_networks=2,
    baselines=baselines.DEFAULT,
    num_sets=2,
    networks_per_set=1,
    full_data=False)


def configure(
    name: str,
    *,
    data: str = "digits",
    ipc: int = 10,
    usual: Mapping[str, str] = MappingProxyType({}),
    students: Mapping[str, str] = MappingProxyType({}),
    convnet: Mapping[str, Any] = MappingProxyType({})
) -> Callable:
  """Returns the `get_config` of a method.

  Args:
    name: name of the method.
    data: default name of the data set.
    ipc: default number of label rows per class.
    usual: default options by data set; given options override them.
    students: names of the usual networks by data set, if they differ from those
      of `DATA_SETS`.
    convnet: settings of the usual ConvNet that the method changes.
  """
  entry = methods.ENTRIES[name]
  plain = entry.make()
  model, settings = plain.model, with_recipe(plain)

  def get_config(text: str | None = None) -> ml_collections.ConfigDict:
    chosen, given = _options(text, settings, usual, data=data, ipc=ipc)
    data_set = one_of(DATA_SETS, "data", chosen.data)
    if (chosen.ipc < 1 and not chosen.rows) or chosen.rows < 0:
      raise ConfigError(
          "`ipc` and `rows` must be at least 1; got "
          f"{chosen.ipc} and {chosen.rows}.")
    student, features = network_of(chosen, data_set, model, students, convnet)
    if chosen.dtype and model == "network":
      student = {**student, "dtype": chosen.dtype}
    if features:
      given["network"] = features
    if "steps" in settings and student["name"] in STEP_SIZES:
      given = {"step_size": STEP_SIZES[student["name"]], **given}
    method = _method(name, chosen, given, data_set)
    config = ml_collections.ConfigDict()
    config.method = fields(with_recipe(method))
    config.seed = 0
    config.data = data_set.spec
    config.preprocessing = chosen.preprocessing or _preprocessing(
        entry, chosen, data_set, model)
    # Kernel regression is solved exactly: no setting is chosen on validation.
    config.validation_fraction = 0.0 if model == "kernel" else 0.1
    config.per_class = 0 if chosen.rows else chosen.ipc
    config.num_rows = chosen.rows
    # All settings of the network are listed, so that each of them is a field.
    config.network = fields(
        models.spec_of(models.from_spec(student,
                                        num_classes=2))) if student else {}
    if data_set.length:
      config.text = fields(text_fields(chosen.data, chosen))
    config.evaluation = (_OF_KERNELS if model == "kernel" else _EVALUATION) | (
        dict(data_set.evaluation))
    if chosen.quick:
      config.evaluation.update(_QUICK)
    if model != "network":  # only networks are trained on all data
      config.evaluation.full_data = False
    config.figures = True
    config.log_every = config.checkpoint_every = 0
    return config

  return get_config


def published(config) -> dict[str, Any] | None:
  """The fields that were published for a configuration's data set.

  Args:
    config: a configuration of a file of this folder.

  Returns:
    Fields of the same file with no options but the data, the size and the
    methods that it is made of (its `options_of`, if it has one), or None if
    nothing was published for these data.
  """
  names = [
      name for name, data_set in DATA_SETS.items()
      if data_set.spec == config.data and data_set.traits is not None
  ]
  file = f"configs.{config.method.name}"
  if not names or importlib.util.find_spec(file) is None:
    return None
  module = importlib.import_module(file)
  size = (
      f"rows={config.num_rows}"
      if config.num_rows else f"ipc={config.per_class}")
  # A method that is made of others has them as options.
  made_of = getattr(module, "options_of", lambda method: [])(config.method)
  text = ",".join([*made_of, f"data={names[0]}", size])
  return module.get_config(text).to_dict()


def completed(given: Mapping, defaults: Mapping) -> dict:
  """Options of a named document, completed to the document."""
  given = dict(given)
  stored = given.get("parameterization", {})
  if "name" in stored or "inner" in stored:
    given["parameterization"] = stored_as("parameterization", **stored)
    if "clamp" in defaults and not parameterization.from_spec(
        given["parameterization"]).separates_classes:
      given["clamp"] = False
  return given


def stored_as(
    option: str, name: str = "", inner: Mapping | None = None, **given) -> dict:
  """All settings of a named parameterization, and of the one it quantises."""
  if inner is not None and name != "quantised":
    raise ConfigError(
        f"`{option}.inner.name` must be left out where {option}.name is not "
        f"quantised; got {inner['name']!r}.")
  found = dict(one_of(_PARAMETERIZATIONS, f"{option}.name", name), name=name)
  more = {} if inner is None else dict(
      inner=stored_as(f"{option}.inner", **inner))
  return found | given | more


def _method(name, chosen, given: Mapping, data_set) -> methods.Method:
  """The method as published for the data set, or with its own defaults."""
  if data_set.traits is None:
    entry = methods.ENTRIES[name]
    base = entry.quick if chosen.quick else {}
    return methods.with_settings(entry.make(**base), given)
  return methods.published(
      name,
      per_class=_of_a_class(chosen.ipc, chosen.rows, data_set),
      traits=data_set.traits,
      quick=chosen.quick,
      **given)


def with_recipe(method: methods.Method) -> dict[str, Any]:
  """A method's settings, with all fields of its recipe."""
  spec = method.spec
  if "recipe" in spec:
    wanted = method.recipe(None)
    known = recipes.from_spec({"name": wanted["name"]}).spec
    if known.get("strategy"):
      known["strategy"] = None  # the usual one for the data
    spec["recipe"] = {**known, **wanted}
  return spec


def fields(document):
  """A document that flags can change: lists as tuples, None as placeholder."""
  if document is None:
    return ml_collections.config_dict.placeholder(str)
  if isinstance(document, Mapping):
    return {name: fields(value) for name, value in document.items()}
  return tuple(document) if isinstance(document, list) else document


def _of_a_class(per_class: int, num_rows: int, data_set) -> int:
  """Label rows of a class, which published settings depend on; at least one."""
  return max(1, num_rows // data_set.num_classes if num_rows else per_class)


def _preprocessing(entry, chosen, data_set, model: str):
  """The published preprocessing, or that of the data set.

  Kernels read averaged word vectors.
  """
  if data_set.length and model == "kernel":
    return "averaged_vectors"
  whitened = ""
  if data_set.traits is not None and not chosen.quick:
    per_class = _of_a_class(chosen.ipc, chosen.rows, data_set)
    whitened = entry.preprocessing(per_class, data_set.traits)
  return whitened or data_set.preprocessing


def _options(text, settings: Mapping, usual: Mapping, **defaults):
  """Options of the configuration, and those that are settings."""
  own = dict(
      **defaults,
      rows=0,
      width=0,
      network="",
      dtype="",
      preprocessing="",
      vectors="",
      own=False,
      quick=False,
      features="")
  if "network" not in settings:
    del own["features"]
  known = {
      name: value
      for name, value in workdir.flat(settings).items()
      if not isinstance(value, dict | list)
  } | own
  if "recipe" in settings:
    known["recipe"] = None
  if "parameterization.name" in known:
    known["parameterization.inner.name"] = None
  parsed = vars(options.parse(text, hint=_HINT, **known))
  if parsed["own"] and parsed["vectors"]:
    raise ConfigError("`--config` must have one of the options own, vectors.")
  if parsed["data"] in usual:
    sized = options.named(text) & {"ipc", "rows"}
    before = [
        item for item in usual[parsed["data"]].split(",")
        if not (sized and item.startswith(("ipc=", "rows=")))
    ]
    text = ",".join([*before, text or ""])
    parsed = vars(options.parse(text, hint=_HINT, **known))
  named = options.named(text)
  given = {
      "recipe.name" if k == "recipe" else k: v
      for k, v in parsed.items()
      if k in named and k not in own
  }
  chosen = SimpleNamespace(**{"features": "", **{k: parsed[k] for k in own}})
  return chosen, completed(options.nested(given), settings)
