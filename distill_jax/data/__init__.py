"""Real data: reading it, holding it, and drawing batches from it."""

from distill_jax.data.embedded import digits
from distill_jax.data.making import from_arrays, from_host
from distill_jax.data.readers import read, texts
from distill_jax.data.sampling import check_per_class, mixed, per_class
from distill_jax.data.source import Source, Split

__all__ = [
    "Source", "Split", "check_per_class", "digits", "from_arrays", "from_host",
    "mixed", "per_class", "read", "texts"
]
