"""Networks of one's own: flax modules and functions through methods."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import some
from flax import nnx

import distill_jax as dd
from distill_jax import models
from distill_jax.data import from_arrays
from distill_jax.errors import ConfigError
from distill_jax.nn import as_network, from_functions, from_linen, from_nnx
from distill_jax.runs.students import students


class MLP(nn.Module):
  outputs: int
  width: int = 5

  @nn.compact
  def __call__(self, x):
    for _ in range(2):
      x = nn.relu(nn.Dense(self.width)(x))
    return nn.Dense(self.outputs)(x)


class ConvNet(nn.Module):
  """Batch statistics, dropout, and a name of its own for the argument."""
  outputs: int

  @nn.compact
  def __call__(self, x, deterministic=True):
    for width in (4, 6):
      x = nn.Conv(width, (3, 3))(x)
      x = nn.relu(nn.BatchNorm(use_running_average=deterministic)(x))
      x = nn.avg_pool(x, (2, 2), (2, 2))
    x = nn.Dropout(0.5, deterministic=deterministic)(x)
    return nn.Dense(self.outputs)(x.reshape(len(x), -1))


class Nested(nn.Module):
  """A head inside of a submodule, rematerialised, and a skip connection."""

  def setup(self):
    self.body = nn.remat(MLP)(8)
    self.head = nn.Sequential([nn.LayerNorm(), nn.Dense(3)])

  def __call__(self, x, train):
    del train
    return self.head(x + nn.relu(self.body(x))) / 2


class Staged(MLP):
  """Its method wins."""

  def stages(self, x, train=False):
    del train
    return x[:, None], 2 * x


class Needy(MLP):

  def __call__(self, x, is_train):
    return x


class Functional(nn.Module):
  """A classifier that is no submodule, as wide as what it reads."""

  @nn.compact
  def __call__(self, x):
    hidden = nn.relu(nn.Dense(3, name="hidden")(x))
    return hidden @ self.param("w", nn.initializers.lecun_normal(), (3, 3))


class Nnx(nnx.Module):

  def __init__(self, rngs, outputs=3):
    self.first = nnx.Linear(8, 5, rngs=rngs)
    self.norm = nnx.BatchNorm(5, rngs=rngs)
    self.blocks = nnx.List([nnx.Linear(5, 4, rngs=rngs)])
    self.dropout = nnx.Dropout(0.5, rngs=rngs)
    self.head = nnx.Linear(4, outputs, rngs=rngs)

  def __call__(self, x):
    x = nnx.relu(self.norm(self.first(x)))
    return self.head(self.dropout(nnx.relu(self.blocks[0](x))))


def _weights(key, x, outputs=3):
  keys, sizes = jax.random.split(key), (x.shape[-1], 5, outputs)
  return [
      jax.random.normal(k, (a, b)) / a**0.5
      for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
  ]


def _hidden(params, x):
  return (jnp.tanh(x @ params[0]),)


def _logits(params, x):
  return _hidden(params, x)[-1] @ params[1]


@functools.cache
def table(num_classes=3):
  y = np.arange(60) % num_classes
  x = np.random.default_rng(0).normal(size=(60, 8)) + 2 * np.eye(10)[y, :8]
  return from_arrays(x, y)


@functools.cache
def images(num_classes=3):
  y = np.arange(60) % num_classes
  x = np.random.default_rng(0).uniform(size=(60, 8, 8, 1))
  return from_arrays(x, y)


def _drawn(network, *shape):
  x = jax.random.normal(jax.random.key(1), (4, *shape))
  return network.init(jax.random.key(0), x), x


CHEAP = {
    "cafe": dict(max_epochs=1),
    "dc": dict(),
    "dm": dict(),
    "frepo": dict(network_pool=dict(size=1)),
    "sldd": dict(num_inner_epochs=1)
}


def _method(name):
  known = dd.methods.ENTRIES[name].defaults
  settings = dict(num_steps=1, batch_size=8) | CHEAP[name]
  return getattr(dd.methods,
                 name)(**{
                     k: v for k, v in settings.items() if k in known
                 })


KINDS = {
    "linen": (MLP(3), table),
    "batch_norm": (ConvNet(3), images),
    "nnx": (Nnx, table),
    "functions": (from_functions(_weights, _logits, _hidden), table)
}


@pytest.mark.parametrize(
    "kind, method",
    some([("linen", "cafe"), ("linen", "frepo"), ("linen", "sldd"),
          ("batch_norm", "cafe"), ("batch_norm", "dc"), ("nnx", "dm"),
          ("nnx", "frepo"), ("nnx", "sldd"), ("functions", "cafe"),
          ("functions", "dc")],
         often=[("linen", "sldd"), ("batch_norm", "dc"), ("nnx", "frepo"),
                ("functions", "cafe")]))
def test_methods_take_them(kind, method):
  network, source = KINDS[kind]
  made = dd.condense(source(), _method(method), network, per_class=1)
  assert made.network == {} and made.num_samples == 3
  assert np.isfinite(made.inputs).all()


@pytest.mark.parametrize("num_classes", [2, 10])
def test_two_and_ten_classes(num_classes):
  outputs = 1 if num_classes == 2 else 10
  source = table(num_classes)
  made = dd.condense(source, _method("dm"), MLP(outputs), per_class=1)
  assert made.num_samples == num_classes
  report = dd.evaluate(
      made,
      source,
      network=MLP(outputs),
      recipe=dict(name="dsa", num_epochs=2),
      num_networks=2,
      baselines="")
  assert 0 <= report.mean <= 1


def test_a_pair_of_functions():
  made = dd.condense(table(), _method("dc"), (_weights, _logits), per_class=1)
  (student,) = students((_weights, _logits), made, table())
  assert student.model is from_functions(_weights, _logits)
  assert len(students([MLP(3), (_weights, _logits)], made, table())) == 2


def test_what_a_linen_classifier_reads():
  network = from_linen(MLP(3))
  variables, x = _drawn(network, 8)
  params = variables["params"]
  first = nn.relu(nn.Dense(5).apply({"params": params["Dense_0"]}, x))
  second = nn.relu(nn.Dense(5).apply({"params": params["Dense_1"]}, first))
  stages, same = network.stages(variables, x)
  for found, expected in zip(stages, (x, first, second), strict=True):
    np.testing.assert_array_equal(found, expected)
  assert same.keys() == variables.keys()
  named, _ = from_linen(MLP(3), ("Dense_1",)).stages(variables, x)
  np.testing.assert_array_equal(named[0], first)


def test_stages_are_those_of_the_same_network_of_ours():
  ours, own = dd.mlp(3, widths=(5, 5)), from_linen(MLP(3))
  x = jnp.ones((2, 8))
  shapes = [
      jax.eval_shape(
          lambda key, n=network: n.stages(n.init(key, x), x)[0],
          jax.random.key(0)) for network in (ours, own)
  ]
  assert [s.shape for s in shapes[0]] == [s.shape for s in shapes[1]]


def test_a_convnet_with_statistics_and_dropout():
  network = from_linen(ConvNet(3))
  variables, x = _drawn(network, 8, 8, 1)

  @functools.partial(jax.jit, static_argnames="train")
  def run(key, train):
    features, updated = network.stages(variables, x, key=key, train=train)
    return features, updated, network.apply(variables, x, key=key, train=train)

  for train in (False, True):
    features, updated, (logits, expected) = run(jax.random.key(2), train)
    assert [f.shape[1:] for f in features] == [(4, 4, 4), (24,)]
    head = {"params": variables["params"]["Dense_0"]}
    np.testing.assert_allclose(
        nn.Dense(3).apply(head, features[-1]), logits, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, updated, expected)
  assert updated["batch_stats"]["BatchNorm_0"]["mean"].any()
  assert (features[-1] == 0).mean() > 0.3  # dropped


def test_a_head_within_and_layers_in_a_transformation():
  network = from_linen(Nested())
  variables, x = _drawn(network, 8)
  features, _ = jax.jit(network.stages)(variables, x)
  assert [f.shape[1] for f in features] == [8, 5, 5, 8]
  head = {"params": variables["params"]["head"]["layers_1"]}
  np.testing.assert_allclose(
      nn.Dense(3).apply(head, features[-1]) / 2,
      network.apply(variables, x)[0],
      rtol=1e-5)


class _Recurrent(nn.Module):
  """Layers whose weights are shared over words, or stacked, in scans."""

  @nn.compact
  def __call__(self, x):
    x = nn.MultiHeadDotProductAttention(num_heads=2)(x)
    x = nn.RNN(nn.LSTMCell(6))(x)
    stack = nn.scan(
        _Block,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        length=2)
    x, _ = stack()(x[:, -1], None)
    return nn.Dense(3)(x)


class _Block(nn.Module):

  @nn.compact
  def __call__(self, x, _):
    return nn.relu(nn.Dense(6)(x)), None


def test_scans_keep_their_stages_to_themselves():
  network = from_linen(_Recurrent())
  variables, x = _drawn(network, 5, 4)
  features, _ = jax.jit(network.stages)(variables, x)
  head = {"params": variables["params"]["Dense_0"]}
  np.testing.assert_allclose(
      nn.Dense(3).apply(head, features[-1]),
      network.apply(variables, x)[0],
      rtol=1e-5)


def test_a_method_stages_wins():
  variables, x = _drawn(from_linen(Staged(3)), 8)
  features, _ = from_linen(Staged(3)).stages(variables, x, train=True)
  assert [f.shape for f in features] == [(4, 1, 8), (4, 8)]
  np.testing.assert_array_equal(features[-1], 2 * x)


@pytest.mark.parametrize("given", ["builder", "keyword", "instance"])
def test_what_an_nnx_classifier_reads(given):
  network = as_network(
      dict(
          builder=Nnx,
          keyword=functools.partial(Nnx, outputs=3),
          instance=Nnx(nnx.Rngs(0)))[given])
  variables, x = _drawn(network, 8)
  features, _ = jax.jit(network.stages)(variables, x)
  assert [f.shape[1] for f in features] == [8, 5, 4]
  head = variables["params"]["head"]
  np.testing.assert_allclose(
      features[-1] @ head["kernel"][...] + head["bias"][...],
      network.apply(variables, x)[0],
      rtol=1e-5,
      atol=1e-6)
  named, _ = from_nnx(Nnx, ("blocks/0",)).stages(variables, x)
  np.testing.assert_array_equal(named[0], features[1])
  _, updated = network.stages(variables, x, key=jax.random.key(3), train=True)
  assert updated["rest"]["norm"]["mean"][...].any()


def test_an_nnx_instance_is_drawn_anew():
  module = Nnx(nnx.Rngs(0))
  network = from_nnx(module)
  x = jnp.ones((1, 8))
  kernels = [
      network.init(jax.random.key(seed), x)["params"]["first"]["kernel"][...]
      for seed in (1, 1, 2)
  ]
  np.testing.assert_array_equal(kernels[0], kernels[1])
  assert (kernels[0] != kernels[2]).any()
  np.testing.assert_array_equal(
      np.sort(kernels[2], None), np.sort(module.first.kernel[...], None))


def test_equal_modules_are_one_network():
  assert as_network(MLP(3)) is from_linen(MLP(3))
  assert as_network(MLP(3)) is not as_network(MLP(4))
  assert as_network(Nnx) is from_nnx(Nnx)
  layers = nn.Sequential([nn.Dense(3)])  # a list cannot be hashed
  assert as_network(layers) is as_network(layers)
  kernel = lambda x1, x2: x1 @ x2.T
  assert as_network(kernel) is kernel


@pytest.mark.parametrize(
    "network, method, message",
    [(MLP(7), "dc", "`network` must have 3 outputs for 3 classes; got 7."),
     (MLP, "dc", r"must be a module; got the class MLP. Call it: MLP\("),
     (Functional(), "dm", "must show its features to dm; .*method `stages`"),
     ((_weights, _logits), "frepo",
      "features to frepo; .*function `stages.params, x"),
     (from_linen(MLP(3), ("Dense_3",)), "cafe", "to cafe; .*got 'Dense_3'"),
     (Needy(3), "dc", r"inputs alone, .*Needy.__call__ also needs `is_train`"),
     (lambda rngs: 3, "dc", "returns an NNX module; got .* returns int"),
     (nn.Conv(3, (2,)), "dc", r"must return logits \[B, K\]; got .* \(1, 8"),
     (lambda x1, x2: x1 @ x2.T, "dm", "must be a network for dm; got function"),
     (MLP(3), "kip", "must be a kernel for kip; got Network")])
def test_what_is_refused(network, method, message):
  source = table() if method != "dc" or network != nn.Conv(3, (2,)) else (
      from_arrays(np.ones((60, 8, 2)), np.arange(60) % 3, kind="series"))
  made = getattr(dd.methods, method)(num_steps=1)
  with pytest.raises(ConfigError, match=message) as caught:
    dd.condense(source, made, network, per_class=1)
  assert "\n" not in str(caught.value)


def test_two_outputs_for_two_classes():
  with pytest.raises(
      ConfigError, match="1 output for 2 classes; got 2. Use one output, a s"):
    dd.condense(table(2), dd.methods.dc(num_steps=1), MLP(2), per_class=1)


def test_a_method_without_features_takes_any():
  for network in (Functional(), (_weights, _logits)):
    models.check_fits(as_network(network), table())


def test_saved_and_evaluated_on_another_network(tmp_path, capsys):
  made = dd.condense(table(), _method("dm"), MLP(3), per_class=1)
  made.save(tmp_path / "set.safetensors")
  loaded = dd.load(tmp_path / "set.safetensors")
  assert loaded.network == {}
  few = dict(
      recipe=dict(name="dsa", num_epochs=2), num_networks=2, baselines="")
  report = dd.evaluate(loaded, table(), **few)
  assert report["network"] == "mlp"
  line = "the set names no network; evaluating on mlp, the default for these"
  assert line in capsys.readouterr().err
  own = dd.evaluate(loaded, table(), network=MLP(3), **few)
  assert own["network"] == "MLP"
  assert line not in capsys.readouterr().err
  with pytest.raises(ConfigError, match="3 outputs for 3 classes; got 7"):
    dd.evaluate(loaded, table(), network=MLP(7), **few)
