"""Learners of tasks in turn, by a memory of the tasks before.

  gdumb  a new network on the memory alone, that of the present task included
         (Prabhu, Torr & Dokania, "GDumb: A Simple Approach that Questions Our
         Progress in Continual Learning", ECCV 2020)
  union  a new network on the memory of earlier tasks and all data of the
         present one
  kd     the same, but the network is carried over, and what its predecessor
         said of old classes is kept: end-to-end incremental learning of Castro
         et al., 2018, arXiv 1807.09536, without its stages

`union` and `kd` count updates, and every batch has the share t / (t + 1) of
its samples from the memory of t tasks. Outputs of all classes exist from the
start; a prediction is the largest of all of them. `kd` adds to the
cross-entropy, on all samples of a batch,

  beta T^2 KL( softmax(z'_old / T) || softmax(z_old / T) )

with z' the outputs of the network before this task and "old" the classes of
earlier tasks: the other outputs were never trained, and take no part.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from distill_jax import augmentation as augmentations
from distill_jax.applications.makers import check_counts
from distill_jax.choices import one_of
from distill_jax.data.source import Source
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.evaluation.recipe import Recipe, check_rule
from distill_jax.evaluation.trained import train_networks
from distill_jax.inner_loop import training_step
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.parallel import batch_map
from distill_jax.types import Array, PyTree


class Arrival(NamedTuple):
  """A task that has just arrived.

  Attributes:
    source: its data.
    number: t, of tasks before it.
    old: [K] bool, the classes of these.
  """

  source: Source
  number: int
  old: np.ndarray


class Rehearsal(NamedTuple):
  """Attributes:
    learn: `(key, network, carried, memory, arrival, num_networks) -> variables
      [R, ...]`; `carried` are those after the task before, `memory` is a
      `TrainingSet` or None.
    recipe: that labels of the memory are made for.
    of_present: whether the memory holds the present task too.
    carries: whether a network is carried over.
    spec: JSON document from which `from_spec` makes it again.
  """

  learn: Callable[..., PyTree]
  recipe: Recipe
  of_present: bool
  carries: bool
  spec: Mapping[str, Any]


class _Rule(NamedTuple):
  """How `union` and `kd` train."""

  num_steps: int
  batch_size: int
  step_size: float
  momentum: float
  weight_decay: float
  strategy: str
  temperature: float = 1.0
  beta: float = 0.0


def gdumb(recipe: Recipe) -> Rehearsal:
  """A new network on the memory alone, after each task.

  Args:
    recipe: the same for every memory.
  """

  def learn(key, network, carried, memory, arrival, num_networks):
    del carried, arrival
    return train_networks(
        key, memory, network=network, recipe=recipe, num_networks=num_networks)

  spec = {"name": "gdumb", "recipe": recipe.spec}
  return Rehearsal(learn, recipe, True, False, spec)


def union(
    num_steps: int = 1_000,
    *,
    batch_size: int = 128,
    step_size: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    strategy: str = "") -> Rehearsal:
  """A new network on the memory of old tasks and the data of the present one.

  Args:
    num_steps: updates after each task; the step size is ten times smaller in
      their second half.
    batch_size: B, of memory and present data together.
    step_size: the first, positive.
    momentum: in [0, 1).
    weight_decay: added to the gradient, times the weights.
    strategy: see `augmentation.dsa`; none by default.
  """
  rule = _Rule(
      num_steps, batch_size, step_size, momentum, weight_decay, strategy)
  return _replayed("union", rule, carries=False)


def kd(
    num_steps: int = 1_000,
    *,
    temperature: float = 2.0,
    beta: float = 1.0,
    batch_size: int = 128,
    step_size: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    strategy: str = "") -> Rehearsal:
  """The network of the task before, on memory and present data, kept to it.

  Args:
    num_steps: as for `union`.
    temperature: T, positive.
    beta: what the outputs of old classes weigh; 0 for rehearsal alone.
    batch_size: as for `union`.
    step_size: as for `union`.
    momentum: as for `union`.
    weight_decay: as for `union`.
    strategy: as for `union`.
  """
  if not temperature > 0 or not beta >= 0:
    raise ConfigError(
        "`temperature` must be positive and `beta` at least 0; got "
        f"{temperature} and {beta}.")
  rule = _Rule(
      num_steps, batch_size, step_size, momentum, weight_decay, strategy,
      temperature, beta)
  return _replayed("kd", rule, carries=True)


def fine_tuning(num_steps: int = 1_000, **settings) -> Rehearsal:
  """`kd` without old outputs: with no memory, what forgets everything."""
  return kd(num_steps, beta=0.0, **settings)


LEARNERS = {"gdumb": gdumb, "kd": kd, "union": union}


def from_spec(spec: Mapping[str, Any] | str, recipe: Recipe) -> Rehearsal:
  """A learner by its name and settings.

  Args:
    spec: `{"name": ..., settings}`, or the name.
    recipe: of `gdumb`, unless the spec has one.

  Raises:
    ConfigError: an unknown name or setting.
  """
  settings = dict({"name": spec} if isinstance(spec, str) else spec)
  name = settings.pop("name", None)
  make = one_of(LEARNERS, "learner", name)
  if make is gdumb:
    settings["recipe"] = (
        recipes.from_spec(settings["recipe"])
        if settings.get("recipe") else recipe)
  try:
    return make(**settings)
  except TypeError as error:
    raise ConfigError(f"`learner` {name!r}: {error}.") from None


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


def _replayed(name: str, rule: _Rule, carries: bool) -> Rehearsal:
  check_counts(num_steps=rule.num_steps, batch_size=rule.batch_size)
  check_rule(rule.step_size, rule.momentum, rule.weight_decay)
  augmentations.dsa(rule.strategy)  # refuses what it does not know

  def learn(key, network, carried, memory, arrival, num_networks):
    seen = 0 if memory is None else arrival.number
    from_memory = round(rule.batch_size * seen / (seen + 1))
    return _replay(
        key,
        memory and (memory.samples.inputs, memory.samples.labels),
        arrival.source.train,
        carried,
        jnp.asarray(arrival.old),
        network=network,
        rule=rule,
        from_memory=min(from_memory, rule.batch_size - 1),
        num_networks=num_networks)

  settings = {
      k: v
      for k, v in rule._asdict().items()
      if name == "kd" or k not in ("temperature", "beta")
  }
  return Rehearsal(
      learn, recipes.converged(), False, carries, {
          "name": name,
          **settings
      })


@partial(
    jax.jit, static_argnames=("network", "rule", "from_memory", "num_networks"))
def _replay(
    key, memory, split, carried, old, *, network, rule, from_memory,
    num_networks):
  """Variables [R, ...] after the updates of one task."""
  halves = optax.piecewise_constant_schedule(
      rule.step_size, {rule.num_steps // 2: 0.1})
  optimizer = optax.chain(
      optax.add_decayed_weights(rule.weight_decay),
      optax.sgd(halves, rule.momentum))
  augmentation = augmentations.dsa(rule.strategy) if rule.strategy else None
  num_outputs = label_rows(split.labels[:1], split.num_classes).shape[1]
  kept = rule.beta > 0 and carried is not None

  def batch(key):
    k_real, k_memory, k_augment = jax.random.split(key, 3)
    rows = jax.random.randint(
        k_real, (rule.batch_size - from_memory,), 0, split.num_samples)
    x = split.encode(split.inputs[rows])
    y = label_rows(split.labels[rows], split.num_classes, x.dtype)
    if from_memory:
      rows = jax.random.randint(k_memory, (from_memory,), 0, len(memory[0]))
      x = jnp.concatenate([x, memory[0][rows]])
      y = jnp.concatenate([y, memory[1][rows]])
    if augmentation is not None:
      x = augmentation.apply(augmentation.draw(k_augment, x.shape, len(x)), x)
    return x, y

  def loss(outputs, targets):
    labels, before = jnp.split(targets, [num_outputs], -1)
    value = cross_entropy(outputs, labels)
    if kept:
      value += rule.beta * kept_outputs(outputs, before, old, rule.temperature)
    return value

  def one(item):
    key, teacher = item
    k_init, k_train = jax.random.split(key)
    variables = teacher
    if variables is None:
      variables = network.init(k_init, split.encode(split.inputs[:1]))

    def update(carry, key):
      k_batch, k_apply = jax.random.split(key)
      x, y = batch(k_batch)
      if kept:
        y = jnp.concatenate([y, network.apply(teacher, x)[0]], -1)
      return training_step(
          k_apply, network, *carry, x, y, optimizer=optimizer,
          loss=loss)[:2], ()

    start = variables, optimizer.init(variables["params"])
    keys = jax.random.split(k_train, rule.num_steps)
    return jax.lax.scan(update, start, keys)[0][0]

  keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(num_networks))
  return batch_map(one, (keys, carried))
