"""Networks that compute in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import distill_jax as dd
from distill_jax import models
from distill_jax.errors import ConfigError
from distill_jax.nn.precision import computing_in

_SPEC = {"name": "convnet", "depth": 1, "width": 8, "norm": "batch"}


def _both():
  full = models.from_spec(_SPEC, 3)
  half = models.from_spec({**_SPEC, "dtype": "bfloat16"}, 3)
  x = jax.random.normal(jax.random.key(0), (6, 8, 8, 1))
  return full, half, full.init(jax.random.key(1), x), x


def test_is_near_the_network_in_float32():
  full, half, variables, x = _both()
  found, expected = (n.apply(variables, x)[0] for n in (half, full))
  assert found.dtype == jnp.float32
  error = np.abs(found - expected).max() / np.abs(expected).max()
  assert 1e-5 < error < 0.02  # rounded to 8 bits, and no further
  for a, b in zip(half.stages(variables, x)[0], full.stages(variables, x)[0],
                  strict=True):
    assert a.dtype == jnp.float32
    np.testing.assert_allclose(a, b, atol=0.02 * np.abs(b).max())


def test_variables_and_gradients_stay_float32():
  _, half, variables, x = _both()
  _, updated = half.apply(variables, x, train=True)
  kinds = jax.tree.map(lambda leaf: leaf.dtype, (variables, updated))
  assert set(jax.tree.leaves(kinds)) == {jnp.dtype("float32")}
  moved = jax.tree.map(
      lambda a, b: bool((a != b).any()), variables["batch_stats"],
      updated["batch_stats"])
  assert all(jax.tree.leaves(moved))
  gradients = jax.grad(lambda v, x: half.apply(v, x)[0].sum(),
                       (0, 1))(variables, x)
  assert {g.dtype for g in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}


def test_specification_rebuilds_it():
  _, half, *_ = _both()
  assert models.spec_of(half)["dtype"] == "bfloat16"
  assert models.from_spec(models.spec_of(half), 3) is half
  with pytest.raises(ConfigError, match="`dtype` must be"):
    computing_in(half, "float16")


def test_distils():
  y = np.arange(30) % 3
  x = np.random.default_rng(0).normal(size=(30, 4)) + 3 * np.eye(3, 4)[y]
  source = dd.from_arrays(x, y)
  network = {"name": "mlp", "widths": [8], "dtype": "bfloat16"}
  made = dd.condense(source, dd.methods.dm(num_steps=3), network, per_class=1)
  assert made.network["dtype"] == "bfloat16"
  assert made.inputs.dtype == np.float32
  with pytest.raises(ConfigError, match="ridge regression of frepo"):
    dd.condense(source, dd.methods.frepo(num_steps=1), network, per_class=1)


def test_ridge_regression_on_rounded_features_is_wrong():
  x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
  features = np.tanh(x @ np.linspace(-1, 1, 8 * 60).reshape(8, 60))
  targets = x[:, :1]

  def predicted(features):
    gram = features @ features.T + 1e-6 * np.eye(40)
    return np.linalg.solve(gram, targets)

  exact = predicted(features)
  rounded = predicted(
      np.asarray(jnp.asarray(features).astype(jnp.bfloat16), np.float64))
  assert np.abs(rounded - exact).max() > 0.1 * np.abs(exact).max()
