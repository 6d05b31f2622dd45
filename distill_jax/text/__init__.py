"""Text: tokens, vocabularies, word vectors, and sentences back from vectors.

  tokens      texts -> tokens
  vectors     word vectors: read from files, or learned on a corpus
  embedding   the records between token ids and model space
  words       words of a distilled set: nearest ones, snapping

`data.corpus` makes a `Source` of texts.
"""

from distill_jax.text import embedding, tokens, vectors, words

__all__ = ["embedding", "tokens", "vectors", "words"]
