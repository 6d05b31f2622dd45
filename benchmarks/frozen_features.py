"""One sample per class for a linear probe on frozen features, in closed form.

Digits and MNIST through a ConvNet with random weights and through PCA, TREC
through averaged word vectors made of the training questions (PPMI, then SVD).
The evaluator tests the sets of `distill_jax.frozen_features`, and for
comparison the probe of all data, whose ridge is chosen on a validation part
before it is fitted on all of train. Baselines have one point per class, with a
ridge and weights chosen on the same validation part: the class means of the
features, also used by nearest mean, and 20 draws of random real samples. A
logistic head on the points and on the means is shown for comparison; its C is
chosen in the same way.

Bar: one hard-labelled point per class is more accurate than the class means,
by the probe and by the nearest mean. It is not expected of whitened features,
with which the nearest mean is a discriminant analysis: those rows show it.
`--rounds` and `--seconds` change nothing; the seconds are those of one run.
"""

import collections
import os
import pathlib
import time
from functools import partial

import jax
import numpy as np
import scipy.sparse
import timing
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.linear_model import LogisticRegression

from distill_jax import data, nn, selection
from distill_jax import frozen_features as closed_form
from distill_jax.artifact import from_samples
from distill_jax.data.features import from_features, unchanged, with_features
from distill_jax.evaluation.evaluator import evaluate_set
from distill_jax.evaluation.learners import nearest_neighbours
from distill_jax.evaluation.probes import linear_probe
from distill_jax.labels import centred_rows
from distill_jax.moments import ridge_probe, split_moments
from distill_jax.objectives.embedding import embeddings
from distill_jax.probe_set import ProbeSet, fit_probe, probe_artifact

RIDGES = tuple(10.0**np.arange(3, -10, -1))  # in units of `Moments.scale`
WIDE = tuple(10.0**np.arange(6, -10, -1))  # for the baselines
LOGISTIC = tuple(10.0**np.arange(-4, 5))  # C of a logistic head
NUM_DRAWS = 20
VALIDATION = 0.2
WINDOW = 5  # words on each side
LEAST_COUNT = 2


def main(argv=None) -> None:
  parser = timing.parser(
      __doc__, work=",".join(WORK), width=64, components=50, word_size=200)
  options = parser.parse_args(argv)
  names = options.work.split(",")
  if not set(names) <= set(WORK):
    parser.error(f"`work` must be among {', '.join(WORK)}; got {options.work}.")
  rows = []
  for name in names:
    start = time.perf_counter()
    source = WORK[name](options)
    row = {"features": name, **measured(source, _since(start))}
    barred = not name.endswith("whitened")
    rows.append({**row, "met": row["beats_means"] if barred else "-"})
    print(f"{name}: {_since(start):.0f} s")
  timing.report("frozen_features", options, rows)


def measured(source, extraction_seconds: float) -> dict:
  """Accuracies on the test part, in [0, 1], and seconds."""
  start = time.perf_counter()
  train, held = split_moments(source.train), split_moments(source.validation)
  moments = train + held
  moments_seconds = _since(start)
  features, truth = _encoded(source.validation)

  def on_validation(probe):
    return (probe.classes(features) == truth).mean()

  best = max(
      RIDGES, key=lambda r: on_validation(ridge_probe(train, r * train.scale)))
  ridge = best * moments.scale
  start = time.perf_counter()
  hard = closed_form.hard_labelled_points(moments, ridge)
  seconds = _since(start)
  classes, means = np.arange(source.num_classes), moments.class_means
  draws = np.asarray(
      selection.random_real(
          jax.random.key(1), source.train, classes, NUM_DRAWS))

  def tested(artifact, learner):
    return evaluate_set(
        jax.random.key(0), artifact, source.test, learner=learner).mean

  def accuracy(probe_set):
    return tested(probe_artifact(probe_set, source), linear_probe())

  def solved(points):
    return accuracy(closed_form.solved_labels(moments, points, classes, ridge))

  chosen = partial(fitted_best, moments, classes, on_validation)
  real = [accuracy(chosen(draw)) for draw in draws]
  full, (test, answers) = ridge_probe(moments, ridge), _encoded(source.test)
  result = dict(
      samples=moments.num_samples,
      dimensions=moments.num_features,
      classes=moments.num_classes,
      full_probe=float((full.classes(test) == answers).mean()),
      hard_points=accuracy(hard),
      smallest_set=accuracy(closed_form.smallest_set(moments, ridge)),
      two_per_class=accuracy(
          closed_form.class_means_and_covariance(
              moments, ridge, samples_per_class=2)),
      solved_means=solved(means),
      solved_real=float(np.mean([solved(draw) for draw in draws])),
      class_means=accuracy(chosen(means)),
      nearest_mean=tested(
          from_samples(
              means.astype(np.float32),
              classes,
              class_names=source.class_names,
              preprocessing=source.preprocessing), nearest_neighbours()),
      logistic_points=logistic(source, moments, hard.inputs),
      logistic_means=logistic(source, moments, means),
      random_real=float(np.mean(real)),
      random_real_std=float(np.std(real, ddof=1)),
      ridge=float(best),
      extraction_seconds=extraction_seconds,
      moments_seconds=moments_seconds,
      hard_points_seconds=seconds,
      random_real_accuracies=real)
  baseline = max(result["class_means"], result["nearest_mean"])
  return {**result, "beats_means": result["hard_points"] > baseline}


def fitted_best(moments, classes, on_validation, inputs) -> ProbeSet:
  """Points with hard labels; validation chooses the ridge and weights."""

  def candidate(weights, ridge):
    return ProbeSet(
        inputs.astype(np.float64),
        np.asarray(centred_rows(classes, moments.num_classes), np.float64),
        weights, ridge * moments.scale / moments.num_samples, moments.z_mean,
        moments.y_mean, "baseline")

  counts = moments.counts[classes] * len(classes) / moments.num_samples
  return max(
      (candidate(w, r) for w in (np.ones(len(classes)), counts) for r in WIDE),
      key=lambda probe_set: on_validation(fit_probe(probe_set)))


def logistic(source, moments, points) -> float:
  """Test accuracy of a logistic head on points, its C chosen on validation."""
  unit = np.sqrt(moments.scale / moments.num_samples)

  def scaled(z):
    return (z - moments.z_mean) / unit

  def right(head, split):
    z, y = _encoded(split)
    return float((head.predict(scaled(z)) == y).mean())

  heads = [
      LogisticRegression(C=c, max_iter=10_000).fit(
          scaled(points), np.arange(source.num_classes)) for c in LOGISTIC
  ]
  best = max(heads, key=lambda head: right(head, source.validation))
  return right(best, source.test)


def _encoded(split):
  return np.asarray(split.encode(split.inputs)), np.asarray(split.labels)


def _random_convnet(spec, depth, options):
  source = data.read(spec, validation_fraction=VALIDATION)
  network = nn.convnet(source.num_classes, depth=depth, width=options.width)
  variables = network.init(jax.random.key(0), source.example)
  return with_features(source, jax.jit(partial(embeddings, network, variables)))


def _pca(spec, preprocessing, options):
  source = data.read(spec, validation_fraction=VALIDATION)

  def flat(x):
    return np.asarray(x).reshape(len(x), -1)

  train = flat(source.train.encode(source.train.inputs))
  fitted = PCA(min(options.components, train.shape[1]), random_state=0)
  fitted.fit(train)
  return with_features(
      source,
      lambda x: fitted.transform(flat(x)),
      rows=4096,
      preprocessing=preprocessing)


def _trec(options):
  folder = pathlib.Path(os.environ.get("DISTILL_JAX_DATA", ".")) / "trec"
  train, y_train = _questions(folder / "train_5500.label")
  test, y_test = _questions(folder / "TREC_10.label")
  vectors = word_vectors(train, options.word_size)

  def features(questions):
    empty = np.zeros((1, options.word_size))
    return np.stack([
        np.stack([vectors[w] for w in q if w in vectors] or
                 empty).mean(0) for q in questions
    ])

  return from_features(
      features,
      train,
      y_train,
      test,
      y_test,
      name="trec",
      validation_fraction=VALIDATION)


def word_vectors(texts: list[list[str]], size: int) -> dict[str, np.ndarray]:
  """Vectors [size] of the words of some texts.

  They are made of the positive pointwise mutual information of words within
  `WINDOW` of each other: its `size` largest singular directions, `U sqrt(s)`.
  """
  counts = collections.Counter(word for text in texts for word in text)
  words = sorted(w for w, count in counts.items() if count >= LEAST_COUNT)
  place = {word: i for i, word in enumerate(words)}
  pairs = collections.Counter(
      (place[a], place[b])
      for text in texts
      for i, a in enumerate(text)
      for b in text[max(0, i - WINDOW):i] + text[i + 1:i + 1 + WINDOW]
      if a in place and b in place)
  rows, columns = np.array(list(pairs)).T
  values = np.array(list(pairs.values()), float)
  total = np.bincount(rows, values, minlength=len(words))
  information = np.log(values * values.sum() / total[rows] / total[columns])
  matrix = scipy.sparse.csr_matrix(
      (np.maximum(information, 0), (rows, columns)), (len(words),) * 2)
  svd = TruncatedSVD(size, random_state=0).fit(matrix)
  vectors = svd.components_.T * np.sqrt(svd.singular_values_)
  return dict(zip(words, vectors, strict=True))


def _questions(path):
  """Words and coarse classes of the lines "COARSE:fine words"."""
  lines = path.read_text("latin-1").splitlines()
  labels, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
  return [text.lower().split() for text in texts
         ], [label.partition(":")[0] for label in labels]


def _since(start) -> float:
  return time.perf_counter() - start


WORK = {
    "digits-convnet": partial(_random_convnet, "digits", 2),
    "digits-pca": partial(_pca, "digits", unchanged),
    "digits-pca-whitened": partial(_pca, "digits", "standardise"),
    "mnist-convnet": partial(_random_convnet, "idx:mnist", 3),
    "mnist-pca": partial(_pca, "idx:mnist", unchanged),
    "mnist-pca-whitened": partial(_pca, "idx:mnist", "standardise"),
    "trec-words": _trec
}

if __name__ == "__main__":
  main()
