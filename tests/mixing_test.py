"""CutMix: boxes, shares and chances."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from distill_jax.mixing import cutmix

LABELS = jnp.eye(4)
IMAGES = jnp.broadcast_to(jnp.arange(4.0)[:, None, None, None], (4, 9, 6, 2))


class CutmixTest(parameterized.TestCase):

  def test_labels_follow_the_area_of_one_box(self):
    mixed = set()
    for seed in range(12):
      x, y = cutmix(1.0)(jax.random.key(seed), IMAGES, LABELS)
      changed = np.asarray((x != IMAGES).any(-1))
      for image, label, own in zip(x, y, range(4), strict=True):
        counts = [(image[..., 0] == c).mean() for c in range(4)]
        np.testing.assert_allclose(label, counts, atol=1e-6)
        self.assertAlmostEqual(float(label.sum()), 1, places=5)
        mixed.add(float(label[own]))
      box = changed.any(0)
      rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
      if len(rows):
        inside = box[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        self.assertTrue(inside.all())
    self.assertGreater(len(mixed), 5)

  def test_a_share_of_batches_stays(self):
    keys = jax.random.split(jax.random.key(0), 400)
    _, y = jax.vmap(lambda key: cutmix(0.3)(key, IMAGES, LABELS))(keys)
    same = (y == LABELS).all((1, 2)).mean()
    # Some boxes are empty, and some permutations the identity.
    self.assertBetween(float(same), 0.65, 0.85)
    x, y = cutmix(0.0)(keys[0], IMAGES, LABELS)
    np.testing.assert_array_equal(x, IMAGES)
    np.testing.assert_array_equal(y, LABELS)

  def test_refuses_a_probability_above_one(self):
    with self.assertRaisesRegex(ValueError, r"`probability` must be in \[0, 1"):
      cutmix(1.5)
