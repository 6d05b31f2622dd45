"""Normalisations: PyTorch's response norm, and statistics in NumPy."""

import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from goldens.make_networks import images

from distill_jax.nn import convnet, norms

# PyTorch 2.13.0, float64: tests/goldens/make_networks.py.
GOLDENS = np.load(pathlib.Path(__file__).parent / "goldens" / "networks.npz")


class NormsTest(parameterized.TestCase):

  @parameterized.parameters(3, 4)
  def test_local_response_norm_equals_pytorch(self, window):
    self.enter_context(jax.enable_x64(True))
    x = jnp.asarray(30 * images(2, 3, 3, 7))
    got = norms.local_response_norm(
        x, window=window, alpha=0.02, beta=0.6, k=1.5)
    np.testing.assert_allclose(
        got, GOLDENS[f"response_norm_{window}"], rtol=1e-12)

  def test_defaults_are_those_of_alex_cifar_net(self):
    x = jnp.asarray(30 * images(1, 2, 2, 5), jnp.float32)
    np.testing.assert_array_equal(
        norms.local_response_norm(x),
        norms.local_response_norm(
            x, window=4, alpha=0.001 / 9, beta=0.75, k=1.0))

  @parameterized.named_parameters(("instance", norms.instance_norm, (1, 2)),
                                  ("layer", norms.layer_norm, (1, 2, 3)))
  def test_normalises_over_its_axes(self, norm, axes):
    x = 3 + 2 * images(2, 4, 5, 8)
    module = norm(True)
    variables = module.init(jax.random.key(0), x)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    np.testing.assert_allclose(
        module.apply(variables, x), (x - mean) / np.sqrt(var + 1e-5),
        rtol=1e-4,
        atol=1e-5)

  def test_batch_norm_threads_its_statistics(self):
    network = convnet(2, depth=1, width=2, norm=norms.batch_norm)
    x = jnp.asarray(images(6, 4, 4, 1), jnp.float32)
    variables = network.init(jax.random.key(0), x)
    logits, same = network.apply(variables, x)
    chex.assert_trees_all_equal(same, variables)

    train = jax.jit(lambda v: network.apply(v, x, train=True))
    trained_logits, once = train(variables)
    _, twice = train(once)
    assert (trained_logits != logits).any()
    chex.assert_trees_all_equal_structs(once, variables)
    chex.assert_trees_all_equal(once["params"], variables["params"])

    body = variables["params"]["body"]["Conv_0"]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h = np.zeros((6, 4, 4, 2))
    for i in range(3):
      for j in range(3):
        h += padded[:, i:i + 4, j:j + 4] @ body["kernel"][i, j]
    h += body["bias"]
    mean, var = h.mean((0, 1, 2)), h.var((0, 1, 2))
    for statistics, keep in ((once, 0.9), (twice, 0.81)):
      running = statistics["batch_stats"]["body"]["BatchNorm_0"]
      np.testing.assert_allclose(
          running["mean"], (1 - keep) * mean, rtol=1e-4, atol=1e-6)
      np.testing.assert_allclose(
          running["var"], keep + (1 - keep) * var, rtol=1e-4)
