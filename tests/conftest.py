"""Tests compile fast, share a disk cache, and leave no settings behind.

Most of the time goes into compiling, so programs are hardly optimised and are
kept on disk for launchers in other processes and for the next run. A process
that keeps thousands of compiled programs runs out of memory maps and crashes,
so memory is cleared after each module; tests are slower too where it is not.
Python's garbage collector runs less often, since tracing makes many objects
that stay.
"""

import gc
import os

import compiling
import jax
import pytest


def pytest_configure(config):
  settings = {
      "jax_compilation_cache_dir":
          str(config.rootpath / ".pytest_cache" / "jax"),
      "jax_persistent_cache_min_compile_time_secs": 0,
      "jax_persistent_cache_min_entry_size_bytes": -1,
      "jax_disable_most_optimizations": True
  }
  for name, value in settings.items():
    os.environ.setdefault(name.upper(), str(value))  # for child processes
    jax.config.update(name, value)
  gc.set_threshold(20_000, 20, 20)
  flags = f"{compiling.FLAGS} {os.environ.get('XLA_FLAGS', '')}"
  os.environ["XLA_FLAGS"] = flags.strip()  # blanks would be a file's name


@pytest.fixture(autouse=True, scope="module")
def _nothing_compiled():
  yield
  jax.clear_caches()


@pytest.fixture(autouse=True)
def _single_precision():
  """Launchers of kernels switch x64 on for the whole process."""
  yield
  jax.config.update("jax_enable_x64", False)
