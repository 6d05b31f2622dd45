"""Neural fields: the networks, how they start, their gradients and sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import make_fields

from distill_jax.parameterization.field import at_size, field

KEY = jax.random.key(0)
DIGIT = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0.]])


def _siren(layers, height, width):
  """One image, written as the equations are: place by place."""
  image = np.zeros((height, width, len(layers[-1]["bias"])))
  for i in range(height):
    for j in range(width):
      h = np.array([-1 + 2 * i / (height - 1), -1 + 2 * j / (width - 1)])
      for number, layer in enumerate(layers[:-1]):
        frequency = 10 if number else 30
        h = np.array([
            np.sin(
                frequency *
                (sum(w * x
                     for w, x in zip(column, h, strict=True)) + b))
            for column, b in zip(layer["kernel"].T, layer["bias"], strict=True)
        ])
      image[i, j] = h @ layers[-1]["kernel"] + layers[-1]["bias"]
  return image


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_decoding_equals_the_equations(depth):
  with jax.enable_x64(True):
    stored = field(5, depth, fit_steps=0)
    codes = stored.init(KEY, jnp.zeros((3, 4, 6, 2)))
    assert len(codes["layers"]) == depth + 1
    images = stored.decode(codes)
    for number in range(3):
      layers = jax.tree.map(
          lambda x, n=number: np.asarray(x[n]), codes["layers"])
      expected = _siren(layers, 4, 6)
      assert expected.std() > 0.01
      np.testing.assert_allclose(images[number], expected, atol=1e-10)


@pytest.mark.parametrize("depth", make_fields.DEPTHS)
def test_images_and_gradients_are_those_of_pytorch(depth):
  with np.load(make_fields.FILE) as golden, jax.enable_x64(True):
    layers = jax.tree.map(
        lambda x: jnp.asarray(x)[None], tuple(make_fields.layers(depth)))
    size = make_fields.HEIGHT, make_fields.COLUMNS
    stored = field(make_fields.WIDTH, depth)

    def images(layers):
      return stored.decode(at_size({"layers": layers}, *size))

    np.testing.assert_allclose(
        images(layers)[0], golden[f"{depth}/images"], atol=1e-12)
    found = jax.grad(lambda layers: jnp.square(images(layers)).sum())(layers)
    for number, layer in enumerate(found):
      for name, value in layer.items():
        expected = golden[f"{depth}/{number}/{name}"]
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(value[0], expected, atol=1e-10)


def test_weights_start_within_their_bounds_and_apart():
  codes = field(40, 2, fit_steps=0).init(KEY, jnp.zeros((50, 4, 4, 3)))
  bounds = [(1 / 2, 2**-0.5), ((6 / 40)**0.5 / 10, 40**-0.5),
            ((6 / 40)**0.5 / 10, 40**-0.5)]
  for layer, (kernel, bias) in zip(codes["layers"], bounds, strict=True):
    for name, bound in (("kernel", kernel), ("bias", bias)):
      values = np.abs(layer[name])
      assert values.max() <= bound
      np.testing.assert_allclose(values.max(), bound, rtol=0.05)
      np.testing.assert_allclose(values.mean(), bound / 2, rtol=0.1)
    assert not np.array_equal(layer["kernel"][0], layer["kernel"][1])


def test_networks_are_fitted_to_their_images():
  images = jnp.asarray([DIGIT, 1 - DIGIT], jnp.float32)[..., None]
  stored = field(12, fit_steps=300)
  codes = stored.init(KEY, images)
  np.testing.assert_allclose(stored.decode(codes), images, atol=0.1)
  before = field(12, fit_steps=0)
  assert np.abs(before.decode(before.init(KEY, images)) - images).max() > 0.5


def test_codes_decode_at_any_size():
  stored = field(6, fit_steps=0)
  codes = stored.init(KEY, jnp.zeros((2, 5, 5, 1)))
  large = stored.decode(at_size(codes, 9, 13))
  assert large.shape == (2, 9, 13, 1)
  np.testing.assert_allclose(
      large[:, ::2, ::3], stored.decode(codes), atol=1e-5)


def test_gradients_equal_finite_differences():
  with jax.enable_x64(True):
    stored = field(3, fit_steps=0)
    codes = stored.init(KEY, jnp.zeros((2, 4, 4, 2)))
    weight = jnp.asarray(np.random.RandomState(0).normal(size=(2, 4, 4, 2)))

    @jax.jit
    def loss(layers):
      images = stored.decode({**codes, "layers": layers})
      return (weight * jnp.tanh(images)).sum()

    leaves, nesting = jax.tree.flatten(codes["layers"])
    found = jax.tree.leaves(jax.grad(loss)(codes["layers"]))
    for number, leaf in enumerate(leaves):
      for place in np.ndindex(*leaf.shape):
        slopes = []
        for shift in (1e-6, -1e-6):
          moved = list(leaves)
          moved[number] = leaf.at[place].add(shift)
          slopes.append(loss(nesting.unflatten(moved)))
        slope = (slopes[0] - slopes[1]) / 2e-6
        np.testing.assert_allclose(
            found[number][place], slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "width, depth, channels, floats", [(6, 2, 3, 81), (10, 2, 3, 173),
                                       (20, 2, 3, 543), (6, 2, 1, 67),
                                       (6, 3, 1, 109), (6, 1, 1, 25)])
def test_floats_of_the_paper(width, depth, channels, floats):
  codes = jax.eval_shape(
      field(width, depth, fit_steps=0).init, KEY, jnp.zeros(
          (1, 4, 4, channels)))
  assert sum(x.size for x in jax.tree.leaves(codes)) == floats


def test_images_share_a_label_row():
  stored = field(4, per_row=3, fit_steps=0)
  assert stored.inputs_per_row == 3
  codes = stored.init(KEY, jnp.zeros((6, 4, 4, 1)))
  np.testing.assert_array_equal(stored.owner(codes), [0, 0, 0, 1, 1, 1])
  with pytest.raises(ValueError, match="multiple of the 3 images"):
    stored.init(KEY, jnp.zeros((5, 4, 4, 1)))


@pytest.mark.parametrize(
    "settings, message",
    [(dict(width=0), "`width` must be at least 1; got 0"),
     (dict(width=3, depth=0), "`depth` must be at least 1; got 0"),
     (dict(width=3, per_row=0), "`per_row` must be at least 1; got 0"),
     (dict(width=3, fit_steps=-1), "`fit_steps` must not be negative"),
     (dict(width=3, fit_rate=0.0), "`fit_rate` must be positive; got 500 and")])
def test_refuses(settings, message):
  with pytest.raises(ValueError, match=message):
    field(**settings)
