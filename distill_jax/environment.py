"""The devices of a computation, and the versions that made a result."""

import importlib.metadata
import os
import platform as system
from pathlib import Path
from typing import Any

import jax

from distill_jax.devices import num_shards
from distill_jax.errors import counted

_CONTAINER = Path("/sys/fs/cgroup")
_PACKAGES = ("distill_jax", "jax", "jaxlib", "flax", "optax", "numpy")


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that results depend on."""
  found = {"python": system.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
      found[package] = "unknown"
  return found


def device() -> str:
  """A description of the devices in use, for people."""
  kind, used = jax.devices()[0].device_kind, num_shards()
  if jax.default_backend() == "cpu":
    cores = num_cores()
    shared = f", {used} devices" * (used > 1)
    return f"cpu, {counted(cores, 'core')}, {system.machine()}{shared}"
  return f"{used} x {kind}"


def num_cores() -> int:
  """Number of processor cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def free_memory() -> int | None:
  """Bytes of memory that programs may still take; None if unknown.

  On an accelerator, the free memory of the first local device. On a CPU, what
  Linux calls available, or what a container allows if that is less.
  """
  if platform() != "cpu":
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
      return None
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
  try:
    lines = Path("/proc/meminfo").read_text().splitlines()
  except OSError:
    return None
  found = [
      1024 * int(line.split()[1])
      for line in lines
      if line.startswith("MemAvail")
  ]
  try:
    limit, used = ((_CONTAINER / name).read_text().strip()
                   for name in ("memory.max", "memory.current"))
    found += [int(limit) - int(used)] * limit.isdigit()
  except OSError:  # none
    pass
  return min(found) if found else None


def in_bytes(number: int) -> str:
  """A number of bytes as text for people."""
  mebibytes = number / 2**20
  if mebibytes < 1000:
    return f"{mebibytes:.1f} MiB"
  return f"{mebibytes / 1024:.1f} GiB"


def platform() -> str:
  """The platform that a computation traced now will run on: 'cpu' or 'gpu'."""
  config: Any = jax.config  # has settings as attributes
  device = config.jax_default_device
  if device is None:
    return jax.default_backend()
  return device if isinstance(device, str) else device.platform
