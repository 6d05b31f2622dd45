"""Whether two programs compute the same gradients, before either is timed."""

import chex
import numpy as np

RTOL = 1e-3


def difference(ours: dict, theirs: dict, *, rtol: float = RTOL) -> float:
  """Largest difference of two gradients, as a share of what it is found in.

  Args:
    ours: arrays by name.
    theirs: those of the other program, of the same shapes; not of all names.
    rtol: what the difference of an array may be, in largest entries of theirs.

  Returns:
    The largest of these shares.

  Raises:
    RuntimeError: one exceeds `rtol`, or is no number.
  """
  shares = {}
  for name, value in theirs.items():
    one, other = np.asarray(ours[name]), np.asarray(value)
    chex.assert_equal_shape((one, other))
    shares[name] = float(np.abs(one - other).max() / np.abs(other).max())
  wrong = {name: share for name, share in shares.items() if not share <= rtol}
  if wrong:
    raise RuntimeError(
        f"`ours` must agree with `theirs` to {rtol}; got differences {wrong}."
    )
  return max(shares.values())
