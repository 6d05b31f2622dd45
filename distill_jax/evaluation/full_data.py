"""Training on all data: the accuracy with which a distilled set is compared.

Adam with a cosine schedule on random batches, with one compiled scan per epoch.
Training lasts for a number of epochs, of samples seen, or of seconds. The last
two answer what all data would have given for the same cost as a small set.
"""

import functools
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from distill_jax.augmentation import Augmentation
from distill_jax.data.source import Source
from distill_jax.devices import unshared
from distill_jax.errors import ConfigError
from distill_jax.evaluation import metrics
from distill_jax.evaluation.cost import Cost, cost_of_all
from distill_jax.evaluation.evaluator import outcome_on
from distill_jax.evaluation.learners import classifier
from distill_jax.inner_loop import train_epoch_on
from distill_jax.types import Array, Network, PyTree

_TURNS = 20  # how often timed training reads the clock, if not after each epoch


class FullData(NamedTuple):
  """The result of training one network on all data.

  Attributes:
    accuracy: accuracy on the test split, after the last step.
    cost: cost of training.
    macro_f1: macro F1 on the test split.
    diverged: 1 if the weights or outputs are not finite, else 0.
  """

  accuracy: float
  cost: Cost
  macro_f1: float | None = None
  diverged: int = 0


class Trained(NamedTuple):
  """A trained network and what its training took.

  Attributes:
    variables: variables of the network after the last step.
    num_steps: number of gradient steps.
    batch_size: samples per step.
    seconds: duration of training, without compilation.
  """

  variables: PyTree
  num_steps: int
  batch_size: int
  seconds: float


def train_on_all(
    key: Array, network: Network, source: Source, **settings: Any) -> FullData:
  """Trains one network on the train split and tests it.

  Args:
    key: consumed.
    network: the network that is trained.
    source: real data with a test split.
    **settings: duration and settings of training; see `trainer`.

  Returns:
    A `FullData`; its seconds do not include compilation.

  Raises:
    ValueError: there is no test split, or a number is not positive.
  """
  if source.test is None:
    raise ValueError("`source` must have a test split; got none.")
  with unshared():  # this is one network, whose time may be limited
    found = trainer(network, source, **settings)(key)
  confusion, diverged = jax.jit(
      lambda variables, split: outcome_on(
          classifier(network, variables), split))(found.variables, source.test)
  cost = cost_of_all(
      network,
      source,
      num_steps=found.num_steps,
      batch_size=found.batch_size,
      seconds=found.seconds)
  return FullData(
      float(metrics.accuracy(confusion)), cost,
      float(metrics.macro_f1(confusion)), int(diverged))


def trainer(
    network: Network,
    source: Source,
    *,
    num_epochs: int | None = None,
    max_samples: int | None = None,
    max_seconds: float | None = None,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    augmentation: Augmentation | None = None) -> Callable[[Array], Trained]:
  """Returns a function that trains one network on the train split.

  The function takes a key. It is compiled here, once for all networks that it
  trains. Give at most one of `num_epochs`, `max_samples` and `max_seconds`.

  Args:
    network: the network that is trained.
    source: real data.
    num_epochs: number of passes over the train split, each in a new order.
      Samples beyond a whole number of batches are left out of that pass. By
      default 10, or the number that makes 500 steps.
    max_samples: number of samples seen in total. Only whole batches are used,
      so up to B - 1 fewer are seen; fewer than B make one batch.
    max_seconds: wall-clock duration of training. What is seen depends on the
      machine and its other work, so no two calls give equal networks. The clock
      is read about 20 times, and after each pass over the split. Training ends
      at the reading nearest to the limit; it takes at least one step.
    batch_size: B; at most the size of the train split.
    learning_rate: learning rate of the first step; it falls to 0 along a cosine
      of steps or seconds.
    augmentation: augmentation of each batch, one draw per image.

  Raises:
    ConfigError: more than one of the three is given, or a number is not
      positive.
  """
  limits = dict(
      num_epochs=num_epochs, max_samples=max_samples, max_seconds=max_seconds)
  given = {k: v for k, v in limits.items() if v is not None}
  if len(given) > 1:
    raise ConfigError(
        f"`{list(given)[0]}` must be given alone; got {' and '.join(given)}.")
  numbers = dict(batch_size=batch_size, **given)
  if any(v < 1 for k, v in numbers.items() if k != "max_seconds"):
    raise ConfigError(
        f"{' and '.join(f'`{k}`' for k in numbers)} must be at least 1; got "
        f"{' and '.join(map(str, numbers.values()))}.")
  if max_seconds is not None and not max_seconds > 0:
    raise ConfigError(f"`max_seconds` must be positive; got {max_seconds}.")
  batch_size = int(
      min(batch_size, source.train.num_samples, max_samples or batch_size))
  if max_seconds is not None:
    return _by_clock(
        network, source, batch_size, learning_rate, augmentation, max_seconds)
  per_epoch = source.train.num_samples // batch_size
  if max_samples is None:
    num_epochs = num_epochs or max(10, -(-500 // per_epoch))
    num_steps = num_epochs * per_epoch
  else:
    num_steps = max_samples // batch_size
  return _by_steps(
      network, source, batch_size, learning_rate, augmentation, num_steps)


def _by_steps(
    network, source, batch_size, learning_rate, augmentation, num_steps):
  per_epoch = source.train.num_samples // batch_size
  whole, rest = divmod(num_steps, per_epoch)
  passes = [per_epoch] * whole + [rest] * (rest > 0)
  optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
  run = {
      n: _compiled(network, source, optimizer, batch_size, augmentation, n)
      for n in set(passes)
  }

  def train(key):
    variables, state, k_train = _start(key, network, source, optimizer)
    start = time.perf_counter()
    for i, n in enumerate(passes):
      variables, state = run[n](
          jax.random.fold_in(k_train, i), variables, state, source.train)
    jax.block_until_ready(variables)
    return Trained(
        variables, sum(passes), batch_size,
        time.perf_counter() - start)

  return train


def _by_clock(
    network, source, batch_size, learning_rate, augmentation, max_seconds):
  """Trains in passes that are short enough to read the clock often."""
  optimizer = _adam_of_rate()
  per_epoch = source.train.num_samples // batch_size

  def compiled(num_steps):
    return partial(
        _epoch,
        network=network,
        optimizer=optimizer,
        batch_size=batch_size,
        augmentation=augmentation,
        num_steps=num_steps)

  def timed(run, *args):
    start = time.perf_counter()
    found = jax.block_until_ready(run(*args, source.train))
    return found, time.perf_counter() - start

  @functools.cache
  def size():
    """The number of steps of one pass, measured on a network of its own."""
    begun = _start(jax.random.key(0), network, source, optimizer)

    def seconds(steps):
      run = partial(timed, compiled(steps), begun[2], *begun[:2])
      run()  # the first run is slower
      return min(run()[1] for _ in range(3))

    few = min(per_epoch, 11)
    first = seconds(1)
    each = max((seconds(few) - first) / max(few - 1, 1), first / 1000)
    # Each pass begins with a shuffle, which should take at most a tenth of it.
    wanted = max(max_seconds / _TURNS, 10 * (first - each))
    steps = int(np.clip(min(wanted, max_seconds) / each, 1, per_epoch))
    seconds(steps)
    return steps

  def train(key):
    run = compiled(size())
    state: Any
    variables, state, k_train = _start(key, network, source, optimizer)
    jax.block_until_ready(variables)
    seconds, turns, last = 0.0, 0, 0.0
    while not turns or seconds + last / 2 < max_seconds:
      share = min(seconds / max_seconds, 1.0)
      rate = learning_rate * (1 + np.cos(np.pi * share)) / 2
      state.hyperparams["learning_rate"] = jnp.asarray(
          rate, state.hyperparams["learning_rate"].dtype)
      (variables, state), last = timed(
          run, jax.random.fold_in(k_train, turns), variables, state)
      seconds, turns = seconds + last, turns + 1
    return Trained(variables, turns * size(), batch_size, seconds)

  return train


def _start(key, network, source, optimizer):
  k_init, k_train = jax.random.split(key)
  variables = network.init(k_init, source.example)
  return variables, optimizer.init(variables["params"]), k_train


def _compiled(network, source, optimizer, batch_size, augmentation, num_steps):
  """Compiles one pass of `num_steps` steps, before any time is measured."""
  key = jax.random.key(0)
  shapes = jax.eval_shape(
      partial(_start, network=network, source=source, optimizer=optimizer), key)
  variables, state, _ = shapes
  return _epoch.lower(
      key,
      variables,
      state,
      source.train,
      network=network,
      optimizer=optimizer,
      batch_size=batch_size,
      augmentation=augmentation,
      num_steps=num_steps).compile()


_epoch = jax.jit(
    train_epoch_on,
    static_argnames=(
        "network", "optimizer", "batch_size", "augmentation", "num_steps"))


@functools.cache
def _adam_of_rate() -> optax.GradientTransformation:
  """Adam with the step size in its state; one object compiles only once."""
  return optax.inject_hyperparams(optax.adam)(1.0)
