"""A pool of networks of different ages that train along with the set.

Zhou, Nezhadarya & Ba, "Dataset Distillation using Neural Feature Regression",
2022, arXiv 2206.00719, use it against overfitting to one network, or to
networks of one age. There are P networks, each with its own optimizer. Every
outer step draws one of them, uses it as a constant, and then trains it a little
on the current set. A network that is old enough is replaced by a fresh one.
RCIG (arXiv 2302.06755) trains its networks for a random number of steps.

Here, a network is trained at the beginning of the next draw, on the updated
set. This is the published order shifted by one call. Ages start at different
values, so that not all networks are replaced at once; the networks are not
trained up to these first ages.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax.inner_loop import training_step
from distill_jax.labels import squared_error
from distill_jax.parallel import batch_map
from distill_jax.types import Array, Loss, Network, PyTree, Samples


class PoolState(NamedTuple):
  """State of a pool.

  Attributes:
    variables: variables of the members, each leaf [P, ...].
    optimizer: states of their optimizers, each leaf [P, ...].
    ages: [P] int32, number of training steps of each member; it starts at i
      (max_age // P).
    last: [] int32, the member that was drawn last; -1 before the first draw.
  """

  variables: PyTree
  optimizer: PyTree
  ages: Array
  last: Array


class Pool(NamedTuple):
  """A pool as pure functions.

  Attributes:
    init: `(key, samples) -> PoolState`.
    draw: `(key, state, samples) -> variables, PoolState`. It trains the member
      that was drawn last on the samples, then draws a member uniformly. No
      gradient goes through either.
  """

  init: Callable[[Array, Samples], PoolState]
  draw: Callable[[Array, PoolState, Samples], tuple[PyTree, PoolState]]


def network_pool(
    network: Network,
    *,
    size: int,
    max_age: int,
    optimizer: optax.GradientTransformation,
    loss: Loss = squared_error,
    batch_size: int = 1000,
    num_steps: tuple[int, int] = (1, 1)) -> Pool:
  """Networks of different ages, trained on the set between draws.

  Args:
    network: the network of every member; it is trained in train mode.
    size: P, at least 1.
    max_age: number of steps after which a member is replaced, at least 0.
      FRePo's 100 is 101 here, because its code checks the age before a step
      that the network then does not make. RCIG, which replaces at 100, is 99.
    optimizer: optimizer of each member, including its step size.
    loss: `(outputs [B, K], labels [B, K]) -> scalar`, a mean over rows.
    batch_size: B, samples per step, all different; at most M are used.
    num_steps: least and largest number of steps after a draw; the number is
      drawn uniformly.

  Returns:
    A `Pool`.
  """
  if size < 1 or max_age < 0 or batch_size < 1:
    raise ValueError(
        "`size` and `batch_size` must be at least 1 and `max_age` at least 0; "
        f"got {size}, {batch_size} and {max_age}.")
  fewest, most = num_steps
  if not 1 <= fewest <= most:
    raise ValueError(
        "`num_steps` must be (fewest, most) with 1 <= fewest <= most; got "
        f"{num_steps}.")

  def fresh(key, samples):
    variables = network.init(key, samples.inputs[:1])
    return variables, optimizer.init(variables["params"])

  def init(key, samples):
    samples = lax.stop_gradient(samples)
    keys = jax.random.split(key, size)
    variables, states = batch_map(
        lambda key: fresh(key, samples), keys, items="members of the pool")
    ages = max_age // size * jnp.arange(size, dtype=jnp.int32)
    return PoolState(variables, states, ages, jnp.full((), -1, jnp.int32))

  def train(key, member, samples, count):

    def step(t, member):
      k_rows, k_step = jax.random.split(jax.random.fold_in(key, t))
      variables, state = member
      inputs, labels = samples.inputs, samples.labels
      if batch_size < len(inputs):
        rows = jax.random.permutation(k_rows, len(inputs))[:batch_size]
        inputs, labels = inputs[rows], labels[rows]
      return training_step(
          k_step,
          network,
          variables,
          state,
          inputs,
          labels,
          optimizer=optimizer,
          loss=loss)[:2]

    return lax.fori_loop(0, count, step, member)

  def advance(key, state: PoolState, samples) -> PoolState:
    """The pool after training or replacing the member that was drawn last."""
    k_count, k_train, k_fresh = jax.random.split(key, 3)
    last = jnp.maximum(state.last, 0)
    stacked = (state.variables, state.optimizer)
    # With a constant number of steps, the compiler can unroll the loop.
    count = fewest if fewest == most else jax.random.randint(
        k_count, (), fewest, most + 1, jnp.int32)
    age = state.ages[last] + count
    old, none = age > max_age, state.last < 0
    # Only one member, so that the others are neither computed nor copied. A
    # member that is replaced is not trained before.
    member = lax.switch(
        jnp.where(none, 0, 1 + old), (
            lambda member: member,
            lambda member: train(k_train, member, samples, count),
            lambda member: fresh(k_fresh, samples)), _member(stacked, last))
    variables, states = jax.tree.map(
        lambda leaf, new: leaf.at[last].set(new), stacked, member)
    age = jnp.where(none, state.ages[last], jnp.where(old, 0, age))
    ages = jnp.asarray(state.ages).at[last].set(age)
    return PoolState(variables, states, ages, state.last)

  def draw(key, state: PoolState, samples: Samples):
    k_advance, k_member = jax.random.split(key)
    state = advance(k_advance, *lax.stop_gradient((state, samples)))
    index = jax.random.randint(k_member, (), 0, size, jnp.int32)
    return _member(state.variables, index), state._replace(last=index)

  return Pool(init, draw)


def _member(stacked: PyTree, index: Array) -> PyTree:
  return jax.tree.map(lambda leaf: leaf[index], stacked)
