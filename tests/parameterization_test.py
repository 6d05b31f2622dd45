"""Parameterizations: what a code decodes to, and what it costs."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from distill_jax import initialisation
from distill_jax.constants import learnable, with_constants
from distill_jax.parameterization.field import field
from distill_jax.parameterization.frequency import frequency
from distill_jax.parameterization.hallucinator import hallucinator
from distill_jax.parameterization.latent import latent
from distill_jax.parameterization.linear_bases import linear_bases
from distill_jax.parameterization.multi_formation import multi_formation
from distill_jax.parameterization.pixels import pixels
from distill_jax.parameterization.quantised import quantised

KEY = jax.random.key(0)
ALL = {
    "pixels": (pixels(), 6, 6),
    "multi_formation": (multi_formation(2), 24, 24),
    "linear_bases": (linear_bases(3, reduction=2), 6, 6),
    "hallucinator": (hallucinator(4), 6, 24),
    "frequency": (frequency(5), 6, 6),
    "frequency_lowpass": (frequency(5, "lowpass"), 6, 6),
    "field": (field(3, fit_steps=0), 6, 6),
    "latent": (
        latent(
            lambda z: jnp.repeat(z, 3, axis=3),
            lambda key, inputs: inputs[..., :1],
            decoder_bytes=0), 6, 6),
    "quantised": (quantised(multi_formation(2), bits=4), 24, 24)
}


def _images(*shape):
  return np.random.RandomState(sum(shape)).standard_normal(shape)


def _enlarged(tile, size):
  """Bilinear, pixel centres at (i + 1/2) / scale - 1/2, clamped: a loop."""
  out = np.zeros((size, size, tile.shape[2]))
  scale = tile.shape[0] / size
  for i in range(size):
    for j in range(size):
      y, x = (max((k + 0.5) * scale - 0.5, 0) for k in (i, j))
      top, left = int(y), int(x)
      below, right = (min(k + 1, tile.shape[0] - 1) for k in (top, left))
      v, u = y - top, x - left
      out[i,
          j] = ((1 - v) * ((1 - u) * tile[top, left] + u * tile[top, right]) +
                v * ((1 - u) * tile[below, left] + u * tile[below, right]))
  return out


class AllTest(parameterized.TestCase):

  @parameterized.parameters(*ALL)
  def test_shapes_owners_and_rows(self, name):
    parameterization, given, decoded = ALL[name]
    inputs = jnp.asarray(_images(given, 8, 8, 3), jnp.float32)
    codes = parameterization.init(KEY, inputs)
    images = parameterization.decode(codes)
    self.assertEqual(images.shape, (decoded, 8, 8, 3))
    owner = np.asarray(parameterization.owner(codes))
    np.testing.assert_array_equal(owner, np.arange(decoded) % 6)
    self.assertEqual(given, 6 * parameterization.inputs_per_row)

  @parameterized.parameters(*ALL)
  def test_every_code_is_learned(self, name):
    """But for constants, which are whole numbers."""
    parameterization, given, decoded = ALL[name]
    inputs = jnp.asarray(_images(given, 8, 8, 3), jnp.float32)
    codes = parameterization.init(KEY, inputs)
    weight = jnp.asarray(_images(decoded, 8, 8, 3), jnp.float32)

    def weighted(floats):
      images = parameterization.decode(with_constants(floats, codes))
      return (weight * images).sum()

    gradient = jax.grad(weighted)(learnable(codes))
    for leaf in jax.tree.leaves(gradient):
      self.assertTrue(bool((leaf != 0).all()))

  def test_start_refuses_too_few_inputs(self):
    with self.assertRaisesRegex(ValueError, "4 for each of 2 label rows"):
      initialisation.start(
          KEY,
          jnp.zeros((2, 8, 8, 1)),
          jnp.zeros((2, 3)),
          multi_formation(2),
          step_size=0.1,
          num_inner_steps=1)


class MultiFormationTest(parameterized.TestCase):

  @parameterized.parameters((2, 8), (3, 9), (2, 7), (3, 8))
  def test_decoding_equals_a_loop(self, factor, side):
    codes = _images(2, side, side, 2)
    small = -(-side // factor)
    padded = np.full((2, factor * small, factor * small, 2), 0.25)
    padded[:, :side, :side] = codes
    expected = [
        _enlarged(
            code[small * i:small * (i + 1), small * j:small * (j + 1)], side)
        for i in range(factor)
        for j in range(factor)
        for code in padded
    ]
    got = multi_formation(factor, fill=0.25).decode(jnp.asarray(codes))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)

  def test_start_shrinks_by_nearest_neighbour(self):
    images = _images(8, 6, 6, 1)
    codes = multi_formation(2).init(KEY, jnp.asarray(images))
    for row in range(2):
      for i in range(2):
        for j in range(2):
          np.testing.assert_allclose(
              codes[row, 3 * i:3 * i + 3, 3 * j:3 * j + 3],
              images[4 * row + 2 * i + j, ::2, ::2])

  def test_factor_one_is_pixels(self):
    images = jnp.asarray(_images(3, 5, 5, 2))
    one = multi_formation(1)
    np.testing.assert_array_equal(one.decode(one.init(KEY, images)), images)

  def test_tiles_lie_on_one_grid_where_the_factor_does_not_divide(self):
    images = jnp.broadcast_to(
        jnp.arange(1.0, 10)[:, None, None, None], (9, 8, 8, 1))
    codes = multi_formation(3).init(KEY, images)
    self.assertEqual(codes.shape, (1, 8, 8, 1))
    np.testing.assert_array_equal(
        codes[0, ::3, ::3, 0],
        np.arange(1.0, 10).reshape(3, 3))


class FormulasTest(parameterized.TestCase):

  def test_bases_are_combined_then_enlarged(self):
    codes = {"bases": _images(3, 4, 4, 2), "coefficients": _images(5, 3)}
    expected = [
        _enlarged(sum(row[b] * codes["bases"][b]
                      for b in range(3)), 8)
        for row in codes["coefficients"]
    ]
    got = linear_bases(3, reduction=2).decode(jax.tree.map(jnp.asarray, codes))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)

  def test_hallucinators_equal_a_loop(self):
    """Transposed convolution written as what each inner pixel adds."""
    side, channels, styles = 5, 2, 3
    inner = (styles, side - 2, side - 2, channels)
    layer = lambda scale: {
        "kernel": scale * _images(styles, 3, 3, channels, channels),
        "bias": scale * _images(styles, channels)
    }
    decoder = {
        "conv": layer(1.0),
        "scale": _images(*inner),
        "shift": 2 * _images(*inner),
        "deconv": layer(0.5)
    }
    bases = _images(2, side, side, channels)
    expected = []
    for j in range(styles):
      conv, deconv = ((decoder[name]["kernel"][j], decoder[name]["bias"][j])
                      for name in ("conv", "deconv"))
      for base in bases:
        out = np.zeros_like(base) + deconv[1]
        for y in range(side - 2):
          for x in range(side - 2):
            window = base[y:y + 3, x:x + 3]
            value = np.einsum("ijc,ijco->o", window, conv[0]) + conv[1]
            value = decoder["scale"][j, y, x] * value
            value = value + decoder["shift"][j, y, x]
            out[y:y + 3, x:x + 3] += np.einsum(
                "c,ijco->ijo", value, deconv[0][::-1, ::-1])
        expected.append(out)
    got = hallucinator(styles).decode(
        jax.tree.map(jnp.asarray, {
            "bases": bases,
            "decoder": decoder
        }))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


class CostTest(parameterized.TestCase):

  def test_hallucinators_of_the_paper(self):
    codes = hallucinator(5).init(KEY, jnp.zeros((1, 32, 32, 3)))
    sizes = [x.size for x in jax.tree.leaves(codes["decoder"])]
    self.assertEqual(sum(sizes), 27_840)

  def test_bases_of_the_paper(self):
    inputs = jnp.zeros((1150, 32, 32, 3))
    codes = linear_bases(16, reduction=2).init(KEY, inputs)
    self.assertEqual(codes["bases"].size, 12_288)
    self.assertEqual(codes["coefficients"].size, 18_400)


class BadArgumentsTest(parameterized.TestCase):

  @parameterized.parameters(
      (lambda: multi_formation(0), "`factor`"),
      (lambda: linear_bases(0), "`num_bases`"),
      (lambda: hallucinator(0), "`num_styles`"),
      (lambda: multi_formation(2).init(KEY, jnp.zeros(
          (3, 8, 8, 1))), "tiles"), (
              lambda: linear_bases(2, reduction=3).init(
                  KEY, jnp.zeros((3, 8, 8, 1))), "`reduction` must divide"),
      (lambda: hallucinator().init(KEY, jnp.zeros((3, 2, 8, 1))), "3 pixels"),
      (lambda: hallucinator().init(KEY, jnp.zeros((3, 8))), "images"))
  def test_one_clear_line(self, call, text):
    with self.assertRaisesRegex(ValueError, text):
      call()
