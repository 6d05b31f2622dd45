"""Segments: what is kept, what is passed on, what is counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import segments
from distill_jax.data import from_arrays
from distill_jax.evaluation.learners import nearest_neighbours
from distill_jax.types import Distilled, Samples

KEY = jax.random.key(0)


def _source():
  """Two classes, each a near and a far cluster on a line."""
  x = np.array([0.0, 0.1, 0.2, 4.0, 4.1, 1.0, 1.1, 1.2, 9.0, 9.1])
  return from_arrays(
      x[:, None].astype(np.float32), np.repeat([0, 1], 5), test_fraction=0)


def _first_of_each(split, seen):
  """Distils a segment into the first real sample of each class that is left."""

  def distil(key, rows, earlier):
    del key
    seen.append((rows, [segment.samples for segment in earlier]))
    labels = np.asarray(split.labels)[rows]
    first = rows[[np.flatnonzero(labels == c)[0] for c in range(2)]]
    return Distilled(
        split.encode(split.inputs[first]), jnp.eye(2), jnp.zeros((0,)))

  return distil


def _decode(distilled):
  return Samples(*distilled)


class SegmentsTest(parameterized.TestCase):

  def test_each_sees_what_the_ones_before_get_wrong(self):
    seen, split = [], _source().train
    made = segments.exclusive_segments(
        KEY,
        split,
        distil=_first_of_each(split, seen),
        decode=_decode,
        num_segments=3,
        learner=nearest_neighbours(),
        drop_correct=1.0,
        at_least=1)
    # 0 and 1 are stored: 4.0, 4.1 are nearer to 1, the rest is right.
    np.testing.assert_array_equal(
        made[0].correct, [1, 1, 1, 0, 0, 1, 1, 1, 1, 1])
    # All of class 1 is right, so it keeps one of its samples.
    assert set(made[1].rows[:2]) == {3, 4} and made[1].rows[2] >= 5
    assert len(made[1].rows) == 3
    assert [len(earlier) for _, earlier in seen] == [0, 1, 2]
    for (rows, _), segment in zip(seen, made, strict=True):
      np.testing.assert_array_equal(rows, segment.rows)
    np.testing.assert_array_equal(seen[2][1][1].inputs, made[1].samples.inputs)
    np.testing.assert_array_equal(
        segments.union(made).inputs[:2], made[0].samples.inputs)
    assert len(segments.union(made).inputs) == 6

  def test_one_segment_is_the_method_itself(self):
    seen, split = [], _source().train
    made = segments.exclusive_segments(
        KEY,
        split,
        distil=_first_of_each(split, seen),
        decode=_decode,
        num_segments=1,
        learner=nearest_neighbours())
    assert len(made) == 1 and not seen[0][1]
    np.testing.assert_array_equal(seen[0][0], np.arange(10))
    assert len(segments.forgotten(made)) == 0

  def test_hard_rows(self):
    labels = np.repeat([0, 1, 2], (40, 40, 10))
    correct = np.ones(90, bool)
    correct[:10] = False
    rows = segments.hard_rows(
        KEY, labels, correct, drop_correct=0.5, at_least=22)
    counts = np.bincount(labels[rows])
    np.testing.assert_array_equal(counts, [25, 22, 10])
    assert set(range(10)) <= set(rows) and len(set(rows)) == len(rows)
    again = segments.hard_rows(
        KEY, labels, correct, drop_correct=0.5, at_least=22)
    np.testing.assert_array_equal(rows, again)

  def test_forgotten(self):
    empty = Samples(jnp.zeros((1, 1)), jnp.zeros((1, 2)), jnp.zeros((0,)))
    made = [
        segments.Segment((), empty, np.arange(4), np.array(correct, bool))
        for correct in ([1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1])
    ]
    np.testing.assert_array_equal(segments.forgotten(made), [1, 2])

  def test_updates(self):
    start = np.zeros((6, 2, 1))
    end = np.array([[1, 0], [0, 2], [1, 1], [-3, -3], [5, 0], [1, 0]])
    members = np.array([[0, 1], [2, 3], [4, 5]])
    cosine, norm = segments.updates(start, end[..., None], members)
    np.testing.assert_allclose(cosine, (0 - 1 + 1) / 3, atol=1e-12)
    np.testing.assert_allclose(norm, (9 + 4 * 2**0.5) / 6)

  @parameterized.parameters(
      dict(num_segments=0), dict(num_segments=1, drop_correct=1.5),
      dict(num_segments=1, at_least=0))
  def test_refuses(self, **settings):
    message = r"`num_segments` and `at_least`.*got {}, {} and {}\.".format(
        settings["num_segments"], settings.get("at_least", 64),
        settings.get("drop_correct", 0.5))
    with pytest.raises(ValueError, match=message):
      segments.exclusive_segments(
          KEY,
          _source().train,
          distil=None,
          decode=None,
          learner=nearest_neighbours(),
          **settings)
    with pytest.raises(ValueError, match="at least two samples"):
      segments.updates(jnp.zeros((1, 1)), jnp.ones((1, 1)), [[0]])
