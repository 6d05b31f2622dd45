"""Sets whose codes are no pixels, from the start to the file and back.

Some hold constants: masks, and empty arrays kept for their shape.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import some
from safetensors import safe_open

import distill_jax as dd
from distill_jax import parameterization
from distill_jax.checkpoint import Checkpoints
from distill_jax.estimators.backprop import backprop
from distill_jax.evaluation.evaluator import evaluate_set
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.tracking import lowest_loss, running_average
from distill_jax.types import Distilled, Objective

KEY = jax.random.key(0)
CLASSES = 3
FIELD = dict(name="field", width=4, fit_steps=20)
LOWPASS = dict(name="frequency", keep=6, mask="lowpass", per_row=2)
VARIANCE = dict(name="frequency", keep=6)
# Bytes of codes and of the decoder, for two label rows of each class.
BYTES = {
    "field": (FIELD, 6 * (12 + 20 + 5) * 4, 0),
    "lowpass": (LOWPASS, 6 * 2 * 6 * 4, 0),
    "variance": (VARIANCE, 6 * 6 * 4, CLASSES * 8 + 6)
}


@pytest.fixture(scope="module")
def source():
  """Three bright bars under noise, 8x8."""
  rng = np.random.default_rng(0)
  labels = np.arange(60) % CLASSES
  images = 0.3 * rng.normal(size=(60, 8, 8, 1))
  for image, label in zip(images, labels, strict=True):
    image[2 * label:2 * label + 2] += 1
  return dd.from_arrays(images.astype(np.float32), labels)


def _method(stored, make=dd.methods.dm, **settings):
  settings = dict(num_steps=3, learning_rate=0.01) | settings
  return make(parameterization=stored, **settings)


def _condensed(source, method):
  network = dd.mlp(CLASSES, widths=(6,))
  return dd.condense(source, method, network, per_class=2)


@pytest.mark.parametrize("start", some(["real", "noise"], ["real"]))
@pytest.mark.parametrize("name", BYTES)
def test_condensed_saved_and_read(source, tmp_path, name, start):
  spec, samples, decoder = BYTES[name]
  made = _condensed(source, _method(spec, start=start))
  stored = parameterization.from_spec(spec)
  assert made.parameterization == spec["name"]
  assert made.storage_bytes == dict(
      samples=samples,
      labels=6 * CLASSES * 4,
      step_sizes=0,
      decoder=decoder,
      total=samples + decoder + 6 * CLASSES * 4)
  codes = jax.tree.map(jnp.asarray, made.codes)
  np.testing.assert_allclose(made.inputs, stored.decode(codes), atol=1e-6)

  path = tmp_path / "set.safetensors"
  made.save(path)
  loaded = dd.load(path)
  for a, b in zip(*map(jax.tree.leaves,
                       ((made.codes, made.inputs, made.labels),
                        (loaded.codes, loaded.inputs, loaded.labels))),
                  strict=True):
    assert a.dtype == b.dtype and a.shape == b.shape
    assert a.tobytes() == b.tobytes()

  # As docs/artifact.md reads a set, in NumPy.
  with safe_open(path, framework="np") as file:
    meta = json.loads(file.metadata()["distill_jax"])
    tensors = {name: file.get_tensor(name) for name in file.keys()}
  np.testing.assert_array_equal(tensors["inputs"], made.inputs)
  rows = len(made.inputs)
  assert tensors["labels"].shape == (rows, CLASSES)
  assert tensors["inputs"].shape == (rows, 8, 8, 1)
  assert sorted(tensors["order"].ravel()) == list(range(rows))
  assert meta["parameterization"] == spec["name"]
  assert {t.dtype.name for t in tensors.values()
         } <= {"float32", "int32", "uint8"}

  if start == "real":
    report = evaluate_set(
        KEY, loaded, source.test, network=dd.mlp(CLASSES), num_networks=1)
    assert report.accuracy[0] > 0.5


@pytest.mark.parametrize("name", BYTES)
def test_a_run_goes_on_from_a_saved_set(source, tmp_path, name):
  spec, *_ = BYTES[name]
  made = _condensed(source, _method(spec))
  path = tmp_path / "set.safetensors"
  made.save(path)
  still = _method(spec, start=str(path), learning_rate=1e-12)
  again = _condensed(source, still)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), again.codes,
      made.codes)


@pytest.mark.parametrize("name", BYTES)
def test_codes_have_no_range(source, name):
  with pytest.raises(dd.ConfigError, match="`clamp` must be False unless"):
    _condensed(source, _method(BYTES[name][0], clamp=True))


def _objective(target):
  return Objective(
      sample=lambda key, data: (),
      init=lambda key, samples: (),
      loss=lambda key, samples, state, batch:
      (jnp.square(samples.inputs - target).mean(), (state, {})))


@pytest.mark.parametrize(
    "rule, tracker",
    [(optax.adamw(1e-2, weight_decay=0.5), running_average(0.9)),
     (optax.lamb(1e-2), lowest_loss(2)), (optax.sgd(0.1, 0.9), None)],
    ids=["adamw", "lamb", "sgd"])
def test_constants_of_codes_stay_bit_equal(source, rule, tracker):
  """Under decay, clipping, averages and skipped steps."""
  stored = parameterization.from_spec(VARIANCE)
  begun = dd.from_real(KEY, source, stored, num_samples=6)
  outer = distiller(
      backprop(_objective(1.0), stored),
      optax.chain(optax.clip_by_global_norm(1.0), learn(codes=rule)),
      tracker=tracker,
      skip_above=10.0)
  state, info = distill(
      KEY, outer.init(KEY, begun), (), step=outer.step, num_steps=4)
  found: Distilled = outer.result(state)
  assert info.finite.all() and info.loss[-1] < info.loss[0]
  for name in ("grid", "decoder"):
    jax.tree.map(
        np.testing.assert_array_equal, found.codes[name], begun.codes[name])
  assert found.codes["decoder"]["masks"].dtype == np.uint8
  assert not np.array_equal(
      found.codes["coefficients"], begun.codes["coefficients"])


def test_a_checkpoint_keeps_constants(source, tmp_path):
  stored = parameterization.from_spec(VARIANCE)
  begun = dd.from_real(KEY, source, stored, num_samples=6)
  outer = distiller(
      backprop(_objective(1.0), stored), learn(codes=optax.adam(0.1)))
  state = outer.init(KEY, begun)
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(0, state)
  other = jax.tree.map(jnp.zeros_like, state)
  jax.tree.map(
      np.testing.assert_array_equal, checkpoints.restore(0, other), state)


def test_implicit_gradients_take_constants(source):
  """RCIG differentiates by another estimator."""
  method = _method(
      VARIANCE, dd.methods.rcig, batch_size=8, solver=dict(num_steps=3))
  made = _condensed(source, method)
  assert np.isfinite(made.inputs).all()
  assert made.codes["decoder"]["masks"].dtype == np.uint8
