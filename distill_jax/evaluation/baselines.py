"""Baselines that a distilled set must beat: real samples and their summaries.

They are the baselines of Wang et al. (2018, arXiv 1811.10959) and Sucholutsky &
Schonlau (2019, arXiv 1910.02551), and stricter ones:

  random_real            real samples, drawn anew for each set
  optimised_real         the best fifth of many random sets, by TRAIN accuracy
  class_mean             the mean of each class
  kmeans                 k-means centroids of each class
  knn_random, knn_kmeans nearest neighbour on the above; no network
  byte_matched_real      as many 8-bit real samples as fit into the bytes of the
                         set, at least as many as it has rows
  byte_matched_quantised as many real samples, quantised in model space as the
                         quantised set is, as fit into its bytes
  relabelled_real        random_real with labels of views by the teacher that
                         the set stores
  encoded_real           real samples stored as the set is, but not learned:
                         four small images in one, frequencies, or fields
  random_real_converged  random real, trained until its loss is small

Each baseline has the layout of the distilled set: the same number of inner
steps, label rows of the classes that `initialisation.start_classes` gives, hard
labels, and the set's fixed initialisation if it has one. Classes without real
samples have no rows. A set of M < K samples is compared with baselines of the
first M classes; those of the same bytes may hold more. One constant step size
per baseline is chosen on validation data; of several that are equally good
there, as happens where few samples are held out, the middle one is taken.

Differences from the published code: labels and samples share one class order,
and real samples are not augmented.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.data.source import Source
from distill_jax.evaluation import metrics
from distill_jax.evaluation.evaluator import evaluate_each, evaluate_sets
from distill_jax.evaluation.learners import Learner, nearest_neighbours, student
from distill_jax.evaluation.recipes import converged, from_spec, in_order
from distill_jax.initialisation import samples_of, start_classes, step_order
from distill_jax.labels import centred_rows, label_rows
from distill_jax.parameterization import from_spec as parameterization_of
from distill_jax.parameterization.quantised import Quantiser
from distill_jax.selection import (
    class_mean,
    initialiser,
    kmeans,
    random_real,
)
from distill_jax.types import Array, Network, Samples, TrainingSet

# Titles for the columns of tables.
TITLES = {
    "random_real": "random real",
    "optimised_real": "best of random real",
    "class_mean": "class mean",
    "kmeans": "k-means",
    "knn_random": "kNN on random real",
    "knn_kmeans": "kNN on k-means",
    "byte_matched_real": "real, same bytes",
    "byte_matched_quantised": "real, quantised alike",
    "encoded_real": "real, stored alike",
    "relabelled_real": "real, same labels",
    "random_real_converged": "random real, converged"
}
DEFAULT = "random_real,class_mean"  # what a set should beat at the least
STEP_SIZES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_SELECTION_ROWS = 2_000  # most real samples that step sizes are chosen on
_SELECTION_SETS, _SELECTION_NETWORKS = 5, 2
_CONVERGED_SETS = 10
_SCORING_NETWORKS = 5  # networks that rank the candidates of `optimised_real`
# `evaluate_set` gives network i the key fold_in(key, i); all other keys of this
# module are folded from this number on.
_REST = 2**31 - 1


class _Fields(NamedTuple):
  accuracy: np.ndarray
  num_samples: int
  num_classes: int
  learner: str
  step_size: float | None = None
  selected_on: str | None = None
  macro_f1: float | None = None
  diverged: int = 0


class Baseline(_Fields, metrics.Accuracies):
  """A baseline's accuracies.

  Attributes:
    accuracy: [sets, networks] on the test split; network j starts alike for
      every set and baseline.
    num_samples: number of samples of one set.
    num_classes: number of classes with at least one sample.
    learner: name of what was trained.
    step_size: constant step size of the inner steps; None if there are none.
    selected_on: the split that the step size was chosen on, "validation" or
      "train"; or None.
    macro_f1: mean over sets and networks.
    diverged: number of diverged networks over all sets; see
      `metrics.Accuracies`.
  """

  __slots__ = ()


def run_baselines(
    key: Array,
    training_set: TrainingSet,
    source: Source,
    *,
    network: Network | None = None,
    learner: Learner | None = None,
    names: tuple[str, ...] | None = None,
    num_sets: int = 20,
    networks_per_set: int = 10,
    num_candidates: int = 100,
    step_sizes: tuple[float, ...] = STEP_SIZES,
    num_samples: int | None = None,
    storage_bytes: int | None = None,
    quantiser: Quantiser | None = None,
    encoding: Mapping[str, Any] | None = None,
    relabel: Callable[[Array], Array] | None = None,
    on_result: Callable[[str, Baseline], None] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Baseline]:
  """Builds the baselines of a set and evaluates them on the test split.

  Args:
    key: the key given to `evaluate_set`, so that the networks are the same.
    training_set: the distilled set or an artifact; it gives size, order and
      fixed initialisation. The recipe of an artifact also trains the baselines;
      otherwise `in_order` does.
    source: the real data; step sizes are chosen on `source.validation`, or on
      train if there is none.
    network: the student. Give either this or `learner`.
    learner: what is fitted, in place of a network.
    names: names among `possible(...)`; all of them by default. For a quantised
      set, `byte_matched_quantised` is always added.
    num_sets: number of random sets per baseline; a baseline without randomness
      has one.
    networks_per_set: number of networks trained on each set. A baseline with a
      single set gets as many networks on it as others have in all. 1 with a
      fixed initialisation.
    num_candidates: number of random sets of which `optimised_real` keeps the
      best fifth; at most 5 * num_sets.
    step_sizes: step sizes to choose from, if the set has step sizes.
    num_samples: number of samples of each baseline, a multiple of the set's
      steps; by default that of the set. If a set decodes into more samples than
      it stores, this is the number that it stores.
    storage_bytes: bytes of the set, for baselines of the same bytes; by default
      the bytes of its samples and labels as float32.
    quantiser: quantiser of a quantised set.
    encoding: specification of the set's parameterization, for `encoded_real`;
      `num_samples` is then its number of label rows.
    relabel: `(inputs [M, ...]) -> logits [views, P, K]`, for `relabelled_real`
      of a set with labels of views.
    on_result: called with the name and result of each baseline as soon as it is
      done.
    on_progress: called with the name of a baseline, the number of evaluated
      sets and the number of all its sets.

  Returns:
    A dict from names to results.

  Raises:
    ValueError: a name is unknown, or there is no test split.
  """
  if (learner is None) == (network is None):
    raise ValueError(
        "exactly one of `learner` and `network` must be given; got "
        f"{'neither' if network is None else 'both'}.")
  known = possible(
      trained=network is not None,
      quantised=quantiser is not None,
      encoded=encoding is not None,
      relabelled=relabel is not None)
  names = known if names is None else tuple(names)
  unknown = sorted(set(names) - set(known))
  if unknown:
    raise ValueError(
        f"`names` must be among {', '.join(known)}; got {unknown}.")
  if source.test is None:
    raise ValueError("`source` must have a test split; got none.")
  recipe = from_spec(getattr(training_set, "recipe", None) or in_order().spec)
  training_set = getattr(training_set, "training_set", training_set)
  if num_samples not in (None, np.size(training_set.order)):
    order = step_order(num_samples, len(training_set.order))
    training_set = training_set._replace(order=order)
  k_draw, k_choose = jax.random.split(jax.random.fold_in(key, _REST))
  present = source.train.present
  classes = present[classes_along(training_set.order, len(present))]
  setting = _Setting(
      key, k_draw, k_choose, training_set, source, classes, learner or
      student(network, recipe), network, num_sets, networks_per_set,
      num_candidates, tuple(step_sizes), storage_bytes or
      _float32_bytes(training_set), quantiser, encoding, relabel)
  if {"kmeans", "knn_kmeans"} & set(names):
    centroids = kmeans(k_draw, source.train, classes, num_sets)
    setting = setting._replace(centroids=centroids)
  results = {}
  for name in names:
    own = setting
    if on_progress is not None:
      own = setting._replace(on_progress=partial(on_progress, name))
    results[name] = BASELINES[name](own)
    if on_result is not None:
      on_result(name, results[name])
  return results


def possible(
    *,
    trained: bool = True,
    quantised: bool = False,
    encoded: bool = False,
    relabelled: bool = False) -> tuple[str, ...]:
  """Returns the names of the baselines that a set can be compared with.

  Args:
    trained: whether a network is trained; if not, a learner is fitted.
    quantised: whether the set is quantised.
    encoded: whether the set's parameterization keeps inputs; see
      `Parameterization`.
    relabelled: whether the set has labels of views and their teacher.
  """
  there = {
      OF_NETWORKS: trained,
      OF_QUANTISED: quantised,
      OF_CODES: encoded,
      OF_VIEWS: relabelled
  }
  absent = {
      name for names, wanted in there.items() if not wanted for name in names
  }
  return tuple(name for name in BASELINES if name not in absent)


def networks_of(
    names: Sequence[str], *, num_sets: int, networks_per_set: int,
    with_step_sizes: bool) -> int:
  """About how many networks baselines train, to estimate how long they take.

  Args:
    names: names of baselines.
    num_sets: see `run_baselines`.
    networks_per_set: see `run_baselines`.
    with_step_sizes: whether they choose a step size.
  """
  choice = min(_SELECTION_SETS, num_sets) * min(
      _SELECTION_NETWORKS, networks_per_set)
  each = num_sets * networks_per_set + (
      len(STEP_SIZES) * choice * with_step_sizes)
  return each * sum(not name.startswith("knn") for name in names)


def classes_along(order: Array, num_classes: int) -> np.ndarray:
  """[M] int32: the class of each row, by `start_classes` and `order`."""
  order = np.asarray(order)
  classes = np.zeros(order.max() + 1, np.int32)
  classes[order.ravel()] = start_classes(
      order.size, order.shape[0], num_classes)
  return classes


def labelled(
    training_set: TrainingSet,
    inputs: Array,
    classes: np.ndarray,
    num_classes: int,
    step_size: float,
    *,
    centred: bool = False) -> TrainingSet:
  """Makes a stack of hard-labelled sets with the layout of a given set.

  Args:
    training_set: the set that gives order, initialisation and number of steps.
    inputs: [sets, M, ...], in model space.
    classes: [M] int, the class of each row.
    num_classes: K.
    step_size: step size of every inner step.
    centred: whether labels are centred, as regression needs them.

  Returns:
    A stack of sets, as `evaluate_sets` takes.
  """
  num_sets = len(inputs)
  rows = centred_rows if centred else label_rows
  labels = rows(jnp.asarray(classes), num_classes)
  samples = Samples(
      inputs=inputs,
      labels=jnp.broadcast_to(labels, (num_sets, *labels.shape)),
      step_sizes=jnp.full((num_sets, *training_set.samples.step_sizes.shape),
                          step_size, jnp.float32))
  return training_set._replace(samples=samples)


class _Setting(NamedTuple):
  """The arguments that every baseline needs; see `run_baselines`."""

  key: Array
  k_draw: Array
  k_choose: Array
  training_set: TrainingSet
  source: Any
  classes: np.ndarray
  learner: Learner
  network: Network | None
  num_sets: int
  networks_per_set: int
  num_candidates: int
  step_sizes: tuple[float, ...]
  storage_bytes: int
  quantiser: Quantiser | None = None
  encoding: Mapping[str, Any] | None = None
  relabel: Callable[[Array], Array] | None = None
  centroids: Array | None = None
  on_progress: Callable[[int, int], None] = lambda done, total: None

  def sets(self, inputs, step_size, learner):
    """A stack of sets with these inputs; None if the learner takes no steps."""
    return labelled(
        self.training_set,
        inputs,
        self.classes,
        self.source.num_classes,
        1.0 if step_size is None else step_size,
        centred=bool(learner.regression))

  def result(self, inputs, learner=None, view_labels=(), **fields) -> Baseline:
    """The baseline with these inputs, evaluated on the test split."""
    learner = learner or self.learner
    sets = self.sets(inputs, fields.get("step_size"), learner)
    sets = sets._replace(samples=sets.samples._replace(view_labels=view_labels))
    # A baseline without randomness has one set, which gets all networks.
    alone = self.num_sets if len(inputs) == 1 else 1
    confusion, diverged = evaluate_each(
        self.key,
        sets,
        self.source.test,
        learner=learner,
        num_networks=alone * self.networks_per_set,
        on_progress=lambda done: self.on_progress(done, len(inputs)))
    return Baseline(
        metrics.accuracy(confusion),
        len(self.classes),
        len(np.unique(self.classes)),
        learner.name,
        **fields,
        macro_f1=float(metrics.macro_f1(confusion).mean()),
        diverged=int(diverged.sum()))

  def random(self):
    """The random sets that several baselines share."""
    return random_real(
        self.k_draw, self.source.train, self.classes, self.num_sets)

  def choose(self, inputs) -> dict[str, Any]:
    """Chooses the step size that is best for a few sets and networks.

    These networks are among those that are evaluated. A step size with which
    one of them diverges ranks behind all others. Of step sizes with equally
    many right answers the middle one is taken, the larger one of two: the
    smallest trains too little where few samples are held out.
    """
    if not self.training_set.samples.step_sizes.size:
      return {}
    split, selected_on = self.source.validation, "validation"
    if split is None:
      split, selected_on = self.source.train, "train"
    split = _some(self.k_choose, split)
    inputs = inputs[:_SELECTION_SETS]
    each = min(_SELECTION_NETWORKS, self.networks_per_set)
    right = []
    for step_size in self.step_sizes:
      confusion, diverged = evaluate_each(
          self.key,
          self.sets(inputs, step_size, self.learner),
          split,
          learner=self.learner,
          num_networks=each)
      answers = np.trace(confusion, axis1=-2, axis2=-1).sum()
      right.append(answers - diverged.any() * (confusion.sum() + 1))
    tied = np.flatnonzero(np.equal(right, max(right)))
    best = self.step_sizes[tied[len(tied) // 2]]
    return {"step_size": best, "selected_on": selected_on}


def _trained(setting: _Setting, inputs):
  return setting.result(inputs, **setting.choose(inputs))


def _optimised(setting: _Setting):
  num = min(setting.num_candidates, 5 * setting.num_sets)
  candidates = random_real(
      jax.random.fold_in(setting.k_draw, _REST), setting.source.train,
      setting.classes, num)
  chosen = setting.choose(candidates)
  scores = metrics.accuracy(
      evaluate_sets(
          setting.k_choose,
          setting.sets(candidates, chosen.get("step_size"), setting.learner),
          _some(setting.k_choose, setting.source.train),
          learner=setting.learner,
          num_networks=_SCORING_NETWORKS)).mean(1)
  best = np.argsort(-scores, kind="stable")[:max(1, num // 5)]
  return setting.result(candidates[best], **chosen)


def _byte_matched(setting: _Setting):
  split, num_classes = setting.source.train, setting.source.num_classes
  num = _affordable(split, num_classes, setting.storage_bytes)
  larger = _enlarged(setting, num)
  return _trained(larger, larger.random())


def _byte_matched_quantised(setting: _Setting):
  quantiser = setting.quantiser
  num = _affordable_quantised(
      quantiser, setting.source.example.shape[1:], setting.source.num_classes,
      setting.storage_bytes)
  larger = _enlarged(setting, num)
  return _trained(larger, jax.vmap(quantiser.rounded)(larger.random()))


def _encoded(setting: _Setting):
  stored = parameterization_of(setting.encoding)
  source, classes = setting.source, setting.classes
  init = initialiser(stored, source.train, classes)
  drawn = random_real(
      setting.k_draw, source.train, np.repeat(classes, stored.inputs_per_row),
      setting.num_sets)
  keys = jax.random.split(setting.k_draw, setting.num_sets)
  codes = list(map(init, keys, drawn))
  owner, order = stored.owner(codes[0]), setting.training_set.order
  if len(owner) != len(setting.training_set.samples.inputs):
    raise ValueError(
        "`num_samples` must be the number of label rows of the set, whose "
        f"samples are {len(setting.training_set.samples.inputs)}; got "
        f"{order.size}, of {len(owner)} samples.")
  decoded = setting._replace(
      training_set=setting.training_set._replace(
          order=samples_of(order, owner)),
      classes=classes[np.asarray(owner)])
  return _trained(decoded, jnp.stack(list(map(stored.decode, codes))))


def _relabelled(setting: _Setting):
  inputs = setting.random()
  labels = jnp.stack([setting.relabel(one) for one in inputs])
  return setting.result(inputs, view_labels=labels)


def _enlarged(setting: _Setting, num: int) -> _Setting:
  """The setting with `num` rows, if that is more than it has.

  It is unchanged if the bytes or the real samples do not suffice for more.
  """
  split, num_steps = setting.source.train, len(setting.training_set.order)
  num = min(max(num, len(setting.classes)), split.num_samples)
  num -= num % num_steps
  if num <= len(setting.classes):
    return setting
  order, present = step_order(num, num_steps), split.present
  return setting._replace(
      training_set=setting.training_set._replace(order=order),
      classes=present[classes_along(order, len(present))])


def _converged(setting: _Setting):
  # Training takes long, so there are fewer sets and networks than elsewhere.
  recipe = converged()
  few = setting._replace(
      networks_per_set=min(setting.networks_per_set, _SELECTION_NETWORKS))
  result = few.result(
      few.random()[:_CONVERGED_SETS], student(setting.network, recipe))
  return result._replace(step_size=recipe.spec["step_size"])


BASELINES = {
    "random_real": lambda s: _trained(s, s.random()),
    "optimised_real": _optimised,
    "class_mean": lambda s: _trained(s, class_mean(s.source.train, s.classes)),
    "kmeans": lambda s: _trained(s, s.centroids),
    "knn_random": lambda s: s.result(s.random(), nearest_neighbours()),
    "knn_kmeans": lambda s: s.result(s.centroids, nearest_neighbours()),
    "byte_matched_real": _byte_matched,
    "byte_matched_quantised": _byte_matched_quantised,
    "encoded_real": _encoded,
    "relabelled_real": _relabelled,
    "random_real_converged": _converged
}
OF_NETWORKS = ("random_real_converged",)
OF_QUANTISED = ("byte_matched_quantised",)
OF_CODES = ("encoded_real",)
OF_VIEWS = ("relabelled_real",)
OF_BYTES = ("byte_matched_real", *OF_QUANTISED)


def _affordable(split, num_classes, storage_bytes) -> int:
  """The number of raw samples with a label that fit into some bytes."""
  each = int(np.prod(split.inputs.shape[1:]))
  if np.issubdtype(split.inputs.dtype, np.int32):  # words of a vocabulary
    each *= 2 if len(split.preprocessing.table) <= 2**16 else 4
  elif split.inputs.ndim != 4:  # images are 8-bit on disk, whatever here
    each *= split.inputs.dtype.itemsize
  return storage_bytes // (each + _bytes_of_class(num_classes))


def _affordable_quantised(quantiser, shape, num_classes, storage_bytes) -> int:
  """The number of quantised samples with a label that fit into some bytes.
  """
  label = _bytes_of_class(num_classes)

  def size(num):
    return quantiser.num_bytes((num, *shape)) + num * label

  num = storage_bytes // max(1, size(1))
  while size(num + 1) <= storage_bytes:  # scales shared by rows count only once
    num += 1
  return num


def _bytes_of_class(num_classes: int) -> int:
  return 1 if num_classes <= 256 else 2


def _float32_bytes(training_set: TrainingSet) -> int:
  samples = training_set.samples
  return 4 * (samples.inputs.size + samples.labels.size)


def _some(key, split):
  """A split of at most `_SELECTION_ROWS` random samples."""
  if split.num_samples <= _SELECTION_ROWS:
    return split
  rows = jax.random.permutation(key, split.num_samples)[:_SELECTION_ROWS]
  return split._replace(inputs=split.inputs[rows], labels=split.labels[rows])
