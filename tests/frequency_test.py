"""Frequencies: the transform, the masks, what is stored and what it costs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from distill_jax import initialisation, selection
from distill_jax.data import from_arrays
from distill_jax.parameterization.frequency import (
    frequency,
    inverse,
    transform,
    zigzag,
)

KEY = jax.random.key(0)
ROWS = [2, 0, 2, 0, 2, 2]  # classes of label rows; class 1 has none


def _images(*shape):
  return np.random.RandomState(sum(shape)).standard_normal(shape)


def _source():
  """Three classes that vary in different frequencies, about large means."""
  rng = np.random.default_rng(0)
  scale = rng.uniform(0, 1, (3, 6, 8, 1))**4
  labels = np.arange(90) % 3
  mean = 3 * rng.normal(size=(3, 6, 8, 2))
  spectra = mean[labels] + scale[labels] * rng.normal(size=(90, 6, 8, 2))
  x = scipy.fft.idctn(spectra, axes=(1, 2), norm="ortho")
  return from_arrays(x.astype(np.float32), labels, test_fraction=0)


def _real(source):
  return partial(selection.class_parts, source.train)


@pytest.mark.parametrize("height, width", [(8, 8), (5, 7), (1, 3)])
def test_transform_is_that_of_scipy(height, width):
  with jax.enable_x64(True):
    x = _images(3, height, width, 2)
    found = transform(jnp.asarray(x))
    expected = scipy.fft.dctn(x, type=2, axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(inverse(found), x, atol=1e-12)


def test_zigzag_is_that_of_jpeg():
  first = [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2)]
  found = np.stack(np.divmod(zigzag(8, 8), 8), 1)
  np.testing.assert_array_equal(found[:8], first)
  np.testing.assert_array_equal(found[-2:], [(7, 6), (7, 7)])
  assert sorted(zigzag(3, 5)) == list(range(15))


@pytest.mark.parametrize("mask", ["variance", "lowpass"])
def test_all_frequencies_are_the_image(mask):
  images = jnp.asarray(_images(4, 6, 5, 3), jnp.float32)
  stored = frequency(30, mask)
  decoded = stored.decode(stored.init(KEY, images))
  np.testing.assert_allclose(decoded, images, atol=1e-5)


def test_low_pass_keeps_the_corner():
  images = _images(2, 8, 8, 1)
  stored = frequency(6, "lowpass")
  codes = stored.init(KEY, jnp.asarray(images, jnp.float32))
  assert set(codes) == {"coefficients", "grid"}
  spectrum = scipy.fft.dctn(images, axes=(1, 2), norm="ortho")
  i, j = np.indices((8, 8))
  spectrum *= (i + j < 3)[None, ..., None]
  expected = scipy.fft.idctn(spectrum, axes=(1, 2), norm="ortho")
  np.testing.assert_allclose(stored.decode(codes), expected, atol=1e-5)


def _by_loops(source, c, keep):
  """Frequencies of class c, written as sums over images."""
  x = np.asarray(source.train.encode(source.train.inputs), np.float64)
  x = x[np.asarray(source.train.labels) == c].mean(-1)
  spectra = [scipy.fft.dctn(image, norm="ortho") for image in x]
  variance = {}
  for i in range(x.shape[1]):
    for j in range(x.shape[2]):
      values = [spectrum[i, j] for spectrum in spectra]
      middle = sum(values) / len(values)
      variance[i, j] = sum((v - middle)**2 for v in values)
  return sorted(sorted(variance, key=variance.get)[-keep:])


def test_masks_are_those_of_the_largest_variance_of_each_class():
  source, stored, keep = _source(), frequency(9), 9
  init = stored.init_for(_real(source), np.array(ROWS))
  images = _images(6, 6, 8, 2)
  codes = init(KEY, jnp.asarray(images, jnp.float32))
  bits = codes["decoder"]["masks"]
  assert bits.dtype == np.uint8 and bits.shape == (2, 6)
  masks = np.unpackbits(np.asarray(bits), axis=1, count=48).reshape(2, 6, 8)
  expected = {c: _by_loops(source, c, keep) for c in (0, 2)}
  assert expected[0] != expected[2]
  for mask, c in zip(masks, (0, 2), strict=True):
    assert sorted(zip(*np.nonzero(mask), strict=True)) == expected[c]
  np.testing.assert_array_equal(
      codes["decoder"]["mask_of_row"], [1, 0, 1, 0, 1, 1])

  for image, decoded, c in zip(images, stored.decode(codes), ROWS, strict=True):
    spectrum = np.zeros_like(image)
    full = scipy.fft.dctn(image, axes=(0, 1), norm="ortho")
    for i, j in expected[c]:
      spectrum[i, j] = full[i, j]
    kept = scipy.fft.idctn(spectrum, axes=(0, 1), norm="ortho")
    np.testing.assert_allclose(decoded, kept, atol=1e-5)


@pytest.mark.parametrize("begin", ["from_real", "from_noise"])
def test_starts_take_masks_from_real_images(begin):
  """Also one from noise, whose own coefficients vary alike."""
  source, stored = _source(), frequency(9)
  start = getattr(initialisation, begin)(KEY, source, stored, num_samples=6)
  expected = stored.init_for(_real(source),
                             np.arange(6) // 2)(KEY, jnp.zeros((6, 6, 8, 2)))
  jax.tree.map(
      np.testing.assert_array_equal, start.codes["decoder"],
      expected["decoder"])


@pytest.mark.parametrize("mask", ["variance", "lowpass"])
def test_images_share_a_label_row(mask):
  source, stored = _source(), frequency(9, mask, per_row=4)
  start = initialisation.from_real(KEY, source, stored, num_samples=3)
  assert start.labels.shape == (3, 3)
  np.testing.assert_array_equal(
      stored.owner(start.codes), np.repeat(np.arange(3), 4))
  assert stored.decode(start.codes).shape == (12, 6, 8, 2)
  alone = frequency(9, mask).init_for
  if alone:  # the mask of a row is that of its class, for all its images
    drawn = stored.decode(start.codes)
    again = alone(_real(source), np.repeat(np.arange(3), 4))(KEY, drawn)
    np.testing.assert_allclose(
        again["coefficients"], start.codes["coefficients"], atol=1e-5)


def test_gradients_equal_finite_differences():
  with jax.enable_x64(True):
    stored = frequency(5)
    codes = stored.init(KEY, jnp.asarray(_images(2, 4, 4, 2)))
    weight = jnp.asarray(_images(2, 4, 4, 2))

    def loss(kept):
      images = stored.decode({**codes, "coefficients": kept})
      return (weight * jnp.tanh(images)).sum()

    kept = np.asarray(codes["coefficients"])
    found = np.asarray(jax.grad(loss)(kept))
    for place in np.ndindex(*kept.shape):
      shift = np.zeros_like(kept)
      shift[place] = 1e-6
      slope = (loss(kept + shift) - loss(kept - shift)) / 2e-6
      np.testing.assert_allclose(found[place], slope, rtol=1e-5, atol=1e-8)


def test_bytes_of_the_documents():
  """One image of pixels holds sixteen; masks are bits, not bytes."""
  images = jnp.zeros((16, 28, 28, 1))
  codes = frequency(49).init(KEY, images)
  assert codes["coefficients"].nbytes == 28 * 28 * 4
  assert codes["grid"].nbytes == 0
  assert codes["decoder"]["masks"].nbytes == 98
  assert codes["decoder"]["mask_of_row"].nbytes == 16
  low = frequency(64, "lowpass").init(KEY, jnp.zeros((16, 32, 32, 3)))
  assert sum(x.nbytes for x in jax.tree.leaves(low)) == 32 * 32 * 3 * 4


@pytest.mark.parametrize(
    "call, message",
    [(lambda: frequency(0), "`keep` and `per_row` must be at least 1; got 0"),
     (lambda: frequency(4, per_row=0), "at least 1; got 4 and 0"),
     (lambda: frequency(4, "low"), "`mask` must be one of lowpass, variance"),
     (
         lambda: frequency(17).init(KEY, jnp.zeros((1, 4, 4, 1))),
         "`keep` must be at most the 16 frequencies of images that are 4 by 4"),
     (lambda: frequency(4).init(KEY, jnp.zeros((2, 8))), "must be images"),
     (
         lambda: frequency(4).init_for(
             lambda c: [np.ones((3, 5))], np.arange(3)), "must be images"),
     (
         lambda: frequency(4, per_row=2).init(KEY, jnp.zeros(
             (3, 4, 4, 1))), "multiple of the 2 images of a label row; got 3")])
def test_refuses(call, message):
  with pytest.raises(ValueError, match=message):
    call()
