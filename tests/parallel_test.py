"""batch_map, batch_mean, batch_losses: one result, however items are run."""

import os
import subprocess
import sys
import tempfile
import unittest
from functools import partial
from pathlib import Path
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

import distill_jax as dd
from distill_jax import devices, parallel
from distill_jax.errors import ConfigError
from distill_jax.kernels import closed_form, tiles
from distill_jax.runs import Interrupted
from distill_jax.runs.files import MetricsLog

DEVICES = 8
TINY = {"name": "mlp", "widths": (4,)}
INPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(11, 3)), jnp.float32)


def _item(scale, item):
  """A pytree from an input and a typed key."""
  x, key = item
  noise = jax.random.normal(key, x.shape, x.dtype)
  return {"sum": (scale * x + noise).sum(), "sin": jnp.sin(scale * x)}


def _items():
  return INPUTS, jax.random.split(jax.random.key(0), len(INPUTS))


def _plain(scale):
  rows = [_item(scale, (x, key)) for x, key in zip(*_items(), strict=True)]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def _loss(args, x):
  hidden = jnp.tanh(args["w"] @ x)
  return (hidden**2).sum(), {"first": hidden[0], "size": (x**2).sum()}


def _args():
  w = np.random.default_rng(1).normal(size=(2, 3))
  return {"w": jnp.asarray(w)}


def _check_map(**options):
  scale = jnp.float32(1.5)
  run = jax.jit(
      lambda scale: parallel.batch_map(
          partial(_item, scale), _items(), **options))
  chex.assert_trees_all_close(run(scale), _plain(scale), rtol=1e-5, atol=1e-5)

  total = lambda rows: rows["sum"].sum() + (rows["sin"]**2).sum()
  chex.assert_trees_all_close(
      jax.grad(lambda s: total(run(s)))(scale),
      jax.grad(lambda s: total(_plain(s)))(scale),
      rtol=1e-5)


def _check_mean(**options):
  """Value, metrics and gradient, plain and as the inside of another mean."""
  with jax.enable_x64(True):
    xs = jnp.asarray(np.random.default_rng(2).normal(size=(11, 3)))
    scales = jnp.linspace(0.5, 1.5, 5)

    def ours(args):
      return parallel.batch_mean(_loss, args, xs, **options)

    def plain(args):
      losses, metrics = jax.vmap(partial(_loss, args))(xs)
      return losses.mean(), jax.tree.map(lambda m: m.mean(0), metrics)

    def nested_ours(args):
      inner = lambda args, scale: parallel.batch_mean(
          _loss, {"w": jnp.sin(scale * args["w"])}, xs)
      return parallel.batch_mean(inner, args, scales, **options)

    def nested_plain(args):
      inner = lambda scale: plain({"w": jnp.sin(scale * args["w"])})
      losses, metrics = jax.vmap(inner)(scales)
      return losses.mean(), jax.tree.map(lambda m: m.mean(0), metrics)

    for f, reference in ((ours, plain), (nested_ours, nested_plain)):
      chex.assert_trees_all_close(
          jax.jit(f)(_args()), reference(_args()), rtol=1e-12)
      both = [
          jax.jit(jax.value_and_grad(lambda args, g=g: 3 * g(args)[0]**2))(
              _args()) for g in (f, reference)
      ]
      chex.assert_trees_all_close(*both, rtol=1e-12)


def _check_losses(**options):
  """Values and gradients, through a function that weighs the items."""
  with jax.enable_x64(True):
    own = {"w": jnp.asarray(np.random.default_rng(3).normal(size=(11, 2, 3)))}
    xs = jnp.asarray(np.random.default_rng(2).normal(size=(11, 3)))

    def item(own, x):
      return _loss(own, x)[0]

    def ours(own):
      losses = parallel.batch_losses(item, own, xs, **options)
      return jnp.sin(losses).sum(), losses

    def plain(own):
      losses = jax.vmap(item)(own, xs)
      return jnp.sin(losses).sum(), losses

    chex.assert_trees_all_close(
        *(
            jax.jit(jax.value_and_grad(f, has_aux=True))(own)
            for f in (ours, plain)),
        rtol=1e-12,
        atol=1e-15)
    chex.assert_trees_all_close(ours(own), plain(own), rtol=1e-12)


def _check_mean_in_pieces(cores):
  x = jax.random.normal(jax.random.key(0), (7 * 64, 5))
  weights = jnp.arange(5.0)

  def loss(weights, x):
    losses = jnp.sin(x @ weights)
    return losses.mean(), {"largest": losses.max()}

  with mock.patch.object(parallel, "num_cores", return_value=cores):
    (value, metrics), gradient = jax.jit(
        jax.value_and_grad(
            lambda w: parallel.mean_in_pieces(loss, w, x), has_aux=True))(
                weights)
  (whole, _), expected = jax.value_and_grad(loss, has_aux=True)(weights, x)
  chex.assert_trees_all_close((value, gradient), (whole, expected),
                              rtol=1e-5,
                              atol=1e-6)
  each = x.reshape(7, 64, 5)
  np.testing.assert_allclose(
      metrics["largest"],
      np.mean([loss(weights, part)[1]["largest"] for part in each]),
      rtol=1e-6)


def _check_mean_of_pieces(cores):
  """`mean_of_pieces` of a gradient, and what it is differentiated to."""
  x = jax.random.normal(jax.random.key(0), (7 * 64, 5))
  weights = jnp.arange(5.0)

  def gradient_on(weights, x):
    return jax.grad(lambda w: jnp.sin(x @ w).mean())(weights)

  def in_pieces(weights, x):
    return parallel.mean_of_pieces(lambda x: gradient_on(weights, x), x)

  def square(gradient):
    return lambda *args: jnp.square(gradient(*args)).sum()

  assert len(parallel.pieces(lambda x: gradient_on(weights, x), x)) == 7
  with mock.patch.object(parallel, "num_cores", return_value=cores):
    found = in_pieces(weights,
                      x), jax.jit(jax.grad(square(in_pieces),
                                           argnums=(0, 1)))(weights, x)
  expected = gradient_on(weights, x), jax.grad(
      square(gradient_on), argnums=(0, 1))(weights, x)
  chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)


class BatchMapTest(parameterized.TestCase):

  @parameterized.parameters(None, 1, 4, 11, 100)
  def test_same_result(self, chunk):
    _check_map(chunk=chunk)

  def test_one_item(self):
    rows = parallel.batch_map(lambda x: x * 2, jnp.ones((1, 3)), chunk=5)
    np.testing.assert_array_equal(rows, 2 * np.ones((1, 3)))

  @parameterized.named_parameters(
      ("sizes", (jnp.ones(2), jnp.ones(3)), None, r"got sizes \[2, 3\]"),
      ("empty", jnp.ones((0, 2)), None, r"at least 1; got sizes \[0\]"),
      ("chunk", jnp.ones(2), 0, "`chunk` must be at least 1; got 0"))
  def test_errors(self, xs, chunk, message):
    with pytest.raises(ValueError, match=message):
      parallel.batch_map(lambda x: x, xs, chunk=chunk)


class BatchMeanTest(parameterized.TestCase):

  @parameterized.parameters(None, 4)
  def test_value_and_gradient(self, chunk):
    _check_mean(chunk=chunk)

  def test_keeps_the_memory_of_one_item(self):
    xs = jnp.ones((64, 32, 32))

    def loss(args, x):
      for _ in range(4):
        x = jnp.tanh(args @ x)
      return x.sum(), {}

    def temp(mean):
      gradient = jax.jit(jax.grad(lambda args: mean(args)[0]))
      compiled = gradient.lower(jnp.ones((32, 32))).compile()
      return compiled.memory_analysis().temp_size_in_bytes

    def mapped(args):
      losses, _ = parallel.batch_map(partial(loss, args), xs)
      return losses.mean(), {}

    ours = temp(lambda args: parallel.batch_mean(loss, args, xs))
    assert ours < temp(mapped) / 2


class BatchLossesTest(parameterized.TestCase):

  @parameterized.parameters(None, 4)
  def test_value_and_gradient(self, chunk):
    _check_losses(chunk=chunk)


class PiecesTest(parameterized.TestCase):

  @parameterized.parameters((1024, 64), (100, 50), (67, 67), (300, 60))
  def test_rows_divide_the_batch(self, size, rows):
    tree = {"x": jnp.arange(2.0 * size).reshape(size, 2)}
    with jax.default_device(jax.devices("cpu")[0]):
      got = parallel.pieces(lambda piece: jnp.sin(piece["x"]), tree)
    chex.assert_shape(got["x"], (size // rows, rows, 2))
    np.testing.assert_array_equal(got["x"].reshape(size, 2), tree["x"])

  def test_rows_follow_what_is_computed(self):

    def wide(x):  # two values of 1.2 MB a row
      y = jnp.broadcast_to(x[..., None], (*x.shape, 100_000))
      return jax.jit(jnp.sin)(y).sum()

    x = jnp.ones((12, 3))
    with jax.default_device(jax.devices("cpu")[0]):
      assert parallel.cpu_rows(wide, x) == 8
      assert parallel.cpu_rows(jnp.sin, x) == 64
      assert parallel.pieces(wide, x).shape == (2, 6, 3)
      huge = jnp.ones((4, 300))
      assert parallel.pieces(wide, huge).shape == (4, 1, 300)

  def test_rows_follow_the_weights(self):
    weights = jnp.ones((100, 100_000))  # 40 MB

    def f(x):  # 2 MB a row, and the weights once
      return jnp.broadcast_to(x[:, None], (len(x), 499_000)), -weights

    x = jnp.ones(120)
    with jax.default_device(jax.devices("cpu")[0]):
      assert parallel.cpu_rows(f, x) == 10
      assert parallel.cpu_rows(f, x, summed=weights) == 40
      assert parallel.pieces(f, x, summed=weights).shape == (3, 40)

  def test_chunk_size(self):
    f = lambda x: jnp.sin(x @ x)
    xs = jax.ShapeDtypeStruct((7, 16, 16), jnp.float32)
    assert parallel.chunk_size(f, xs, budget=0) == 1
    assert parallel.chunk_size(f, xs, budget=10**9) == 7
    few = parallel.chunk_size(f, xs, budget=4 * 16 * 16 * 4)
    assert 1 < few <= 4


@unittest.skipIf(jax.device_count() < 2, "needs devices; run by DevicesTest")
class ShardedTest(parameterized.TestCase):

  @parameterized.parameters(None, 3)
  def test_map(self, chunk):
    with devices.on_devices():
      _check_map(chunk=chunk)

  def test_mean(self):
    with devices.on_devices():
      _check_mean()

  def test_losses(self):
    with devices.on_devices():
      _check_losses()

  def test_pieces(self):
    with devices.on_devices():
      _check_mean_in_pieces(2)
      _check_mean_of_pieces(2)

  @parameterized.parameters(DEVICES, 3)
  def test_items_are_spread(self, number):
    """The outermost map is shared out, and the same program when asked for."""

    @jax.jit
    def places(xs):
      inner = lambda x: parallel.batch_map(lambda y: y, x * jnp.ones(2))
      return parallel.batch_map(
          lambda x: jax.lax.axis_index("devices") + 0 * inner(x)[0], xs)

    count = devices.jitted(
        lambda xs: parallel.batch_map(lambda x: 2 * x, xs).sum())
    xs = jnp.zeros(2 * number)
    np.testing.assert_array_equal(count(xs), 0)
    with (devices.on_devices(number), devices.watching_shares() as shares):
      assert devices.num_shards() == number
      found = places(xs)
      np.testing.assert_array_equal(count(xs), 0)
    np.testing.assert_array_equal(found, np.arange(2 * number) // 2)
    assert found.is_fully_replicated
    assert shares == {"items": 2 * number}
    assert devices.num_shards() == 1

  def test_a_mesh_gives_its_devices(self):
    mesh = jax.make_mesh((2, 2), ("x", "y"))
    with devices.on_devices(mesh):
      assert devices.num_shards() == 4
    with pytest.raises(ConfigError, match="from 1 to 8, .* got 9"):
      with devices.on_devices(9):
        pass

  def test_tiles_of_a_kernel(self):
    kernel_fn = closed_form.fully_connected(1)
    x1, x2 = jnp.eye(27, 4) + 0.1, jnp.ones((3, 4))

    def gradients(kernel_fn):
      return jax.jit(
          jax.grad(lambda a, b: jnp.sin(kernel_fn(a, b)).sum(),
                   (0, 1)))(x1, x2)

    expected = gradients(kernel_fn)
    with devices.on_devices(), devices.watching_shares() as shares:
      found = gradients(tiles.tiled(kernel_fn, tile=(2, 2)))
    assert shares == {"rows of tiles": 14}
    chex.assert_trees_all_close(found, expected, rtol=1e-5)
    with devices.on_devices(), devices.watching_shares() as shares:
      found = gradients(tiles.tiled(kernel_fn))
    assert shares == {"rows of tiles": 7}  # each of four rows
    chex.assert_trees_all_close(found, expected, rtol=1e-5)

  def test_a_run_is_resumed(self):
    """On as many devices, on others, and on one."""
    x = np.random.default_rng(4).normal(size=(30, 6)).astype(np.float32)
    source = dd.from_arrays(x, np.arange(30) % 3, test_fraction=0.2)
    method = dd.methods.dm(num_steps=4, batch_size=4, recipe=None)
    folder = self.enter_context(tempfile.TemporaryDirectory())

    def run(**options):
      return dd.Run(
          folder,
          source,
          method,
          TINY,
          per_class=1,
          log_every=1,
          figures=False,
          evaluation=dict(num_networks=1, num_sets=1, baselines=""),
          **options)

    for number in (3, 3, 1):
      with devices.on_devices(number), pytest.raises(Interrupted):
        run(time_limit=1e-9).go()
    with devices.on_devices(3):
      run().go()
    losses = [line["loss"] for line in MetricsLog.read(Path(folder))]
    assert len(losses) == 4
    made = dd.condense(source, method, TINY, per_class=1, key=jax.random.key(0))
    np.testing.assert_allclose(
        run().artifact.inputs, made.inputs, rtol=1e-5, atol=1e-6)

  def test_a_set_is_the_same(self):
    x = np.random.default_rng(4).normal(size=(30, 6)).astype(np.float32)
    source = dd.from_arrays(x, np.arange(30) % 3)
    method = dd.methods.dm(num_steps=3, batch_size=4, recipe=None)

    def made(**options):
      found = dd.condense(source, method, TINY, per_class=1, **options)
      return np.asarray(found.inputs)

    with devices.watching_shares() as shares:
      found = made(mesh=jax.make_mesh((DEVICES,), ("x",)))
    np.testing.assert_allclose(found, made(), rtol=1e-5, atol=1e-6)
    assert shares["classes"] == 3


@unittest.skipIf(jax.device_count() > 1, "is itself the inner run")
class DevicesTest(parameterized.TestCase):

  def test_sharded_over_simulated_devices(self):
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-k", "ShardedTest", __file__],
        env={
            **os.environ, "XLA_FLAGS": flags,
            "JAX_PLATFORMS": "cpu"
        },
        capture_output=True,
        text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(" PASSED") == 11, run.stdout


class MeanInPiecesTest(parameterized.TestCase):

  @parameterized.parameters(1, 2, 3)
  def test_equals_the_whole_whatever_is_side_by_side(self, cores):
    _check_mean_in_pieces(cores)

  @parameterized.parameters(1, 2, 3)
  def test_pieces_computed_again_equal_the_whole_twice(self, cores):
    _check_mean_of_pieces(cores)
