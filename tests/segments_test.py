"""Segments: what is kept, what is passed on, what is counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import segments
from distill_jax.data import from_arrays
from distill_jax.evaluation.learners import nearest_neighbours
from distill_jax.types import Samples

KEY = jax.random.key(0)


def _source():
  """Two classes, each a near and a far cluster on a line."""
  x = np.array([0.0, 0.1, 0.2, 4.0, 4.1, 1.0, 1.1, 1.2, 9.0, 9.1])
  return from_arrays(x[:, None].astype(np.float32), np.repeat([0, 1], 5))


def _first_of_each(seen):
  """Distils a segment into the first sample left of each class."""

  def distil(key, source, frozen):
    del key
    split = source.train
    seen.append((split, frozen))
    rows = np.asarray(split.members[:, 0])
    inputs = split.encode(split.inputs[rows])
    return Samples(inputs, jnp.eye(2)[split.labels[rows]], jnp.zeros((0,)))

  return distil


class SegmentsTest(parameterized.TestCase):
  def test_each_sees_what_the_ones_before_get_wrong(self):
    seen, source = [], _source()
    made = segments.exclusive_segments(
        KEY, source, distil=_first_of_each(seen), num_segments=3,
        learner=nearest_neighbours(), drop_correct=1.0, at_least=1,
    )
    # 0 and 1 are stored: 4.0, 4.1 are nearer to 1, the rest is right.
    np.testing.assert_array_equal(
        made[0].correct, [1, 1, 1, 0, 0, 1, 1, 1, 1, 1]
    )
    # All of class 1 is right, so it keeps one of its samples.
    assert set(made[1].rows[:2]) == {3, 4} and made[1].rows[2] >= 5
    assert len(made[1].rows) == 3
    np.testing.assert_array_equal(
        seen[1][0].inputs, source.train.inputs[made[1].rows]
    )
    assert seen[0][1] is None
    np.testing.assert_array_equal(seen[1][1].inputs, made[0].samples.inputs)
    assert len(seen[2][1].inputs) == 4
    np.testing.assert_array_equal(
        segments.union(made).inputs[:2], made[0].samples.inputs
    )
    assert len(segments.union(made).inputs) == 6

  def test_one_segment_is_the_method_itself(self):
    seen, source = [], _source()
    made = segments.exclusive_segments(
        KEY, source, distil=_first_of_each(seen), num_segments=1,
        learner=nearest_neighbours(),
    )
    assert len(made) == 1 and seen[0][0] is source.train
    assert len(segments.forgotten(made)) == 0

  def test_hard_rows(self):
    labels = np.repeat([0, 1, 2], (40, 40, 10))
    correct = np.ones(90, bool)
    correct[:10] = False
    rows = segments.hard_rows(
        KEY, labels, correct, drop_correct=0.5, at_least=22
    )
    counts = np.bincount(labels[rows])
    np.testing.assert_array_equal(counts, [25, 22, 10])
    assert set(range(10)) <= set(rows) and len(set(rows)) == len(rows)
    again = segments.hard_rows(
        KEY, labels, correct, drop_correct=0.5, at_least=22
    )
    np.testing.assert_array_equal(rows, again)

  def test_forgotten(self):
    empty = Samples(jnp.zeros((1, 1)), jnp.zeros((1, 2)), jnp.zeros((0,)))
    made = [
        segments.Segment(empty, np.arange(4), np.array(correct, bool))
        for correct in ([1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1])
    ]
    np.testing.assert_array_equal(segments.forgotten(made), [1, 2])

  def test_update_similarity(self):
    start = np.zeros((6, 2, 1))
    end = np.array([[1, 0], [0, 2], [1, 1], [-3, -3], [5, 0], [1, 0]])
    members = np.array([[0, 1], [2, 3], [4, 5]])
    np.testing.assert_allclose(
        segments.update_similarity(start, end[..., None], members),
        (0 - 1 + 1) / 3, atol=1e-12,
    )

  @parameterized.parameters(
      dict(num_segments=0), dict(num_segments=1, drop_correct=1.5),
      dict(num_segments=1, at_least=0),
  )
  def test_refuses(self, **settings):
    with pytest.raises(ValueError, match="`num_segments` and `at_least`"):
      segments.exclusive_segments(
          KEY, _source(), distil=_first_of_each([]),
          learner=nearest_neighbours(), **settings,
      )
    with pytest.raises(ValueError, match="at least two samples"):
      segments.update_similarity(jnp.zeros((1, 1)), jnp.ones((1, 1)), [[0]])
