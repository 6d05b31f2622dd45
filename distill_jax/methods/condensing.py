"""A distilled set in one call, in memory; or one of each of many sources."""

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

  The same settings and key give the same set as `runs.Run` and the launcher
  (which computes methods of kernels in float64).

  Args:
    source: a `data.Source`; its train split is distilled.
    method: of `methods`, for instance `methods.dm()`; by default the one that
      `methods.usual` names for data of this kind.
    network: the student: a name of `models.NETWORKS`, `{"name": ..., settings}`
      or a `Network`; a flax linen module, an NNX module or a function that
      builds one, or a pair of functions as in `from_functions`; or a kernel for
      methods of kernels. By default a small network that suits the shape of the
      data.
    per_class: label rows of each class, usually distilled samples; or
    num_rows: label rows of the whole set.
    key: consumed; `jax.random.key(0)` by default.
    mesh: its devices share what is independent; see `devices.on_devices`.

  Returns:
    The set with all that is needed to train on it. A warning names what is
    suspicious about it: samples that did not move, a step size at its bound,
    labels that name other classes.

  Raises:
    ConfigError, DataError, ValueError: what the method cannot do with these
      data, before the first step.
    NonFinite: the loss stopped being a number.

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
    warnings.warn(line, stacklevel=2)
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
  """`condense` for many sources: clients, tasks or shadows of one method.

  Sources of equal shapes (samples, classes that are present, label rows) are
  distilled by one compiled program, side by side on an accelerator. Methods
  that prepare something first, or consist of several runs, go one by one.

  Args:
    sources: of one preprocessing.
    method: as in `condense`.
    network: as in `condense`.
    per_class: as in `condense`, of each source; or
    num_rows: label rows, for all sources or for each.
    keys: one for each source, consumed.
    on_made: called with the place of a source and its set, as soon as it is
      there.

  Returns:
    The sets that `condense` makes with the same keys.

  Raises:
    ConfigError: other numbers of keys or of rows than sources.
    NonFinite: the loss of one stopped being a number.
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
  """What plans have in common that one compiled program serves."""
  train = one.task.source.train
  leaves, tree = jax.tree.flatten((one.state, train._replace(preprocessing=())))
  return (
      tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves),
      one.task.layout.classes.tobytes(), id(train.preprocessing))


def _together(plans: Sequence[Plan]) -> Iterator[Outcome]:
  """Outcomes of plans of equal shapes, in their order, by one program.

  A CPU takes one after the other, which is its fastest way and lets each be
  kept at once; an accelerator all together.
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
