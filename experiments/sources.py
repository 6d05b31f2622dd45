"""Reads the data of a configuration, and the word vectors of its texts."""

from pathlib import Path
from typing import Any

from distill_jax import data
from distill_jax.errors import ConfigError
from distill_jax.preprocessing import from_constants
from distill_jax.runs.word_vectors import learned
from distill_jax.text.vectors import Vectors, read_vectors

_LEARNED = "dim", "window", "min_count", "power"


def source(
    config, *, data_dir: str | None, cache: Path | None = None) -> data.Source:
  """The data set, preprocessed as the configuration says.

  Args:
    config: the configuration; its `data` is a SPEC.
    data_dir: a folder of data sets, or None.
    cache: a folder for word vectors that are learned, or None.
  """
  if config.seed < 0:
    raise ConfigError(f"`seed` must be at least 0; got {config.seed}.")
  preprocessing = config.preprocessing
  if not isinstance(preprocessing, str):
    constants = (preprocessing.get(name, ()) for name in ("mean", "std"))
    preprocessing = from_constants(*constants)
  return data.read(
      config.data,
      data_dir=data_dir,
      preprocessing=preprocessing,
      validation_fraction=config.validation_fraction,
      seed=config.seed,
      text=_text_options(config.get("text"), data_dir, cache))


def _text_options(text, data_dir, cache: Path | None) -> dict[str, Any]:
  """Arguments of `from_texts`, from `config.text`."""
  if text is None:
    return {}

  def vectors(sentences) -> Vectors:
    if text.vectors:
      wanted = {word for tokens in sentences for word in tokens}
      return read_vectors(text.vectors, dim=text.dim or None, wanted=wanted)
    settings = {name: text[name] for name in _LEARNED}
    return learned(
        sentences, text.corpora, data_dir=data_dir, cache=cache, **settings)

  return dict(
      vectors=vectors,
      length=text.length or None,
      max_words=text.max_words or None,
      drop_duplicates=text.drop_duplicates)
