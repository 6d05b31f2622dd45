"""The devices over which independent work is shared out.

`on_devices` says which; `parallel.batch_map` shares its items out over them.
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
  """Context in which independent work is shared out over devices.

  It holds for this thread, and for programs that are traced in it: a function
  that was jitted and called before is not shared out.

  Args:
    devices: "all"; how many, the first ones of all processes; a `jax` mesh,
      whose devices are taken in their order; or None, which changes nothing.

  Raises:
    ConfigError: a number that is no device count of this machine, or a mesh of
      one device that is not the first.

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
  """Context in which nothing is shared out, within one of `on_devices`."""
  token = _mesh.set(None)
  try:
    yield
  finally:
    _mesh.reset(token)


def num_shards() -> int:
  """Devices over which a `batch_map` that is traced now shares its items."""
  mesh = _mesh.get()
  axes = jax.sharding.get_abstract_mesh().axis_types
  return 1 if mesh is None or AxisType.Manual in axes else mesh.size


def jitted(f: Callable, *, static_argnames: str | tuple[str, ...] = ()):
  """`jax.jit`, with a program for each set of devices.

  For functions that outlive a context of `on_devices`. All devices get all
  results.
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
  """Collects what is shared out by programs that are traced in this context.

  Yields:
    Numbers of items by what they are, filled as programs are traced.
  """
  shares: dict[str, int] = {}
  token = _found.set(shares)
  try:
    yield shares
  finally:
    _found.reset(token)
    for items, size in shares.items():  # for those who watch from further out
      shared_out(items, size)


def shared_out(items: str, size: int) -> None:
  """Tells `watching_shares` of items that a program shares out."""
  if (shares := _found.get()) is not None:
    shares[items] = max(size, shares.get(items, 0))


def line(shares: Mapping[str, int]) -> str:
  """What a program shares out over the devices at hand, in a sentence."""
  if not shares:
    return (
        f"{num_shards()} devices: a step of this method has nothing "
        "independent, so each does the same")
  what = ", ".join(f"{size:,} {items}" for items, size in shares.items())
  return f"{num_shards()} devices share {what}"


def sharded(f: Callable) -> Callable:
  """`f` of arrays, each device with its share of their rows.

  Args:
    f: of a pytree of arrays whose leading axes are multiples of `num_shards`,
      which must be more than one; it returns such a pytree.
  """
  spec = PartitionSpec(_AXIS)
  return jax.shard_map(
      f, mesh=_mesh.get(), in_specs=spec, out_specs=spec, check_vma=False)


def everywhere(tree: PyTree) -> PyTree:
  """The same arrays, whole on each of the devices at hand."""
  mesh: Any = _mesh.get()
  return jax.lax.with_sharding_constraint(tree, _replicated(mesh))


def _replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def _mesh_of(wanted: int | str | Mesh) -> Mesh | None:
  """The devices along one axis; None for the first one alone."""
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
