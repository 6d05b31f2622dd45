"""Parameterizations: how a distilled set is stored."""

from distill_jax import specification
from distill_jax.parameterization.field import field
from distill_jax.parameterization.frequency import frequency
from distill_jax.parameterization.hallucinator import hallucinator
from distill_jax.parameterization.latent import latent as latent
from distill_jax.parameterization.linear_bases import linear_bases
from distill_jax.parameterization.multi_formation import multi_formation
from distill_jax.parameterization.pixels import pixels
from distill_jax.parameterization.preconditioned import preconditioned
from distill_jax.parameterization.quantised import quantised
from distill_jax.types import Parameterization

FACTORIES = {
    "field": field,
    "frequency": frequency,
    "hallucinator": hallucinator,
    "linear_bases": linear_bases,
    "multi_formation": multi_formation,
    "pixels": pixels,
    "preconditioned": preconditioned,
    "quantised": quantised
}


def from_spec(spec) -> Parameterization:
  """Makes a parameterization from `{"name": ..., **settings}`.

  Raises:
    ConfigError: an unknown name or setting.
  """
  return specification.build(FACTORIES, "parameterization", spec)
