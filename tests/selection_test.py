"""Herding and k-centre against the searches that they abbreviate."""

import jax
import numpy as np
import pytest

from distill_jax import selection
from distill_jax.data import from_arrays


def test_herding_keeps_the_running_mean_nearest():
  generator = np.random.RandomState(1)
  points = generator.normal(size=(24, 3)).astype(np.float32)
  labels = np.repeat([0, 1], (15, 9))
  split = from_arrays(points, labels, test_fraction=0).train
  classes = np.array([0, 1, 0, 0, 1])
  chosen = np.asarray(selection.herding(split, classes))[0]
  model = np.asarray(split.encode(split.inputs))
  for c, wanted in ((0, 3), (1, 2)):
    own, free = model[labels == c], list(range((labels == c).sum()))
    picked = []
    for _ in range(wanted):
      best = min(
          free,
          key=lambda i: np.linalg.norm(own.mean(0) - own[[*picked, i]].mean(0)))
      picked.append(best)
      free.remove(best)
    np.testing.assert_allclose(chosen[classes == c], own[picked], rtol=1e-6)


def test_herding_repeats_a_class_that_is_used_up():
  points = np.array([[0.0], [2.0], [9.0]], np.float32)
  split = from_arrays(points, [0, 0, 1], test_fraction=0).train
  chosen = np.asarray(selection.herding(split, np.array([0, 0, 0, 1])))[0]
  assert len(np.unique(chosen[:3])) == 2


def test_kcentre_takes_the_farthest_each_time():
  points = np.random.RandomState(2).normal(size=(20, 3)).astype(np.float32)
  labels = np.repeat([0, 1], (12, 8))
  split = from_arrays(points, labels, test_fraction=0).train
  classes = np.array([0, 0, 1, 0, 1, 0])
  chosen = np.asarray(selection.kcentre(split, classes))[0]
  model = np.asarray(split.encode(split.inputs))
  for c, wanted in ((0, 4), (1, 2)):
    own = model[labels == c]
    picked = [int(np.linalg.norm(own - own.mean(0), axis=1).argmin())]
    while len(picked) < wanted:
      gaps = np.linalg.norm(own[:, None] - own[picked], axis=2).min(1)
      picked.append(int(gaps.argmax()))
    np.testing.assert_allclose(chosen[classes == c], own[picked], rtol=1e-6)


def test_kcentre_repeats_a_class_that_is_used_up():
  points = np.array([[0.0], [0.0], [2.0], [9.0]], np.float32)
  split = from_arrays(points, [0, 0, 0, 1], test_fraction=0).train
  chosen = selection.kcentre(split, np.array([0, 0, 0, 0, 0, 1]))
  raw = np.ravel(split.preprocessing.invert(chosen[0]))
  np.testing.assert_allclose(np.sort(raw[:5]), [0, 0, 0, 2, 2], atol=1e-5)


@pytest.mark.parametrize(
    "select", [
        lambda split, classes: selection.random_real(
            jax.random.key(0), split, classes, 1), selection.class_mean, lambda
        split, classes: selection.kmeans(jax.random.key(0), split, classes, 1),
        selection.herding, selection.kcentre
    ])
def test_absent_classes(select):
  points = np.arange(6, dtype=np.float32)[:, None]
  source = from_arrays(points, [0, 0, 1, 1, 2, 2], test_fraction=0)
  split = source.take([4, 0, 1, 5]).train
  chosen = split.preprocessing.invert(select(split, split.present))[0]
  assert chosen[0] < 2 and chosen[1] > 3
  with pytest.raises(ValueError, match="got class 1, which has none"):
    select(split, np.array([0, 1, 1]))


def _blobs():
  """Three far blobs in each of two classes, a third class of two samples."""
  generator = np.random.RandomState(3)
  centres = np.array([[0, 0], [50, 0], [0, 50]
                     ]) + 100.0 * np.arange(2)[:, None, None]
  points = centres[:, :, None] + generator.normal(size=(2, 3, 7, 2))
  points = np.concatenate([points.reshape(42, 2), [[-80, 0], [-81, 0]]])
  labels = np.array([0] * 21 + [1] * 21 + [2] * 2)
  order = generator.permutation(44)
  return points[order].astype(np.float32), labels[order]


def test_representatives_are_nearest_to_the_mean_of_each_cluster():
  points, labels = _blobs()
  source = from_arrays(points, labels, test_fraction=0)
  found = selection.representatives(jax.random.key(0), source, 3).train
  assert found.counts.tolist() == [3, 3, 2]
  assert found.num_samples == 44  # networks are trained on all
  drawn = np.asarray(found.members)
  for c in range(2):
    own = points[labels == c]
    for corner in ((0, 0), (50, 0), (0, 50)):
      near = np.linalg.norm(own - corner - 100.0 * c, axis=1) < 20
      mean = own[near].mean(0)
      best = own[near][np.linalg.norm(own[near] - mean, axis=1).argmin()]
      assert (points[drawn[c]] == best).all(1).sum() == 1


def test_representatives_by_features():
  points, labels = _blobs()
  source = from_arrays(points, labels, test_fraction=0)
  split = source.train

  def first(samples):
    return np.asarray(samples)[:, :1]

  found = selection.representatives(
      jax.random.key(0), source, 2, features=first).train
  for c in range(2):
    own = np.asarray(split.encode(split.inputs))[labels == c, 0]
    far = own > (own.min() + own.max()) / 2
    chosen = np.asarray(split.encode(split.inputs[found.members[c, :2]]))[:, 0]
    np.testing.assert_allclose(
        sorted(chosen), [
            part[np.abs(part - part.mean()).argmin()]
            for part in (own[~far], own[far])
        ],
        rtol=1e-6)


def test_representatives_are_distinct():
  source = from_arrays(
      np.repeat([[0.0], [1.0]], (9, 3), 0), [0] * 12,
      class_names=["a", "b"],
      test_fraction=0)
  found = selection.representatives(jax.random.key(0), source, 2).train
  assert len(set(np.asarray(found.members[0, :2]).tolist())) == 2
  with pytest.raises(ValueError, match="`num` must be at least 1; got 0"):
    selection.representatives(jax.random.key(0), source, 0)
