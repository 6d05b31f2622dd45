"""The devices among which independent work is divided.

`on_devices` chooses them; `parallel.batch_map` divides its items among them.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from distill_jax.errors import ConfigError
from distill_jax.types import PyTree

_AXIS = "devices"
_mesh: ContextVar[Mesh | None] = ContextVar("mesh", default=None)
_found: ContextVar[dict[str, int] | None] = ContextVar("shares", default=None)


@contextlib.contextmanager
def on_devices(devices: int | str | Mesh | None = "all") -> Iterator[None]:
  """A context in which independent work is divided among devices.

  It applies to this thread, and to programs that are traced in it. A function
  that was jitted and called before is not divided.

  Args:
    devices: "all"; a number, for the first devices of all processes; a `jax`
      mesh, whose devices are used in their order; or None, which changes
      nothing.

  Raises:
    ConfigError: the number is not a possible device count of this machine, or a
      mesh has one device which is not the first.

  Example:
    with devices.on_devices():
      values = dd.batch_map(jnp.sin, jnp.arange(3.0))
  """
  token = _mesh.set(_mesh.get() if devices is None else _mesh_of(devices))
  try:
    yield
  finally:
    _mesh.reset(token)


@contextlib.contextmanager
def unshared() -> Iterator[None]:
  """A context, within `on_devices`, in which nothing is divided."""
  token = _mesh.set(None)
  try:
    yield
  finally:
    _mesh.reset(token)


def num_shards() -> int:
  """Number of devices among which a `batch_map` traced now is divided."""
  mesh = _mesh.get()
  axes = jax.sharding.get_abstract_mesh().axis_types
  return 1 if mesh is None or AxisType.Manual in axes else mesh.size


def jitted(f: Callable, *, static_argnames: str | tuple[str, ...] = ()):
  """`jax.jit` that compiles one program for each set of devices.

  It is for functions that outlive a context of `on_devices`. All devices get
  all results.
  """

  @cache
  def program(mesh):
    out: dict[str, Any] = {}
    if mesh is not None:
      out["out_shardings"] = _replicated(mesh)
    return jax.jit(f, static_argnames=static_argnames, **out)

  def run(*args, **options):
    return program(_mesh.get())(*args, **options)

  same: Any = wraps(f)(run)
  same.lower = lambda *args, **options: program(_mesh.get()).lower(
      *args, **options)
  return same


@contextlib.contextmanager
def watching_shares() -> Iterator[dict[str, int]]:
  """Collects what programs traced in this context divide among devices.

  Yields:
    A dict of numbers of items by what they are; it is filled while programs are
    traced.
  """
  shares: dict[str, int] = {}
  token = _found.set(shares)
  try:
    yield shares
  finally:
    _found.reset(token)
    for items, size in shares.items():  # also reports to an outer context
      shared_out(items, size)


def shared_out(items: str, size: int) -> None:
  """Reports items that a program divides to `watching_shares`."""
  if (shares := _found.get()) is not None:
    shares[items] = max(size, shares.get(items, 0))


def line(shares: Mapping[str, int]) -> str:
  """A sentence on what a program divides among the current devices."""
  if not shares:
    return (
        f"{num_shards()} devices: a step of this method has nothing "
        "independent, so each does the same")
  what = ", ".join(f"{size:,} {items}" for items, size in shares.items())
  return f"{num_shards()} devices share {what}"


def sharded(f: Callable) -> Callable:
  """Applies `f` to arrays with each device computing its share of the rows.

  Args:
    f: function of a pytree of arrays, returning such a pytree. Their leading
      axes are multiples of `num_shards`, which must be more than one.
  """
  spec = PartitionSpec(_AXIS)
  return jax.shard_map(
      f, mesh=_mesh.get(), in_specs=spec, out_specs=spec, check_vma=False)


def everywhere(tree: PyTree) -> PyTree:
  """The same arrays, complete on each of the current devices."""
  mesh: Any = _mesh.get()
  return jax.lax.with_sharding_constraint(tree, _replicated(mesh))


def _replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def _mesh_of(wanted: int | str | Mesh) -> Mesh | None:
  """The devices as a mesh with one axis; None for the first device only."""
  known = np.array(jax.devices())
  if isinstance(wanted, Mesh):
    chosen = wanted.devices.reshape(-1)
    if len(chosen) == 1 and chosen[0] != known[0]:
      raise ConfigError(
          f"`devices` must be several, or the first one; got {chosen[0]}. Hide "
          "the others from this process.")
  else:
    number = len(known) if wanted == "all" else wanted
    if not isinstance(number, int) or not 1 <= number <= len(known):
      raise ConfigError(
          f"`devices` must be all or a number from 1 to {len(known)}, which is "
          f"what JAX finds here; got {wanted}.")
    chosen = known[:number]
  return Mesh(chosen, (_AXIS,)) if len(chosen) > 1 else None
