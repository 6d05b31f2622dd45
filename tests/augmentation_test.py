"""Augmentation against PyTorch, and what makes it siamese."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from goldens.make_augmentation import PARAMETERS, SHAPES, images

from distill_jax import augmentation

# PyTorch 2.13.0, float64: tests/goldens/make_augmentation.py.
GOLDENS = np.load(
    pathlib.Path(__file__).parent / "goldens" / "augmentation.npz")
SHAPE = (4, 28, 28, 1)
DSA = "color_crop_cutout_flip_scale_rotate"


class OperationsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  @parameterized.product(name=tuple(PARAMETERS), case=tuple(SHAPES))
  def test_value_and_gradient_equal_pytorch(self, name, case):
    operation = getattr(augmentation, name)()
    parameters = jnp.asarray(PARAMETERS[name])
    x = jnp.asarray(images(SHAPES[case]))

    def total(x):
      y = operation.apply(parameters, x)
      return jnp.sin(y).sum(), y

    gradient, value = jax.grad(total, has_aux=True)(x)
    for key, ours in (("value", value), ("gradient", gradient)):
      np.testing.assert_allclose(
          ours, GOLDENS[f"{case}/{name}/{key}"], rtol=1e-10, atol=1e-12)

  @parameterized.parameters(*PARAMETERS)
  def test_a_shared_draw_treats_every_image_as_the_first_of_its_own(self, name):
    operation = getattr(augmentation, name)()
    x = jnp.asarray(images(SHAPES["colour"]))
    same = jnp.broadcast_to(x[:1], x.shape)
    shared = operation.apply(jnp.asarray(PARAMETERS[name][:1]), same)
    own = operation.apply(jnp.asarray(PARAMETERS[name]), same)
    np.testing.assert_allclose(shared, jnp.broadcast_to(own[:1], x.shape))


class DrawsTest(parameterized.TestCase):

  @parameterized.parameters(("brightness", -0.5, 0.5), ("saturation", 0, 2),
                            ("contrast", 0.5, 1.5), ("crop", -4, 4),
                            ("cutout", 0, 28), ("scale", 1 / 1.2, 1.2),
                            ("rotate", np.deg2rad(-15), np.deg2rad(15)))
  def test_draws_fill_their_range(self, name, low, high):
    operation = getattr(augmentation, name)()
    drawn = np.asarray(operation.draw(jax.random.key(0), SHAPE, 2000))
    self.assertGreaterEqual(drawn.min(), low)
    self.assertLessEqual(drawn.max(), high)
    self.assertLess(drawn.min(), low + 0.02 * (high - low))
    self.assertGreater(drawn.max(), high - 0.02 * (high - low))

  @parameterized.parameters((6, 5), (28, 28))
  def test_an_even_square_has_one_place_more(self, size, last):
    shape = (1, size, size, 1)
    drawn = augmentation.cutout().draw(jax.random.key(0), shape, 2000)
    self.assertEqual(int(drawn.max()), last)

  def test_each_operation_is_chosen_as_often(self):
    strategy = augmentation.dsa(DSA)
    keys = jax.random.split(jax.random.key(0), 3000)
    choice = jax.vmap(lambda key: strategy.draw(key, SHAPE, 1)[0])(keys)
    counts = np.bincount(choice, minlength=6)
    self.assertEqual(len(counts), 6)
    self.assertGreater(counts.min(), 400)

  def test_one_draw_serves_two_batches(self):
    strategy = augmentation.dsa(DSA)
    parameters = strategy.draw(jax.random.key(3), SHAPE, 1)
    x = jax.random.normal(jax.random.key(1), SHAPE)
    with jax.enable_x64(True):  # float32 rounds positions of pixels differently
      parameters, x = jax.tree.map(
          lambda a: a.astype(np.float64)
          if jnp.issubdtype(a.dtype, jnp.floating) else a, (parameters, x))
      both = strategy.apply(parameters, jnp.concatenate([x, x[:2]]))
      for part, own in ((both[:4], x), (both[4:], x[:2])):
        assert part.dtype == np.float64
        np.testing.assert_allclose(
            part, strategy.apply(parameters, own), rtol=1e-6, atol=1e-6)

  def test_images_of_a_batch_differ_when_each_has_its_draw(self):
    rotate = augmentation.rotate()
    x = jnp.broadcast_to(jax.random.normal(jax.random.key(1), SHAPE[1:]), SHAPE)
    y = rotate.apply(rotate.draw(jax.random.key(2), SHAPE, 4), x)
    self.assertGreater(float(jnp.abs(y[0] - y[1]).max()), 0.1)


class StrategiesTest(parameterized.TestCase):

  def test_the_empty_strategy_does_nothing(self):
    strategy = augmentation.dsa("")
    x = jnp.ones(SHAPE)
    y = strategy.apply(strategy.draw(jax.random.key(0), SHAPE, 1), x)
    np.testing.assert_array_equal(x, y)

  @parameterized.parameters("flip", "color_crop")
  def test_what_are_no_images_is_refused(self, strategy):
    for kind in (augmentation.dsa, augmentation.idc):
      with pytest.raises(ValueError, match=r"must be of images .*\(4, 3\)"):
        kind(strategy).draw(jax.random.key(0), (4, 3), 1)

  def test_idc_always_cuts_out_what_is_named(self):
    strategy = augmentation.idc("cutout_flip")
    x = jnp.ones((1, 8, 8, 1))
    for i in range(5):
      parameters = strategy.draw(jax.random.key(i), x.shape, 1)
      self.assertGreaterEqual(
          int((strategy.apply(parameters, x) == 0).sum()), 4)

  def test_idc_applies_one_geometric_operation_between_color_and_cutout(self):
    strategy = augmentation.idc("scale_cutout_crop_color_rotate")
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    for i in range(4):
      draw = strategy.draw(jax.random.key(i), x.shape, 1)
      colors, (choice, geometric), hidden = draw
      name = ("crop", "scale", "rotate")[int(choice)]
      y = augmentation.color().apply(colors, x)
      y = getattr(augmentation, name)().apply(geometric[int(choice)], y)
      y = augmentation.cutout().apply(hidden, y)
      np.testing.assert_allclose(strategy.apply(draw, x), y, atol=1e-5)

  @parameterized.parameters("color_colour", "crop_crop", "_crop", "none")
  def test_unknown_operations_are_refused(self, strategy):
    for factory in (augmentation.dsa, augmentation.idc):
      with self.assertRaisesRegex(ValueError, "`strategy` must join"):
        factory(strategy)
