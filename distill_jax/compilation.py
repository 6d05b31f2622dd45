"""Room for compiled programs, of which long processes gather too many.

On a CPU every compiled program takes hundreds of mappings of memory, and JAX
keeps it as long as the process lives where its functions were built anew, as
they are for every distilled set. Linux allows a process 65,530 mappings by
default; one more, and compiling ends with "Cannot allocate memory".
"""

import gc
from pathlib import Path

import jax

_LIMIT = Path("/proc/sys/vm/max_map_count")
_MAPPINGS = Path("/proc/self/maps")
_SHARE = 0.5  # of the limit, from which on programs are dropped


def make_room() -> bool:
  """Drops all compiled programs if half of the mappings are in use.

  What is used again is compiled again, or read from JAX's cache on disk.
  Nothing happens on systems without such a limit.

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
