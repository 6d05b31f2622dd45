"""A strong linear baseline: TF-IDF and a linear classifier on all texts.

Words and pairs of words with logarithmic term frequencies, and a linear support
vector machine whose C is chosen on a validation part. Most networks in papers
on text distillation are worse than this.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax.data import labelling
from distill_jax.data.parts import stratified
from distill_jax.evaluation import metrics
from distill_jax.text.tokens import Tokeniser, repeated, tokenised, tokeniser

TITLE = "TF-IDF and a linear classifier"
COSTS = (0.03, 0.1, 0.3, 1.0, 3.0)


class LinearReference(NamedTuple):
  """The result of the linear baseline.

  Attributes:
    accuracy: accuracy on the test part, a fraction.
    macro_f1: macro F1 on the test part.
    cost: the chosen C.
  """

  accuracy: float
  macro_f1: float
  cost: float


def tfidf_linear(
    x_train: Sequence[str],
    y_train,
    x_test: Sequence[str],
    y_test,
    *,
    x_validation: Sequence[str] | None = None,
    y_validation=None,
    tokens: str | Tokeniser = "words",
    drop_duplicates: bool = False,
    validation_fraction: float = 0.1,
    seed: int = 0,
    costs: tuple[float, ...] = COSTS) -> LinearReference:
  """Fits the training texts without the validation part, as other methods do.

  Args:
    x_train: see `from_texts`.
    y_train: see `from_texts`.
    x_test: see `from_texts`.
    y_test: see `from_texts`.
    x_validation: see `from_texts`.
    y_validation: see `from_texts`.
    tokens: see `from_texts`.
    drop_duplicates: see `from_texts`.
    validation_fraction: fraction of train to hold out if there is no validation
      part; 0 for none, and then C is 1.
    seed: seed of that choice, and of the classifier.
    costs: values of C to choose from; of the best ones, the smallest is taken.

  Raises:
    DataError: labels or texts that `from_texts` refuses.
  """
  from sklearn.feature_extraction.text import TfidfVectorizer
  from sklearn.svm import LinearSVC

  if drop_duplicates:
    kept = [tokenised("texts", t, tokens) for t in (x_train, x_test)]
    again = set(repeated(*kept))
    rows = [i for i in range(len(x_train)) if i not in again]
    x_train, y_train = [x_train[i] for i in rows], np.asarray(y_train)[rows]
  names = np.array(labelling.name_classes(_texts("y_train", y_train)))
  y_train, y_test = (
      labelling.indices(argument, _texts(argument, y), names)
      for argument, y in (("y_train", y_train), ("y_test", y_test)))
  if x_validation is None:
    kept, held = stratified(names[y_train], names, validation_fraction, seed)
    x_validation, y_validation = [x_train[int(i)] for i in held], y_train[held]
    x_train, y_train = [x_train[int(i)] for i in kept], y_train[kept]
  else:
    y_validation = labelling.indices(
        "y_validation", _texts("y_validation", y_validation), names)
  features = TfidfVectorizer(
      tokenizer=tokeniser(tokens),
      token_pattern=None,  # pyright: ignore[reportArgumentType]
      lowercase=False,
      ngram_range=(1, 2),
      sublinear_tf=True)
  train = features.fit_transform(x_train)
  costs = costs if len(x_validation) else (1.0,)
  fitted = {
      cost: LinearSVC(C=cost, random_state=seed).fit(train, y_train)
      for cost in costs
  }
  best = costs[0]
  if len(costs) > 1:
    held = features.transform(x_validation)
    best = max(costs, key=lambda cost: fitted[cost].score(held, y_validation))
  predicted: Any = fitted[best].predict(features.transform(x_test))
  confusion = metrics.confusion_matrix(y_test, predicted, len(names))
  return LinearReference(
      float(metrics.accuracy(confusion)), float(metrics.macro_f1(confusion)),
      best)


def _texts(argument, labels):
  """Replaces labels by the names of their classes."""
  return labelling.as_labels(argument, labels).astype(str)
