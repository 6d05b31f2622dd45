"""Text: tokens, vocabularies, word vectors, and words of distilled sentences.

  tokens      texts -> tokens
  vectors     word vectors: read from files, or learned on a corpus
  embedding   the records that map token ids to model space
  words       words of a distilled set: nearest ones, snapping

`data.corpus` makes a `Source` of texts.
"""

from distill_jax.text import embedding, tokens, vectors, words

__all__ = ["embedding", "tokens", "vectors", "words"]
