"""Equal programs are compiled once, also where a method builds them anew.

Each call of a maker builds its functions anew, so JAX compiles them again for
every pipeline or client, which takes longer than running them. JAX's cache on
disk recognises equal programs. A search calls every maker once and needs no
cache.
"""

import contextlib
import tempfile
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

_KEEP_ALL = dict(
    jax_persistent_cache_min_compile_time_secs=0.0,
    jax_persistent_cache_min_entry_size_bytes=-1)


@contextlib.contextmanager
def compiled_once():
  """Keeps programs in a folder that is gone afterwards.

  Nothing changes where a cache is in use already, or another is within this.

  Example:
    with compiled_once():
      sets = [maker("dm").make(key, part, 10, None) for part in parts]
  """
  config: Any = jax.config  # has settings as attributes
  if config.jax_compilation_cache_dir:
    yield
    return
  before = {name: getattr(jax.config, name) for name in _KEEP_ALL}
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    try:
      _use(folder, _KEEP_ALL)
      yield
    finally:
      _use(None, before)


def _use(folder, settings) -> None:
  for name, value in settings.items():
    jax.config.update(name, value)
  jax.config.update("jax_compilation_cache_dir", folder)
  compilation_cache.reset_cache()  # else a decision made earlier holds
