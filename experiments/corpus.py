"""Texts of a configuration: its word vectors, lengths and tokens."""

import hashlib
import json
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from distill_jax import data
from distill_jax.errors import ConfigError, DataError
from distill_jax.runs.console import say
from distill_jax.text.embedding import is_of_words
from distill_jax.text.tokens import tokenised
from distill_jax.text.vectors import (
  Vectors,
  fit_vectors,
  read_vectors,
  save_vectors,
)


def options(text, data_dir: str | None, cache: Path | None) -> dict[str, Any]:
  """What `from_texts` is given, of `config.text`.

  Args:
    text: the field; None where data are no texts.
    data_dir: a folder of data sets, or None.
    cache: a folder for vectors that are learned, so that a run that is resumed
      has the same ones and runs share them; or None.
  """
  if text is None:
    return {}

  def vectors(sentences) -> Vectors:
    if text.vectors:
      wanted = {word for tokens in sentences for word in tokens}
      return read_vectors(text.vectors, dim=text.dim or None, wanted=wanted)
    return _learned(text, sentences, data_dir, cache)

  return dict(
      vectors=vectors, length=text.length or None,
      max_words=text.max_words or None, drop_duplicates=text.drop_duplicates,
  )


def options_of(artifact) -> dict[str, Any]:
  """What `from_texts` is given so that real texts fit a set."""
  if not is_of_words(artifact.preprocessing):
    return {}
  facts = artifact.provenance.get("facts", {})
  known = {name: facts[name] for name in ("length", "tokens") if name in facts}
  if artifact.modality == "text":
    known = {"length": artifact.inputs.shape[1], **known}
  return {**known, "drop_duplicates": "dropped" in facts}


def told(source, num_rows: int) -> tuple[dict[str, Any], list[str]]:
  """What a report and people should know of texts.

  Args:
    source: the data.
    num_rows: label rows of the set.

  Returns:
    `Source.facts` and, by name, the classes that have fewer texts than the set
    has rows for them; lines for people.
  """
  facts = dict(source.facts)
  if "vectors" not in facts:
    return facts, []
  counts = np.asarray(source.train.counts)
  each = -(-num_rows // source.num_classes)
  small = {
      name: int(n) for name, n in zip(source.class_names, counts, strict=True)
      if n < each
  }
  covered = ", ".join(
      f"{100 * share:.1f} % of {part}"
      for part, share in facts["tokens_with_vectors"].items()
  )
  lines = [
      f"{facts['words']:,} words, {facts['vectors']}: "
      f"{100 * facts['words_with_vectors']:.1f} % have a vector; of all tokens "
      f"{covered}",
  ]
  hint = "; `text.drop_duplicates` drops them there"
  if "dropped" in facts:
    hint = ", which lacks them now"
  lines += [
      f"{number} texts of the {part} part also occur in train{hint}"
      for part, number in facts["duplicates"].items() if number
  ]
  if small:
    facts["small_classes"] = small
    names = ", ".join(f"{name} ({n})" for name, n in small.items())
    lines.append(
        f"classes with fewer texts than the {each} rows a class of the set, "
        f"which baselines repeat: {names}"
    )
  return facts, lines


def check(config) -> None:
  """Refuses what texts, or other data, cannot have."""
  settings = config.get("snap")
  if settings is None:
    return
  if settings.rounds < 0 or settings.num_steps < 1:
    raise ConfigError(
        "`snap.rounds` must be at least 0 and `snap.num_steps` at least 1; got "
        f"{settings.rounds} and {settings.num_steps}."
    )
  words = (config.preprocessing == "word_vectors"
           and config.parameterization.name == "pixels")
  if settings.rounds and not (words and config.learn_labels):
    raise ConfigError(
        "`snap.rounds` must be 0 but for word vectors that are stored as they "
        f"are (pixels) and learned labels; got {settings.rounds}."
    )


def check_length(network, variables, codes) -> None:
  """Refuses distilled sentences that the network cannot read.

  Args:
    network: the student.
    variables: their shapes, for real sentences.
    codes: [M, s, d].
  """
  try:
    jax.eval_shape(network.apply, variables, codes[:1])
  except (TypeError, ValueError, flax.errors.FlaxError) as error:
    raise ConfigError(
        "`text.sample_length` must suit the network; got "
        f"{codes.shape[1]}: {str(error).splitlines()[0]}"
    ) from None


def cut(config, codes):
  """Sentences that start with `sample_length` words."""
  wanted = config.text.sample_length
  stored = config.parameterization.name
  if stored != "pixels" or not 1 <= wanted <= codes.shape[1]:
    raise ConfigError(
        "`text.sample_length` must be 1 to the length of real sentences, "
        f"{codes.shape[1]}, and of pixels; got {wanted}."
    )
  return codes[:, :wanted]


def _learned(text, sentences, data_dir, cache) -> Vectors:
  """Vectors learned on the training texts and on those of other corpora."""
  settings = dict(
      dim=text.dim, window=text.window, min_count=text.min_count,
      power=text.power,
  )
  corpus, names = list(sentences), ["the training texts"]
  for spec in text.corpora:
    try:
      found = data.texts(spec, data_dir=data_dir)
    except DataError as error:
      raise ConfigError(
          f"`text.corpora` must be there to learn vectors on: {error} The "
          "option own learns on this data set alone."
      ) from error
    if found is None:
      raise ConfigError(
          f"`text.corpora` must be SPECs of texts; got {spec}."
      )
    corpus += tokenised(
        "x_train", found["x_train"], found.get("tokens", "words")
    )
    names.append(spec)
  settings["name"] = f"{' and '.join(names)}"
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
