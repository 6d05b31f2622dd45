"""Matching on trained networks: a literal loop, and which networks are drawn.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized
from scipy import stats

from distill_jax import methods
from distill_jax.initialisation import class_members
from distill_jax.labels import label_rows
from distill_jax.nn import mlp
from distill_jax.objectives.trained import (
    PooledData,
    Trained,
    first_and_last,
    later_snapshots,
    trained_matching,
    with_networks,
)
from distill_jax.types import Batch, Samples

CLASSES, OWN, REAL = 3, 2, 5
NETWORK = mlp(CLASSES, widths=(4,))
CLASS_OF = np.repeat(np.arange(CLASSES), OWN)
KEY = jax.random.key(0)


def _draws(num: int, experts: int, snapshots: int, choose):
  """Numbers [num] of psi's and g's snapshots, and of the expert."""
  pool = {
      "params":
          jnp.arange(experts * snapshots,
                     dtype=jnp.float32).reshape(experts, snapshots)
  }
  sample = with_networks(lambda key, split: Batch(split, None), choose)

  @jax.jit
  def draw(key):
    extra = sample(key, PooledData(jnp.zeros(()), pool)).extra
    return extra.features["params"], extra.classifier["params"]

  features, classifier = jax.vmap(draw)(jax.random.split(KEY, num))
  return np.asarray(features), np.asarray(classifier)


class ObjectiveTest(parameterized.TestCase):

  @parameterized.parameters(0.0, 2.5)
  def test_is_a_loop_over_classes(self, alpha):
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(CLASSES * OWN, 3))
    real = generator.normal(size=(CLASSES, REAL, 3))
    with jax.enable_x64(True):
      psi, g = (
          jax.tree.map(
              lambda leaf: leaf.astype(jnp.float64),
              NETWORK.init(jax.random.key(i), jnp.zeros((1, 3))))
          for i in (1, 2))
      samples = Samples(
          jnp.asarray(inputs), label_rows(jnp.asarray(CLASS_OF), CLASSES),
          jnp.zeros(0))
      batch = Batch(jnp.asarray(real), None, Trained(psi, g))
      objective = trained_matching(
          NETWORK,
          class_members(CLASS_OF, CLASSES),
          sample=lambda key, data: data,
          calibration=alpha)

      def ours(inputs):
        return objective.loss(KEY, samples._replace(inputs=inputs), (),
                              batch)[0]

      def literal(inputs):
        total = 0.0
        for c in range(CLASSES):
          own = inputs[CLASS_OF == c]
          a = NETWORK.stages(psi, real[c])[0][-1].mean(0)
          b = NETWORK.stages(psi, own)[0][-1].mean(0)
          logits = NETWORK.apply(g, own)[0]
          wrong = optax.softmax_cross_entropy_with_integer_labels(
              logits, jnp.full(OWN, c))
          total += jnp.square(a - b).sum() + alpha * wrong.mean()
        return total

      (value, slope), (wanted, other) = (
          jax.value_and_grad(f)(samples.inputs) for f in (ours, literal))
    np.testing.assert_allclose(value, wanted, rtol=1e-10)
    np.testing.assert_allclose(slope, other, rtol=1e-8, atol=1e-12)
    assert np.abs(other).max() > 0.1


class SnapshotsTest(parameterized.TestCase):

  def test_features_are_uniform_and_the_classifier_is_a_little_later(self):
    features, classifier = _draws(4_000, 2, 6, later_snapshots(3))
    counts = np.bincount(features.astype(int), minlength=12)
    assert stats.chisquare(counts).pvalue > 1e-3, counts
    assert (features // 6 == classifier // 6).all()  # of the same expert
    later = classifier - features
    left = 5 - features % 6
    assert later.min() == 0 and (later <= np.minimum(2, left)).all()
    for place in range(5):  # uniform among those there are
      found = np.bincount(later[features % 6 == place].astype(int))
      assert len(found) == min(3, 6 - place)
      assert stats.chisquare(found).pvalue > 1e-3, (place, found)

  def test_a_mixture_lies_between_first_and_last(self):
    features, classifier = _draws(2_000, 2, 6, first_and_last)
    expert = classifier // 6
    assert set(classifier) == {5.0, 11.0}
    share = (features - 6 * expert) / 5
    assert stats.kstest(share, "uniform").pvalue > 1e-3

  def test_what_cannot_be_is_refused(self):
    with self.assertRaisesRegex(ValueError, "`span` must be at least 1; got 0"):
      later_snapshots(0)
    with self.assertRaisesRegex(ValueError, "`between` must be one of"):
      methods.tgdd(between="all")


if __name__ == "__main__":
  absltest.main()
