"""What a result was made with: versions and device."""

import importlib.metadata
import os
import platform

import jax

_PACKAGES = ("distill_jax", "jax", "jaxlib", "flax", "optax", "numpy")


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that decide a result."""
  found = {"python": platform.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
      found[package] = "unknown"
  return found


def device() -> str:
  """The devices of this process, for people."""
  kind = jax.devices()[0].device_kind
  if jax.default_backend() == "cpu":
    return f"cpu, {os.cpu_count()} cores, {platform.machine()}"
  return f"{jax.device_count()} x {kind}"
