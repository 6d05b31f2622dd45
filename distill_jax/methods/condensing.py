"""Distils data sets in memory, in one call: one source or many."""

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from distill_jax.artifact import Artifact
from distill_jax.choices import arguments_by_name
from distill_jax.devices import num_shards, on_devices
from distill_jax.environment import platform
from distill_jax.errors import ConfigError
from distill_jax.methods.findings import findings
from distill_jax.methods.method import (
    Keys,
    Method,
    Outcome,
    Plan,
    Store,
    plan,
    prepare_nothing,
)
from distill_jax.methods.steps import NonFinite, carry_out
from distill_jax.methods.usual import usual
from distill_jax.outer_loop import distill
from distill_jax.parallel import batch_map
from distill_jax.types import Array


@arguments_by_name
def condense(
    source,
    method: Method | None = None,
    network=None,
    *,
    per_class: int | None = None,
    num_rows: int | None = None,
    key: Array | None = None,
    mesh: Mesh | None = None) -> Artifact:
  """Distils a data set in memory.

  The same settings and key give the same set as `runs.Run` and as the launcher
  (which computes kernel methods in float64).

  Args:
    source: a `data.Source`; its train split is distilled.
    method: a method of `methods`, for instance `methods.dm()`. By default the
      method that `methods.usual` recommends for this kind of data.
    network: the student: a name of `models.NETWORKS`, `{"name": ...,
      settings}`, a `Network`, a flax linen module, an NNX module or a function
      that builds one, or a pair of functions as in `from_functions`. For kernel
      methods, a kernel. By default a small network that suits the shape of the
      data.
    per_class: label rows per class; this is usually the number of distilled
      samples per class.
    num_rows: label rows of the whole set. Give either this or `per_class`.
    key: consumed; `jax.random.key(0)` by default.
    mesh: devices that share the independent parts of the work; see
      `devices.on_devices`.

  Returns:
    The distilled set, with everything that is needed to train on it. A warning
    is given if the set looks wrong: samples hardly moved, a step size is at its
    bound, or labels name other classes than at the start.

  Raises:
    ConfigError, DataError, ValueError: the method cannot be used with these
      data. This is raised before the first step.
    NonFinite: the loss became NaN or infinite.

  Example:
    made = dd.condense(source, per_class=1)
  """
  keys = Keys.of(jax.random.key(0) if key is None else key)
  method = usual(source) if method is None else method
  with tempfile.TemporaryDirectory() as folder, on_devices(mesh):
    made = plan(
        source,
        method,
        network,
        per_class=per_class,
        num_rows=num_rows,
        keys=keys,
        store=Store(Path(folder), Path(folder)))
    artifact = made.artifact(carry_out(made))
  for line in artifact.provenance.get("findings", ()):
    warnings.warn(line, stacklevel=3)  # 2 is the decorator
  return artifact


def condense_each(
    sources: Sequence,
    method: Method,
    network=None,
    *,
    per_class: int | None = None,
    num_rows: int | Sequence[int] | None = None,
    keys: Sequence[Array],
    on_made: Callable[[int, Artifact], None] = lambda i, made: None
) -> list[Artifact]:
  """Like `condense`, for many sources: clients, tasks or shadow models.

  Sources of equal shapes (samples, present classes, label rows) are distilled
  by one compiled program, in parallel on an accelerator. Methods that prepare
  something first, or that consist of several runs, distil one source after the
  other.

  Args:
    sources: data sources with the same preprocessing.
    method: as in `condense`.
    network: as in `condense`.
    per_class: as in `condense`, for each source.
    num_rows: label rows, one number for all sources or one for each. Give
      either this or `per_class`.
    keys: one key per source, consumed.
    on_made: a function that is called with the index of a source and its
      distilled set, as soon as the set exists.

  Returns:
    The same sets that `condense` makes with the same keys.

  Raises:
    ConfigError: the number of keys or of row counts is not that of sources.
    NonFinite: the loss of a source became NaN or infinite.
  """
  sources = list(sources)
  rows = num_rows if isinstance(num_rows,
                                Sequence) else [num_rows] * len(sources)
  for name, given in (("keys", keys), ("num_rows", rows)):
    if len(given) != len(sources):
      raise ConfigError(
          f"`{name}` must be one for each of the {len(sources)} sources; got "
          f"{len(given)}.")
  made: dict[int, Artifact] = {}

  def keep(i: int, artifact: Artifact) -> None:
    made[i] = artifact
    on_made(i, artifact)

  shared = (
      method.parts is None and method.begin is not None and
      method.prepare is prepare_nothing and not method.rollbacks)
  groups: dict[object, dict[int, Plan]] = {}
  for i, (source, key) in enumerate(zip(sources, keys, strict=True)):
    with tempfile.TemporaryDirectory() as folder:
      one = plan(
          source,
          method,
          network,
          per_class=per_class,
          num_rows=rows[i],
          keys=Keys.of(key),
          store=Store(Path(folder), Path(folder)))
      if shared:
        groups.setdefault(_shapes(one), {})[i] = one
      else:
        keep(i, one.artifact(carry_out(one)))
  for group in groups.values():
    for i, outcome in zip(group, _together([*group.values()]), strict=True):
      keep(i, group[i].artifact(outcome))
  return [made[i] for i in range(len(sources))]


def _shapes(one: Plan) -> object:
  """A key that is equal for plans that one compiled program can serve."""
  train = one.task.source.train
  leaves, tree = jax.tree.flatten((one.state, train._replace(preprocessing=())))
  return (
      tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves),
      one.task.layout.classes.tobytes(), id(train.preprocessing))


def _together(plans: Sequence[Plan]) -> Iterator[Outcome]:
  """Yields the outcomes of plans of equal shapes, in order, by one program.

  A CPU runs one plan after the other. This is its fastest way, and each set can
  be saved as soon as it is done. An accelerator runs all plans together.
  """
  first = plans[0]
  if len(plans) == 1:
    yield carry_out(first)
    return
  record = first.task.source.train.preprocessing

  def taken(item):
    key, state, train = item
    state, info = distill(
        key,
        state,
        train._replace(preprocessing=record),
        step=first.outer.step,
        num_steps=first.method.num_steps)
    return state, info.finite.all()

  run = jax.jit(partial(batch_map, taken, items="sets"))
  size = num_shards() if platform() == "cpu" else len(plans)
  for start in range(0, len(plans), size):
    group, began = plans[start:start + size], time.perf_counter()
    items = [(
        one.keys.run, one.state,
        one.task.source.train._replace(preprocessing=())) for one in group]
    states, finite = jax.block_until_ready(
        run(jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)))
    if not finite.all():
      raise NonFinite(
          f"the loss of source {start + int(finite.argmin()) + 1} of "
          f"{len(plans)} is not finite. Lower the learning rates or set "
          "`clip_norm`")
    seconds = (time.perf_counter() - began) / len(group)
    for i, one in enumerate(group):
      yield _outcome(
          one, jax.tree.map(lambda leaf, i=i: leaf[i], states), seconds)


def _outcome(one: Plan, state, seconds: float) -> Outcome:
  distilled = one.prepared.finish(one.outer.result(state))
  found = findings(one, distilled)
  return Outcome(
      distilled,
      state.objective,
      seconds,
      provenance=dict(findings=found) if found else {})
