"""Clipping by the average norm against the published rule in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from distill_jax import methods
from distill_jax.clipping import clip_by_average_norm
from distill_jax.outer_loop import learn
from distill_jax.types import Distilled


def _gradients(scales):
  generator = np.random.default_rng(0)
  shapes = (("a", (3, 2)), ("b", (4,)))
  return [{
      name: scale * generator.normal(size=size) for name, size in shapes
  } for scale in scales]


def _published(gradients, factor, decay):
  """The average follows the raw norm before it bounds it."""
  average, clipped = None, []
  for g in gradients:
    norm = np.sqrt(sum((leaf**2).sum() for leaf in g.values()))
    if average is None:
      average = norm
    else:
      average = average - (1 - decay) * (average - norm)
    if norm > factor * average:
      g = {k: leaf * (factor * average / norm) for k, leaf in g.items()}
    clipped.append(g)
  return clipped


class ClippingTest(parameterized.TestCase):

  @parameterized.parameters((2.0, 0.9), (1.0, 0.5))
  def test_equals_the_published_rule(self, factor, decay):
    with jax.enable_x64(True):
      gradients = _gradients([1, 1, 100, 0.1, 5, 40, 40, 1e-3, 7])
      expected = _published(gradients, factor, decay)
      clip = clip_by_average_norm(factor, decay)
      stacked = jax.tree.map(lambda *g: jnp.stack(g), *gradients)

      def step(state, g):
        g, state = clip.update(g, state)
        return state, g

      start = clip.init(gradients[0])
      _, found = jax.jit(lambda s: jax.lax.scan(step, start, s))(stacked)
      for t, g in enumerate(expected):
        for name, leaf in g.items():
          np.testing.assert_allclose(found[name][t], leaf, rtol=1e-12)
      changed = [
          not np.array_equal(g["a"], e["a"])
          for g, e in zip(gradients, expected, strict=True)
      ]
      self.assertIn(sum(changed), range(2, len(changed) - 2))

  def test_zero_gradients_do_not_begin_the_average(self):
    clip = clip_by_average_norm()
    state = clip.init(jnp.ones(2))
    zero, state = clip.update(jnp.zeros(2), state)
    np.testing.assert_array_equal(zero, 0)
    first, state = clip.update(jnp.array([3.0, 4.0]), state)
    np.testing.assert_array_equal(first, [3, 4])
    self.assertEqual(float(state.average), 5)

  def test_of_the_codes_alone(self):
    distilled = Distilled(jnp.ones(4), jnp.ones((2, 2)), jnp.zeros(0))
    optimizer = learn(
        codes=optax.chain(clip_by_average_norm(), optax.sgd(1.0)),
        labels=optax.sgd(1.0))
    state = optimizer.init(distilled)
    for scale, shrunk in ((1.0, 1.0), (100.0, 2 * (0.9 + 10) / 100)):
      gradient = jax.tree.map(lambda x, s=scale: s * x, distilled)
      updates, state = optimizer.update(gradient, state, distilled)
      np.testing.assert_allclose(updates.codes, -scale * shrunk, rtol=1e-6)
      np.testing.assert_array_equal(updates.labels, -scale)

  def test_setting_clips_each_field_by_itself(self):
    distilled = Distilled(jnp.ones(4), jnp.ones((2, 2)), jnp.ones(1))
    moved = {}
    for bound in (0.0, 0.5, 50.0):
      method = methods.datm(
          clip_each=bound,
          optimizer="sgd",
          beta1=0.0,
          label_beta1=0.0,
          schedule="constant",
          learning_rate=1.0,
          label_learning_rate=1.0,
          step_size_learning_rate=1.0)
      optimizer = method.learned(1)
      gradient = jax.tree.map(lambda x: 3.0 * x, distilled)  # norm 6 of codes
      moved[bound], _ = optimizer.update(
          gradient, optimizer.init(distilled), distilled)
    norms = dict(codes=6, labels=6, raw_step_sizes=3)
    for bound, updates in moved.items():
      for field, norm in norms.items():
        scale = bound / norm if bound == 0.5 else 1
        np.testing.assert_allclose(
            getattr(updates, field), -3 * scale, rtol=1e-6)

  @parameterized.parameters((0.0, 0.9), (2.0, 1.0), (2.0, -0.1))
  def test_refuses(self, factor, decay):
    with pytest.raises(ValueError, match="`factor` must be positive and"):
      clip_by_average_norm(factor, decay)
