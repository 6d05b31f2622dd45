"""Whether two programs compute the same gradients, before either is timed."""

import numpy as np

RTOL = 1e-3


def difference(ours, theirs, rtol: float = RTOL) -> float:
  """Largest difference of two gradients, as a share of an array's largest.

  Args:
    ours: arrays.
    theirs: as many, of the other program.
    rtol: what the difference may be.

  Raises:
    RuntimeError: it is more in one of the arrays.
  """
  shares = [
      float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(b).max())
      for a, b in zip(ours, theirs, strict=True)
  ]
  if not max(shares) <= rtol:
    raise RuntimeError(
        f"the gradients must agree to {rtol}; got differences {shares}."
    )
  return max(shares)
