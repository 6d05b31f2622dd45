"""Every module starts with nothing compiled.

A process that keeps thousands of compiled programs runs out of memory maps, and
the compiler then crashes.
"""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _nothing_compiled():
  yield
  jax.clear_caches()
