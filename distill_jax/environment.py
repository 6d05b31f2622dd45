"""Where a computation runs and what a result was made with."""

import importlib.metadata
import os
import platform as system
from pathlib import Path
from typing import Any

import jax

from distill_jax.devices import num_shards

_CONTAINER = Path("/sys/fs/cgroup")
_PACKAGES = ("distill_jax", "jax", "jaxlib", "flax", "optax", "numpy")


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that decide a result."""
  found = {"python": system.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
      found[package] = "unknown"
  return found


def device() -> str:
  """The devices that are used, for people."""
  kind, used = jax.devices()[0].device_kind, num_shards()
  if jax.default_backend() == "cpu":
    cores = num_cores()
    shared = f", {used} devices" * (used > 1)
    return f"cpu, {cores} core{'s' * (cores > 1)}, {system.machine()}{shared}"
  return f"{used} x {kind}"


def num_cores() -> int:
  """Processor cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def free_memory() -> int | None:
  """Bytes that programs may still take, of a device or of the host.

  Of the first accelerator; on a CPU what Linux calls available, and what a
  container is allowed. None if unknown.
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
  """A number of bytes for people."""
  mebibytes = number / 2**20
  if mebibytes < 1000:
    return f"{mebibytes:.1f} MiB"
  return f"{mebibytes / 1024:.1f} GiB"


def platform() -> str:
  """The platform a computation traced now will run on: 'cpu', 'gpu', ..."""
  config: Any = jax.config  # has settings as attributes
  device = config.jax_default_device
  if device is None:
    return jax.default_backend()
  return device if isinstance(device, str) else device.platform
