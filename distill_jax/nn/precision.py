"""Networks that compute in bfloat16.

A bfloat16 has the range of a float32 and 8 bits of its precision, in half the
memory. It is meant for accelerators; on one CPU, a step of distribution
matching at width 128 took 1.2 times as long as in float32. Outputs of the
network are float32 again, so sums over samples, distances and losses keep their
precision. A solver that reads the outputs gains no precision, so methods that
fit a ridge regression to features refuse such networks.
"""

import functools

import jax
import jax.numpy as jnp

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.types import Network, PyTree

DTYPES = {"bfloat16": jnp.bfloat16}


@functools.cache
def computing_in(network: Network, dtype: str) -> Network:
  """Returns the network with weights and activations in another type.

  Its variables are unchanged: weights stay float32, also for the optimizer, and
  so do running statistics. Outputs, features and gradients are float32.

  Args:
    network: the network.
    dtype: one of `DTYPES`.

  Raises:
    ConfigError: an unknown type.

  Example:
    network = computing_in(dd.convnet(10), "bfloat16")
  """
  low = one_of(DTYPES, "dtype", dtype)

  def lowered(function):

    def call(variables, x, *, key=None, train=False):
      params = _cast(variables["params"], low)
      out, updated = function({
          **variables, "params": params
      },
                              _cast(x, low),
                              key=key,
                              train=train)
      kept = jax.tree.map(
          lambda old, new: new.astype(old.dtype), {
              **variables, "params": ()
          }, {
              **updated, "params": ()
          })
      return _cast(out, jnp.float32), {**kept, "params": variables["params"]}

    return call

  spec = network.spec and (*network.spec, ("dtype", dtype))
  return network._replace(
      apply=lowered(network.apply), stages=lowered(network.stages), spec=spec)


def check_full(network: Network, reader: str) -> None:
  """Refuses a network of lower precision if a solver reads its features.

  Raises:
    ConfigError: the message names the method that reads them.
  """
  dtype = dict(network.spec).get("dtype")
  if dtype:
    raise ConfigError(
        "`network` must compute in float32 for the ridge regression of "
        f"{reader}; got dtype {dtype}. Leave it out.")


def _cast(tree: PyTree, dtype) -> PyTree:
  return jax.tree.map(
      lambda leaf: leaf.astype(dtype)
      if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)
