"""A pool of networks that age as the set is distilled.

Zhou, Nezhadarya & Ba, "Dataset Distillation using Neural Feature Regression",
2022, arXiv 2206.00719, as a remedy for overfitting to one network or to ones
of one age: P networks, each with an optimizer of its own, of which every outer
step draws one, uses it as a constant, and then trains it a little on the set as
it has become. A network that is old enough is replaced by a fresh one. RCIG
(arXiv 2302.06755) trains its own a random number of steps.

Training opens the next draw here, on the set as the update left it: the
published order shifted by one call. Ages start staggered, so that not all
networks are replaced at once; none is trained to its first age.
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
  """Attributes:
    variables: of the members, each leaf [P, ...].
    optimizer: states of their optimizers, each leaf [P, ...].
    ages: [P] int32, steps that a member was trained; at first i (max_age // P).
    last: [] int32, the member that was drawn last; -1 before the first draw.
  """

  variables: PyTree
  optimizer: PyTree
  ages: Array
  last: Array


class Pool(NamedTuple):
  """Attributes:
    init: `(key, samples) -> PoolState`.
    draw: `(key, state, samples) -> variables, PoolState`; trains the member
      that was drawn last on the samples, then draws one, uniformly. Neither
      carries a gradient.
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
    network: of every member; trained in train mode.
    size: P, at least 1.
    max_age: steps beyond which a member is replaced, at least 0. FRePo's 100 is
      101 here, because its code looks at the age before the step that a network
      then does not make; RCIG's, which replaces at 100, is 99.
    optimizer: of each member; its step size included.
    loss: `(outputs [B, K], labels [B, K]) -> scalar`, a mean over rows.
    batch_size: B, samples of a step, all different; at most M are used.
    num_steps: fewest and most steps after a draw; their number is uniform.

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
    """The pool after training, or replacing, the member drawn last."""
    k_count, k_train, k_fresh = jax.random.split(key, 3)
    last = jnp.maximum(state.last, 0)
    stacked = (state.variables, state.optimizer)
    # A number that is known makes a loop that the compiler can unroll.
    count = fewest if fewest == most else jax.random.randint(
        k_count, (), fewest, most + 1, jnp.int32)
    age = state.ages[last] + count
    old, none = age > max_age, state.last < 0
    # Of one member, so that the others are neither computed nor copied. One
    # that is replaced is not trained before.
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
