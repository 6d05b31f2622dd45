"""Adapts configurations to other data than those that they name."""

from pathlib import Path

from configs.common import completed, fields, with_recipe
from ml_collections import ConfigDict, config_flags

from distill_jax import methods
from distill_jax.commands import options
from distill_jax.errors import ConfigError
from distill_jax.runs.assess import Settings
from distill_jax.runs.reading import preprocessing_of
from distill_jax.runs.sizes import per_class_of
from distill_jax.runs.workdir import flat

_USUAL = Settings()._asdict()
# For texts about which nothing is known: all words of each text are used, with
# vectors learned only on these texts.
_TEXTS = dict(length=0, max_words=0, corpora=())


def settled(flag, spec: str | None) -> tuple[ConfigDict, str]:
  """The configuration of a flag, adapted to the data of `--data`.

  Constants of preprocessing belong to one data set; other data are standardised
  by their own mean and std. If the options name no data set, the network suits
  the shape of the data, word vectors are learned only on these data, and the
  evaluation has the defaults of `runs.assess`: fewer networks and baselines
  than for the digits, and no training on all data. Whatever flags or options
  set is not changed.

  Args:
    flag: the parsed flag of the configuration.
    spec: SPEC given by `--data`, or None.

  Returns:
    The configuration, and a line about constants that were not used, or "".
  """
  config, note, said = flag.value, "", _said(flag)
  if spec is None:
    return _changed(config, {}), note
  model = methods.from_spec(config.method.to_dict()).model
  named = not is_usual(flag) or "data" in said
  same = named and _name(spec) == _name(config.data)
  changes = _of_data(flag, spec, model, same)
  if same:
    return _changed(config, changes), note
  if "preprocessing" in changes and not isinstance(config.preprocessing, str):
    note = (
        f"preprocessing: standardised by mean and std of {spec}, not by "
        f"those published for {config.data}")

  def free(*names: str) -> bool:
    return _free(said, *names)

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


def on_other_data(flag, spec: str, model: str) -> ConfigDict:
  """The configuration of a flag with other data, and preprocessing of theirs.

  Data of the same name, in another place, keep the constants of preprocessing;
  nor does what the user set change.

  Args:
    flag: the parsed flag of the configuration.
    spec: SPEC of the data.
    model: what sets are made for, "network" or "kernel".
  """
  same = _name(spec) == _name(flag.value.data)
  return _changed(flag.value, _of_data(flag, spec, model, same))


def _of_data(flag, spec: str, model: str, same: bool) -> dict:
  """The fields that change with the data; `same` are those of the options."""
  known, changes = flag.value, dict(data=spec)
  if not same and _free(_said(flag), "preprocessing"):
    changes["preprocessing"] = _fitted(known.preprocessing, model, spec)
  return changes


def _free(said: set[str], *names: str) -> bool:
  """Whether the user set none of these fields, nor fields below them."""
  return not any(
      item == name or item.startswith(f"{name}.")
      for item in said
      for name in names)


def is_usual(flag) -> bool:
  """Whether a configuration leaves the choice of the method to the data."""
  return Path(flag.config_filename.partition(":")[0]).stem == "usual"


def is_unsaid(flag, spec: str | None) -> bool:
  """Whether the user gave neither a method nor data."""
  return is_usual(flag) and spec is None and "data" not in _said(flag)


def usual(flag, config: ConfigDict, source) -> ConfigDict:
  """The settings of the usual method for the data, and those of the user.

  Args:
    flag: the flag of `configs/usual.py`.
    config: the configuration, as `settled` returns it.
    source: the data.

  Raises:
    ConfigError: the method does not have a setting that the user gave.
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
  method = methods.with_settings(
      method, completed(options.nested(given), method.spec))
  return ConfigDict(fields(with_recipe(method)))


def per_class(flag, config: ConfigDict, source) -> tuple[int | None, str]:
  """Label rows per class; by default at most half of the smallest class.

  Returns:
    The number, or None if the configuration has none, and a line about a number
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
  """The name of a data set, without its folder and the kind of its files."""
  kind, _, place = spec.partition(":")
  return Path(place.partition("?")[0] or kind).stem


def _fitted(known, model: str, spec: str) -> str:
  """Preprocessing to fit to the data, of a kind that suits them.

  Args:
    known: preprocessing of the configuration, a name or constants.
    model: what the set is made for, "network" or "kernel".
    spec: SPEC of the data.
  """
  whitens = isinstance(known, str) and "vectors" not in known
  return preprocessing_of(spec, model, known if whitens else "standardise")


def _changed(config: ConfigDict, changes: dict) -> ConfigDict:
  return ConfigDict({**config.to_dict(), **changes})
