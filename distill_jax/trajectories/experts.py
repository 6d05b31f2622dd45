"""Experts: networks trained on real data whose weights are kept every epoch.

As in Cazenavette et al., "Dataset Distillation by Matching Training
Trajectories", 2022, arXiv 2203.11932: plain gradient descent with augmentation,
50 epochs. A better trained expert is harder to match; momentum and weight decay
are therefore off by default, as published. FTD's experts use
`flatness.flat_minima`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from distill_jax.augmentation import Augmentation
from distill_jax.data.source import Split
from distill_jax.devices import num_shards
from distill_jax.environment import platform
from distill_jax.evaluation.evaluator import classify
from distill_jax.evaluation.learners import classifier
from distill_jax.flatness import GradientRule, plain
from distill_jax.inner_loop import train_epoch_on
from distill_jax.nn import vector
from distill_jax.parallel import batch_map
from distill_jax.types import Array, Network


class Expert(NamedTuple):
  """A trained expert.

  Attributes:
    weights: [E + 1, n] float32, before the first epoch and after each epoch.
    accuracy: [E + 1] accuracy of these weights on held-out data, or [0] without
      such data.
  """

  weights: np.ndarray
  accuracy: np.ndarray


def train_experts(keys: Array, network: Network, split: Split,
                  **settings) -> list[Expert]:
  """Trains experts as `each_expert` does; returns all of them in a list."""
  return list(each_expert(keys, network, split, **settings))


def each_expert(
    keys: Array,
    network: Network,
    split: Split,
    *,
    num_epochs: int = 50,
    step_size: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int = 256,
    augmentation: Augmentation | None = None,
    gradient_rule: GradientRule = plain,
    held_out: Split | None = None,
    on_epoch: Callable[[int, int, np.ndarray], None] | None = None,
    at_once: int | None = None) -> Iterator[Expert]:
  """Trains experts, each with its own key, several at once.

  Args:
    keys: [P], consumed; an expert depends on its own key only.
    network: the network that is trained.
    split: real data, a `data.Split`.
    num_epochs: E. Samples beyond a whole number of batches are left out of each
      epoch.
    step_size: constant step size, positive.
    momentum: in [0, 1).
    weight_decay: this times the weights is added to the gradient.
    batch_size: at most the size of the split.
    augmentation: augmentation of each batch, one draw per image.
    gradient_rule: see `flatness`.
    held_out: a split to test on after every epoch, or None.
    on_epoch: `(first, epoch, accuracies)`, called after each epoch of a group
      of experts; `first` is the index in `keys` of the first of them. Without
      `held_out` there are no accuracies.
    at_once: number of experts trained together; by default one on a CPU, where
      more are not faster, and all on an accelerator or several devices.

  Yields:
    An `Expert` for each key, as soon as it is trained.

  Raises:
    ValueError: a number is out of range.
  """
  if num_epochs < 1 or batch_size < 1 or not step_size > 0:
    raise ValueError(
        "`num_epochs` and `batch_size` must be at least 1 and `step_size` "
        f"positive; got {num_epochs}, {batch_size} and {step_size}.")
  optimizer = optax.chain(
      optax.add_decayed_weights(weight_decay),
      optax.sgd(step_size, momentum or None))
  run_epoch = partial(
      train_epoch_on,
      network=network,
      optimizer=optimizer,
      batch_size=min(batch_size, split.num_samples),
      augmentation=augmentation,
      gradient_rule=gradient_rule)

  def measured(variables, held_out):
    predicted = classify(classifier(network, variables), held_out)
    return (predicted == held_out.labels).mean(dtype=jnp.float32)

  def seen(carry, held_out):
    variables, _ = carry
    found = () if held_out is None else measured(variables, held_out)
    return vector.flatten(variables["params"]), found

  def begin(key, split, held_out):
    variables = network.init(key, split.encode(split.inputs[:1]))
    carry = variables, optimizer.init(variables["params"])
    return carry, seen(carry, held_out)

  def go_on(key, carry, split, held_out):
    variables, state = carry
    carry = run_epoch(key, variables, state, split)
    return carry, seen(carry, held_out)

  @jax.jit
  def begin_all(keys, split, held_out):
    return batch_map(
        lambda key: begin(key, split, held_out),
        keys,
        chunk=len(keys),
        items="experts")

  @jax.jit
  def go_on_all(keys, epoch, carries, split, held_out):
    return batch_map(
        lambda item: go_on(
            jax.random.fold_in(item[0], epoch), item[1], split, held_out),
        (keys, carries),
        chunk=len(keys),
        items="experts")

  def together(first, keys):
    k_init, k_epochs = jax.vmap(jax.random.split, out_axes=1)(keys)
    carries, found = begin_all(k_init, split, held_out)
    record = [jax.device_get(found)]
    for epoch in range(num_epochs):
      carries, found = go_on_all(k_epochs, epoch, carries, split, held_out)
      record.append(jax.device_get(found))
      if on_epoch is not None:
        on_epoch(first, epoch + 1, np.asarray(record[-1][1]))
    weights = np.stack([weights for weights, _ in record], axis=1)
    accuracies = np.zeros((len(keys), 0))
    if held_out is not None:
      accuracies = np.stack([right for _, right in record], axis=1)
    return [Expert(*each) for each in zip(weights, accuracies, strict=True)]

  if at_once is None:
    alone = platform() == "cpu" and num_shards() == 1
    at_once = 1 if alone else len(keys)
  for first in range(0, len(keys), at_once):
    yield from together(first, keys[first:first + at_once])
