"""Latents of a user's generator: what is counted, kept and refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import distill_jax as dd
from distill_jax import initialisation, parameterization
from distill_jax.estimators.backprop import backprop
from distill_jax.parameterization.latent import latent
from distill_jax.specification import specified
from distill_jax.types import Objective

KEY = jax.random.key(0)
GENERATOR = jnp.asarray(np.random.RandomState(0).normal(size=(5, 64)))


def _decode(generator, latents):
  return jnp.tanh(latents @ generator).reshape(-1, 8, 8, 1)


def _sample(key, inputs):
  return jax.random.normal(key, (len(inputs), 5))


def _encode(key, inputs):
  """The least-squares latents of real images."""
  del key
  return inputs.reshape(len(inputs), -1) @ jnp.linalg.pinv(GENERATOR)


def _stored(sample=_sample, **settings):
  return latent(_decode, sample, variables=GENERATOR, **settings)


@specified()
def tanh():
  return _stored()


def test_latents_are_decoded_by_variables_given_or_closed_over():
  inputs = jnp.zeros((3, 8, 8, 1))
  closed = latent(lambda z: _decode(GENERATOR, z), _sample, decoder_bytes=7)
  given = _stored()
  latents = given.init(KEY, inputs)
  assert latents.shape == (3, 5)
  np.testing.assert_array_equal(given.decode(latents), closed.decode(latents))
  assert given.decoder_bytes == 5 * 64 * 4 and closed.decoder_bytes == 7
  assert _stored(decoder_bytes=9).decoder_bytes == 9
  np.testing.assert_array_equal(given.owner(latents), [0, 1, 2])


def test_latents_may_encode_the_inputs():
  latents = _sample(KEY, range(4))
  images = latents @ GENERATOR
  begun = _stored(_encode).init(KEY, images.reshape(4, 8, 8, 1))
  np.testing.assert_allclose(begun, latents, atol=1e-4)


def _set(stored, source):
  start = initialisation.from_noise(KEY, source, stored, num_samples=10)
  estimator = backprop(Objective(None, None, None), stored)
  return dd.to_artifact(
      estimator, start, source, method="own", order=dd.step_order(10, 1))


def test_a_file_counts_the_decoder_that_it_lacks(tmp_path):
  source = dd.read("digits")
  made = _set(_stored(), source)
  assert made.storage_bytes == dict(
      samples=10 * 5 * 4,
      labels=10 * 10 * 4,
      step_sizes=0,
      decoder=0,
      outside=5 * 64 * 4,
      total=200 + 400 + 1280)
  assert made.parameterization == "custom"
  made.save(tmp_path / "set.safetensors")
  loaded = dd.load(tmp_path / "set.safetensors")
  assert loaded.storage_bytes == made.storage_bytes
  np.testing.assert_array_equal(
      loaded.inputs, _decode(GENERATOR, jnp.asarray(loaded.codes)))
  free = _set(_stored(decoder_bytes=0), source)
  assert "outside" not in free.storage_bytes
  for both in (dd.merge([made, free]), dd.merge([free, made])):
    assert both.storage_bytes["outside"] == 5 * 64 * 4
    assert both.storage_bytes["total"] == 2 * 600 + 1280


def test_only_latents_are_learned():
  source = dd.read("digits")
  stored = _stored()
  objective = Objective(
      sample=lambda key, data: (),
      init=lambda key, samples: (),
      loss=lambda key, samples, state, batch:
      (jnp.square(samples.inputs - 0.5).mean(), (state, {})))
  outer = dd.distiller(
      backprop(objective, stored), dd.learn(codes=optax.adam(.1)))
  start = initialisation.from_noise(KEY, source, stored, num_samples=10)
  state, info = dd.distill(
      KEY, outer.init(KEY, start), (), step=outer.step, num_steps=30)
  assert info.loss[-1] < 0.7 * info.loss[0]
  assert outer.result(state).codes.shape == (10, 5)


def test_a_name_makes_it_a_setting_of_methods(monkeypatch):
  monkeypatch.setitem(parameterization.FACTORIES, "tanh", tanh)
  source = dd.read("digits")
  method = dd.methods.dm(
      num_steps=2, start="noise", parameterization=dict(name="tanh"))
  made = dd.condense(source, method, dd.mlp(10, widths=(4,)), per_class=1)
  assert made.parameterization == "tanh" and made.codes.shape == (10, 5)
  assert made.storage_bytes["outside"] == 5 * 64 * 4


@pytest.mark.parametrize(
    "call, message",
    [(lambda: latent(lambda z: z, _sample), "`decoder_bytes` must be given"),
     (lambda: _stored(decoder_bytes=-1), "whole number of at least 0; got -1"),
     (
         lambda: _stored(decoder_bytes=1.5),
         "whole number of at least 0; got 1.5"),
     (
         lambda: _stored().init(KEY, jnp.zeros((2, 8, 8, 3))),
         r"`decode` must return samples \(2, 8, 8, 3\); got \(2, 8, 8, 1\)"),
     (
         lambda: _stored(lambda key, inputs: jnp.zeros(
             (1, 5))).init(KEY, jnp.zeros(
                 (2, 8, 8, 1))), "`sample` must return 2 latents"),
     (
         lambda: _stored(lambda key, inputs: jnp.zeros(
             (2, 5), int)).init(KEY, jnp.zeros(
                 (2, 8, 8, 1))), "of floats, .*; got int32")])
def test_refuses(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_no_setting_names_it():
  with pytest.raises(ValueError, match="must be one of"):
    parameterization.from_spec(dict(name="latent"))
