"""Bytes of sets that do not exist yet are those of the sets that are made."""

import numpy as np
import pytest

import distill_jax as dd
from distill_jax.errors import ConfigError
from distill_jax.parameterization.sizes import rows_within, stored_bytes

SHAPE, CLASSES = (8, 8, 1), 3
SOURCE = dd.from_arrays(
    np.random.default_rng(0).uniform(size=(60, *SHAPE)),
    np.arange(60) % CLASSES)


@pytest.mark.parametrize(
    "inner, bits", [(dict(name="pixels"), 32),
                    (dict(name="linear_bases", num_bases=3, reduction=2), 4),
                    (dict(name="frequency", keep=5, per_row=2), 4),
                    (dict(name="field", width=3, fit_steps=1), 32)])
def test_sizes_are_those_of_sets(inner, bits):
  spec = inner if bits == 32 else dict(name="quantised", bits=bits, inner=inner)
  made = dd.condense(
      SOURCE,
      dd.methods.dm(num_steps=1, batch_size=2, parameterization=spec),
      dd.mlp(CLASSES, widths=(1,)),
      per_class=2)
  assert made.storage_bytes["total"] == stored_bytes(
      spec, 2 * CLASSES, shape=SHAPE, num_classes=CLASSES)


def test_the_most_rows_that_fit():
  """Two classes have one output, so a row takes 4 (64 + 1) bytes."""
  for size, most in ((260, 1), (519, 1), (520, 2), (260 * 13 + 259, 13)):
    assert rows_within(
        dict(name="pixels"), size, shape=SHAPE, num_classes=2) == most
  with pytest.raises(ConfigError, match="at least 260 for pixels; got 259"):
    rows_within(dict(name="pixels"), 259, shape=SHAPE, num_classes=2)
