"""Federated averaging, the baseline that sends networks instead of data.

McMahan et al., "Communication-Efficient Learning of Deep Networks from
Decentralized Data", 2016, arXiv 1602.05629, algorithm 1 with every client in
every round:

    w_i <- SGD on client i from w, E epochs;   w <- sum_i n_i / n  w_i
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from distill_jax.applications.settings import check_counts
from distill_jax.data.source import Split
from distill_jax.evaluation import metrics
from distill_jax.evaluation.evaluator import outcome_on
from distill_jax.evaluation.learners import classifier
from distill_jax.inner_loop import training_step
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.parallel import batch_map
from distill_jax.types import Array, Network, PyTree


class Shards(NamedTuple):
  """The rows of all clients, padded to one length L.

  Attributes:
    rows: [clients, L] int32, rows of the training split. Entries beyond a
      client's count repeat its rows.
    counts: [clients] int32, number of rows of each client.
  """

  rows: Array
  counts: Array

  @classmethod
  def of(cls, clients: Sequence[np.ndarray]) -> "Shards":
    """Makes shards of lists of rows; clients without rows are left out."""
    held = [rows for rows in clients if len(rows)]
    longest = max(map(len, held))
    return cls(
        jnp.asarray(np.stack([np.resize(rows, longest) for rows in held])),
        jnp.asarray([len(rows) for rows in held], jnp.int32))


def fedavg(
    key: Array,
    network: Network,
    train: Split,
    test: Split,
    clients: Sequence[np.ndarray],
    *,
    num_rounds: int,
    local_epochs: int = 5,
    step_size: float = 0.01,
    momentum: float = 0.9,
    batch_size: int = 50) -> np.ndarray:
  """Test accuracy after each round of federated averaging.

  Args:
    key: consumed.
    network: the network of the server and of the clients.
    train: the data of all clients.
    test: the server's test data.
    clients: for each client, its rows of `train`.
    num_rounds: number of rounds; every client takes part in each.
    local_epochs: E, passes over a client's data in one round.
    step_size: step size of the clients' SGD.
    momentum: in [0, 1); its state is reset in each round.
    batch_size: batch size of the clients; the last batch of an epoch may be
      smaller.

  Returns:
    Accuracies [num_rounds] float64, in [0, 1].
  """
  check_counts(
      num_rounds=num_rounds, local_epochs=local_epochs, batch_size=batch_size)
  shards = Shards.of(clients)
  k_init, key = jax.random.split(key)
  variables = network.init(k_init, train.encode(train.inputs[:1]))
  one_round = jax.jit(
      partial(
          _round,
          network=network,
          local_epochs=local_epochs,
          optimizer=optax.sgd(step_size, momentum),
          batch_size=min(batch_size, shards.rows.shape[1])))
  tested = jax.jit(
      lambda variables, split: outcome_on(
          classifier(network, variables), split))
  found = []
  for i in range(num_rounds):
    variables = one_round(jax.random.fold_in(key, i), variables, train, shards)
    found.append(metrics.accuracy(tested(variables, test)[0]))
  return np.array(found, np.float64)


def traffic(network: Network, example: Array, num_clients: int) -> int:
  """Bytes of one round: float32 weights sent to every client and back."""
  shapes = jax.eval_shape(network.init, jax.random.key(0), example)
  size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  return 2 * num_clients * size * 4


def _round(
    key, variables: PyTree, train: Split, shards: Shards, *, network,
    local_epochs, optimizer, batch_size) -> PyTree:
  keys = jax.random.split(key, len(shards.counts))

  def client(item):
    key, rows, count = item
    return _trained(
        key,
        variables,
        train,
        rows,
        count,
        network=network,
        num_epochs=local_epochs,
        optimizer=optimizer,
        batch_size=batch_size)

  made = batch_map(client, (keys, *shards), items="clients")
  counts = shards.counts.astype(jnp.float32)  # the same with and without x64
  shares = counts / counts.sum()
  return jax.tree.map(
      lambda leaf: jnp.tensordot(shares, leaf, 1).astype(leaf.dtype), made)


def _trained(
    key, variables, train, rows, count, *, network, num_epochs, optimizer,
    batch_size):
  """A client's network after its epochs; padded rows change nothing."""
  longest = len(rows)
  starts = jnp.arange(-(-longest // batch_size)) * batch_size

  def step(carry, start, key, order):
    variables, state = carry
    places = start + jnp.arange(batch_size)
    own = (places < count).astype(jnp.float32)
    chosen = rows[order[jnp.minimum(places, longest - 1)]]
    x = train.encode(train.inputs[chosen])
    y = label_rows(train.labels[chosen], train.num_classes)
    weights = own * batch_size / jnp.maximum(own.sum(), 1.0)
    new = training_step(
        key,
        network,
        variables,
        state,
        x,
        jnp.concatenate([y, weights[:, None]], 1),
        optimizer=optimizer,
        loss=_weighted)[:2]
    return jax.tree.map(
        partial(jnp.where, start < count), new, (variables, state))

  def epoch(carry, key):
    k_order, k_steps = jax.random.split(key)
    # float32, so that the order is the same with and without x64.
    scores = jax.random.uniform(k_order, (longest,), jnp.float32)
    order = jnp.argsort(jnp.where(jnp.arange(longest) < count, scores, 2.0))
    keys = jax.random.split(k_steps, len(starts))
    carry, _ = jax.lax.scan(
        lambda carry, item: (step(carry, *item, order), None), carry,
        (starts, keys))
    return carry, None

  begun = variables, optimizer.init(variables["params"])
  (variables,
   _), _ = jax.lax.scan(epoch, begun, jax.random.split(key, num_epochs))
  return variables


def _weighted(logits: Array, rows: Array) -> Array:
  """Weighted cross-entropy; the last column of each label row is its weight."""
  losses = jax.vmap(cross_entropy)(logits[:, None], rows[:, None, :-1])
  return (rows[:, -1] * losses).mean()
