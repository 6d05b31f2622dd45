"""The words of a distilled text set: those nearest to its vectors.

Sucholutsky & Schonlau, 2019, arXiv 1910.02551, section 3.3, show the nearest
words of distilled sentences. These words help to understand a set, but training
uses the vectors. How well the words themselves train is measured with
`snapped`.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from distill_jax.text.embedding import WordVectors
from distill_jax.types import Array


def is_text(artifact) -> bool:
  """Whether an artifact's samples are sentences of known word vectors."""
  return isinstance(artifact.preprocessing, WordVectors)


def sentences(artifact) -> list[list[str]]:
  """The nearest words of each sample.

  Args:
    artifact: a set of sentences [M, s, d] with `WordVectors`.

  Raises:
    ValueError: it is another kind of set.
  """
  _check(artifact)
  record = artifact.preprocessing
  return record.sentences(record.invert(jnp.asarray(artifact.inputs)))


def snapped(artifact):
  """The artifact with the nearest words' vectors in place of its own.

  Args:
    artifact: as in `sentences`.
  """
  _check(artifact)
  inputs = snap(artifact.preprocessing, jnp.asarray(artifact.inputs))
  return artifact.as_floats()._replace(inputs=np.asarray(inputs))


def snap(vectors: WordVectors, inputs: Any) -> Array:
  """Replaces each vector of sentences [M, s, d] by that of its nearest word."""
  return vectors.apply(vectors.invert(inputs)).astype(inputs.dtype)


def _check(artifact) -> None:
  if not is_text(artifact):
    raise ValueError(
        "`artifact` must hold sentences of word vectors; got "
        f"{artifact.modality} with {type(artifact.preprocessing).__name__}.")
