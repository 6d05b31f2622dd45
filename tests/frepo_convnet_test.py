"""FRePo's network and norm, and the initialisations of FRePo and RFAD."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from jax import lax

from distill_jax.nn import convnet, frepo_convnet, norms
from distill_jax.nn.layers import he_normal, lecun_normal

KEY = jax.random.key(0)


def _count(network, *shape):
  shapes = jax.eval_shape(network.init, KEY, jnp.ones((1, *shape)))
  return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


class FrepoConvnetTest(parameterized.TestCase):

  @parameterized.parameters(
      # Convolutions 3,584 + 295,168 + 1,180,160, then 16 pixels of 512.
      ((32, 32, 3), 10, 3, None, 1_560_842),
      ((28, 28, 1), 10, 3, None, 1_558_538),
      ((32, 32, 3), 10, 3, norms.fast_batch_norm, 1_560_842 + 2 * (128 + 256)),
      ((64, 64, 3), 200, 4, None, 9_475_528))
  def test_parameter_count(self, shape, outputs, depth, norm, count):
    network = frepo_convnet(outputs, depth=depth, norm=norm)
    self.assertEqual(_count(network, *shape), count)

  def test_norm_then_convolution_then_activation_then_pooling(self):
    self.enter_context(jax.enable_x64(True))
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(5, 8, 8, 2)))
    network = frepo_convnet(
        3, depth=2, width=3, norm=norms.fast_batch_norm, activation=jnp.tanh)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(generator.uniform(0.5, 1.5, leaf.shape)),
        network.init(KEY, x))
    params = variables["params"]["body"]

    def conv(layer, x):
      return layer["bias"] + lax.conv_general_dilated(
          x,
          layer["kernel"], (1, 1),
          "SAME",
          dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def block(layer, x):
      x = np.tanh(conv(layer, x))
      return x[:, ::2, ::2] / 4 + x[:, 1::2, ::2] / 4 + (
          x[:, ::2, 1::2] / 4 + x[:, 1::2, 1::2] / 4)

    stages = jax.jit(network.stages, static_argnames="train")
    first = block(params["Conv_0"], x)
    norm = params["BatchNorm_0"]
    running = variables["batch_stats"]["body"]["BatchNorm_0"]
    axes = (0, 1, 2)
    for train in (False, True):
      mean, var = running["mean"], running["var"]
      if train:
        mean, var = first.mean(axes), first.var(axes)
      normal = (first - mean) / np.sqrt(var + 1e-5)
      second = block(params["Conv_1"], normal * norm["scale"] + norm["bias"])
      features, updated = stages(variables, x, train=train)
      np.testing.assert_allclose(features[-1], second.reshape(5, -1), rtol=1e-9)
    after = updated["batch_stats"]["body"]["BatchNorm_0"]
    np.testing.assert_allclose(
        after["mean"], 0.1 * running["mean"] + 0.9 * mean, rtol=1e-9)
    np.testing.assert_allclose(
        after["var"], 0.1 * running["var"] + 0.9 * var, rtol=1e-9)

  def test_refuses(self):
    with self.assertRaisesRegex(ValueError, "`depth` and `width`"):
      frepo_convnet(3, depth=0)
    with self.assertRaisesRegex(ValueError, "at least 8 pixels"):
      _count(frepo_convnet(3), 4, 4, 3)

  @parameterized.parameters((lecun_normal(), 1.0, 0.0, 2.3),
                            (he_normal(), 2.0, 0.1, 9.9),
                            (he_normal(0.5), 2.0, 0.5, 9.9))
  def test_initialisations(self, initialisation, gain, bias, reach):
    network = convnet(
        2, depth=2, width=64, norm=None, initialisation=initialisation)
    params = jax.jit(network.init)(KEY, jnp.ones((1, 8, 8, 3)))["params"]
    layer = params["body"]["Conv_1"]
    std = np.sqrt(gain / (9 * 64))
    np.testing.assert_allclose(layer["kernel"].std(), std, rtol=0.02)
    self.assertLess(np.abs(layer["kernel"]).max(), reach * std)
    self.assertLess(abs(layer["bias"].std() - bias), 0.3 * bias + 1e-9)
