"""Specifications of networks, kernels and parameterizations, and back."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from distill_jax import kernels, models, nn, parameterization
from distill_jax.data import from_arrays
from distill_jax.errors import ConfigError
from distill_jax.evaluation import fitting

SMALL = {  # settings in place of the defaults
    "bi_lstm": dict(hidden=3), "bi_rnn": dict(hidden=3, masked=True),
    "mlp": dict(widths=[4, 3]), "text_convnet": dict(windows=[1, 2]),
    "convnet": dict(norm="none", activation="swish", pool="max"),
    "frepo_convnet": dict(norm="fast_batch", initialisation="he_normal")
}
OF_SENTENCES = {"bi_lstm", "bi_rnn", "conv_lstm", "text_convnet", "transformer"}


def _source(*shape):
  return SimpleNamespace(example=jax.ShapeDtypeStruct((1, *shape), jnp.float32))


@pytest.mark.parametrize("name", models.NETWORKS)
def test_networks(name):
  given = {"name": name, **SMALL.get(name, {})}
  network = models.from_spec(given, 5)
  spec = models.spec_of(network)
  assert spec.items() >= given.items()
  assert models.from_spec(spec, 5) is network  # compiles once
  assert models.from_spec(spec, 2) is not network

  shape = (1, 6, 8) if name in OF_SENTENCES else (1, 32, 32, 3)
  example = jax.ShapeDtypeStruct(shape, jnp.float32)
  variables = jax.eval_shape(network.init, jax.random.key(0), example)
  logits, _ = jax.eval_shape(network.apply, variables, example)
  assert logits.shape == (1, 5)


def test_factories_record_arguments_and_defaults():
  network = nn.convnet(3, width=8, norm=None)
  assert models.spec_of(network) == dict(
      name="convnet",
      depth=3,
      width=8,
      norm="none",
      activation="relu",
      initialisation="torch_uniform")
  assert hash(network.spec) == hash(nn.convnet(3, width=8, norm=None).spec)
  unnamed = nn.convnet(3, activation=lambda x: x)
  assert models.spec_of(unnamed) == {}
  assert nn.convnet.__name__ == "convnet" and nn.convnet.__doc__


@pytest.mark.parametrize("name", models.KERNELS)
def test_kernels(name):
  given = dict(name="kernel_ridge", kernel=name, depth=1, kind="nngp", ridge=.1)
  kernel = models.from_spec(given, 5)
  spec = models.spec_of(kernel)
  assert spec.items() >= given.items()
  assert models.from_spec(spec, 3) is kernel
  direct = getattr(kernels, name)(1, get="nngp")
  assert models.spec_of(direct) == {n: spec[n] for n in spec if n != "ridge"}
  assert models.spec_of(kernels.tiled(direct)) == models.spec_of(direct)


def test_kernels_by_default():
  kernel = models.from_spec(dict(name="kernel_ridge"), 5)
  x = jnp.eye(3)
  expected = kernels.fully_connected(1)(x, x)
  assert jnp.array_equal(kernel(x, x), expected)
  assert models.spec_of(lambda x1, x2: x1 @ x2.T) == {}


@pytest.mark.parametrize(
    "spec, separates",
    [(
        dict(
            name="field",
            width=6,
            depth=2,
            per_row=1,
            fit_steps=500,
            fit_rate=1e-2), False),
     (dict(name="frequency", keep=49, mask="variance", per_row=1), False),
     (dict(name="hallucinator", num_styles=2), False),
     (dict(name="linear_bases", num_bases=3, reduction=1), False),
     (dict(name="multi_formation", factor=2, fill=[.1, .2]), True),
     (dict(name="pixels"), True), (dict(name="preconditioned"), False)])
def test_parameterizations(spec, separates):
  made = parameterization.from_spec(spec)
  assert models.spec_of(made) == spec
  assert made.separates_classes == separates


@pytest.mark.parametrize(
    "shape, spec", [((8, 8, 1), dict(name="convnet", depth=2, width=32)),
                    ((4, 9, 3), dict(name="convnet", depth=1, width=32)),
                    ((2, 2, 3), dict(name="convnet", depth=1, width=32)),
                    ((28, 28, 1), dict(name="convnet", depth=3, width=32)),
                    ((32, 32, 3), dict(name="convnet", depth=3, width=32)),
                    ((64, 64, 3), dict(name="convnet", depth=4, width=32)),
                    ((300, 400, 3), dict(name="convnet", depth=5, width=32)),
                    ((1, 9, 3), dict(name="mlp", widths=[128])),
                    ((30,), dict(name="mlp", widths=[128])),
                    ((30, 50), dict(name="text_convnet", windows=[3, 4, 5])),
                    ((4, 50), dict(name="text_convnet", windows=[3, 4])),
                    ((2, 50), dict(name="text_convnet", windows=[2]))])
def test_default(shape, spec):
  source = _source(*shape)
  assert models.default(source) == spec
  network = models.from_spec(spec, 2)
  jax.eval_shape(network.init, jax.random.key(0), source.example)


@pytest.mark.parametrize(
    "spec, message",
    [(
        dict(name="convent"),
        "`network` must be one of alex_.*; got 'convent'. Did .* 'convnet'?"),
     (dict(), "`network` must be one of .*; got None."),
     (dict(name="convnet", widht=3), "'convnet' has no .* mean 'width'"),
     (dict(name="convnet", norm="bach"), "`network norm` .* mean 'batch'"),
     (dict(name="convnet", width="3"), "`width` .* whole .* '3' in `network`"),
     (dict(name="convnet", width=2.5), "`width` must be a whole number"),
     (dict(name="convnet", width=True), "`width` must be a whole number"),
     (dict(name="mlp", widths=8), "`widths` must be a list; got 8"),
     (dict(name="mlp", widths=["8"]), "`widths` must be a whole number"),
     (dict(name="mlp", widths=[10**9]), r"\[1, 16,384\]; got 1000000000"),
     (dict(name="mlp", widths=[1] * 999), "at most 256 entries; got 999"),
     (dict(name="vit", depth=10**6), r"`depth` .* in \[0, 256\]"),
     (dict(name="vit", heads=0), r"`heads` of `network` must be in \[1, 256"),
     (dict(name="text_convnet", dropout=float("nan")), "`dropout` .*got nan"),
     (dict(name="convnet", width={}), "must hold JSON values; got {}"),
     (dict(name="kernel_ridge", kernel="conv"), "`network kernel` must be one"),
     (dict(name="kernel_ridge", deph=2), "has no setting .*'depth'"),
     (dict(name="kernel_ridge", kernel="convolutional"), "missing .*'depth'")])
def test_refuses(spec, message):
  with pytest.raises(ConfigError, match=message):
    models.from_spec(spec, 3)


@pytest.mark.parametrize("name", ["convnet", "lenet", "resnet10"])
def test_networks_of_images_refuse_rows_of_numbers(name):
  network = models.from_spec(dict(name=name), 2)
  with pytest.raises(ConfigError, match="rows of 784.*reshape.-1, H, W, C"):
    models.check_fits(
        network, SimpleNamespace(num_classes=2, **vars(_source(784))))


def test_parameterizations_refuse():
  with pytest.raises(ConfigError, match="Did you mean 'pixels'"):
    parameterization.from_spec(dict(name="pixel"))
  with pytest.raises(ConfigError, match="missing .*'num_bases'"):
    parameterization.from_spec(dict(name="linear_bases"))


def test_learners():
  learner = fitting.from_spec(dict(name="lenet"), None, 3)
  assert learner is fitting.from_spec(dict(name="lenet"), None, 3)
  kernel = fitting.from_spec(dict(name="kernel_ridge", ridge=.1), None, 3)
  assert dict(kernel.recipe) == dict(
      name="kernel_ridge", kernel="fully_connected", ridge=.1)


def test_networks_without_a_name_are_told_apart_by_their_weights():
  example = jnp.zeros((1, 4))
  named, wide = nn.mlp(3, widths=(5,)), nn.mlp(3, widths=(6,))
  own, other = (network._replace(spec=()) for network in (named, wide))
  assert models.identity(models.spec_of(named), named, example)["name"] == "mlp"
  found = models.identity({}, own, example)
  assert [4, 5] in found.values() and json.loads(json.dumps(found)) == found
  assert found != models.identity({}, other, example)
  assert models.identity({}, None, example) == {}


def test_a_network_that_no_memory_holds_is_refused():
  source = from_arrays(np.eye(3), np.arange(3), test_fraction=0)
  wide = nn.mlp(3, widths=(2**14, 2**14, 2**14))
  with pytest.raises(ConfigError, match="at most 268,435,456 weights; got 537"):
    models.check_fits(wide, source)
