"""Noise for privacy guarantees, by Google's dp-accounting (extra `privacy`)."""

from distill_jax.applications.settings import (
    check_counts,
    check_positive,
    is_number,
)
from distill_jax.errors import ConfigError, shown

NEIGHBOURS = "add or remove one sample"


def check_guarantee(epsilon: float, delta: float) -> None:
  """Raises an error if (epsilon, delta) is not a privacy guarantee.

  Raises:
    ConfigError: epsilon is not positive, or delta is outside (0, 1).
  """
  check_positive(epsilon=epsilon)
  if not is_number(delta) or not 0 < delta < 1:
    raise ConfigError(f"`delta` must be in (0, 1); got {shown(delta)}.")


def noise_scale(
    epsilon: float,
    delta: float,
    sensitivity: float = 1.0,
    *,
    num_releases: int = 1,
    rate: float = 1.0) -> float:
  """Standard deviation of Gaussian noise that gives (epsilon, delta).

  Args:
    epsilon: positive.
    delta: in (0, 1).
    sensitivity: largest change, in Euclidean norm, that one sample can cause.
    num_releases: how often noised sums are released.
    rate: probability that a sample is part of a sum, by Poisson sampling; 1 or
      more if every sum is over all samples.

  Raises:
    ConfigError: dp-accounting is not installed, or a number is out of range.
  """
  check_guarantee(epsilon, delta)
  check_positive(sensitivity=sensitivity, rate=rate)
  check_counts(num_releases=num_releases)
  try:
    from dp_accounting.pld import accountant, common
  except ImportError as error:
    raise ConfigError(
        "`epsilon` must be left out where dp-accounting is not installed. "
        "Install it: pip install 'distill_jax[privacy]'.") from error
  wanted = common.DifferentialPrivacyParameters(epsilon, delta)
  if rate >= 1:  # the closed form, which is exact
    return float(
        accountant.get_smallest_gaussian_noise(
            wanted, num_releases, sensitivity))
  # The noise that is needed grows in proportion to the sensitivity.
  return sensitivity * accountant.get_smallest_subsampled_gaussian_noise(
      wanted, num_releases, sampling_prob=rate)
