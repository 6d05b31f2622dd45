"""Text networks: PyTorch's outputs, lengths, masks, padding, initialisation."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from goldens.make_networks import CLASSES, fill, images
from goldens.make_text_networks import HIDDEN, SENTENCES, WIDTH

from distill_jax import nn
from distill_jax.evaluation import cost
from distill_jax.inner_loop import train_in_order
from distill_jax.nn import recurrent
from distill_jax.nn.text_convnet import _of_few_words, _of_many_words
from distill_jax.types import Samples

# PyTorch 2.13.0, float64: tests/goldens/make_text_networks.py.
GOLDENS = np.load(pathlib.Path(__file__).parent / "goldens/text_networks.npz")
NETWORKS = {
    "text_convnet": nn.text_convnet(CLASSES, width=WIDTH),
    "bi_rnn": nn.bi_rnn(CLASSES, hidden=HIDDEN),
    "bi_lstm": nn.bi_lstm(CLASSES, hidden=HIDDEN),
    "conv_lstm": nn.conv_lstm(CLASSES, channels=WIDTH, hidden=HIDDEN)
}
TRANSFORMER = nn.transformer(CLASSES, depth=1, width=8, heads=2)


def _filled(network, x):
  """Weights named by their paths, as the goldens have them."""

  def value(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return jnp.asarray(fill(name, leaf.shape), x.dtype)

  shapes = jax.eval_shape(network.init, jax.random.key(0), x)["params"]
  return {"params": jax.tree_util.tree_map_with_path(value, shapes)}


class TextNetworksTest(parameterized.TestCase):

  @parameterized.named_parameters((name, name) for name in NETWORKS)
  def test_equals_pytorch(self, name):
    self.enter_context(jax.enable_x64(True))
    network, x = NETWORKS[name], jnp.asarray(images(*SENTENCES))
    variables = _filled(network, x)

    def score(x):
      logits = network.apply(variables, x)[0]
      return jnp.sin(logits).sum(), logits

    (_, logits), gradient = jax.value_and_grad(score, has_aux=True)(x)
    np.testing.assert_allclose(
        logits, GOLDENS[f"{name}/logits"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        gradient, GOLDENS[f"{name}/gradient"], rtol=1e-9, atol=1e-12)

  @parameterized.parameters(("text_convnet", 122_106), ("bi_rnn", 102_006),
                            ("bi_lstm", 404_406))
  def test_published_sizes(self, name, count):
    network = getattr(nn, name)(6)
    shapes = jax.eval_shape(
        network.init, jax.random.key(0), jnp.zeros((1, 30, 100)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count

  def test_first_weights_have_pytorchs_xavier_spread(self):
    variables = nn.text_convnet(2).init(
        jax.random.key(0), jnp.zeros((1, 9, 100)))
    std = np.asarray(variables["params"]["body"]["kernel_4"]).std()
    np.testing.assert_allclose(std, np.sqrt(2 / (400 * 101)), rtol=0.02)
    variables = nn.bi_lstm(2).init(jax.random.key(0), jnp.zeros((1, 9, 100)))
    std = np.asarray(
        variables["params"]["body"]["forward_0"]["recurrent"]).std()
    np.testing.assert_allclose(std, np.sqrt(2 / 500), rtol=0.02)

  @parameterized.parameters("bi_rnn", "bi_lstm")
  def test_a_mask_ends_sentences(self, name):
    network = getattr(nn, name)(CLASSES, hidden=HIDDEN, masked=True)
    x = jnp.asarray(images(*SENTENCES), jnp.float32)
    variables = _filled(network, x)
    short = network.apply(variables, x[:, :4])[0]
    padded = x.at[:, 4:].set(0)
    np.testing.assert_allclose(
        network.apply(variables, padded)[0], short, rtol=1e-5)
    unmasked = NETWORKS[name].apply(variables, padded)[0]
    assert jnp.abs(unmasked - short).max() > 1e-3

  def test_a_transformer_leaves_padding_out(self):
    x = jnp.asarray(images(*SENTENCES), jnp.float32)
    variables = TRANSFORMER.init(jax.random.key(0), x)
    short = TRANSFORMER.apply(variables, x[:, :4])[0]
    padded = x.at[:, 4:].set(0)
    np.testing.assert_allclose(
        TRANSFORMER.apply(variables, padded)[0], short, rtol=1e-4, atol=1e-6)
    swapped = TRANSFORMER.apply(variables, x[:, ::-1])[0]
    whole = TRANSFORMER.apply(variables, x)[0]
    assert jnp.abs(swapped - whole).max() > 1e-3  # positions matter

  def test_long_sentences_have_the_same_maps(self):
    x = jnp.asarray(images(2, 9, 4), jnp.float32)
    kernels = [jnp.asarray(images(k, 4, 1, 5), jnp.float32) for k in (2, 3)]
    for few, many in zip(_of_few_words(x, kernels), _of_many_words(x, kernels),
                         strict=True):
      np.testing.assert_allclose(few, many, rtol=1e-4, atol=1e-4)

  @parameterized.parameters(7, 9, 11)
  def test_parts_of_a_long_sentence_change_nothing(self, length):
    network = NETWORKS["bi_lstm"]
    x = jnp.asarray(images(2, length, 4), jnp.float32)
    variables = _filled(network, x)

    def gradient():
      return jax.grad(lambda x: network.apply(variables, x)[0].sum())(x)

    whole = gradient()
    before, recurrent.WHOLE = recurrent.WHOLE, 5
    try:
      jaxpr = jax.make_jaxpr(lambda x: network.apply(variables, x)[0])(x)
      assert "remat" in str(jaxpr) or "checkpoint" in str(jaxpr)
      np.testing.assert_allclose(gradient(), whole, rtol=1e-5, atol=1e-7)
    finally:
      recurrent.WHOLE = before

  def test_dropout_depends_on_the_key_alone(self):
    network, x = NETWORKS["text_convnet"], jnp.ones(SENTENCES)
    variables = _filled(network, x)
    first, again, other = (
        network.apply(variables, x, key=jax.random.key(k), train=True)[0]
        for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    still = network.apply(variables, x, key=jax.random.key(0))[0]
    np.testing.assert_array_equal(still, network.apply(variables, x)[0])

  def test_dropout_is_the_same_when_steps_are_computed_again(self):
    network = NETWORKS["text_convnet"]
    x = jnp.asarray(images(*SENTENCES), jnp.float32)
    variables = _filled(network, x)

    def trained(x, remat):
      samples = Samples(x, jnp.eye(3), jnp.full((4,), 0.3))
      return train_in_order(
          jax.random.key(0),
          network,
          variables,
          samples,
          jnp.arange(3).reshape(1, 3),
          remat=remat)["params"]["head"]["bias"]

    def gradient(remat):
      return jax.jit(jax.grad(lambda x: jnp.sin(trained(x, remat)).sum()))(x)

    np.testing.assert_allclose(
        gradient(True), gradient(False), rtol=1e-4, atol=1e-7)
    steps = [trained(x, True), jax.jit(lambda x: trained(x, True))(x)]
    np.testing.assert_allclose(*steps, rtol=1e-5)

  def test_operations_within_loops_are_not_counted(self):
    shape = jax.ShapeDtypeStruct(SENTENCES, jnp.float32)
    assert cost.step_flops(NETWORKS["bi_lstm"], shape, 3) is None
    assert cost.step_flops(NETWORKS["text_convnet"], shape, 3) > 0

  @parameterized.parameters(("text_convnet", (1, 4, 8), "at least 5 words"),
                            ("bi_lstm", (1, 8), r"must be \[B, s, d\]"),
                            ("conv_lstm", (1, 9, 7), "at least 8 entries"))
  def test_refuses_sentences(self, name, shape, message):
    with pytest.raises(ValueError, match=message):
      NETWORKS[name].init(jax.random.key(0), jnp.zeros(shape))

  @parameterized.parameters((nn.text_convnet, dict(dropout=1.0), "`dropout`"),
                            (nn.bi_rnn, dict(hidden=0), "`hidden`"),
                            (nn.conv_lstm, dict(channels=0), "`channels`"),
                            (nn.transformer, dict(width=6), "multiple of"),
                            (nn.transformer, dict(width=5, heads=1), "even"))
  def test_refuses_sizes(self, network, arguments, message):
    with pytest.raises(ValueError, match=message):
      network(3, **arguments)
