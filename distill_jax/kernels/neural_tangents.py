"""Kernels of any network that neural-tangents can describe.

Neural Tangents (Novak et al., "Neural Tangents: Fast and Easy Infinite Neural
Networks in Python", 2019, arXiv 1912.02803) composes the kernels of infinitely
wide networks from layers. Its last release, 0.6.5, imports names that JAX has
since moved, and TensorFlow for an experimental part. `import_neural_tangents`
supplies these names during the import, and does not need TensorFlow. Afterwards
`import neural_tangents` works anywhere in the process:

    nt = import_neural_tangents()
    _, _, kernel_fn = nt.stax.serial(
        nt.stax.Flatten(), nt.stax.Dense(512), nt.stax.Erf(), nt.stax.Dense(1)
    )
    kernel = from_stax(kernel_fn)

Limits of the package on current JAX:

- It computes in float64 if JAX has that switched on, whatever the inputs.
- Kernels of convolutions with pooling can then crash the compiler of jaxlib
  0.10.2 under `jit` on a CPU (not that of 0.12). In float32, or without `jit`,
  they work; those of `distill_jax.kernels.closed_form` always do.
- `empirical_ntk_fn`, for finite networks, has the implementations
  `JACOBIAN_CONTRACTION` and `NTK_VECTOR_PRODUCTS`; `AUTO` and
  `STRUCTURED_DERIVATIVES` fail.
"""

# Modules are patched for an import, with names that they do not declare.
# pyright: reportAttributeAccessIssue=false

import contextlib
import sys
import types
from collections.abc import Callable, Iterator

import jax
import jax.extend.core
import jax.numpy as jnp
from jax.interpreters import ad

from distill_jax.kernels.closed_form import Kernel
from distill_jax.types import Array

_KINDS = ("nngp", "ntk")
_EXPERIMENTAL = "neural_tangents.experimental"


def import_neural_tangents() -> types.ModuleType:
  """Imports `neural_tangents` on a JAX that is newer than the package.

  JAX is unchanged afterwards, whether or not the import succeeds.

  Returns:
    The module without its part `experimental`, which needs TensorFlow.

  Raises:
    ImportError: the package is not installed.
  """
  with _names_of_older_jax() as stand_in:
    try:
      import neural_tangents
    except ModuleNotFoundError as error:
      if error.name != "neural_tangents":
        raise
      raise ImportError(
          "neural_tangents must be installed for its kernels; it is not. "
          "Install it: pip install 'distill_jax[kernels]'.") from error
  if vars(neural_tangents).get("experimental") is stand_in:
    del neural_tangents.experimental
  return neural_tangents


def from_stax(
    kernel_fn: Callable,
    *,
    get: str = "ntk",
    batch_size: int = 0,
    num_devices: int = 1,
    store_on_device: bool = True) -> Kernel:
  """Makes a plain kernel function of the kernel of a stax network.

  With a batch size it is computed tile by tile, by `neural_tangents.batch`.
  This is for large matrices outside of `jit`; within `jit` it would compile
  every tile. To differentiate in bounded memory, use `tiled` on the kernel
  without a batch size.

  Args:
    kernel_fn: the last of the three functions of a stax network that ends in
      [n, outputs]: `Flatten` or `GlobalAvgPool` before its last `Dense`.
    get: "ntk" or "nngp".
    batch_size: side of a tile in samples; 0 for the whole matrix at once. It
      need not divide the number of samples.
    num_devices: number of tiles computed at once, one per device; more than 1
      needs a `batch_size`.
    store_on_device: whether tiles stay on the device that computed them;
      otherwise they go to host memory.

  Returns:
    `kernel(x1, x2) -> [n1, n2]` of inputs [n, H, W, C] or [n, D].
  """
  if not callable(kernel_fn):
    raise ValueError(
        "`kernel_fn` must be a function; got a "
        f"{type(kernel_fn).__name__}. It is the last of the three that stax "
        "gives.")
  if get not in _KINDS:
    raise ValueError(f"`get` must be one of {', '.join(_KINDS)}; got {get!r}.")
  if batch_size < 0:
    raise ValueError(f"`batch_size` must be at least 0; got {batch_size}.")
  if num_devices < 1 or num_devices > 1 and not batch_size:
    raise ValueError(
        "`num_devices` must be at least 1, and 1 without a `batch_size`; got "
        f"{num_devices}.")

  def whole(x1: Array, x2: Array) -> Array:
    values = kernel_fn(x1, x2, get=get)
    if values.shape != (len(x1), len(x2)):
      raise ValueError(
          "`kernel_fn` must give [n1, n2]; got shape "
          f"{values.shape} for {len(x1)} and {len(x2)} inputs. End the network "
          "with Flatten or GlobalAvgPool, and Dense.")
    return values.astype(jnp.result_type(x1, x2))

  if not batch_size:
    return whole
  batch = import_neural_tangents().batch

  def tiled(x1: Array, x2: Array) -> Array:
    # `batch` needs square tiles that divide both sides. Without padding it uses
    # the sides' common divisor, which may be 1.
    size = min(batch_size, len(x1), len(x2))
    devices = num_devices if num_devices > 1 else 0
    values = batch(
        whole, size, devices,
        store_on_device)(*(_padded(x, size * num_devices) for x in (x1, x2)))
    return values[:len(x1), :len(x2)]

  return tiled


def _padded(x: Array, multiple: int) -> Array:
  """Repeats the last sample until the number of samples is a multiple."""
  size = -(-len(x) // multiple) * multiple
  return jnp.asarray(x)[jnp.minimum(jnp.arange(size), len(x) - 1)]


@contextlib.contextmanager
def _names_of_older_jax() -> Iterator[types.ModuleType]:
  """Restores, for a while, the names that neural-tangents 0.6.5 imports.

  Yields:
    The empty module that replaces its experimental part.
  """
  names = [(jax.core, name, getattr(jax.extend.core, name))
           for name in ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")]
  # Used only as the key of an implementation that fails on current JAX anyway.
  zeros_like_p = jax.extend.core.Primitive("zeros_like")
  names.append((ad, "zeros_like_p", zeros_like_p))
  util = types.ModuleType("jax.util")
  util.safe_map, util.safe_zip = _safe_map, _safe_zip
  stand_in = types.ModuleType(_EXPERIMENTAL)
  with contextlib.ExitStack() as undo:
    for owner, name, value in names:
      if not hasattr(owner, name):
        setattr(owner, name, value)
        undo.callback(delattr, owner, name)
    for module in (util, stand_in):
      if module.__name__ not in sys.modules:
        sys.modules[module.__name__] = module
        undo.callback(sys.modules.pop, module.__name__, None)
    yield stand_in


def _safe_zip(*sequences) -> list:
  return list(zip(*sequences, strict=True))


def _safe_map(f: Callable, *sequences) -> list:
  return [f(*items) for items in _safe_zip(*sequences)]
