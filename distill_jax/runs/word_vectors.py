"""Word vectors that are learned once and shared by runs."""

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax import data, storage
from distill_jax.errors import ConfigError, DataError, plain
from distill_jax.runs.console import say
from distill_jax.text.tokens import tokenised
from distill_jax.text.vectors import Vectors, fit_vectors, of_arrays


def learned(
    sentences: Collection[Sequence[str]],
    corpora: Sequence[str] = (),
    *,
    data_dir: str | None = None,
    cache: Path | None = None,
    **settings: Any) -> Vectors:
  """Returns vectors learned on training texts and on other corpora.

  Args:
    sentences: the words of each training text.
    corpora: SPECs of other texts; their training parts are used.
    data_dir: a folder of data sets, or None.
    cache: a folder in which the vectors are kept, so that a resumed run uses
      the same ones; None to learn them each time. Damaged files are replaced.
    **settings: settings of `fit_vectors`: dim, window, min_count, power.

  Raises:
    ConfigError: a corpus does not exist or holds no texts.
  """
  corpus, names = list(sentences), ["the training texts"]
  for spec in corpora:
    corpus += _corpus(spec, data_dir)
    names.append(spec)
  settings["name"] = " and ".join(names)
  if cache is None:
    return fit_vectors(corpus, **settings)
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
  for tokens in corpus:
    digest.update(" ".join(tokens).encode())
  depends = digest.hexdigest()
  file = cache / f"vectors_{depends[:12]}.safetensors"
  if file.exists() and (kept := _kept(file, depends)):
    return kept
  say(f"learning vectors of {settings['dim']} numbers on {', '.join(names)}")
  made = fit_vectors(corpus, **settings)
  file.parent.mkdir(parents=True, exist_ok=True)
  document = dict(depends=depends, name=made.name, words=made.words)
  with storage.turns(file):
    storage.write(file, {"table": made.table}, document)
  return made


def _kept(file: Path, depends: str) -> Vectors | None:
  """Vectors that were learned before; None if someone changed the file."""
  try:
    tensors, document = storage.read(file)
    storage.check(tensors, document or {})
    if document["depends"] != depends:
      raise ValueError("it was learned on other texts")
    words, name = np.array(document["words"]), str(document["name"])
    return of_arrays(file, words, tensors["table"], name)
  except (KeyError, OSError, TypeError, ValueError) as error:
    say(f"{file}: {plain(error, 100)}; learning the vectors anew")
    return None


def _corpus(spec: str, data_dir) -> list[list[str]]:
  """The tokens of each text of another corpus."""
  try:
    found = data.texts(spec, data_dir=data_dir, hold_out=False)
  except DataError as error:
    raise ConfigError(
        f"`text.corpora` must exist to learn vectors on: {error} The option "
        "own learns on this data set alone.") from error
  if found is None:
    raise ConfigError(f"`text.corpora` must be SPECs of texts; got {spec}.")
  return tokenised("x_train", found["x_train"], found.get("tokens", "words"))
