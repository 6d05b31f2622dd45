"""Training on a memory and the data of a new task, and keeping old outputs.

Each batch has the share t / (t + 1) of its samples from the memory of t tasks,
the others from the data that have arrived. Knowledge distillation adds to the
cross-entropy, on all samples of a batch,

  beta T^2 KL( softmax(z'_old / T) || softmax(z_old / T) )

with z' the outputs of the network before this task and "old" the classes of
earlier tasks: the other outputs have seen no sample of theirs, and take no part
(Castro et al., "End-to-End Incremental Learning", 2018, arXiv 1807.09536; the
factor T^2 is that of Hinton, Vinyals & Dean, 2015, arXiv 1503.02531).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from distill_jax import augmentation as augmentations
from distill_jax.data.source import Source
from distill_jax.devices import jitted
from distill_jax.inner_loop import training_step
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.parallel import batch_map
from distill_jax.types import Array, Network, PyTree


class Rule(NamedTuple):
  """How networks are trained.

  Attributes:
    num_steps: updates after each task.
    batch_size: B, of memory and new data together.
    step_size: of SGD, positive; a tenth of it in the second half of the
      updates.
    momentum: in [0, 1).
    weight_decay: at least 0; the weights times this are added to the gradient.
    strategy: of augmentation, see `augmentation.dsa`; "" for none.
    temperature: T, positive.
    beta: weight of old outputs, at least 0; 0 for none.
  """

  num_steps: int = 1_000
  batch_size: int = 128
  step_size: float = 0.01
  momentum: float = 0.9
  weight_decay: float = 5e-4
  strategy: str = ""
  temperature: float = 2.0
  beta: float = 0.0


class Arrival(NamedTuple):
  """A task that has just arrived.

  Attributes:
    source: its data.
    number: t, of tasks before it.
    old: [K] bool, the classes of these.
    longest: samples that its arrays are padded to, so that tasks of several
      sizes compile once; 0 for its own.
  """

  source: Source
  number: int
  old: np.ndarray
  longest: int = 0


def replay(
    key: Array, memory: tuple[Array, Array] | None, arrival: Arrival,
    carried: PyTree, *, network: Network, rule: Rule,
    num_networks: int) -> PyTree:
  """Variables [R, ...] of R networks after the updates of one task.

  Args:
    key: consumed; network i uses `fold_in(key, i)`.
    memory: inputs [M, ...] in model space and label rows [M, K]; or None.
    arrival: the new task.
    carried: variables [R, ...] to start from and to keep the outputs of; None
      for new networks.
    network: build it once, a new one compiles again.
    rule: how they are trained.
    num_networks: R.
  """
  split = arrival.source.train
  size = max(split.num_samples, arrival.longest)
  rows = np.resize(np.arange(split.num_samples), size)
  arrived = split.inputs[rows], split.labels[rows], split.num_samples
  from_memory, padded = 0, None
  if memory is not None:
    share = arrival.number / (arrival.number + 1)
    from_memory = min(round(rule.batch_size * share), rule.batch_size - 1)
    padded = *_to_power_of_two(memory), len(memory[0])
  return _replay(
      key,
      padded,
      arrived,
      split.preprocessing,
      carried,
      jnp.asarray(arrival.old),
      from_memory,
      network=network,
      rule=rule,
      num_networks=num_networks,
      num_classes=split.num_classes)


def kept_outputs(
    outputs: Array, before: Array, old: Array, temperature: float) -> Array:
  """`T^2 mean_i KL(softmax(z'_i / T) || softmax(z_i / T))` over old classes.

  Args:
    outputs: z [B, K]; [B, 1] for two classes.
    before: z', of the network before this task, alike.
    old: [K] bool; no such class gives 0.
    temperature: T, positive.
  """
  outputs, before = map(_two_columns, (outputs, before))
  old = jnp.asarray(old)

  def logs(logits):
    return jax.nn.log_softmax(
        jnp.where(old, logits / temperature, -jnp.inf), where=old)

  log_q = jnp.where(old, logs(before), 0.0)
  log_p = jnp.where(old, logs(outputs), 0.0)
  divergence = (jnp.where(old, jnp.exp(log_q), 0.0) * (log_q - log_p)).sum(-1)
  return temperature**2 * divergence.mean()


def _two_columns(logits):
  if logits.shape[-1] > 1:
    return logits
  return jnp.concatenate([jnp.zeros_like(logits), logits], -1)


@partial(
    jitted, static_argnames=("network", "rule", "num_networks", "num_classes"))
def _replay(
    key, memory, arrived, record, carried, old, from_memory, *, network, rule,
    num_networks, num_classes):
  optimizer = _optimizer(rule)
  augmentation = augmentations.dsa(rule.strategy) if rule.strategy else None
  kept = rule.beta > 0 and carried is not None

  def batch(key):
    k_rows, k_augment = jax.random.split(key)
    x, y = _mixed(
        k_rows, memory, arrived, record, from_memory, rule.batch_size,
        num_classes)
    if augmentation is not None:
      x = augmentation.apply(augmentation.draw(k_augment, x.shape, len(x)), x)
    return x, y

  def loss(outputs, targets):
    if not kept:
      return cross_entropy(outputs, targets)
    labels, before = jnp.split(targets, 2, -1)
    return cross_entropy(outputs, labels) + rule.beta * kept_outputs(
        outputs, before, old, rule.temperature)

  def one(item):
    key, teacher = item
    k_init, k_train = jax.random.split(key)
    variables = teacher
    if variables is None:
      variables = network.init(k_init, record.apply(arrived[0][:1]))

    def update(carry, key):
      variables, state = carry
      k_batch, k_apply = jax.random.split(key)
      x, y = batch(k_batch)
      if kept:
        y = jnp.concatenate([y, network.apply(teacher, x)[0]], -1)
      carry = training_step(
          k_apply,
          network,
          variables,
          state,
          x,
          y,
          optimizer=optimizer,
          loss=loss)[:2]
      return carry, ()

    start = variables, optimizer.init(variables["params"])
    keys = jax.random.split(k_train, rule.num_steps)
    return jax.lax.scan(update, start, keys)[0][0]

  keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(num_networks))
  return batch_map(one, (keys, carried), items="networks")


def _mixed(key, memory, arrived, record, from_memory, batch_size, num_classes):
  """A batch, of which the first `from_memory` samples are of the memory."""
  k_real, k_memory = jax.random.split(key)
  inputs, labels, size = arrived
  rows = jax.random.randint(k_real, (batch_size,), 0, size, jnp.int32)
  x = record.apply(inputs[rows])
  y = label_rows(labels[rows], num_classes, x.dtype)
  if memory is None:
    return x, y
  inputs, labels, size = memory
  rows = jax.random.randint(k_memory, (batch_size,), 0, size, jnp.int32)
  old = jnp.arange(batch_size) < from_memory

  def choose(kept, new):
    return jnp.where(old.reshape(-1, *[1] * (new.ndim - 1)), kept[rows], new)

  return choose(inputs, x), choose(labels, y)


def _optimizer(rule: Rule) -> optax.GradientTransformation:
  rate = optax.piecewise_constant_schedule(
      rule.step_size, {rule.num_steps // 2: 0.1})
  return optax.chain(
      optax.add_decayed_weights(rule.weight_decay),
      optax.sgd(rate, rule.momentum))


def _to_power_of_two(arrays):
  """Arrays whose rows are repeated, so that few sizes are compiled."""
  size = len(arrays[0])
  rows = np.resize(np.arange(size), 1 << (size - 1).bit_length())
  return tuple(array[rows] for array in arrays)
