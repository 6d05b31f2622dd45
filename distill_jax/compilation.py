"""Frees compiled programs, because long processes gather too many.

On a CPU, every compiled program takes hundreds of memory mappings. JAX keeps a
program as long as the process lives if its functions were built anew, as they
are for every distilled set. Linux allows 65,530 mappings per process by
default; beyond that, compiling ends with "Cannot allocate memory".
"""

import gc
from pathlib import Path

import jax

_LIMIT = Path("/proc/sys/vm/max_map_count")
_MAPPINGS = Path("/proc/self/maps")
_SHARE = 0.5  # programs are dropped at this share of the limit


def make_room() -> bool:
  """Drops all compiled programs if half of the allowed mappings are in use.

  A program that is used again is compiled again, or read from JAX's cache on
  disk. Nothing happens on systems without such a limit.

  Returns:
    Whether programs were dropped.
  """
  try:
    limit = int(_LIMIT.read_text())
    used = _MAPPINGS.read_bytes().count(b"\n")
  except (OSError, ValueError):
    return False
  if used < _SHARE * limit:
    return False
  jax.clear_caches()
  gc.collect()
  return True
