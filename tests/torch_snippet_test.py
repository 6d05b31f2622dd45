"""The PyTorch code of the documents does what the library does."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from distill_jax import initialisation
from distill_jax.artifact import from_samples, save, to_artifact
from distill_jax.data import from_arrays
from distill_jax.estimators.backprop import backprop
from distill_jax.inner_loop import train_in_order
from distill_jax.labels import (
    centred_rows,
    classes_of,
    cross_entropy,
    label_rows,
)
from distill_jax.nn import lenet, mlp
from distill_jax.parameterization.multi_formation import multi_formation
from distill_jax.parameterization.quantised import quantised
from distill_jax.preprocessing import ZCA, standardise
from distill_jax.quantising import quantise
from distill_jax.types import Objective

torch = pytest.importorskip("torch")

_OWN = "docs/use_elsewhere.md"  # trains a network of one's own
_PAGES = ("docs/artifact.md", _OWN)
_ROOT = Path(__file__).parents[1]


def _snippets():
  """The first Python block that loads a set with PyTorch, of every page."""
  blocks = {}
  for page in _PAGES:
    text = (_ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
      if "import torch" in block:
        blocks.setdefault(page, block)
  return blocks


def _zca(raw):
  whiten = np.random.default_rng(3).normal(size=(raw[0].size,) * 2) / 28
  mean = np.full((raw[0].size,), 0.5)
  return ZCA(*(jnp.asarray(a, jnp.float32) for a in (mean, whiten, whiten)))


def _artifact(side, channels, fit, recipe, fixed=True):
  rng = np.random.default_rng(0)
  network = lenet(3)
  raw = rng.integers(0, 256, (4, side, side, channels)).astype(np.uint8)
  example = jnp.zeros((1, side, side, channels))
  variables = network.init(jax.random.key(1), example)
  # Zero biases would hide a bias that the snippet forgets.
  variables = jax.tree.map(
      lambda p: p if p.ndim > 1 else jnp.linspace(-0.1, 0.1, p.size), variables)
  return network, raw, from_samples(
      raw,
      rng.uniform(-0.2, 1, (4, 3)),
      raw=True,
      class_names=("a", "b", "c"),
      preprocessing=fit(raw),
      step_sizes=[0.05, 0.02, 0.01, 0.03],
      order=[[3, 1], [0, 2]],
      recipe=recipe,
      initial=variables if fixed else ())


def _with_steps(artifact, num):
  """The set with its first step sizes alone."""
  kept = artifact.step_sizes[:num]
  left = artifact.step_sizes.nbytes - kept.nbytes
  sizes = dict(artifact.storage_bytes, step_sizes=kept.nbytes)
  sizes["total"] -= left
  return artifact._replace(step_sizes=kept, storage_bytes=sizes)


def _run(artifact, folder, monkeypatch, page="docs/artifact.md"):
  save(artifact, folder / "distilled.safetensors")
  monkeypatch.chdir(folder)
  names = {}
  exec(compile(_snippets()[page], page, "exec"), names)
  return names


def test_every_page_has_a_snippet():
  assert set(_snippets()) == set(_PAGES)


@pytest.mark.parametrize(
    "side, channels, fit, momentum", [(28, 1, _zca, 0.9),
                                      (32, 3, standardise, 0.0)])
def test_same_logits_as_the_library(
    tmp_path, monkeypatch, side, channels, fit, momentum):
  recipe = {"name": "in_order", "momentum": momentum}
  network, raw, artifact = _artifact(side, channels, fit, recipe)
  given = artifact.training_set
  trained = train_in_order(
      jax.random.key(0),
      network,
      given.initial,
      given.samples,
      given.order,
      optimizer=optax.trace(momentum),
      remat=False)
  x = artifact.preprocessing.apply(jnp.asarray(raw))
  expected = network.apply(trained, x)[0]
  assert np.abs(expected - network.apply(given.initial, x)[0]).max() > 0.1

  names = _run(artifact, tmp_path, monkeypatch)
  images = torch.from_numpy(raw)
  prepared = names["prepare"](images, names["tensors"], names["meta"])
  np.testing.assert_allclose(prepared.numpy(), x, atol=1e-4)
  logits = names["network"](prepared)
  np.testing.assert_allclose(logits.detach().numpy(), expected, atol=1e-4)
  np.testing.assert_array_equal(
      names["predict"](names["network"], prepared), classes_of(expected))


@pytest.mark.parametrize(
    "recipe, num", [("in_order", 4), ("dsa", 0), ("mtt", 1)])
def test_it_trains_a_network_of_ones_own(tmp_path, monkeypatch, recipe, num):
  in_order = {"name": "in_order"}
  _, raw, artifact = _artifact(28, 1, standardise, in_order, False)
  artifact = _with_steps(artifact, num)._replace(recipe={"name": recipe})
  if recipe == "mtt":
    artifact = artifact._replace(
        step_sizes=artifact.step_sizes / 50,  # larger ones diverge in a layer
        label_space="logits",
        order=artifact.order.reshape(1, -1))
  torch.manual_seed(0)
  names = _run(artifact, tmp_path, monkeypatch, _OWN)
  torch.manual_seed(0)
  layer = torch.nn.Linear(28 * 28, 3)  # as the snippet drew it
  network, given = mlp(3, widths=()), artifact.training_set
  samples = given.samples
  if recipe != "in_order":
    step_size = samples.step_sizes[0] if num else 0.01
    samples = samples._replace(step_sizes=jnp.full(1_000, step_size))
  start = {
      "params": {
          "head": {
              "kernel": jnp.asarray(layer.weight.detach().numpy().T),
              "bias": jnp.asarray(layer.bias.detach().numpy())
          }
      }
  }
  trained = train_in_order(
      jax.random.key(0), network, start, samples, given.order, remat=False)
  x = artifact.preprocessing.apply(jnp.asarray(raw))
  expected = network.apply(trained, x)[0]
  assert np.abs(expected - network.apply(start, x)[0]).max() > 0.1
  logits = names["network"](names["prepare"](torch.from_numpy(raw)))
  np.testing.assert_allclose(logits.detach().numpy(), expected, atol=1e-4)


def test_random_initialisation_and_binary_tasks(tmp_path, monkeypatch):
  _, _, artifact = _artifact(28, 1, standardise, {"name": "in_order"}, False)
  still = artifact._replace(step_sizes=0 * artifact.step_sizes)
  names = _run(still, tmp_path, monkeypatch)
  weight = names["network"].dense1.weight.detach().numpy()
  np.testing.assert_allclose(weight.std(), (2 / 520)**0.5, rtol=0.02)
  assert not names["network"].dense1.bias.any()
  for outputs in (1, 3):
    logits, labels = np.random.default_rng(1).normal(size=(2, 5, outputs))
    np.testing.assert_allclose(
        names["loss"](torch.tensor(logits), torch.tensor(labels)),
        cross_entropy(jnp.asarray(logits), jnp.asarray(labels)),
        rtol=1e-5)
  one = names["predict"](lambda x: x, torch.tensor([[0.1], [-0.1]]))
  assert one.tolist() == [1, 0]


def _task(kind, num_classes, dtype):
  """Raw data of classes that differ in their means, and labels."""
  rng = np.random.default_rng(0)
  labels = np.arange(40) % num_classes
  shape = dict(image=(4, 4, 1), series=(6, 2), features=(5,))[kind]
  means = 0.2 + 0.6 * rng.integers(0, 2, (num_classes, *shape))
  x = np.clip(means[labels] + rng.normal(0, 0.05, (40, *shape)), 0, 1)
  x = np.round(255 * x).astype(
      np.uint8) if dtype == "uint8" else (x.astype(np.float32))
  return x, labels, from_arrays(x, labels, test_fraction=0, kind=kind)


@pytest.mark.parametrize("num_classes", (2, 3))
@pytest.mark.parametrize(
    "kind, dtype", (("image", "uint8"), ("image", "float32"),
                    ("series", "float32"), ("features", "float32")))
def test_it_and_to_torch_classify_raw_data(
    tmp_path, monkeypatch, kind, dtype, num_classes):
  x, labels, source = _task(kind, num_classes, dtype)
  made = from_samples(
      x[:2 * num_classes],
      labels[:2 * num_classes],
      raw=True,
      class_names=source.class_names,
      preprocessing=source.preprocessing)
  torch.manual_seed(0)
  names = _run(made, tmp_path, monkeypatch, _OWN)
  logits = names["network"](names["prepare"](torch.from_numpy(x)))
  found = logits.argmax(1) if num_classes > 2 else (logits[:, 0] > 0).long()
  assert (found.numpy() == labels).mean() > 0.9
  rows, targets, prepare = made.to_torch()
  assert targets.tolist() == labels[:2 * num_classes].tolist()
  np.testing.assert_allclose(rows, names["x"], atol=1e-6)
  np.testing.assert_allclose(
      prepare(x), names["prepare"](torch.from_numpy(x)), atol=1e-5)


def test_soft_labels_of_two_classes_have_two_columns():
  made = from_samples(
      np.eye(2, dtype=np.float32), [[0.2], [0.9]], class_names=("a", "b"))
  _, y, _ = made.to_torch()
  np.testing.assert_allclose(y, [[0.8, 0.2], [0.1, 0.9]], rtol=1e-6)


def _load(path, artifact):
  """The tensors that the loader of quantised sets gives."""
  save(artifact, path)
  text = (_ROOT / "docs/artifact.md").read_text(encoding="utf-8")
  block = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1]
  names = {}
  exec(compile(block, "docs/artifact.md", "exec"), names)
  return names["load"](path)[0]


@pytest.mark.parametrize("bits", (8, 4, 2))
@pytest.mark.parametrize("group", ("patch", "image", "channel", "tensor"))
def test_quantised_sets_have_the_same_bits(tmp_path, group, bits):
  _, _, artifact = _artifact(29, 3, standardise, {"name": "in_order"}, False)
  made = quantise(
      artifact, bits, group=group, patch=3, labels=2 * bits if bits > 2 else 8)
  tensors = _load(tmp_path / "set.safetensors", made)
  np.testing.assert_array_equal(tensors["inputs"], made.inputs)
  np.testing.assert_array_equal(tensors["labels"], made.labels)
  plain = _load(tmp_path / "set.safetensors", artifact)
  np.testing.assert_array_equal(plain["inputs"], artifact.inputs)


@pytest.mark.parametrize("factor, fill", ((2, 0.0), (3, (0.5, -1.0))))
def test_quantised_pictures_in_one_are_enlarged(tmp_path, factor, fill):
  x = np.random.default_rng(0).random((30, 8, 8, 2), np.float32)
  source = from_arrays(x, np.arange(30) % 3, test_fraction=0)
  stored = quantised(multi_formation(factor, fill=fill), bits=4, patch=3)
  start = initialisation.from_real(
      jax.random.key(0), source, stored, num_samples=3)
  made = to_artifact(
      backprop(Objective(None, None, None), stored),
      start,
      source,
      method="toy",
      order=[range(3 * factor**2)])
  for labels in (32, 8):
    tensors = _load(
        tmp_path / "set.safetensors", quantise(made, 4, patch=3, labels=labels))
    np.testing.assert_allclose(
        tensors["inputs"], made.inputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tensors["labels"], made.labels)


@pytest.mark.parametrize("num_classes", (2, 3))
@pytest.mark.parametrize("space", ("raw", "centred", "probabilities"))
def test_labels_of_few_bits_are_rows_again(tmp_path, space, num_classes):
  classes = np.array([0, 1, 1, 0])
  rows = label_rows(jnp.asarray(classes), num_classes)
  if space == "centred":
    rows = centred_rows(jnp.asarray(classes), num_classes)
  if space == "probabilities":
    rows = 0.8 * rows + 0.2 / num_classes
  made = from_samples(
      np.eye(4, dtype=np.float32),
      np.asarray(rows),
      class_names=[*"abc"[:num_classes]],
      label_space=space)
  for bits in (16, 8):
    small = quantise(made, labels=bits)
    tensors = _load(tmp_path / "set.safetensors", small)
    np.testing.assert_allclose(tensors["labels"], small.labels, rtol=1e-6)
    np.testing.assert_allclose(small.labels, rows, atol=4e-3)
