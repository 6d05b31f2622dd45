"""A run: a method on a data set in a folder, resumable, logged, assessed."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from distill_jax import artifact as artifacts
from distill_jax import models, preprocessing, processes
from distill_jax.artifact import Artifact
from distill_jax.artifact.file import SET
from distill_jax.choices import arguments_by_name
from distill_jax.data.corpus import with_facts
from distill_jax.data.source import check_source
from distill_jax.devices import on_devices
from distill_jax.errors import ConfigError
from distill_jax.evaluation.report import Evaluation
from distill_jax.figures import can_draw
from distill_jax.methods import saved
from distill_jax.methods.method import (
    Keys,
    Method,
    Outcome,
    Plan,
    Store,
    Task,
    check_one_size,
    plan,
)
from distill_jax.methods.usual import usual
from distill_jax.records import CONFIG, REPORT, read_json
from distill_jax.runs import driver, real_data, sinks, workdir
from distill_jax.runs.assess import Settings, assess, check_evaluation
from distill_jax.runs.console import say, working
from distill_jax.runs.files import MetricsLog, command
from distill_jax.runs.kept import Unfinished
from distill_jax.runs.results import FILES, show, write_results
from distill_jax.segments import updates
from distill_jax.storage import alone, forget_halves

_UNFINISHED = "report.unfinished.json"  # of an evaluation


class Run:
  """One method on one data set, living in a folder.

      run = Run("runs/dsa", source, methods.dsa(), per_class=10)
      report = run.go()          # again after an interruption: goes on

  The folder then holds `config.json`, `metrics.jsonl`, `checkpoints/`,
  `distilled.safetensors`, `report.json`, `report.html` and `figures/`.
  """

  @arguments_by_name
  def __init__(
      self,
      folder,
      source,
      method: Method | None = None,
      network=None,
      *,
      per_class: int | None = None,
      num_rows: int | None = None,
      seed: int = 0,
      evaluation: Settings | Mapping[str, Any] | None = None,
      figures: bool | None = None,
      log_every: int | None = None,
      checkpoint_every: int | None = None,
      cache_dir=None,
      experts=None,
      data: str = "",
      reading: Mapping[str, Any] | None = None,
      record: Mapping[str, Any] | None = None,
      time_limit: float | None = None,
      profile: int = 0,
      metrics: str = "",
      mesh: Mesh | None = None):
    """Checks and stores the arguments; `go` starts the work.

    Args:
      folder: folder of the run; created if it does not exist.
      source: the data, with a test part.
      method: a method of `methods`; by default `methods.usual(source)`.
      network: the student, as in `methods.condense`.
      per_class: label rows per class.
      num_rows: label rows of the whole set. Give either this or `per_class`.
      seed: seed of the run, at least 0.
      evaluation: what is measured at the end; by default five networks on the
        set, compared with random real data.
      figures: whether to draw figures; by default if matplotlib is installed.
      log_every: outer steps between two lines of the log; by default a tenth of
        all, at most 100.
      checkpoint_every: outer steps between two checkpoints, a multiple of
        `log_every`; by default the same.
      cache_dir: folder in which runs share experts and results on real data; by
        default the run's own folder.
      experts: folder of existing experts for trajectory methods; by default
        experts are trained below `cache_dir`.
      data: SPEC of the data, for the record.
      reading: how the SPEC was read, see `runs.assess.assess`.
      record: further JSON values to keep in `config.json`.
      time_limit: seconds from the call of `go` within which the steps should
        end. The run stops before, with a checkpoint; another call of `go`
        continues.
      profile: number of outer steps that JAX traces into the folder `profile`.
        Whole chunks of `log_every` steps are traced until this number is
        reached.
      metrics: where losses are sent in addition to the log: "tensorboard",
        "wandb", or both separated by a comma; their packages must be installed.
      mesh: devices that share the independent parts of the work; see
        `devices.on_devices`.

    Raises:
      ConfigError: neither or both sizes are given, or a number is out of range.
    """
    check_source(source)
    if seed < 0:
      raise ConfigError(f"`seed` must be at least 0; got {seed}.")
    check_one_size(per_class, num_rows)
    _check_every(log_every, checkpoint_every)
    if profile < 0 or (time_limit is not None and not time_limit > 0):
      raise ConfigError(
          "`profile` must be at least 0 and `time_limit` positive; got "
          f"{profile} and {time_limit}.")
    if not isinstance(evaluation, Settings):
      evaluation = Settings.of(evaluation or {})
    self.folder, self.source = Path(folder), source
    self.method = usual(source) if method is None else method
    self._network = network
    self._size: dict[str, Any] = dict(per_class=per_class, num_rows=num_rows)
    if figures is None:
      figures = can_draw()
    self._seed, self._evaluation, self._figures = seed, evaluation, figures
    self._watched = driver.Watched(
        log_every,
        checkpoint_every,
        profile=profile,
        metrics=sinks.checked(metrics))
    self._time_limit = time_limit
    self._shared = Path(cache_dir or folder)
    self._experts, self._data, self._reading = experts, data, reading
    self._record, self._mesh = dict(record or {}), mesh
    self._again = False

  def __repr__(self) -> str:
    return f"Run in {self.folder}: {self.method!r} on {self.source!r}"

  @property
  def artifact(self) -> Artifact:
    """The distilled set of a finished run."""
    return artifacts.load(self.folder)

  def go(self, *, again: bool = False):
    """Distils and evaluates, and prints the report.

    It goes on where an earlier call stopped. A run that was finished, with as
    many steps and the same evaluation, prints its report and does nothing else.

    Args:
      again: whether to evaluate such a run anew.

    Returns:
      The report.

    Raises:
      ConfigError, DataError, WorkdirError: the arguments or the folder do not
        fit. This is raised before anything is written.
      Interrupted: on SIGTERM or Ctrl-C, or before the time limit, after a
        checkpoint was saved.
      NonFinite: the loss became NaN or infinite.
    """
    if self.source.test is None:
      raise ConfigError(
          f"`source` must have a test part to evaluate on; {self.source.name} "
          "has none. Add x_test and y_test, a folder test, or leave test=0 out "
          "of the SPEC.")
    watched = self._watched
    if self._time_limit is not None:
      watched = watched._replace(deadline=time.monotonic() + self._time_limit)
    self._again = again
    workdir.check_own(self.folder)
    processes.wait()  # no process writes before all have checked the folder
    with contextlib.ExitStack() as held, on_devices(self._mesh):
      with working("preparing and distilling"):
        try:
          made = self._plan(held)
        except _Finished:
          return self._found()
        outcome = driver.train(made, self.folder, watched)
      distilled = made.artifact(
          outcome,
          seed=self._seed,
          fingerprint=self._fingerprint,
          **{
              k: v for k, v in self._size.items() if v
          })
      artifacts.save(distilled, self.folder / SET)
      return self._finish(made, distilled, outcome)

  def _found(self) -> Evaluation:
    """The report of a run that was finished."""
    say(
        f"{self.folder} holds this run, and it is finished: nothing is left to "
        "do. To evaluate it anew: --again, or go(again=True) in Python")
    report = Evaluation(read_json(self.folder / REPORT, {}))
    show(self.folder, report)
    return report

  def _finish(self, made: Plan, distilled: Artifact, outcome: Outcome):
    unfinished = Unfinished(self.folder / _UNFINISHED)
    report = assess(
        made.keys.evaluate,
        distilled,
        made.task.source,
        settings=self._evaluation,
        cache=self._shared / real_data.FILE,
        unfinished=unfinished,
        network=made.task.spec or made.task.model,
        spec=self._data or None,
        reading=self._reading,
        seconds=outcome.seconds,
        command=command())
    report.update(outcome.measured)
    report.update(self._of_log(report["seconds"]))
    start, members = None, made.task.layout.members
    if made.estimator is not None:
      start = made.estimator.samples(made.start).inputs
      if members is not None and members.shape[1] > 1:
        moved = updates(start, distilled.inputs, members)
        report["updates"] = moved._asdict()
    write_results(
        self.folder, distilled, report, start=start, draw=self._figures)
    processes.wait()
    unfinished.finish()
    if processes.is_first():
      workdir.finish(self.folder, self._done)
    show(self.folder, report)
    return report

  @property
  def _done(self) -> dict[str, Any]:
    """What is asked for besides the run's identity."""
    return dict(
        num_steps=self.method.num_steps,
        evaluation=self._evaluation._asdict(),
        figures=self._figures)

  def _of_log(self, seconds: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds per step and peak memory, if there were outer steps."""
    log = MetricsLog.read(self.folder)
    if len(log) < 2:
      return {}
    # Only a few intervals between two lines include compilation.
    lengths = [
        (one["seconds"] - before["seconds"]) / (one["step"] - before["step"])
        for before, one in itertools.pairwise(log)
    ]
    return dict(
        seconds=dict(seconds, step=round(statistics.median(lengths), 6)),
        memory_bytes=max(line.get("memory_bytes", 0) for line in log))

  def _plan(self, held: contextlib.ExitStack) -> Plan:
    """Makes the plan. Making its store opens and locks the run's folder."""

    def store(task: Task) -> Store:
      for line in lines:
        say(line)
      stored = self.method.parameterization
      check_evaluation(
          self._evaluation,
          task.spec or {
              "name": {
                  "kernel": "kernel_ridge"
              }.get(self.method.model, "network")
          },
          quantised=dict(stored.spec).get("name") == "quantised",
          encoded=bool(stored.spec) and stored.keeps_inputs,
          relabelled=bool(self.method.settings.get("keep_teacher")))
      identity, finished = self._identity(task), False
      with processes.in_turn():
        workdir.create(self.folder)
        held.enter_context(alone(self.folder))
        forget_halves(self.folder, CONFIG, *FILES, _UNFINISHED, "*.png")
        if not self._again:
          finished = workdir.is_finished(self.folder, identity, self._done)
        if not finished:
          self._open(identity)
      if finished:
        raise _Finished
      experts = None if self._experts is None else Path(self._experts)
      return Store(self.folder, self._shared, experts, say)

    source, lines = with_facts(self.source, **self._size)
    self._fingerprint = source.fingerprint()
    return plan(
        source,
        self.method,
        self._network,
        **self._size,
        keys=Keys.of(jax.random.key(self._seed)),
        store=store)

  def _identity(self, task: Task) -> dict[str, Any]:
    """What must be equal for a run to be continued."""
    method = self.method.spec
    if self.method.prolongable:
      method.pop("num_steps", None)
    if "start" in method:
      method["start"] = saved.identity(method["start"])
    return dict(
        method=method,
        network=models.identity(task.spec, task.model, task.source.example),
        **self._size,
        preprocessing=preprocessing.identity(task.source.preprocessing),
        seed=self._seed,
        data=self._data,
        fingerprint=self._fingerprint)

  def _open(self, identity: Mapping[str, Any]) -> None:
    workdir.open_workdir(
        self.folder,
        identity,
        dict(
            config=self._record or self._settings(identity),
            data=self._data,
            fingerprint=self._fingerprint,
            seed=self._seed),
        num_steps=self.method.num_steps if self.method.prolongable else None)

  def _settings(self, identity: Mapping[str, Any]) -> dict[str, Any]:
    """All settings, for people; without what follows from the data and a seed.

    The seed chooses the validation part of data that are read, and thereby the
    fingerprint and the mean of the others.
    """
    found = dict(identity, method=self.method.spec)
    if self._reading is None:
      return found
    del found["fingerprint"]
    return found | dict(
        preprocessing=dict(kind=found["preprocessing"]["kind"]),
        validation_fraction=self._reading["validation_fraction"])


class _Finished(Exception):
  """Raised where nothing is left to do."""


def _check_every(log_every: int | None, checkpoint_every: int | None) -> None:
  for name, value in (("log_every", log_every), ("checkpoint_every",
                                                 checkpoint_every)):
    if value is not None and value < 1:
      raise ConfigError(f"`{name}` must be at least 1; got {value}.")
  if checkpoint_every and (not log_every or checkpoint_every % log_every):
    raise ConfigError(
        "`checkpoint_every` must be a multiple of `log_every`; got "
        f"{checkpoint_every} and {log_every}.")
