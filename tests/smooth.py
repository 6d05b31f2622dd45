"""A network of tanh alone, so that finite differences are valid everywhere."""

import flax.linen as nn
import jax.numpy as jnp

from distill_jax.nn import from_linen

CLASSES = 3


class _Smooth(nn.Module):

  @nn.compact
  def __call__(self, x, train=False):
    del train
    hidden = nn.Dense(5, param_dtype=x.dtype)(x.reshape(len(x), -1))
    return nn.Dense(CLASSES, param_dtype=x.dtype)(jnp.tanh(hidden))


NETWORK = from_linen(_Smooth())
