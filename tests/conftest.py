"""Every module starts with nothing compiled; programs are kept on disk.

A process that keeps thousands of compiled programs runs out of memory maps, and
the compiler then crashes. From disk, launchers in processes of their own and
the next run of the tests have them at once.
"""

import os

import jax
import pytest


def pytest_configure(config):
  kept = {
    "jax_compilation_cache_dir": str(config.rootpath / ".pytest_cache" / "jax"),
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
  }
  for name, value in kept.items():
    os.environ.setdefault(name.upper(), str(value))  # of what tests launch
    jax.config.update(name, value)


@pytest.fixture(autouse=True, scope="module")
def _nothing_compiled():
  yield
  jax.clear_caches()
