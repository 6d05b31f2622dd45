"""From a configuration to its data, and to word vectors of its texts."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax import data
from distill_jax.errors import ConfigError, DataError
from distill_jax.preprocessing import Standardise
from distill_jax.runs.console import say
from distill_jax.text.tokens import tokenised
from distill_jax.text.vectors import (
    Vectors,
    fit_vectors,
    read_vectors,
    save_vectors,
)


def source(
    config, *, data_dir: str | None, cache: Path | None = None) -> data.Source:
  """The data set, preprocessed as the configuration says.

  Args:
    config: what to run, `data` its SPEC.
    data_dir: a folder of data sets, or None.
    cache: a folder for word vectors that are learned, or None.
  """
  if config.seed < 0:
    raise ConfigError(f"`seed` must be at least 0; got {config.seed}.")
  preprocessing = config.preprocessing
  if not isinstance(preprocessing, str):
    preprocessing = _constants(preprocessing)
  read = data.read(
      config.data,
      data_dir=data_dir,
      preprocessing=preprocessing,
      validation_fraction=config.validation_fraction,
      seed=config.seed,
      text=_text_options(config.get("text"), data_dir, cache))
  channels = read.example.shape[-1]
  if (isinstance(preprocessing, Standardise) and
      preprocessing.mean.shape != (channels,)):
    raise ConfigError(
        "`preprocessing` must give `mean` and `std` of each of the "
        f"{channels} channels; got {preprocessing.mean.size}. With data of "
        "your own, take the option preprocessing=standardise.")
  return read


def _constants(preprocessing) -> Standardise:
  given = {
      name: np.asarray(preprocessing.get(name, ()), np.float32)
      for name in ("mean", "std")
  }
  if not all(v.size for v in given.values()) or not (given["std"] > 0).all():
    raise ConfigError(
        "`preprocessing` must be 'standardise', 'zca', 'relative_zca', or "
        f"`mean` and positive `std`; got {preprocessing.to_dict()}.")
  return Standardise(**given)


def _text_options(text, data_dir, cache: Path | None) -> dict[str, Any]:
  """What `from_texts` is given, of `config.text`."""
  if text is None:
    return {}

  def vectors(sentences) -> Vectors:
    if text.vectors:
      wanted = {word for tokens in sentences for word in tokens}
      return read_vectors(text.vectors, dim=text.dim or None, wanted=wanted)
    return _learned(text, sentences, data_dir, cache)

  return dict(
      vectors=vectors,
      length=text.length or None,
      max_words=text.max_words or None,
      drop_duplicates=text.drop_duplicates)


def _learned(text, sentences, data_dir, cache: Path | None) -> Vectors:
  """Vectors learned on the training texts and on those of other corpora.

  They are kept in `cache`, so that a run that is resumed has the same ones and
  runs share them.
  """
  settings = dict(
      dim=text.dim,
      window=text.window,
      min_count=text.min_count,
      power=text.power)
  corpus, names = list(sentences), ["the training texts"]
  for spec in text.corpora:
    corpus += _corpus(spec, data_dir)
    names.append(spec)
  settings["name"] = " and ".join(names)
  if cache is None:
    return fit_vectors(corpus, **settings)
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
  for tokens in corpus:
    digest.update(" ".join(tokens).encode())
  file = cache / f"vectors_{digest.hexdigest()[:12]}.npz"
  if file.exists():
    return read_vectors(file)
  say(f"learning vectors of {text.dim} numbers on {', '.join(names)}")
  made = fit_vectors(corpus, **settings)
  file.parent.mkdir(parents=True, exist_ok=True)
  save_vectors(made, file)
  return made


def _corpus(spec: str, data_dir) -> list[list[str]]:
  """The tokens of a corpus that vectors are learned on too."""
  try:
    found = data.texts(spec, data_dir=data_dir, hold_out=False)
  except DataError as error:
    raise ConfigError(
        f"`text.corpora` must exist to learn vectors on: {error} The option "
        "own learns on this data set alone.") from error
  if found is None:
    raise ConfigError(f"`text.corpora` must be SPECs of texts; got {spec}.")
  return tokenised("x_train", found["x_train"], found.get("tokens", "words"))
