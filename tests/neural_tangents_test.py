"""The adapter of neural-tangents: its import, and its kernels.

What needs the package is skipped without it; a stand-in package shows what the
import supplies and takes back.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized
from goldens import make_kernels
from jax.interpreters import ad

from distill_jax.kernels.neural_tangents import (
    from_stax,
    import_neural_tangents,
)

STAND_IN = """
from jax.core import Jaxpr, JaxprEqn, Literal, Primitive, Var
from jax.interpreters.ad import zeros_like_p
from jax.util import safe_map, safe_zip
from . import experimental
assert safe_map(lambda a, b: a + b, (1, 2), (3, 4)) == [4, 6]
assert safe_zip((1, 2), (3, 4)) == [(1, 3), (2, 4)]
"""
IN_A_NEW_PROCESS = """
import json, sys
import jax, jax.core, jax.interpreters.ad
from distill_jax.kernels.neural_tangents import import_neural_tangents
names = lambda: [sorted(vars(m)) for m in (jax.core, jax.interpreters.ad)]
before = names()
nt = import_neural_tangents()
after = names()
import neural_tangents
print(json.dumps({
    "same": neural_tangents is nt is import_neural_tangents(),
    "left_behind": before != after or hasattr(jax, "util"),
    "experimental": hasattr(nt, "experimental"),
    "modules": list(sys.modules),
}))
"""
MISSING = importlib.util.find_spec("neural_tangents") is None
needs_package = absltest.skipIf(MISSING, "neural_tangents is not installed")


def _goldens():
  with np.load(make_kernels.FILE) as archive:
    return dict(archive)


def _names():
  """What an import could leave behind."""
  return [set(vars(m)) for m in (jax, jax.core, ad)], set(sys.modules)


class ImportTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enter_context(tempfile.TemporaryDirectory()))
    self.enter_context(mock.patch.dict(sys.modules))
    for name in list(sys.modules):
      if name.partition(".")[0] == "neural_tangents":
        del sys.modules[name]

  def _package(self, text):
    package = self.folder / "neural_tangents"
    package.mkdir()
    (package / "__init__.py").write_text(text)
    self.enter_context(
        mock.patch.object(sys, "path", [str(self.folder), *sys.path]))

  def test_absent(self):
    sys.modules["neural_tangents"] = None  # Python's mark for "not there"
    before = _names()
    with pytest.raises(ImportError, match="distill_jax.kernels") as error:
      import_neural_tangents()
    assert "\n" not in str(error.value)
    assert _names() == before

  def test_what_is_supplied_is_taken_back(self):
    self._package(STAND_IN)
    names, modules = _names()
    module = import_neural_tangents()
    assert module.__file__.startswith(str(self.folder))
    assert not hasattr(module, "experimental")
    assert _names() == (names, modules | {"neural_tangents"})

  def test_also_when_the_import_fails(self):
    self._package(f"{STAND_IN}\nimport no_such_module")
    before = _names()
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
      import_neural_tangents()
    assert _names() == before

  def test_what_was_there_stays(self):
    self._package(STAND_IN)
    own = object()
    with mock.patch.object(ad, "zeros_like_p", own, create=True):
      module = import_neural_tangents()
      assert module.zeros_like_p is ad.zeros_like_p is own

  @needs_package
  def test_leaves_jax_alone_and_tensorflow_out(self):
    run = subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS],
                         capture_output=True,
                         text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    modules = set(found.pop("modules"))
    assert found == {"same": True, "left_behind": False, "experimental": False}
    assert not modules & {
        "jax.util", "neural_tangents.experimental", "tensorflow", "tf2jax"
    }


class ArgumentsTest(parameterized.TestCase):

  @parameterized.parameters(({
      "get": "cntk"
  }, "nngp, ntk; got 'cntk'"), ({
      "batch_size": -1
  }, "at least 0; got -1"), ({
      "num_devices": 0,
      "batch_size": 1
  }, "got 0"), ({
      "num_devices": 2
  }, "without a `batch_size`; got 2"))
  def test_refused(self, settings, message):
    with pytest.raises(ValueError, match=message):
      from_stax(lambda x1, x2, get: None, **settings)

  def test_needs_the_kernel_function(self):
    with pytest.raises(ValueError, match="got a tuple. It is the last"):
      from_stax((None, None, lambda x1, x2, get: None))

  def test_needs_a_matrix(self):
    kernel = from_stax(lambda x1, x2, get: jnp.zeros((3, 2, 4, 4)))
    with pytest.raises(ValueError, match=r"got shape \(3, 2, 4, 4\)"):
      kernel(jnp.zeros((3, 8)), jnp.zeros((2, 8)))

  def test_passes_its_choice_on(self):
    chosen = from_stax(
        lambda x1, x2, get: jnp.full((3, 2), {
            "nngp": 1,
            "ntk": 2
        }[get]),
        get="nngp")
    values = chosen(jnp.zeros((3, 8)), jnp.zeros((2, 8)))
    np.testing.assert_array_equal(values, np.ones((3, 2)))


@needs_package
class KernelsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))
    self.nt = import_neural_tangents()
    self.goldens = _goldens()
    self.x1, self.x2 = self.goldens["x1"], self.goldens["x2"]

  def _stax(self, name):
    return make_kernels.networks(self.nt.stax)[name][2]

  @parameterized.product(name=make_kernels.NAMES, kind=make_kernels.KINDS)
  def test_stored_values(self, name, kind):
    values = from_stax(self._stax(name), get=kind)(self.x1, self.x2)
    assert values.dtype == jnp.float64
    np.testing.assert_allclose(
        values, self.goldens[f"{name}/{kind}/cross"], rtol=1e-10)

  @parameterized.parameters(*make_kernels.KINDS)
  def test_stored_values_of_one_batch(self, kind):
    values = from_stax(self._stax("fc3"), get=kind)(self.x1, self.x1)
    expected = self.goldens[f"fc3/{kind}/own"]
    # A sample's angle with itself is the root of a rounding error.
    np.testing.assert_allclose(values, expected, rtol=1e-7)
    off = ~np.eye(len(expected), dtype=bool)
    np.testing.assert_allclose(values[off], expected[off], rtol=1e-10)

  @parameterized.parameters(("fc3", 0), ("conv1", 2))
  def test_stored_gradients(self, name, batch_size):
    kernel = from_stax(self._stax(name), batch_size=batch_size)

    @jax.jit
    @jax.grad
    def gradient(x):
      return (kernel(x, self.x2) * self.goldens["cotangent"]).sum()

    expected = self.goldens[f"{name}/ntk/gradient"]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(
        gradient(self.x1),
        expected,
        rtol=0,
        atol=1e-10 * np.abs(expected).max())

  @parameterized.parameters(2, 50)
  def test_tiles_change_nothing(self, batch_size):
    kernel_fn = self._stax("fc1")
    x1 = np.concatenate([self.x1, self.x1[:, ::-1], self.x2[:, ::-1]])  # 8
    x2 = np.concatenate([self.x2, self.x2[:, :, ::-1], -self.x2[:1]])  # 5
    seen = []

    def counting(a, b, get):
      seen.append((len(a), len(b)))
      return kernel_fn(a, b, get)

    tiled = from_stax(counting, batch_size=batch_size)(x1, x2)
    whole = from_stax(kernel_fn)(x1, x2)
    np.testing.assert_allclose(tiled, whole, rtol=1e-12)
    assert set(seen) == {(min(batch_size, 5),) * 2}

  def test_tiles_in_host_memory(self):
    kernel = from_stax(self._stax("fc1"), batch_size=2, store_on_device=False)
    values = kernel(self.x1, self.x2)
    assert values.devices() == {jax.devices("cpu")[0]}
    np.testing.assert_allclose(
        values, self.goldens["fc1/ntk/cross"], rtol=1e-10)

  def test_keeps_the_dtype(self):
    x1, x2 = self.x1.astype(np.float32), self.x2.astype(np.float32)
    assert from_stax(self._stax("fc1"))(x1, x2).dtype == jnp.float32

  @parameterized.parameters("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS")
  def test_empirical(self, name):
    init, apply, _ = make_kernels.networks(self.nt.stax)["conv1"]
    _, variables = init(jax.random.key(0), (1, *make_kernels.SHAPE))
    kernel_fn = self.nt.empirical_ntk_fn(
        apply,
        trace_axes=(-1,),
        implementation=getattr(self.nt.NtkImplementation, name))
    values = kernel_fn(jnp.asarray(self.x1), jnp.asarray(self.x2), variables)

    def of_one(x):
      return jax.flatten_util.ravel_pytree(
          jax.grad(lambda v: apply(v, x[None])[0, 0])(variables))[0]

    rows = [jnp.stack([of_one(x) for x in xs]) for xs in (self.x1, self.x2)]
    np.testing.assert_allclose(values, rows[0] @ rows[1].T, rtol=1e-5)


if __name__ == "__main__":
  absltest.main()
