"""Networks: sizes of the papers, PyTorch's outputs, drawn initialisations."""

import pathlib

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized
from flax import nnx
from goldens.make_networks import fill, images

from distill_jax.inner_loop import train_in_order
from distill_jax.nn import (
    alex_cifar_net,
    alexnet,
    convnet,
    from_linen,
    from_nnx,
    lenet,
    mlp,
    mobilenet_v2,
    norms,
    resnet10,
    resnet18,
    vgg11,
    vit,
)
from distill_jax.nn.layers import torch_uniform, xavier_normal
from distill_jax.types import Samples

# PyTorch 2.13.0, float64: tests/goldens/make_networks.py.
GOLDENS = np.load(pathlib.Path(__file__).parent / "goldens" / "networks.npz")


def _shapes(network, *shape):
  return jax.eval_shape(network.init, jax.random.key(0), jnp.ones(shape))


def _count(variables):
  return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _filled(network, x):
  """Parameters of the golden: values named by their paths."""

  def value(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return jnp.asarray(fill(name, leaf.shape))

  shapes = _shapes(network, *x.shape)
  return {"params": jax.tree_util.tree_map_with_path(value, shapes["params"])}


class SizesTest(parameterized.TestCase):
  # Counts from the papers' code, biases included.
  @parameterized.named_parameters(
      ("lenet_mnist", lenet(10),
       (28, 28, 1), 61_706), ("lenet_cifar", lenet(10), (32, 32, 3), 62_006),
      ("alex_cifar_net", alex_cifar_net(10), (32, 32, 3), 1_756_426),
      ("convnet_mnist", convnet(10), (28, 28, 1), 317_706),
      ("convnet_cifar10", convnet(10), (32, 32, 3), 320_010),
      ("convnet_cifar100", convnet(100), (32, 32, 3), 504_420),
      ("convnet_tiny", convnet(200, depth=4), (64, 64, 3), 857_160),
      ("convnet_128", convnet(10, depth=5),
       (128, 128, 3), 615_690), ("mlp_cifar", mlp(10), (32, 32, 3), 411_146),
      ("mlp_mnist", mlp(10),
       (28, 28, 1), 118_282), ("alexnet", alexnet(10), (32, 32, 3), 1_872_202),
      ("vgg11", vgg11(10), (32, 32, 3), 9_231_114),
      ("resnet18", resnet18(10), (32, 32, 3), 11_173_962), (
          "resnet18_ap", resnet18(10, average_pooling=True),
          (32, 32, 3), 11_250_762),
      ("resnet10", resnet10(10), (32, 32, 3), 1_228_970),
      ("mobilenet_v2", mobilenet_v2(10),
       (32, 32, 3), 2_296_922), ("linear", mlp(10, widths=()), (8, 8, 1), 650))
  def test_parameter_count(self, network, shape, count):
    assert _count(_shapes(network, 1, *shape)) == count

  @parameterized.named_parameters(
      ("lenet", lenet(4), (28, 28, 1), 84),
      ("alex_cifar_net", alex_cifar_net(4), (32, 32, 3), 192),
      ("convnet", convnet(4, depth=2, width=8), (9, 8, 3), 32),
      ("mlp", mlp(4, widths=(7, 5)), (3, 3, 1), 5))
  def test_head_reads_the_last_stage(self, network, shape, size):
    x = jnp.asarray(images(2, *shape), jnp.float32)
    shapes = _shapes(network, *x.shape)
    variables = jax.tree.map(lambda v: jnp.asarray(images(*v.shape)), shapes)
    features, logits = jax.jit(
        lambda v: (network.stages(v, x)[0], network.apply(v, x)[0]))(
            variables)
    chex.assert_shape(features[-1], (2, size))
    head = variables["params"]["head"]
    np.testing.assert_allclose(
        features[-1] @ head["kernel"] + head["bias"],
        logits,
        rtol=1e-5,
        atol=1e-5)

  @parameterized.named_parameters(
      ("lenet", lenet(4), (27, 27, 1), "at least 28 pixels"),
      ("convnet", convnet(4), (7, 7, 3), "at least 8 pixels"),
      ("features", convnet(4), (7,), r"must be \[B, H, W, C\]"))
  def test_refuses_images(self, network, shape, message):
    with pytest.raises(ValueError, match=message):
      _shapes(network, 1, *shape)

  def test_refuses_an_empty_convnet(self):
    with pytest.raises(ValueError, match="`depth` and `width`"):
      convnet(4, depth=0)


class GoldensTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("lenet_28", lenet(3), (2, 28, 28, 1)),
      ("lenet_32", lenet(3), (1, 32, 32, 3)),
      ("alex_cifar_net", alex_cifar_net(3), (1, 32, 32, 3)),
      ("convnet_28", convnet(3, width=4), (2, 28, 28, 1)),
      *((
          f"convnet_{name}", convnet(3, depth=2, width=8,
                                     norm=norm), (2, 10, 9, 3))
        for name, norm in {
            "instance": norms.instance_norm,
            "layer": norms.layer_norm,
            "group": norms.group_norm,
            "none": None
        }.items()))
  def test_equals_pytorch(self, network, shape):
    name = self._testMethodName.removeprefix("test_equals_pytorch_")
    self.enter_context(jax.enable_x64(True))
    x = jnp.asarray(images(*shape))
    variables = _filled(network, x)

    def score(x):
      logits, _ = network.apply(variables, x)
      return jnp.sin(logits).sum(), logits

    gradient, logits = jax.jit(jax.grad(score, has_aux=True))(x)
    golden = GOLDENS[f"{name}/logits"], GOLDENS[f"{name}/gradient"]
    chex.assert_trees_all_close((logits, gradient),
                                golden,
                                rtol=1e-9,
                                atol=1e-11)

  @parameterized.named_parameters(
      ("alexnet", alexnet(3), (1, 12, 12, 3)),
      ("vgg11", vgg11(3), (1, 28, 28, 1)),
      ("resnet18", resnet18(3), (1, 16, 16, 3)),
      ("resnet18_ap", resnet18(3, average_pooling=True), (1, 16, 16, 3)), (
          "mobilenet_v2", mobilenet_v2(3, norm=norms.instance_norm),
          (1, 16, 16, 3)))
  def test_logits_equal_pytorch(self, network, shape):
    name = self._testMethodName.removeprefix("test_logits_equal_pytorch_")
    self.enter_context(jax.enable_x64(True))
    x = jnp.asarray(images(*shape))
    logits, _ = jax.jit(network.apply)(_filled(network, x), x)
    np.testing.assert_allclose(
        logits, GOLDENS[f"{name}/logits"], rtol=1e-9, atol=1e-11)


class TransferTest(parameterized.TestCase):

  def test_fan_out_normal_is_of_convolutions_alone(self):
    init = jax.jit(resnet10(7).init)
    params = init(jax.random.key(0), jnp.ones((1, 16, 16, 3)))["params"]
    kernel = params["body"]["_Block_3"]["Conv_1"]["kernel"]
    np.testing.assert_allclose(
        kernel.std(), np.sqrt(2 / (9 * kernel.shape[-1])), rtol=0.01)
    assert np.abs(params["head"]["kernel"]).max() <= 1 / np.sqrt(256)

  def test_attention_sees_all_patches_and_their_places(self):
    network = vit(3, patch=2, depth=1, width=8, heads=2)
    x = jnp.asarray(images(1, 4, 4, 3), jnp.float32)
    variables = jax.jit(network.init)(jax.random.key(0), x)

    @jax.jit
    @jax.value_and_grad
    def score(x):
      return network.apply(variables, x)[0][0, 0]

    value, gradient = score(x)
    assert (gradient != 0).all()
    moved = jnp.concatenate([x[:, 2:], x[:, :2]], 1)
    assert score(moved)[0] != value

  @parameterized.named_parameters(
      ("patch", vit, (6, 6, 1), "multiples of 4"),
      ("vgg", vgg11, (16, 16, 3), "at least 32 pixels"),
      ("resnet", resnet18, (8, 8, 3), "at least 16 pixels"),
      ("alexnet", alexnet, (4, 4, 3), "at least 8 pixels"),
      ("mobilenet", mobilenet_v2, (8, 8, 3), "at least 16 pixels"))
  def test_refuses_images(self, factory, shape, message):
    with pytest.raises(ValueError, match=message):
      _shapes(factory(4), 1, *shape)


class InitialisationTest(parameterized.TestCase):

  def _params(self, initialisation):
    network = convnet(
        64, depth=1, width=64, norm=None, initialisation=initialisation)
    params = network.init(jax.random.key(3), jnp.ones((1, 8, 8, 16)))["params"]
    return params["body"]["Conv_0"], params["head"]

  def test_xavier_normal(self):
    for layer in self._params(xavier_normal()):
      *window, fan_in, fan_out = layer["kernel"].shape
      area = np.prod(window)
      expected = np.sqrt(2 / (area * fan_in + area * fan_out))
      np.testing.assert_allclose(layer["kernel"].std(), expected, rtol=0.03)
      np.testing.assert_allclose(layer["kernel"].mean(), 0, atol=expected / 20)
      np.testing.assert_array_equal(layer["bias"], 0)

  def test_torch_uniform(self):
    for layer in self._params(torch_uniform()):
      bound = 1 / np.sqrt(np.prod(layer["kernel"].shape[:-1]))
      for values in (layer["kernel"], layer["bias"]):
        largest = np.abs(values).max()
        assert 0.9 * bound < largest <= bound * (1 + 1e-6)
        assert (values < 0).any() and (values > 0).any()
      np.testing.assert_allclose(
          layer["kernel"].std(), bound / np.sqrt(3), rtol=0.03)

  def test_one_key_one_draw(self):
    network, x = mlp(3, widths=(4,)), jnp.ones((1, 5))
    first, again, other = (
        network.init(jax.random.key(seed), x) for seed in (0, 0, 1))
    chex.assert_trees_all_equal(first, again)
    assert (
        first["params"]["head"]["kernel"]
        != other["params"]["head"]["kernel"]).all()

  @parameterized.named_parameters(("instance", norms.instance_norm),
                                  ("batch", norms.batch_norm))
  def test_variables_are_as_wide_as_the_inputs(self, norm):
    network = convnet(2, depth=1, width=2, norm=norm)
    with jax.enable_x64(True):
      variables = jax.eval_shape(
          network.init, jax.random.key(0), jnp.ones((1, 4, 4, 1)))
    chex.assert_type(jax.tree.leaves(variables), jnp.float64)


class _Dropout(nn.Module):
  """Half of the inputs, then their sum."""

  @nn.compact
  def __call__(self, x, train=False):
    return nn.Dropout(0.5, deterministic=not train)(x)


class _Nnx(nnx.Module):

  def __init__(self, rngs):
    self.hidden = nnx.Linear(3, 8, rngs=rngs)
    self.norm = nnx.BatchNorm(8, rngs=rngs)
    self.dropout = nnx.Dropout(0.5, rngs=rngs)
    self.head = nnx.Linear(8, 2, rngs=rngs)

  def stages(self, x):
    return (self.dropout(jnp.tanh(self.norm(self.hidden(x)))),)

  def __call__(self, x):
    return self.head(self.stages(x)[-1])


class DropoutTest(parameterized.TestCase):

  @parameterized.named_parameters(("linen", from_linen(_Dropout())),
                                  ("nnx", from_nnx(_Nnx)))
  def test_follows_its_key(self, network):
    x = jnp.ones((16, 3)) * jnp.arange(1.0, 17)[:, None]
    variables = network.init(jax.random.key(0), x)
    run = jax.jit(
        lambda key: network.apply(variables, x, key=key, train=True)[0])
    first, again, other = (run(jax.random.key(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    still, _ = network.apply(variables, x, key=jax.random.key(1))
    np.testing.assert_array_equal(still, network.apply(variables, x)[0])
    assert (still != first).any()


class NnxTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.network = from_nnx(_Nnx)
    self.x = jnp.asarray(images(6, 3), jnp.float32)
    self.variables = self.network.init(jax.random.key(0), self.x)

  def test_apply_is_the_modules(self):
    module = _Nnx(nnx.Rngs(jax.random.key(0)))
    module.eval()
    logits, same = self.network.apply(self.variables, self.x)
    np.testing.assert_array_equal(logits, module(self.x))
    assert same is self.variables
    features, _ = self.network.stages(self.variables, self.x)
    np.testing.assert_array_equal(features[-1], module.stages(self.x)[-1])

  def test_variables_are_floats(self):
    for leaf in jax.tree.leaves(self.variables):
      assert jnp.issubdtype(leaf.dtype, jnp.floating)

  def test_running_statistics(self):
    _, updated = self.network.apply(
        self.variables, self.x, key=jax.random.key(0), train=True)
    chex.assert_trees_all_equal_shapes_and_dtypes(updated, self.variables)
    hidden = self.variables["params"]["hidden"]
    h = self.x @ hidden["kernel"][...] + hidden["bias"][...]
    np.testing.assert_allclose(
        updated["rest"]["norm"]["mean"][...],
        0.01 * h.mean(0),
        rtol=1e-4,
        atol=1e-6)

  def test_trains_in_a_scan_and_differentiates(self):
    order = jnp.arange(6).reshape(2, 3)
    labels = jnp.eye(2)[jnp.arange(6) % 2]

    @jax.jit
    def loss(x, key):
      samples = Samples(x, labels, jnp.full((4,), 0.1))
      trained = train_in_order(
          key,
          self.network,
          self.variables,
          samples,
          order,
          optimizer=optax.trace(0.9))
      logits, _ = self.network.apply(trained, x)
      return (logits**2).sum()

    gradient = jax.grad(loss)(self.x, jax.random.key(1))
    assert jnp.isfinite(gradient).all() and (gradient != 0).any()
    assert loss(self.x, jax.random.key(1)) != loss(self.x, jax.random.key(2))
