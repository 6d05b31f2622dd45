"""Exclusive segments: each part of a set is distilled from hard real samples.

After an anonymous draft, "Dataset Distillation by Learning Exclusive
Information" (EDD), of which only the first sections are known to us:

    R_1 = R;  for k = 1..P:  distil S_k on R_k beside the frozen S_1..S_{k-1},
    train a network on S_1..S_k, and let R_{k+1} be the real samples that it
    gets wrong and a share of those that it gets right

The draft leaves choices open. Some of ours are arguments. The others are: one
network is trained on all segments so far; it classifies all real samples again
each time, so that forgotten samples return; and every class keeps a minimum
number of samples. The function that distils a segment is an argument, so that
any objective can be used.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.data.source import Split
from distill_jax.evaluation.evaluator import classify
from distill_jax.evaluation.learners import Learner
from distill_jax.initialisation import step_order
from distill_jax.types import Array, Distilled, Samples, TrainingSet


class Segment(NamedTuple):
  """A segment of a set.

  Attributes:
    distilled: the learned segment.
    samples: its decoded samples, which are frozen.
    rows: [n] int, the real training samples that it was distilled on.
    correct: [N] bool, the real training samples that a network trained on all
      segments up to this one classifies correctly.
  """

  distilled: Distilled
  samples: Samples
  rows: np.ndarray
  correct: np.ndarray


class Updates(NamedTuple):
  """How samples moved while they were distilled.

  Attributes:
    cosine: mean cosine of the movements of two samples of a class, over classes
      and pairs, in [-1, 1].
    norm: mean Euclidean norm of the movements, over samples.
  """

  cosine: float
  norm: float


def exclusive_segments(
    key: Array,
    split: Split,
    *,
    distil: Callable[[Array, np.ndarray, list[Segment]], Distilled],
    decode: Callable[[Distilled], Samples],
    learner: Learner,
    num_segments: int,
    drop_correct: float = 0.5,
    at_least: int = 64) -> list[Segment]:
  """Distils a set segment by segment.

  Args:
    key: consumed.
    split: real training data, a `data.Split`.
    distil: `(key, rows, earlier) -> Distilled`, distils one segment. `rows` are
      the real samples to match, all for the first segment; `Source.narrow` and
      `Source.take` make a source of them. `earlier` are the segments so far,
      whose samples are for an anchor.
    decode: an estimator's `samples`.
    learner: it is trained on the segments so far, to find the hard samples.
    num_segments: P, at least 1. With one, `distil` is called once on all data.
    drop_correct: share of the correctly classified samples of each class that
      the next segment does not see, in [0, 1].
    at_least: smallest number of samples that a class keeps, if it has as many.

  Returns:
    P segments; `union` joins their samples.
  """
  if num_segments < 1 or at_least < 1 or not 0 <= drop_correct <= 1:
    raise ValueError(
        "`num_segments` and `at_least` must be at least 1 and `drop_correct` "
        f"in [0, 1]; got {num_segments}, {at_least} and {drop_correct}.")
  rows, segments = np.arange(split.num_samples), []
  k_learn, key = jax.random.split(key)  # the same network after each segment
  for _ in range(num_segments):
    k_distil, k_keep, key = jax.random.split(key, 3)
    if segments:
      rows = hard_rows(
          k_keep,
          np.asarray(split.labels),
          segments[-1].correct,
          drop_correct=drop_correct,
          at_least=at_least)
    distilled = distil(k_distil, rows, segments)
    segment = Segment(distilled, decode(distilled), rows, np.array([]))
    together = union([*segments, segment])
    correct = _correct(k_learn, learner, together, split)
    segments = [*segments, segment._replace(correct=correct)]
  return segments


def union(segments: list[Segment]) -> Samples:
  """All samples, segment by segment."""
  return jax.tree.map(
      lambda *leaves: jnp.concatenate(leaves), *(s.samples for s in segments))


def hard_rows(
    key: Array, labels: np.ndarray, correct: np.ndarray, *, drop_correct: float,
    at_least: int) -> np.ndarray:
  """The rows that the next segment sees, ascending.

  Args:
    key: consumed; draws the correct samples that are dropped.
    labels: [N] int.
    correct: [N] bool.
    drop_correct: share of the correct samples of each class that is dropped.
    at_least: number of rows that a class keeps, if it has as many.
  """
  kept, shuffled = [], np.asarray(jax.random.permutation(key, len(labels)))
  for c in np.unique(labels):
    members = shuffled[labels[shuffled] == c]
    wrong, right = members[~correct[members]], members[correct[members]]
    wanted = round((1 - drop_correct) * len(right))
    wanted = max(wanted, at_least - len(wrong))
    kept += [wrong, right[:wanted]]
  return np.sort(np.concatenate(kept))


def forgotten(segments: list[Segment]) -> np.ndarray:
  """Numbers [P - 1] of real samples correct before a segment, wrong after."""
  return np.array([
      int((before.correct & ~after.correct).sum())
      for before, after in zip(segments, segments[1:], strict=False)
  ])


def updates(start: Array, end: Array, members: Array) -> Updates:
  """Measures how samples moved while they were distilled.

  Args:
    start: [M, ...] samples or codes before.
    end: [M, ...] the same after.
    members: [K, m] int, the samples of each class, at least two.
  """
  members = np.asarray(members)
  if members.shape[1] < 2:
    raise ValueError("`members` must hold at least two samples of a class.")
  moved = np.asarray(end, np.float64) - np.asarray(start, np.float64)
  moved = moved.reshape(len(moved), -1)
  norms = np.linalg.norm(moved, axis=1, keepdims=True)
  moved /= np.maximum(norms, 1e-12)
  cosines = np.einsum("kid,kjd->kij", moved[members], moved[members])
  pairs = ~np.eye(members.shape[1], dtype=bool)
  return Updates(float(cosines[:, pairs].mean()), float(norms.mean()))


def _correct(key, learner: Learner, samples: Samples, split) -> np.ndarray:
  """[N] bool, the samples that a learner trained on `samples` gets right."""
  order = step_order(len(samples.inputs), 1)

  @jax.jit
  def found(key, samples, split):
    return classify(learner.fit(key, TrainingSet(samples, order)), split)

  return np.asarray(found(key, samples, split) == split.labels)
