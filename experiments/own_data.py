"""Configurations for data other than those that they name."""

from pathlib import Path

from configs.common import fields, with_recipe
from ml_collections import ConfigDict, config_flags

from distill_jax import methods
from distill_jax.commands import options
from distill_jax.errors import ConfigError
from distill_jax.runs.assess import Settings
from distill_jax.runs.reading import preprocessing_of
from distill_jax.runs.sizes import per_class_of
from distill_jax.runs.workdir import flat

_USUAL = Settings()._asdict()
# Of texts about which nothing is known: all words of each, vectors learned on
# them alone.
_TEXTS = dict(length=0, max_words=0, corpora=())


def settled(flag, spec: str | None) -> tuple[ConfigDict, str]:
  """The configuration of a flag, for the data of `--data`.

  Constants of preprocessing belong to one data set: others are standardised by
  their own mean and std. Where the options name no data set, the network suits
  the shape of the data, words have vectors of these data alone, and the
  evaluation has the defaults of `runs.assess`: fewer networks and baselines
  than for the digits, and no training on all data. What flags or options say
  stays as they say it.

  Args:
    flag: of the configuration, parsed.
    spec: SPEC that `--data` gives, or None.

  Returns:
    The configuration, and a line on constants that were not taken, or "".
  """
  config, note, said = flag.value, "", _said(flag)
  named = not is_usual(flag) or "data" in said
  if spec is None or (named and _name(spec) == _name(config.data)):
    return _changed(config, {} if spec is None else dict(data=spec)), note

  def free(*names: str) -> bool:
    """Whether nobody said anything of these, or of fields below them."""
    return not any(
        item == name or item.startswith(f"{name}.")
        for item in said
        for name in names)

  model = methods.from_spec(config.method.to_dict()).model
  changes: dict = dict(data=spec)
  if free("preprocessing"):
    if not isinstance(config.preprocessing, str):
      note = (
          f"preprocessing: standardised by mean and std of {spec}, not by "
          f"those published for {config.data}")
    changes["preprocessing"] = fitted(config.preprocessing, model, spec)
  if free("data"):
    if model == "network":
      if free("network", "features", "width"):
        changes["network"] = {}
      if free("quick"):
        changes["evaluation"] = {
            field: _USUAL[field] if free(f"evaluation.{field}") else value
            for field, value in config.evaluation.items()
        }
    if "text" in config:
      changes["text"] = config.text.to_dict() | {
          field: value
          for field, value in _TEXTS.items()
          if free(f"text.{field}")
      }
  return _changed(config, changes), note


def is_usual(flag) -> bool:
  """Whether a configuration leaves the method to the kind of data."""
  return Path(flag.config_filename.partition(":")[0]).stem == "usual"


def is_unsaid(flag, spec: str | None) -> bool:
  """Whether nobody said what to run: no method, and no data either."""
  return is_usual(flag) and spec is None and "data" not in _said(flag)


def usual(flag, config: ConfigDict, source) -> ConfigDict:
  """Settings of the method that suits the data, and of what was said of it.

  Args:
    flag: of `configs/usual.py`.
    config: as settled.
    source: the data.

  Raises:
    ConfigError: a setting that this method does not have.
  """
  known = flat(config.method.to_dict())
  said = {
      "recipe.name" if item == "recipe" else item.removeprefix("method.")
      for item in _said(flag)
  }
  given = {name: known[name] for name in said if name in known}
  method = methods.usual(source)
  for name in sorted(given):
    if name == "name" or name.partition(".")[0] not in method.spec:
      raise ConfigError(
          f"`--config.method.{name}` must be left out without --config: "
          f"{method.name}, which suits these data, has no such setting. "
          "--config=experiments/configs/METHOD.py names another method.")
  method = methods.with_settings(method, options.nested(given))
  return ConfigDict(fields(with_recipe(method)))


def per_class(flag, config: ConfigDict, source) -> tuple[int | None, str]:
  """Label rows of each class: at most half of the smallest, if nobody said.

  Returns:
    The number, None where the configuration has none, and a line on a number
    that was lowered, or "".
  """
  wanted = config.per_class or None
  if wanted is None or _said(flag) & {"ipc", "per_class"}:
    return wanted, ""
  number, fewer = per_class_of(source, wanted)
  return number, fewer and f"{fewer}; ipc=N sets another number"


def _said(flag) -> set[str]:
  """Names of the options and fields that a user gave."""
  _, _, text = flag.config_filename.partition(":")
  return options.named(text) | set(config_flags.get_override_values(flag))


def _name(spec: str) -> str:
  """Of a data set, wherever it lies and in whatever files."""
  kind, _, place = spec.partition(":")
  return Path(place.partition("?")[0] or kind).stem


def fitted(known, model: str, spec: str) -> str:
  """Preprocessing that is fitted to the data; of a kind that suits them.

  Args:
    known: that of the configuration, a name or constants.
    model: "network" or "kernel", what the set is made for.
    spec: SPEC of the data.
  """
  whitens = isinstance(known, str) and "vectors" not in known
  return preprocessing_of(spec, model, known if whitens else "standardise")


def _changed(config: ConfigDict, changes: dict) -> ConfigDict:
  return ConfigDict({**config.to_dict(), **changes})
