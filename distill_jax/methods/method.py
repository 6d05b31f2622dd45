"""A method as a value, and the plan that joins it with data and a network.

A `Method` is a name, JSON settings and the functions that these settings
define, just as `evaluation.recipe.Recipe` is for training on a set. A `Task`
holds the facts that a method is given. `plan` joins both. `methods.condense`
carries out a plan in memory, and `runs.Run` in a folder.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from distill_jax import initialisation, models, nn
from distill_jax.artifact import Artifact, to_artifact
from distill_jax.data.source import check_source
from distill_jax.errors import ConfigError, listed, plain
from distill_jax.estimators.backprop import backprop
from distill_jax.evaluation import recipes
from distill_jax.keys import check_key
from distill_jax.outer_loop import State, distiller
from distill_jax.parameterization.pixels import pixels
from distill_jax.tracking import Tracker
from distill_jax.types import (
    Anchor,
    Array,
    Distilled,
    Estimator,
    Layout,
    Network,
    Parameterization,
    PyTree,
)

_NAMED = 5  # most classes that a message lists


class Task(NamedTuple):
  """What a method is given: facts, no choices.

  Attributes:
    source: the data.
    model: the student network; a kernel for kernel methods; None for methods
      that use neither.
    spec: the model's specification, `{"name": ..., settings}`, or {}.
    layout: which samples belong to which label row, step and class.
    anchor: frozen samples that are matched beside the real ones, or None.
  """

  source: Any
  model: Any  # a `Network` or `Kernel`, as `Method.model` says
  spec: Mapping[str, Any]
  layout: Layout
  anchor: Anchor | None = None


class Store(NamedTuple):
  """Folders in which a method keeps what it needs before the first step.

  Attributes:
    folder: a folder of this run only.
    shared: a folder that is shared with runs which may need the same.
    experts: a folder of existing experts, or None to train them.
    say: a function that is given each line of progress, such as `print`.
  """

  folder: Path
  shared: Path
  experts: Path | None = None
  say: Callable[[str], None] = lambda text: None


class Prepared(NamedTuple):
  """What a method has prepared before the first step.

  Attributes:
    data: what the objective samples from, in place of the train split; None for
      the train split.
    feed: `(step, size, attempt) -> pytree [size, ...]` with a method `close()`.
      It returns what the next `size` steps sample from, in place of `data`; or
      None.
    start: a function that changes the start of the set.
    finish: a function that changes the set at the end.
    complete: a function that adds to the finished set what only the method
      knows, such as labels of views.
    measured: JSON values for the report.
  """

  data: PyTree = None
  feed: Any = None
  start: Callable[[Distilled], Distilled] = lambda distilled: distilled
  finish: Callable[[Distilled], Distilled] = lambda distilled: distilled
  complete: Callable[[Artifact], Artifact] = lambda made: made
  measured: Mapping[str, Any] = MappingProxyType({})


class Outcome(NamedTuple):
  """The result of carrying out a plan.

  Attributes:
    distilled: the set.
    objective: state of the objective after the last step.
    seconds: duration of the distillation.
    measured: JSON values for the report.
    provenance: JSON values for the artifact.
    artifact: the artifact of methods that make one themselves, in place of
      `distilled`.
  """

  distilled: Any
  objective: PyTree = ()
  seconds: float = 0.0
  measured: Mapping[str, Any] = MappingProxyType({})
  provenance: Mapping[str, Any] = MappingProxyType({})
  artifact: Artifact | None = None


class Keys(NamedTuple):
  """The random keys of a run, split from one key."""

  start: Array
  init: Array
  run: Array
  evaluate: Array
  prepare: Array
  parts: Array
  retry: Array

  @classmethod
  def of(cls, key: Array) -> "Keys":
    """Splits a key, which is consumed."""
    check_key(key)
    return cls(*jax.random.split(key, len(cls._fields)))


def prepare_nothing(key: Array, task: Task, store: Store) -> Prepared:
  """`Method.prepare` for methods that need nothing before the first step."""
  del key, task, store
  return Prepared()


def _own_network(source, given):
  return given or models.default(source)


class Method(NamedTuple):
  """A way to distil sets; made by a factory of `methods`.

  Attributes:
    name: name of the factory.
    title: the method's name as papers write it, for figures and reports.
    loss: what the objective measures, in words.
    settings: JSON values from which the factory makes the method again.
    objective: `(task) -> Objective`, or another argument that `estimator`
      takes.
    begin: `(key, source, num_rows) -> Distilled`, the start of a set.
    learned: `(num_steps) -> optax transformation` over `Distilled`.
    num_steps: number of outer steps.
    recipe: `(task) -> spec` of how students train on the set. With None in
      place of a task, it returns the recipe of the settings, before data are
      known.
    parameterization: how samples are stored.
    estimator: `(objective, parameterization) -> Estimator`.
    label_space: what the labels are, see `artifact.Artifact`.
    steps: S, number of steps of a set that students take in order.
    by_class: whether every class needs the same number of label rows.
    model: what the method works with: "network", "kernel" or "none".
    network: `(source, given spec or None) -> spec` of the student.
    project: `(task) -> constraint` that is applied to `Distilled` after each
      update; or None.
    tracker: decides which iterate or average is returned; None for the last
      iterate.
    skip_above: outer steps with a higher loss change nothing; None for never.
    spike: chunks of steps with a higher loss are repeated with other draws; 0
      for never.
    rollbacks: maximal number of such repetitions.
    prepare: `(key, task, store) -> Prepared`.
    initial: `(state of the objective) -> theta_0`, or `()`.
    parts: `(plan, carry_out) -> Outcome`, for methods that consist of several
      plans or of none; `carry_out(name, plan, start=None) -> Outcome`.
    check: `(task) -> None`; raises errors that can be known before the first
      step.
    prolongable: whether more steps can be added to a finished run.
    anchors: whether the objective matches the anchor of a task.
    stages: whether the objective reads `Network.stages` of the student.
    drawn: number of real samples per class that a step draws; 0 for methods
      that draw from all classes together, or not at all.
  """

  objective: Callable[[Task], Any] | None
  begin: Callable[[Array, Any, int], Distilled] | None
  learned: Callable[[int], optax.GradientTransformation] | None
  num_steps: int
  recipe: Callable[[Task | None], Mapping[str, Any]]
  name: str = ""
  title: str = ""
  loss: str = ""
  settings: Mapping[str, Any] = MappingProxyType({})
  parameterization: Parameterization = pixels()
  estimator: Callable[..., Estimator] = backprop
  label_space: str = "raw"
  steps: int = 1
  by_class: bool = True
  model: str = "network"
  network: Callable[[Any, Any], Mapping[str, Any]] = _own_network
  project: Callable[[Task], Callable | None] = lambda task: None
  tracker: Tracker | None = None
  skip_above: float | None = None
  spike: float = 0.0
  rollbacks: int = 0
  prepare: Callable[[Array, Task, Store], Prepared] = prepare_nothing
  initial: Callable[[PyTree], PyTree] = lambda objective: ()
  parts: Callable[..., Outcome] | None = None
  check: Callable[[Task], None] = lambda task: None
  prolongable: bool = True
  anchors: bool = False
  stages: bool = False
  drawn: int = 0

  def __repr__(self) -> str:
    return f"Method {self.name}: {self.num_steps:,} outer steps"

  @property
  def spec(self) -> dict[str, Any]:
    """A JSON document from which `methods.from_spec` makes the method again."""
    return {"name": self.name, **self.settings}


class Plan(NamedTuple):
  """A method joined with data and a network, before the first step.

  Attributes:
    keys: random keys of the run.
    method: the method.
    task: what the method is given.
    prepared: what the method has prepared.
    estimator: estimator of the gradient; None for methods without outer steps.
    outer: the functions of the outer loop; None for methods without outer
      steps.
    state: state before the first step; None for methods without outer steps.
    store: folders in which the method keeps things.
  """

  keys: Keys
  method: Method
  task: Task
  prepared: Prepared
  estimator: Any
  outer: Any
  state: State | None
  store: Store

  @property
  def start(self) -> Any:
    """The set before the first step."""
    return None if self.state is None else self.state.distilled

  def artifact(self, outcome: Outcome, **provenance) -> Artifact:
    """Returns the set with everything that is needed to use it.

    Args:
      outcome: the result of carrying out this plan.
      **provenance: JSON values.
    """
    method, task = self.method, self.task
    provenance = dict(
        method=method.spec,
        title=method.title,
        loss=method.loss,
        seconds=round(outcome.seconds, 1),
        **outcome.provenance,
        **provenance)
    if outcome.artifact is not None:
      return outcome.artifact._replace(
          method=method.name,
          network=dict(task.spec),
          provenance={
              **outcome.artifact.provenance,
              **provenance
          })
    return self.prepared.complete(
        to_artifact(
            self.estimator,
            outcome.distilled,
            task.source,
            method=method.name,
            order=task.layout.order,
            recipe=method.recipe(task),
            network=task.spec,
            initial=method.initial(outcome.objective),
            label_space=method.label_space,
            provenance=provenance))


def plan(
    source,
    method: Method,
    network=None,
    *,
    per_class: int | None = None,
    num_rows: int | None = None,
    keys: Keys,
    store: Store | Callable[[Task], Store],
    start: Distilled | None = None,
    anchor: Anchor | None = None) -> Plan:
  """Joins a method with data and a network.

  Args:
    source: the data.
    method: the method.
    network: the student, as in `condense`; by default one that suits the data.
    per_class: label rows of each class that the data contain.
    num_rows: label rows of the whole set. Give either this or `per_class`.
    keys: random keys of the run.
    store: folders in which the method keeps things; or `(task) -> Store`, which
      is called once the task has been checked.
    start: the start of the set, in place of the method's own start.
    anchor: frozen samples that are also matched.

  Raises:
    ConfigError, DataError, ValueError: the method cannot be used with these
      data.
  """
  check_source(source)
  if not isinstance(method, Method):
    called = f"methods.{method.__name__}()" if callable(method) else (
        "methods.dm()")
    raise ConfigError(
        f"`method` must be a Method, such as {called}; got "
        f"{type(method).__name__}.")
  size = _num_rows(source, per_class, num_rows)
  spec, model = student_of(source, method, network)
  if method.begin is None:
    layout = initialisation.layout(
        source, jnp.arange(size), num_rows=size, num_steps=1)
    task = Task(source, model, spec, layout, anchor)
    return Plan(
        keys, method, task, Prepared(), None, None, None,
        _opened(store, method, task))
  if start is None:
    start = method.begin(keys.start, source, size)
  stored = method.parameterization
  layout = initialisation.layout(
      source, stored.owner(start.codes), num_rows=size, num_steps=method.steps)
  task = Task(source, model, spec, layout, anchor)
  if method.by_class and layout.members is None:
    raise ConfigError(
        f"`num_rows` must be a multiple of the {len(layout.present)} classes "
        f"for {method.name}, which matches class by class; got {size}.")
  estimator = method.estimator(method.objective(task), stored)
  outer = distiller(
      estimator,
      method.learned(method.num_steps),
      project=method.project(task),
      tracker=method.tracker,
      skip_above=method.skip_above)
  store = _opened(store, method, task)
  prepared = method.prepare(keys.prepare, task, store)
  return Plan(
      keys, method, task, prepared, estimator, outer,
      outer.init(keys.init, prepared.start(start)), store)


def _opened(store, method: Method, task: Task) -> Store:
  method.check(task)
  recipes.from_spec(method.recipe(task))  # raises for unknown recipes
  if isinstance(store, Store):
    return store
  opened = store(task)
  if small := _drawn_whole(method, task):
    opened.say(small)
  return opened


def _drawn_whole(method: Method, task: Task) -> str:
  """A line that names classes smaller than what a step draws per class."""
  counts = np.asarray(task.source.train.counts)
  each = min(method.drawn, int(counts.max()))
  small = [
      f"{plain(name, 20)} ({n:,})"
      for name, n in zip(task.source.class_names, counts, strict=True)
      if 0 < n < each
  ]
  if not small:
    return ""
  return (
      f"a step draws {each:,} real samples of each class; smaller classes are "
      f"drawn whole, with repeats: {listed(small, _NAMED)}")


def check_one_size(per_class: int | None, num_rows: int | None) -> None:
  """Refuses if neither or both of the two sizes are given."""
  if (per_class is None) == (num_rows is None):
    raise ConfigError(
        "exactly one of `per_class` and `num_rows` must be given; got "
        f"{per_class} and {num_rows}. Write per_class=10.")


def _num_rows(source, per_class, num_rows) -> int:
  check_one_size(per_class, num_rows)
  name, value = ("per_class",
                 per_class) if num_rows is None else ("num_rows", num_rows)
  if not isinstance(value, int) or value < 1:
    raise ConfigError(
        f"`{name}` must be a whole number of at least 1; got {value!r}.")
  size = num_rows or per_class * len(source.train.present)
  if size > source.train.num_samples:
    raise ConfigError(
        f"`{name}` must ask for at most the real samples; got {size:,} rows "
        f"for {source.train.num_samples:,} samples. Ask for fewer.")
  return size


def student_of(source, method: Method, given=None):
  """Returns the student's specification and the student; see `plan`."""
  if isinstance(given, str):
    given = {"name": given}
  given = nn.as_network(given)
  if given is not None and not isinstance(given, Mapping):
    spec = models.spec_of(given)
    fits = method.model == (
        "network" if isinstance(given, Network) else "kernel")
    _check_model(method, fits, type(given).__name__)
    if method.model == "network":
      _check_fits(given, source, method)
    return (method.network(source, spec) if spec else {}), given
  spec = dict(method.network(source, given))
  if method.model == "none":
    return spec, None
  is_kernel = models.is_kernel(spec)
  _check_model(method, is_kernel == (method.model == "kernel"), spec["name"])
  model = models.from_spec(spec, source.num_classes)
  if not is_kernel:
    _check_fits(model, source, method)
  return models.spec_of(model), model


def _check_model(method, fits: bool, found: str) -> None:
  if not fits:
    raise ConfigError(
        f"`network` must be a {method.model} for {method.name}; got {found}.")


def _check_fits(network: Network, source, method: Method) -> None:
  models.check_fits(
      network, source, reader=method.name if method.stages else "")
