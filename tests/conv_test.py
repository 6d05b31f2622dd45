"""conv2d and pooling against lax and NumPy, to the third derivative."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from jax import lax

from distill_jax.nn import conv

FORMS = ("patches", "direct", "lax")


def _operands(dtype=np.float64, channels=2):
  generator = np.random.default_rng(0)
  x = generator.normal(size=(2, 6, 5, channels)).astype(dtype)
  w = generator.normal(size=(3, 2, channels, 2)).astype(dtype)
  return jnp.asarray(x), jnp.asarray(w)


def _reference(x, w, stride, padding):
  strides = (stride, stride) if isinstance(stride, int) else stride
  if isinstance(padding, int):
    padding = ((padding, padding),) * 2
  return lax.conv_general_dilated(
      x, w, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _derivatives(f, x, w):
  """Gradients of three nested scalars of f, each made of the one before."""

  def first(x, w):
    return jnp.sin(f(x, w)).sum()

  def second(x, w):
    gradients = jax.grad(first, (0, 1))(x, w)
    return sum(jnp.sin(g).sum() for g in gradients), gradients

  def third(x, w):
    gradients, lower = jax.grad(second, (0, 1), has_aux=True)(x, w)
    return sum(jnp.sin(g).sum() for g in gradients), (lower, gradients)

  return jax.jit(jax.grad(third, (0, 1), has_aux=True))(x, w)


def _both(form, padding):
  """Gradients of a scalar of `conv2d`, and of the reference."""
  for f in (lambda x, w: conv.conv2d(x, w, padding=padding, form=form),
            lambda x, w: _reference(x, w, 1, padding)):
    yield jax.grad(lambda x, w, f=f: jnp.sin(f(x, w)).sum(), (0, 1))


class Conv2dTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  @parameterized.product(
      form=FORMS,
      case=((1, "SAME"), (1, "VALID"), (1, 2), (1, ((0, 2), (3, 1))),
            (2, "SAME"), ((3, 2), "VALID"), (2, ((1, 0), (2, 1)))),
      channels=(2, 16)  # `patches` copies few channels in another way
  )
  def test_values(self, form, case, channels):
    stride, padding = case
    if form == "direct" and stride != 1:
      return
    x, w = _operands(channels=channels)
    np.testing.assert_allclose(
        conv.conv2d(x, w, stride=stride, padding=padding, form=form),
        _reference(x, w, stride, padding),
        rtol=1e-10,
        atol=1e-12)

  @parameterized.named_parameters(
      ("same", 1, "SAME"), ("asymmetric", 1, ((0, 2), (3, 1))),
      ("strided", (2, 1), ((1, 0), (2, 1))),
      ("strided_many_channels", (2, 1), ((1, 0), (2, 1)), 16))
  def test_gradients_to_third_order(self, stride, padding, channels=2):
    x, w = _operands(channels=channels)
    expected = _derivatives(
        lambda x, w: _reference(x, w, stride, padding), x, w)
    for form in ("patches", "direct") if stride == 1 else ("patches",):
      got = _derivatives(
          lambda x, w, form=form: conv.conv2d(
              x, w, stride=stride, padding=padding, form=form),
          x,
          w)
      chex.assert_trees_all_close(got, expected, rtol=1e-9, atol=1e-10)

  @parameterized.parameters("patches", "direct")
  def test_inside_scan(self, form):
    x, w = _operands()

    def loss(w):
      w, _ = lax.scan(lambda w, _: (step(w), None), w, length=3)
      return (w**2).sum()

    def step(w):
      inner = lambda w: jnp.sin(conv.conv2d(x, w, form=form)).sum()
      return w - 0.1 * jax.grad(inner)(w)

    def unrolled(w):
      for _ in range(3):
        inner = lambda w: jnp.sin(_reference(x, w, 1, "SAME")).sum()
        w = w - 0.1 * jax.grad(inner)(w)
      return (w**2).sum()

    np.testing.assert_allclose(
        jax.jit(jax.grad(loss))(w), jax.jit(jax.grad(unrolled))(w), rtol=1e-10)

  @parameterized.parameters("patches", "direct")
  def test_under_vmap_over_weights(self, form):
    x, w = _operands()
    weights = jnp.stack([w, 2 * w, w + 1])
    gradient = jax.grad(lambda w: jnp.sin(conv.conv2d(x, w, form=form)).sum())
    stacked = jax.jit(jax.vmap(gradient))(weights)
    reference = jax.grad(lambda w: jnp.sin(_reference(x, w, 1, "SAME")).sum())
    for got, weight in zip(stacked, weights, strict=True):
      np.testing.assert_allclose(got, reference(weight), rtol=1e-10)

  @parameterized.product(axes=((0, None), (2, None), (None, 1), (3, 0)))
  def test_direct_under_vmap_over_any_operand(self, axes):
    x, w = _operands(channels=16)
    operands = [
        a if axis is None else jnp.stack([a, 2 * a, a + 1], axis)
        for a, axis in zip((x, w), axes, strict=True)
    ]
    found, expected = (
        jax.vmap(gradients, axes)(*operands)
        for gradients in _both("direct", padding=1))
    chex.assert_trees_all_close(found, expected, rtol=1e-9, atol=1e-10)

  @parameterized.parameters("patches", "direct")
  def test_forward_over_reverse(self, form):
    x, w = _operands()
    found, expected = (
        jax.jvp(gradients, (x, w), (x + 1, 2 * w))
        for gradients in _both(form, padding=4))
    chex.assert_trees_all_close(found, expected, rtol=1e-9, atol=1e-10)

  def test_keeps_dtype(self):
    x, w = _operands(np.float32)
    for form in FORMS:
      assert conv.conv2d(x, w, form=form).dtype == jnp.float32

  def test_small_results_are_products_on_a_cpu(self):
    w = jnp.zeros((3, 3, 2, 32))
    for side, convolved in ((3, False), (4, True)):
      with jax.default_device(jax.devices("cpu")[0]):
        found = str(
            jax.make_jaxpr(conv.conv2d)(jnp.zeros((2, side, side, 2)), w))
      assert ("convolve" in found) == convolved

  def test_default_form_is_the_platforms(self):
    assert conv.platform() == jax.default_backend()
    with jax.default_device(jax.devices("cpu")[0]):
      assert conv.platform() == "cpu"

  @parameterized.named_parameters(
      ("channels", {
          "channels": 3
      }, "`x` and `w` must be"),
      ("padding", {
          "padding": "HALF"
      }, "`padding` must be 'SAME'"),
      ("form", {
          "form": "fft"
      }, "`form` must be one of"),
      ("stride", {
          "form": "direct",
          "stride": 2
      }, "`stride` must be 1"),
      ("window", {
          "size": 8,
          "padding": "VALID"
      }, "`w` must fit"))
  def test_errors(self, options, message):
    size, channels = options.pop("size", 3), options.pop("channels", 2)
    x, _ = _operands()
    with pytest.raises(ValueError, match=message):
      conv.conv2d(x, jnp.ones((size, size, channels, 3)), **options)


class PoolTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  @parameterized.named_parameters(
      ("tiles", 2, None, 0, (6, 8)), ("odd_size", 2, None, 0, (7, 5)),
      ("alexnet", 3, 2, 1, (8, 7)), ("overlapping", 3, 1, 0, (5, 6)),
      ("padded_tiles", 2, 2, 1, (6, 5)))
  def test_max_pool(self, window, stride, padding, size):
    x = np.random.default_rng(1).normal(size=(2, *size, 3)) - 5
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    steps = stride or window
    reference = lambda x: lax.reduce_window(
        x, -jnp.inf, lax.max, (1, window, window, 1),
        (1, steps, steps, 1), pads)
    ours = lambda x: conv.max_pool(x, window, stride=stride, padding=padding)
    np.testing.assert_array_equal(ours(x), reference(x))
    weights = np.random.default_rng(2).normal(size=ours(x).shape)
    chex.assert_trees_all_close(
        jax.grad(lambda x: (weights * ours(x)).sum())(x),
        jax.grad(lambda x: (weights * reference(x)).sum())(x),
        rtol=1e-12)

  @parameterized.parameters((3, 2, 1), (2, None, 0))
  def test_ties_share_the_gradient(self, window, stride, padding):
    pool = lambda x: conv.max_pool(
        x, window, stride=stride, padding=padding).sum()
    gradient = jax.grad(pool)(jnp.zeros((1, 4, 4, 1)))
    np.testing.assert_allclose(gradient.sum(), 4.0)
    assert (gradient > 0).sum() > 4

  @parameterized.parameters((2, (6, 8)), (2, (7, 5)), (3, (7, 9)))
  def test_avg_pool(self, window, size):
    x = np.random.default_rng(1).normal(size=(2, *size, 3))
    got = conv.avg_pool(x, window)
    height, width = size[0] // window, size[1] // window
    chex.assert_shape(got, (2, height, width, 3))
    for i in range(height):
      for j in range(width):
        tile = x[:, i * window:(i + 1) * window, j * window:(j + 1) * window]
        np.testing.assert_allclose(got[:, i, j], tile.mean((1, 2)))
