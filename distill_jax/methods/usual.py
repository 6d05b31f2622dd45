"""The default method for data about which nothing is known."""

from distill_jax.data.source import check_source
from distill_jax.methods.distributions import dm
from distill_jax.methods.method import Method
from distill_jax.methods.unrolled import sldd, tdd
from distill_jax.text.embedding import is_of_words

# For tables, and also for series. In longer runs, or with larger steps, the
# sets
# fit the training samples of small tables better, but test samples less well.
_TABLES = dict(
    start="kmeans",
    num_steps=300,
    learning_rate=0.01,
    label_learning_rate=0.01,
    step_size_learning_rate=0.01)


def usual(source, *, hard_labels: bool = False) -> Method:
  """DM for images, TDD for sentences, SLDD for rows of numbers and series.

  Chosen on validation parts of images, tables and texts, at one sample a class;
  see `benchmarks/README.md`. On series nothing was measured. Matched means are
  hardly better than class means where samples are a few numbers, and worse
  where they are word vectors.

  Args:
    source: a `data.Source`.
    hard_labels: whether labels stay those of one class, for whoever cannot use
      soft ones.
  """
  check_source(source)
  if source.example.ndim == 4:
    return dm()
  if source.example.ndim == 3 and is_of_words(source.preprocessing):
    return tdd(learn_labels=not hard_labels)
  return sldd(**_TABLES, learn_labels=not hard_labels)
