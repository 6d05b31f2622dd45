"""A method on a data set in a folder: resumable, logged, assessed."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from distill_jax import artifact as artifacts
from distill_jax.artifact import Artifact
from distill_jax.errors import ConfigError
from distill_jax.methods import saved
from distill_jax.methods.method import Keys, Method, Plan, Store, Task, plan
from distill_jax.methods.steps import LOG_EVERY
from distill_jax.runs import driver, finish, workdir
from distill_jax.runs.console import say
from distill_jax.runs.finish import Assessment
from distill_jax.storage import alone
from distill_jax.text.facts import with_facts


class Run:
  """One method on one data set, living in a folder.

      run = Run("runs/dsa", source, methods.dsa(), per_class=10)
      report = run.go()          # again after an interruption: goes on

  The folder then holds `config.json`, `metrics.jsonl`, `checkpoints/`,
  `distilled.safetensors`, `report.json` and `figures/`.
  """

  def __init__(
      self,
      folder,
      source,
      method: Method,
      network=None,
      *,
      per_class: int | None = None,
      num_rows: int | None = None,
      seed: int = 0,
      assessment: Assessment | Mapping[str, Any] | None = None,
      log_every: int = LOG_EVERY,
      checkpoint_every: int | None = None,
      cache_dir=None,
      experts=None,
      data: str = "",
      record: Mapping[str, Any] | None = None,
  ):
    """Says what to run; nothing is written before `go`.

    Args:
      folder: where the run lives; created where it does not exist.
      source: the data, with a test part.
      method: of `methods`.
      network: as in `methods.condense`.
      per_class: label rows of each class; or
      num_rows: label rows of the whole set.
      seed: of the run, at least 0.
      assessment: how the set is evaluated; `False` fields leave parts out.
      log_every: outer steps between two lines of the log.
      checkpoint_every: a multiple of it; the same by default.
      cache_dir: where accuracies of real data and experts are kept, for runs to
        share; the folder by default.
      experts: a folder of experts for trajectory methods, which by default are
        trained below `cache_dir`.
      data: SPEC of the data, for the record.
      record: JSON values that `config.json` keeps besides.

    Raises:
      ConfigError: a number out of its range.
    """
    if seed < 0:
      raise ConfigError(f"`seed` must be at least 0; got {seed}.")
    checkpoint_every = checkpoint_every or log_every
    for name, value in (("log_every", log_every),
                        ("checkpoint_every", checkpoint_every)):
      if value < 1:
        raise ConfigError(f"`{name}` must be at least 1; got {value}.")
    if checkpoint_every % log_every:
      raise ConfigError(
          "`checkpoint_every` must be a multiple of `log_every`; got "
          f"{checkpoint_every} and {log_every}."
      )
    if assessment is None:
      assessment = Assessment()
    elif not isinstance(assessment, Assessment):
      assessment = Assessment(**assessment)
    assessment.check()
    self.folder, self.source, self.method = Path(folder), source, method
    self._network = network
    self._size = dict(per_class=per_class, num_rows=num_rows)
    self._seed, self._assessment = seed, assessment
    self._every = dict(log_every=log_every, checkpoint_every=checkpoint_every)
    self._shared = Path(cache_dir or folder)
    self._experts, self._data = experts, data
    self._record = dict(record or {})

  def __repr__(self) -> str:
    return f"Run in {self.folder}: {self.method!r} on {self.source!r}"

  @property
  def artifact(self) -> Artifact:
    """The set of a finished run."""
    return artifacts.load(self.folder / "distilled.safetensors")

  def go(self):
    """Distils, from where an earlier call stopped, and assesses the set.

    Returns:
      The report, which prints as a table.

    Raises:
      ConfigError, DataError, WorkdirError: a mistake, before anything is
        written.
      Interrupted: on SIGTERM or Ctrl-C, after a checkpoint.
      NonFinite: the loss stopped being a number.
    """
    if self.source.test is None:
      raise ConfigError(
          f"`source` must have a test part to evaluate on; {self.source.name} "
          "has none. Add x_test and y_test, a folder test, or &test=0.2 to a "
          "csv SPEC."
      )
    workdir.check_own(self.folder)
    with contextlib.ExitStack() as held:
      made = self._plan(held)
      outcome = driver.train(made, self.folder, **self._every)
      distilled = made.artifact(
          outcome, seed=self._seed, fingerprint=self._fingerprint,
          **{k: v for k, v in self._size.items() if v},
      )
      artifacts.save(distilled, self.folder / "distilled.safetensors")
      return finish.finish(
          made, distilled, outcome, self.folder, self._assessment,
          data=self._data, cache_dir=self._shared,
      )

  def _plan(self, held: contextlib.ExitStack) -> Plan:
    """The plan; its store opens, and holds, the folder."""

    def store(task: Task) -> Store:
      for line in lines:
        say(line)
      self._open(task)
      held.enter_context(alone(self.folder))
      experts = None if self._experts is None else Path(self._experts)
      return Store(self.folder, self._shared, experts, say)

    source, lines = with_facts(self.source, **self._size)
    self._fingerprint = source.fingerprint()
    return plan(
        source, self.method, self._network, **self._size,
        keys=Keys.of(jax.random.key(self._seed)), store=store,
    )

  def _open(self, task: Task) -> None:
    method = self.method.spec
    if self.method.prolongable:
      method.pop("num_steps", None)
    if "start" in method:
      method["start"] = saved.identity(method["start"])
    identity = dict(
        method=method, network=dict(task.spec), **self._size, seed=self._seed,
        data=self._data, fingerprint=self._fingerprint,
    )
    workdir.open_workdir(
        self.folder, identity, dict(
            config=self._record or dict(identity, method=self.method.spec),
            data=self._data, fingerprint=self._fingerprint, seed=self._seed,
        ),
        num_steps=self.method.num_steps,
    )
