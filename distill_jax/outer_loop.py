"""The outer loop, which is the same for every method.

    key -> batch -> estimate the gradient -> update -> project -> track

It is one jitted scan. The keys of a step are `fold_in(key, step)`, so a run
resumed from a saved `State` equals a run that was never interrupted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from distill_jax.constants import learnable, with_constants
from distill_jax.devices import jitted
from distill_jax.errors import ConfigError
from distill_jax.keys import check_key
from distill_jax.tracking import Tracker
from distill_jax.types import Array, Distilled, Estimator, PyTree


class State(NamedTuple):
  """Everything that the next outer step needs.

  Attributes:
    step: [] int32, number of outer steps made.
    distilled: the set that is being learned.
    optimizer: state of the outer optimizer.
    objective: state of the objective, such as a fixed initialisation or a pool.
    tracked: state of the tracker, or `()`.
  """

  step: Array
  distilled: Distilled
  optimizer: PyTree
  objective: PyTree
  tracked: PyTree


class Info(NamedTuple):
  """Values of a step for logs and plots; no later step reads them.

  Attributes:
    loss: loss of the objective, before the update.
    grad_norm: global norm of the estimated gradient.
    finite: whether loss and gradient are finite.
    metrics: metrics of the objective, scalars by name.
  """

  loss: Array
  grad_norm: Array
  finite: Array
  metrics: dict[str, Array]


class Distiller(NamedTuple):
  """The functions of an outer loop.

  Attributes:
    init: `(key, distilled) -> State`.
    step: `(key, state, data) -> State, Info`.
    result: `(state) -> Distilled`, the set to evaluate and save.
  """

  init: Callable[[Array, Distilled], State]
  step: Callable[[Array, State, Any], tuple[State, Info]]
  result: Callable[[State], Distilled]


def learn(**optimizers: optax.GradientTransformation):
  """Makes one outer optimizer from one per learned field of a set.

  Fields that are not named stay exactly as they are.

  Args:
    **optimizers: optimizers by field of `Distilled`, for instance
      `learn(codes=optax.adam(0.01))`; `step_sizes` stands for `raw_step_sizes`.

  Returns:
    A gradient transformation over `Distilled`.

  Raises:
    ValueError: an unknown field, or no field.

  Example:
    optimizer = dd.learn(codes=optax.adam(0.01), labels=optax.sgd(0.1))
  """
  if "step_sizes" in optimizers:
    optimizers["raw_step_sizes"] = optimizers.pop("step_sizes")
  unknown = sorted(set(optimizers) - set(Distilled._fields))
  if unknown or not optimizers:
    raise ValueError(
        "`learn` must name fields among codes, labels, step_sizes, extra; got "
        f"{unknown or 'none'}.")
  labels: Any = Distilled._make(
      f if f in optimizers else "frozen" for f in Distilled._fields)
  # x + (-0.0) is x for every x, including -0.0; x + 0.0 is not.
  frozen = optax.stateless(
      lambda updates, _: jax.tree.map(
          lambda u: jnp.full_like(u, -0.0), updates))
  return optax.partition({**optimizers, "frozen": frozen}, labels)


def distiller(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    *,
    project: Callable[[Distilled], Distilled] | None = None,
    tracker: Tracker | None = None,
    skip_above: float | None = None) -> Distiller:
  """Makes an outer loop from an estimator and an outer optimizer.

  Args:
    estimator: computes the loss and its gradient.
    optimizer: `learn(...)`, or a chain of `optax.clip_by_global_norm` and
      `learn(...)`.
    project: a constraint, `(distilled) -> distilled`, applied after each
      update.
    tracker: decides what `result` returns, see `tracking`; by default the last
      iterate.
    skip_above: an outer step whose loss is higher than this, or NaN, leaves
      set, optimizer and tracker unchanged; `Info.metrics` then has `skipped`, 0
      or 1.

  Returns:
    A `Distiller`. Its `init` raises `ConfigError` if the optimizer was not made
    by `learn`, or if it learns labels or step sizes that the objective does not
    read.

  Example:
    outer = dd.distiller(estimator, dd.learn(codes=optax.adam(0.01)))
    state = outer.init(key, start)
  """

  def init(key, distilled):
    check_key(key)
    optimizer_state = optimizer.init(learnable(distilled))
    check_read(distilled, estimator, _fields_of(optimizer_state))
    return State(
        step=jnp.zeros((), jnp.int32),
        distilled=distilled,
        optimizer=optimizer_state,
        objective=estimator.init(key, distilled),
        tracked=tracker.init(distilled) if tracker else ())

  def step(key, state: State, data):
    k_sample, k_estimate = step_keys(key, state.step)
    batch = estimator.sample(k_sample, data)
    loss, gradients, objective, metrics = estimator.estimate(
        k_estimate, state.distilled, state.objective, batch)
    floats = learnable(state.distilled)
    updates, optimizer_state = optimizer.update(
        gradients, state.optimizer, floats)
    distilled = with_constants(
        optax.apply_updates(floats, updates), state.distilled)
    if project:
      distilled = project(distilled)
    tracked = state.tracked
    if tracker:
      tracked = tracker.update(tracked, state.step, distilled, loss)
    if skip_above is not None:
      kept = loss <= skip_above
      distilled, optimizer_state, tracked = jax.tree.map(
          partial(jnp.where, kept), (distilled, optimizer_state, tracked),
          (state.distilled, state.optimizer, state.tracked))
      metrics = {**metrics, "skipped": 1.0 - kept}
    norm = optax.tree.norm(gradients)
    info = Info(loss, norm, jnp.isfinite(loss) & jnp.isfinite(norm), metrics)
    return State(
        state.step + 1, distilled, optimizer_state, objective, tracked), info

  def result(state: State) -> Distilled:
    return tracker.value(state.tracked) if tracker else state.distilled

  return Distiller(init, step, result)


def check_read(
    distilled: Distilled, estimator: Estimator,
    learned: tuple[str, ...] = ()) -> None:
  """Refuses to learn, or to store, what the objective does not read.

  Args:
    distilled: the set. It must have no step sizes if the objective does not
      read them: they would not be learned, but students would train with them.
    estimator: the estimator, which knows what its objective reads.
    learned: fields that an optimizer changes.

  Raises:
    ConfigError: the message names the field and the remedy.
  """
  unread = [field for field in learned if field not in estimator.reads]
  reads = ", ".join(estimator.reads)
  if unread:
    raise ConfigError(
        f"`learn` must name fields that the objective reads: {reads}; got "
        f"{', '.join(unread)}, whose gradient would be zero.")
  if distilled.raw_step_sizes.size and "step_sizes" not in estimator.reads:
    raise ConfigError(
        "`step_size` must be None for an objective that reads no step sizes "
        f"(it reads {reads}); got {distilled.raw_step_sizes.size} of them, "
        "which nothing would learn.")


def _fields_of(optimizer_state: PyTree) -> tuple[str, ...]:
  """The fields that an optimizer made with `learn` changes."""

  def is_parts(node):
    return isinstance(node, optax.PartitionState)

  for part in jax.tree.leaves(optimizer_state, is_leaf=is_parts):
    if is_parts(part) and "frozen" in part.inner_states:
      return tuple(
          "step_sizes" if name == "raw_step_sizes" else name
          for name in part.inner_states
          if name != "frozen")
  raise ConfigError(
      "`optimizer` must name the fields that are learned, "
      "learn(codes=optax.adam(0.01)); got one for all fields, which would "
      "change labels and step sizes too.")


def step_keys(key: Array, step: Array) -> tuple[Array, Array]:
  """The two keys of an outer step: for sampling, and for the estimate."""
  k_sample, k_estimate = jax.random.split(jax.random.fold_in(key, step))
  return k_sample, k_estimate


@partial(jitted, static_argnames=("step", "num_steps"))
def distill(
    key: Array,
    state: State,
    data: PyTree,
    *,
    step: Callable,
    num_steps: int,
    per_step: PyTree = None) -> tuple[State, Info]:
  """Runs `num_steps` outer steps as one compiled scan.

  Args:
    key: key of the whole run, the same in every call; step keys are derived
      from it and `state.step`.
    state: the state to continue from.
    data: what the objective samples from, usually `source.train`.
    step: `distiller(...).step`. Build it once, as a new one compiles again.
    num_steps: number of outer steps, not epochs.
    per_step: given in place of `data`: arrays [num_steps, ...] with one row per
      step to sample from. It is for data too large for the device, such as
      expert trajectories (`trajectories.feed`).

  Returns:
    The new state, and `Info` with a leading axis [num_steps].

  Example:
    state, info = dd.distill(
        key, state, source.train, step=outer.step, num_steps=10)
  """
  check_key(key)
  rows = {len(leaf) for leaf in jax.tree.leaves(per_step)}
  if rows - {num_steps}:
    raise ValueError(
        "`per_step` must have a row for each of the `num_steps`; got "
        f"{', '.join(map(str, sorted(rows)))} for {num_steps}.")
  return jax.lax.scan(
      lambda state, item: step(key, state, data if per_step is None else item),
      state,
      per_step,
      length=num_steps)


def step_size_floor(lowest: float) -> Callable[[Distilled], Distilled]:
  """A `project` that keeps step sizes from falling below a positive number.

  It is for trajectory methods, which learn step sizes directly (`backprop` with
  the identity as `positive`), because the published rates belong to that.
  """
  if not lowest > 0:
    raise ValueError(f"`lowest` must be positive; got {lowest}.")

  def project(distilled):
    raw = jnp.maximum(distilled.raw_step_sizes, lowest)
    return distilled._replace(raw_step_sizes=raw)

  return project


def label_floor(lowest: float = 0.0) -> Callable[[Distilled], Distilled]:
  """A `project` that keeps label entries from falling below a number.

  Rows are not normalised afterwards: under cross-entropy, the sum of a row acts
  as the step size of its sample (RaT-BPTT).
  """

  def project(distilled):
    return distilled._replace(labels=jnp.maximum(distilled.labels, lowest))

  return project


def label_simplex(distilled: Distilled) -> Distilled:
  """A `project` that moves label rows to the nearest probabilities.

  Without it, matching alone lets labels grow until they teach nothing.
  """
  labels = distilled.labels
  if labels.shape[-1] == 1:  # a binary task has a single column
    return distilled._replace(labels=labels.clip(0, 1))
  nearest = jax.vmap(optax.projections.projection_simplex)(labels)
  return distilled._replace(labels=nearest)
