"""Closed-form kernels, their tiles, and the ridge solve."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from distill_jax import nn
from distill_jax.kernels import closed_form, regression, tiles
from distill_jax.nn import layers

GOLDENS = dict(np.load(Path(__file__).parent / "goldens" / "kernels.npz"))
KERNELS = {
    "fc1": lambda **k: closed_form.fully_connected(1, **k),
    "fc3": lambda **k: closed_form.fully_connected(3, **k),
    "conv1": lambda **k: closed_form.convolutional(1, **k),
    "conv3": lambda **k: closed_form.convolutional(3, **k),
    "pool3_flatten": lambda **k: closed_form.convolutional_pooled(3, **k),
    "pool3_gap":
        lambda **k: closed_form.convolutional_pooled(3, global_pool=True, **k)
}
BOTH = parameterized.product(name=list(KERNELS), get=["ntk", "nngp"])


def relative(found, wanted):
  return np.abs(found - wanted).max() / np.abs(wanted).max()


class ClosedFormTest(parameterized.TestCase):
  """Goldens: neural-tangents 0.6.5 in float64, see goldens/make_kernels.py."""

  @BOTH
  def test_values_and_gradients_are_those_of_neural_tangents(self, name, get):
    with jax.enable_x64(True):
      kernel_fn = KERNELS[name](get=get)
      x1, x2 = jnp.asarray(GOLDENS["x1"]), jnp.asarray(GOLDENS["x2"])

      @jax.jit
      def both(x):

        def weighted(x):
          cross = kernel_fn(x, x2)
          return (cross * GOLDENS["cotangent"]).sum(), cross

        gradient, cross = jax.grad(weighted, has_aux=True)(x)
        return cross, gradient, kernel_fn(x, x)

      cross, gradient, own = both(x1)
      golden = {
          part: GOLDENS[f"{name}/{get}/{part}"]
          for part in ("cross", "gradient", "own")
      }
      assert relative(cross, golden["cross"]) < 1e-10
      assert relative(gradient, golden["gradient"]) < 1e-10
      # On the diagonal rounding costs neural-tangents half its digits; where it
      # does not (one variance, no angle) both agree there too.
      apart = ~np.eye(len(x1), dtype=bool)
      assert relative(own[apart], golden["own"][apart]) < 1e-10
      assert relative(own, golden["own"]) < (1e-7 if get == "ntk" else 1e-10)

  def test_the_diagonal_by_hand(self):
    with jax.enable_x64(True):
      x = jnp.asarray(GOLDENS["x1"]).reshape(3, -1)
      nngp = 2 * (x**2).mean(1) + 0.01
      ntk = nngp
      for _ in range(3):  # no angle: ReLU halves both
        nngp, ntk = nngp + 0.01, nngp + 0.01 + ntk
      own = closed_form.fully_connected(3)(x, x)
      np.testing.assert_allclose(np.diag(own), ntk, rtol=1e-14)
      one = jnp.ones((1, 5))
      for get, wanted in dict(nngp=2.02, ntk=4.03).items():
        found = closed_form.fully_connected(1, get=get)(one, one)
        np.testing.assert_allclose(found, wanted, rtol=1e-14)

  @parameterized.parameters(
      closed_form.fully_connected(3), closed_form.convolutional(2),
      closed_form.convolutional_pooled(1))
  def test_duplicates_have_finite_gradients(self, kernel_fn):
    x = jnp.asarray(GOLDENS["x1"], jnp.float32)
    x = jnp.concatenate([x, x, jnp.zeros_like(x[:1])])

    def loss(x):
      weights = jnp.arange(49.0).reshape(7, 7)
      return (kernel_fn(x, x) * weights).sum() + kernel_fn(x, x[:2]).sum()

    gradient = jax.jit(jax.grad(loss))(x)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0

  def test_the_diagonal_moves_with_its_variance(self):
    with jax.enable_x64(True):
      x = jnp.asarray(GOLDENS["x1"])
      kernel_fn = closed_form.fully_connected(2)

      def diagonal(t):
        own = x * (1 + t)
        return jnp.diagonal(kernel_fn(own, own)).sum()

      step = 1e-4
      by_hand = (diagonal(step) - diagonal(-step)) / (2 * step)
      np.testing.assert_allclose(jax.grad(diagonal)(0.0), by_hand, rtol=1e-7)

  @parameterized.parameters(
      (lambda: closed_form.fully_connected(-1), "of at least 0; got -1"),
      (lambda: closed_form.fully_connected(1.5), "`depth` must be a whole"),
      (lambda: closed_form.convolutional(0, size=1), "of at least 1; got 0"),
      (lambda: closed_form.convolutional_pooled(1, pool=0), "`pool` must be"), (
          lambda: closed_form.convolutional_pooled(1, before=-1),
          "`before` must be"),
      (lambda: closed_form.convolutional(1, size=2), "`size` must be odd"),
      (lambda: closed_form.fully_connected(1, get="ntkk"), "`get` must be one"),
      (lambda: closed_form.fully_connected(1, weight_std=0), "`weight_std`"), (
          lambda: closed_form.fully_connected(1)
          (jnp.ones((1, 2)), jnp.ones((1, 3))), r"shape; got \(2,\) and"), (
              lambda: closed_form.convolutional(1)
              (jnp.ones((1, 2)), jnp.ones((1, 2))), "must be images"), (
                  lambda: closed_form.convolutional_pooled(3)
                  (jnp.ones((1, 4, 4, 1)), jnp.ones(
                      (1, 4, 4, 1))), "2 divides 3 times"))
  def test_what_is_refused(self, call, message):
    with pytest.raises(ValueError, match=message):
      call()


class MonteCarloTest(parameterized.TestCase):
  """Kernels against our own finite networks with he_normal initialisation."""

  NUM = 300

  def network(self, name, width):
    init = layers.he_normal()
    if name == "fc":
      return nn.mlp(3, widths=(width,) * 2, initialisation=init)
    return nn.convnet(
        3,
        depth=2,
        width=width,
        norm=None,
        initialisation=init,
        pool=None if name == "pooled" else lambda x: x)

  def kernel(self, name, get):
    make = dict(
        conv=closed_form.convolutional,
        fc=closed_form.fully_connected,
        pooled=closed_form.convolutional_pooled)[name]
    return make(2, get=get)

  def estimates(self, name, width):
    """[NUM, 3, 3] each: products of outputs, and of gradients by weights of
    unit variance, whose mean is the NTK.
    """
    network = self.network(name, width)
    x = jax.random.normal(jax.random.key(1), (3, 4, 4, 2))

    def one(key):
      variables = network.init(key, x)
      outputs = network.apply(variables, x)[0]  # [3, 3]
      jacobian = jax.jacrev(
          lambda params: network.apply({"params": params}, x)[0][:, 0])(
              variables["params"])

      def product(path, leaf):
        fan_in = np.prod(leaf.shape[1:-1])
        scale = 0.01 if path[-1].key == "bias" else 2 / fan_in
        flat = leaf.reshape(3, -1)
        return scale * flat @ flat.T

      parts = jax.tree.leaves(
          jax.tree_util.tree_map_with_path(product, jacobian))
      return outputs @ outputs.T / 3, sum(parts)

    keys = jax.random.split(jax.random.key(2), self.NUM)
    return x, jax.jit(lambda keys: jax.lax.map(one, keys))(keys)

  @parameterized.parameters("fc", "conv", "pooled")
  def test_kernels_are_the_mean_of_wide_networks(self, name):
    errors = {}
    for width in (8, 64):
      x, drawn = self.estimates(name, width)
      for get, values in zip(("nngp", "ntk"), drawn, strict=True):
        wanted = self.kernel(name, get)(x, x)
        error = (np.asarray(values).std(0) / np.sqrt(self.NUM)).max()
        off = np.abs(values.mean(0) - wanted).max()
        if get == "nngp" or width == 64:
          assert off < 4 * error, (get, width, off, error)
          assert off < 0.2 * wanted.max()
        # How far a single network is from the limit falls with its width.
        errors[get, width] = np.abs(values - wanted).mean()
    assert errors["ntk", 64] < 0.6 * errors["ntk", 8]


class TilesTest(parameterized.TestCase):

  @parameterized.product(
      kernel_fn=[
          closed_form.fully_connected(1),
          closed_form.convolutional_pooled(1)
      ],
      tile=[(1, 1), (2, 3), (4, 2), None])
  def test_equal_the_whole(self, kernel_fn, tile):
    with jax.enable_x64(True):
      k_first, k_second, k_weights = jax.random.split(jax.random.key(0), 3)
      x1 = jax.random.normal(k_first, (5, 4, 4, 1))
      x2 = jax.random.normal(k_second, (3, 4, 4, 1))
      weights = jax.random.normal(k_weights, (5, 3))

      def loss(kernel_fn, x1, x2):
        return (kernel_fn(x1, x2) * weights).sum() + jnp.square(
            kernel_fn(x2, x2)).sum()

      def both(kernel_fn):
        by = jax.value_and_grad(loss, (1, 2))
        one = jax.grad(loss, 2)
        return jax.jit(
            lambda a, b: (by(kernel_fn, a, b), one(kernel_fn, a, b)))(x1, x2)

      found = both(tiles.tiled(kernel_fn, tile=tile))
      jax.tree.map(
          lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), found,
          both(kernel_fn))

  def test_memory_is_that_of_a_tile(self):

    def temporary(num, tile):
      kernel_fn = tiles.tiled(closed_form.convolutional_pooled(1), tile=tile)
      shapes = [
          jax.ShapeDtypeStruct((n, 8, 8, 1), jnp.float32) for n in (num, 2)
      ]

      def loss(x1, x2):
        return jnp.square(kernel_fn(x1, x2)).sum()

      compiled = jax.jit(jax.grad(loss, 1)).lower(*shapes).compile()
      return compiled.memory_analysis().temp_size_in_bytes

    few, many = (temporary(num, (2, 2)) for num in (4, 64))
    assert many - few < 64 * 8 * 8 * 4 * 2  # the targets themselves
    assert temporary(64, (64, 2)) > 10 * many

  def test_a_tile_is_as_large_as_pairs_ask(self):
    shapes = [
        jax.ShapeDtypeStruct((n, 16, 16, 1), jnp.float32) for n in (5_000, 100)
    ]
    rows, columns = tiles.tile_size(closed_form.convolutional(1), *shapes)
    small = tiles.tile_size(closed_form.convolutional_pooled(1), *shapes)
    assert 1 <= small[0] * small[1] < rows * columns < 500_000
    assert columns <= 100

  def test_what_is_refused(self):
    with pytest.raises(ValueError, match="`tile` must be positive; got"):
      tiles.tiled(closed_form.fully_connected(1), tile=(0, 3))


class SolveTest(parameterized.TestCase):

  def problem(self, size=6, rank=4):
    features = jax.random.normal(jax.random.key(0), (size, rank))
    return features, jax.random.normal(jax.random.key(1), (size, 2))

  def test_values_and_derivatives(self):
    with jax.enable_x64(True):
      features, targets = self.problem()

      def mine(features, targets, ridge=0.1):
        return regression.solve(features @ features.T, targets, ridge=ridge)

      def plain(features, targets, ridge=0.1):
        gram = features @ features.T
        gram += ridge * jnp.trace(gram) / len(gram) * jnp.eye(len(gram))
        return jnp.linalg.inv(gram) @ targets

      def squared(f):
        return lambda *args: jnp.sin(f(*args)).sum()

      def twice(f):
        gradient = jax.grad(squared(f))
        return jax.grad(lambda a, b: jnp.square(gradient(a, b)).sum())

      for make in (lambda f: f, lambda f: jax.grad(squared(f), (0, 1)), twice):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8),
            make(mine)(features, targets),
            make(plain)(features, targets))
      np.testing.assert_allclose(
          *(
              jax.grad(lambda ridge, f=f: squared(f)(features, targets, ridge))(
                  0.1) for f in (mine, plain)),
          rtol=1e-8)

  def test_the_ridge_does_not_depend_on_the_scale(self):
    features, targets = self.problem()
    gram = features @ features.T
    np.testing.assert_allclose(
        regression.predict(9 * gram, 9 * gram, targets, ridge=0.01),
        regression.predict(gram, gram, targets, ridge=0.01),
        atol=1e-4)

  def test_ridges_from_nothing_to_all(self):
    features, targets = self.problem(4, 4)
    gram = features @ features.T
    exact = regression.predict(gram, gram, targets, ridge=1e-7)
    np.testing.assert_allclose(exact, targets, atol=1e-3)
    none = regression.predict(gram, gram, targets, ridge=1e9)
    np.testing.assert_allclose(none, 0, atol=1e-6)

  def test_the_ladder_saves_what_rounding_spoils(self):
    gram = jnp.ones((40, 40)) - 1e-6 * jnp.eye(40)  # indefinite
    targets = jnp.ones((40, 1))
    assert not np.isfinite(jnp.linalg.cholesky(gram)).all()

    @jax.jit
    def solved(gram):
      return jax.value_and_grad(
          lambda gram: regression.solve(gram, targets, ridge=1e-9).sum())(
              gram)

    value, gradient = solved(gram)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(value, 1, rtol=1e-2)

  def test_dtypes(self):
    features, targets = self.problem()
    gram = features @ features.T
    assert regression.solve(gram, targets, ridge=1e-3).dtype == jnp.float32
    with jax.enable_x64(True):
      found = regression.predict(gram, gram, targets, ridge=1e-3)
      assert found.dtype == jnp.float32  # though solved in float64
      wide = np.float64(gram)
      wide += 1e-3 * wide.trace() / 6 * np.eye(6)
      wanted = np.float64(gram) @ np.linalg.solve(wide, np.float64(targets))
      np.testing.assert_allclose(found, wanted, rtol=1e-6)

  def test_what_is_refused(self):
    with pytest.raises(ValueError, match=r"`gram` must be \[n, n\].*\(6, 4\)"):
      regression.solve(*self.problem(), ridge=1.0)


if __name__ == "__main__":
  absltest.main()
