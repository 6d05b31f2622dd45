"""The evaluator: trains N learners on a set, and tests each on real data.

It follows the 200-network protocol of Sucholutsky & Schonlau (2019, arXiv
1910.02551). Network i has the key `fold_in(key, i)`, so that two sets evaluated
with one key train the same networks, and their difference is a paired one. All
networks run in one compiled call.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.compilation import make_room
from distill_jax.data.source import Split
from distill_jax.devices import jitted, num_shards, unshared
from distill_jax.environment import platform
from distill_jax.errors import counted
from distill_jax.evaluation import metrics
from distill_jax.evaluation.learners import (
    Learner,
    fixes_initialisation,
    student,
)
from distill_jax.evaluation.recipes import converged, from_spec, in_order
from distill_jax.keys import check_key
from distill_jax.labels import classes_of_labels, num_outputs, uncentred
from distill_jax.parallel import (
    batch_map,
    chunk_size,
    map_rows,
)
from distill_jax.text.embedding import is_of_words
from distill_jax.types import Array, Network, TrainingSet

_CALLS = 10  # largest number of calls in which networks are trained


class _Fields(NamedTuple):
  confusion: np.ndarray
  accuracy_on_set: np.ndarray
  student_init: str
  learner: str
  recipe: dict[str, Any] | None = None
  diverged: int = 0


class Report(_Fields, metrics.Accuracies):
  """Results of R networks, trained on a set, on a test split.

  The most useful are `mean`, `std`, `stderr`, `accuracy` [R],
  `class_accuracy` [K], `macro_f1`, `majority_rate` and `num_test_samples`.

  Attributes:
    confusion: [R, K, K] int, rows are true and columns predicted classes.
    accuracy_on_set: [R], accuracy on the training set itself; the true class is
      the largest entry of a label.
    student_init: "fixed" or "random".
    learner: name of the learner.
    recipe: JSON document of the recipe, or None if the learner was given.
    diverged: number of networks that diverged; see `metrics.Accuracies`.
  """

  __slots__ = ()

  def __repr__(self) -> str:
    spread = "" if self.num_networks == 1 else f" ± {self.std:.4f}"
    return (
        f"Report: accuracy {self.mean:.4f}{spread}, macro F1 "
        f"{self.macro_f1:.4f}; {counted(self.num_networks, 'network')} "
        f"({self.learner}), {self.student_init} initialisation")

  def to_json(self) -> dict[str, Any]:
    """The report as JSON values."""
    arrays = dict(
        confusion=self.confusion.tolist(),
        accuracy_on_set=self.accuracy_on_set.tolist())
    return self._asdict() | arrays

  @classmethod
  def from_json(cls, values: dict[str, Any]) -> "Report":
    """The report of which `to_json` made these values."""
    return cls(**values)._replace(
        confusion=np.asarray(values["confusion"], np.int32),
        accuracy_on_set=np.asarray(values["accuracy_on_set"], np.float64))

  @property
  def num_networks(self) -> int:
    """R, the number of networks."""
    return len(self.confusion)

  @property
  def num_test_samples(self) -> int:
    """Number of samples in the test split."""
    return int(self.confusion[0].sum())

  @property
  def accuracy(self) -> np.ndarray:
    """[R], accuracies in [0, 1]."""
    return metrics.accuracy(self.confusion)

  @property
  def class_accuracy(self) -> np.ndarray:
    """[K], accuracy on each class, over all networks."""
    return metrics.class_accuracy(self.confusion.sum(0))

  @property
  def min_class(self) -> float:
    """Accuracy on the worst class of those that have test samples."""
    return float(np.nanmin(self.class_accuracy))

  @property
  def macro_f1(self) -> float:
    """F1 score averaged over classes, then over networks."""
    return float(metrics.macro_f1(self.confusion).mean())

  @property
  def majority_rate(self) -> float:
    """Share of the most frequent class in the test split."""
    return float(metrics.majority_rate(self.confusion[0]))


def evaluate_set(
    key: Array,
    training_set: Any,
    split: Split,
    *,
    learner: Learner | None = None,
    network: Network | None = None,
    num_networks: int = 20,
    rows: int | None = None,
    on_progress: Callable[[int], None] | None = None) -> Report:
  """Trains new learners on a set, and tests each on a real split.

  Compiles once per learner and shapes: build networks and learners once.

  Args:
    key: consumed; network i uses `fold_in(key, i)`.
    training_set: a `TrainingSet`, or anything with an attribute `training_set`,
      such as an artifact.
    split: real data, a `data.Split`; it is encoded inside.
    learner: what is trained; or
    network: a student network, trained by the set's own recipe. Without such a
      recipe, it is trained by `in_order`, or by `converged` if the set has no
      step sizes.
    num_networks: R. Only one is trained if nothing is random: for a
      deterministic learner, or a set with a fixed initialisation.
    rows: number of samples classified at once; it does not change the result.
    on_progress: called with the number of finished networks: on a CPU up to ten
      times, otherwise once.

  Returns:
    A `Report`.

  Raises:
    ValueError: not exactly one of `learner` and `network` is given, the number
      of networks is below 1, labels or data do not suit, or a fixed
      initialisation belongs to another network.

  Example:
    report = dd.evaluate_set(key, made, source.test, network=dd.mlp(3))
  """
  check_key(key)
  if (learner is None) == (network is None):
    raise ValueError(
        "exactly one of `learner` and `network` must be given; got "
        f"{'neither' if network is None else 'both'}.")
  if network is not None:
    spec = getattr(training_set, "recipe", None)
    given = getattr(training_set, "training_set", training_set)
    usual = in_order() if given.samples.step_sizes.size else converged()
    learner = student(network, from_spec(spec) if spec else usual)
  space = getattr(training_set, "label_space", None)
  _check_words(getattr(training_set, "preprocessing", None), split)
  training_set = getattr(training_set, "training_set", training_set)
  check_labels(learner, space)  # pyright: ignore[reportArgumentType]
  if space == "centred" and not learner.regression:
    samples = training_set.samples
    training_set = training_set._replace(
        samples=samples._replace(labels=uncentred(samples.labels)))
  _check(training_set, split, num_networks, rows)
  total = _num_networks(learner, training_set, num_networks)
  make_room()
  group = total if num_shards() > 1 else _group(total)
  found = []
  for first in range(0, total, group):
    found.append(
        jax.device_get(
            _run(
                key,
                training_set,
                split,
                first,
                learner=learner,
                num_networks=group,
                rows=rows)))
    if on_progress is not None:
      on_progress(first + group)
  outcome, on_set = zip(*found, strict=True)
  confusion, diverged = map(np.concatenate, zip(*outcome, strict=True))
  fixed = fixes_initialisation(training_set)
  return Report(
      confusion,
      np.concatenate(on_set).astype(np.float64), "fixed" if fixed else "random",
      learner.name,
      dict(learner.recipe) or None, int(diverged.sum()))


def evaluate_sets(
    key: Array,
    training_sets: TrainingSet,
    split: Split,
    *,
    learner: Learner,
    num_networks: int = 10,
    on_progress: Callable[[int], None] | None = None) -> np.ndarray:
  """Tests several sets of one shape, with the same networks for each.

  Args:
    key: see `evaluate_set`; network i is the same for every set.
    training_sets: a `TrainingSet` whose samples have an additional leading
      axis; `order` and `initial` are shared by all sets.
    split: see `evaluate_set`.
    learner: see `evaluate_set`.
    num_networks: R, networks for each set.
    on_progress: called with the number of finished sets.

  Returns:
    Confusion matrices [sets, R, K, K]; R is 1 if nothing is random.
  """
  return evaluate_each(
      key,
      training_sets,
      split,
      learner=learner,
      num_networks=num_networks,
      on_progress=on_progress)[0]


def evaluate_each(
    key: Array,
    training_sets: TrainingSet,
    split: Split,
    *,
    learner: Learner,
    num_networks: int,
    on_progress: Callable[[int], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """As `evaluate_sets`, and also returns [sets, R] bool: diverged networks."""
  first = jax.tree.map(lambda leaf: leaf[0], training_sets.samples)
  one = training_sets._replace(samples=first)
  _check(one, split, num_networks, None)
  run = partial(
      _run_set,
      key,
      training_sets,
      split,
      learner=learner,
      num_networks=_num_networks(learner, one, num_networks),
      rows=None)
  found = []
  for i in range(len(training_sets.samples.inputs)):
    found.append(jax.device_get(run(i)))
    if on_progress is not None:
      on_progress(i + 1)
  confusion, diverged = map(np.stack, zip(*found, strict=True))
  return confusion, diverged


def classify(
    predict: Callable[[Array], Array],
    split: Split,
    rows: int | None = None) -> Array:
  """The classes [N] int32 that a classifier predicts for a split.

  Args:
    predict: `(inputs [rows, ...] in model space) -> [rows] int32`.
    split: real data; it is encoded here.
    rows: number of samples at once, by default what suits the machine; the last
      chunk is padded.
  """
  return map_rows(lambda raw: predict(split.encode(raw)), split.inputs, rows)


def outcome_on(
    predict: Callable[[Array], Array],
    split: Split,
    rows: int | None = None) -> tuple[Array, Array]:
  """Confusion matrix [K, K] of a classifier, and whether it diverged.

  See `classify`. A prediction of -1 counts as the first class.
  """
  predicted = classify(predict, split, rows)
  confusion = metrics.confusion_matrix(
      split.labels, jnp.maximum(predicted, 0), split.num_classes)
  return confusion, jnp.any(predicted < 0)


@partial(jitted, static_argnames=("learner", "num_networks", "rows"))
def _run(key, training_set, split, first, *, learner, num_networks, rows):
  """`outcome_on`, and accuracy on the set, of networks from `first` on."""

  def one(training_set, split, key):
    predict = learner.fit(key, training_set)
    samples = training_set.samples
    labels = samples.labels
    if learner.regression:
      labels = uncentred(labels)
    right = predict(samples.inputs) == classes_of_labels(labels)
    return outcome_on(predict, split, rows), right.mean()

  return _map_networks(one, key, training_set, split, num_networks, first)


@partial(jitted, static_argnames=("learner", "num_networks", "rows"))
def _run_set(key, training_sets, split, i, *, learner, num_networks, rows):
  """`outcome_on` for the networks trained on set i of a stack."""

  def one(training_set, split, key):
    return outcome_on(learner.fit(key, training_set), split, rows)

  samples = jax.tree.map(lambda leaf: leaf[i], training_sets.samples)
  training_set = training_sets._replace(samples=samples)
  return _map_networks(one, key, training_set, split, num_networks)


def _group(num_networks: int) -> int:
  """Networks per call: on a CPU about a tenth, a number that divides them."""
  if platform() != "cpu":
    return num_networks
  wanted = -(-num_networks // _CALLS)
  return next(
      size for size in range(wanted, num_networks + 1)
      if num_networks % size == 0)


def _map_networks(one, key, training_set, split, num_networks, first=0):
  """Calls `one` for every network, as many at once as memory allows."""
  numbers = first + jnp.arange(num_networks)
  keys = jax.vmap(partial(jax.random.fold_in, key))(numbers)
  chunk = None
  if platform() != "cpu":
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            (num_networks, *leaf.shape), leaf.dtype),
        (training_set, split, key))
    with unshared():  # the memory that one device needs
      chunk = chunk_size(lambda args: one(*args), shapes)
  return batch_map(
      partial(one, training_set, split),
      keys,
      chunk=chunk,
      items="networks of the evaluation")


def _num_networks(learner, training_set, num_networks):
  if learner.random and not fixes_initialisation(training_set):
    return num_networks
  return 1


def _check_words(record, split) -> None:
  """Raises an error if real texts have other word vectors than the set."""
  if split is None or not is_of_words(record):
    return
  theirs = split.preprocessing
  theirs = getattr(theirs, "original", theirs)
  same = type(theirs) is type(record) and all(
      jnp.array_equal(a, b) for a, b in zip(theirs, record, strict=True))
  if not same:
    raise ValueError(
        "`split` must be in the words and vectors of the set; got others. Read "
        "the texts with preprocessing=artifact.preprocessing.")


def check_labels(learner: Learner, space: str | None) -> None:
  """Raises an error if a learner cannot take labels of a space.

  Args:
    learner: one of `learners`.
    space: label space of the set, see `Artifact`; None if unknown.

  Raises:
    ValueError: the message names the learner and the space.
  """
  if learner.regression is None or space is None:
    return
  if learner.regression and space != "centred":
    raise ValueError(
        f"`learner` {learner.name!r} must have centred labels; the set's are "
        f"{space}. Choose a recipe of cross-entropy, such as dsa.")
  if not learner.regression and space == "centred":
    raise ValueError(
        f"`learner` {learner.name!r} must not have centred labels, which the "
        "set has. Choose a recipe of regression, such as kip or frepo.")


def _check(training_set, split, num_networks, rows):
  if num_networks < 1:
    raise ValueError(f"`num_networks` must be at least 1; got {num_networks}.")
  if rows is not None and rows < 1:
    raise ValueError(f"`rows` must be at least 1; got {rows}.")
  if split is None:
    raise ValueError(
        "`split` must be a split of real data; got None. Give the source a "
        "test part (`x_test` and `y_test`, or a folder test).")
  if not isinstance(split, Split):
    raise ValueError(
        f"`split` must be a split of a source, such as source.test; got "
        f"{type(split).__name__}.")
  shape = split.sample_shape
  outputs = training_set.samples.labels.shape[1]
  if outputs != num_outputs(split.num_classes):
    raise ValueError(
        "`split` must have the classes of the set, whose labels have "
        f"{outputs} columns; got {split.num_classes} classes.")
  own = training_set.samples.inputs.shape[1:]
  # Distilled sentences may be longer or shorter than real ones.
  if len(own) == 2:
    shape, own = shape[1:], own[1:]
  if shape != own:
    raise ValueError(
        "`split` must hold samples shaped like those of the set, "
        f"{own}; got {shape}.")
