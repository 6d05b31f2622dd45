"""Assesses a distilled set: trains students on it, and on real data."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax import models
from distill_jax.artifact import Artifact
from distill_jax.choices import arguments_by_name, one_of, some_of
from distill_jax.data.source import check_source
from distill_jax.errors import ConfigError
from distill_jax.evaluation import (
    Transfer,
    attacks,
    cost_of_set,
    evaluate_set,
    hard_labels,
    report_dict,
)
from distill_jax.evaluation.attacks import EPS
from distill_jax.evaluation.baselines import (
    DEFAULT,
    OF_QUANTISED,
    OF_VIEWS,
    Baseline,
    possible,
)
from distill_jax.evaluation.columns import NAMES as COLUMNS
from distill_jax.evaluation.columns import NUM_ATTACKED, measured_of_set
from distill_jax.evaluation.evaluator import Report
from distill_jax.evaluation.recipe import Recipe
from distill_jax.evaluation.recipes import from_spec
from distill_jax.evaluation.relabelling import relabelling_of
from distill_jax.evaluation.report import Evaluation, Measurements
from distill_jax.evaluation.text_reference import TITLE as TFIDF
from distill_jax.keys import check_key
from distill_jax.methods.shared import by_data
from distill_jax.quantising import encoding_of
from distill_jax.runs import real_data
from distill_jax.runs.console import Countdown, say, working
from distill_jax.runs.kept import Unfinished
from distill_jax.runs.students import Named, Student, students
from distill_jax.storage import checksum
from distill_jax.text.words import is_text, snapped
from distill_jax.types import Array
from distill_jax.views import views_of

_TITLE = "the distilled set"


class Settings(NamedTuple):
  """What is measured, and how often.

  Attributes:
    num_networks: number of networks trained on the set, of each kind.
    baselines: "all", names separated by commas, or "". Of several networks,
      all are measured of the first, and random_real of each.
    num_sets: number of sets per baseline.
    networks_per_set: number of networks trained on each of these sets. If this
      or `num_sets` is 0, a baseline trains as many networks in total as the
      distilled set.
    full_data: whether to train on all data too.
    columns: what else is measured of the networks trained on the set:
      "attacks", "calibration", both separated by a comma, or "".
    eps: largest perturbation of an attack, in units of pixels in [0, 1], or of
      model space for data that are not images.
    num_attacked: number of test samples that are attacked; 0 for all.
  """

  num_networks: int = 5
  baselines: str = DEFAULT
  num_sets: int = 5
  networks_per_set: int = 2
  full_data: bool = False
  columns: str = ""
  eps: float = EPS
  num_attacked: int = NUM_ATTACKED

  def sized(self, *, chance: bool) -> "Settings":
    """Replaces each 0 in the sizes of the baselines by a number.

    Args:
      chance: whether networks differ by chance. If not, only the draws of
        samples differ, and at least three are made.
    """
    sets, each = self.num_sets, self.networks_per_set
    total = self.num_networks
    if not sets and not each:
      total = total if chance else max(total, 3)
      divisors = (n for n in range(1, total + 1) if total % n == 0)
      each = max(n for n in divisors if n * n <= total)
    sets = sets or max(1, round(total / each))
    return self._replace(
        num_sets=sets, networks_per_set=each or max(1, round(total / sets)))

  @classmethod
  def of(cls, fields: Mapping[str, Any]) -> "Settings":
    """Returns the settings with some fields changed.

    Raises:
      ConfigError: an unknown field.
    """
    for name in fields:
      one_of(cls._fields, "evaluation", name)
    return cls(**fields)


@arguments_by_name
def evaluate(
    artifact: Artifact,
    source,
    *,
    key: Array | None = None,
    network: Named | Sequence[Named] | None = None,
    recipe: Recipe | Mapping[str, Any] | str | None = None,
    num_networks: int = 5,
    baselines: str = DEFAULT,
    num_sets: int = 5,
    networks_per_set: int = 2,
    full_data: bool = False,
    columns: str = "",
    eps: float = EPS,
    num_attacked: int = NUM_ATTACKED,
    cache: str | Path | None = None) -> Evaluation:
  """Trains fresh networks on a distilled set, and on real data for comparison.

  Args:
    artifact: the set.
    source: real data with a test part, in the set's preprocessing.
    key: key of the evaluation; `jax.random.key(0)` by default.
    network: a `Network`, a name, a specification `{"name": ..., settings}`, or
      several of these. By default the network that the set was made for, or
      else one that suits the shape of the data (`models.default`).
    recipe: how networks are trained on the set, by name or specification; by
      default the recipe of the artifact.
    num_networks: number of networks trained on the set, of each kind.
    baselines: "all", names of `evaluation.baselines` separated by commas, or
      "". Only random_real is measured with each of several networks, the
      others with the first. A quantised set is also compared with real samples
      quantised in the same way, and a set with labels of views with real
      samples labelled by its teacher.
    num_sets: number of sets per baseline.
    networks_per_set: number of networks trained on each of these sets. If this
      or `num_sets` is 0, a baseline trains as many networks in total as the
      distilled set.
    full_data: whether to train each network on all data too.
    columns: what else is measured of the first network: "attacks",
      "calibration", both separated by a comma, or "".
    eps: largest perturbation of an attack, in units of pixels in [0, 1], or of
      model space for data that are not images.
    num_attacked: number of test samples that are attacked; 0 for all.
    cache: a JSON file with results on real data from earlier calls; new results
      are added to it. By default everything is measured.

  Returns:
    The report, a dict that prints as a table.

  Raises:
    ValueError: there is no test part, classes or shapes differ, or a name is
      unknown.

  `dd.pages.write_evaluation(report, artifact, "report.html")` makes it a page.

  Example:
    print(dd.evaluate(made, source))
  """
  return assess(
      jax.random.key(0) if key is None else key,
      artifact,
      source,
      settings=Settings(
          num_networks, baselines, num_sets, networks_per_set, full_data,
          columns, eps, num_attacked),
      network=network,
      recipe=recipe,
      cache=Path(cache) if cache else None)


def assess(
    key: Array,
    artifact: Artifact,
    source,
    *,
    settings: Settings | None = None,
    network: Named | Sequence[Named] | None = None,
    recipe: Recipe | Mapping[str, Any] | str | None = None,
    cache: Path | None = None,
    unfinished: Unfinished | None = None,
    spec: str | None = None,
    reading: Mapping[str, Any] | None = None,
    seconds: float | None = None,
    command: str = "") -> Evaluation:
  """Makes the report of a distilled set on real data; see `evaluate`.

  Args:
    key: key of the evaluation; network i is the same for every set.
    artifact: the set.
    source: real data.
    settings: what is measured.
    network: see `evaluate`.
    recipe: see `evaluate`.
    cache: see `evaluate`.
    unfinished: keeps the accuracies of networks trained on the set, so that an
      interrupted call goes on. The caller finishes it.
    spec: SPEC of the data, for the report.
    reading: `data_dir`, `validation_fraction` and `seed` with which `spec` was
      read. If given, `full_data` includes a linear classifier of texts.
    seconds: duration of the distillation; None if unknown.
    command: command that started the run.
  """
  check_key(key)
  source = _matched(artifact, source)
  chosen = students(network, artifact, source)
  settings = settings or Settings()
  if recipe is not None:
    artifact = _with_recipe(artifact, recipe, source)
  check_evaluation(
      settings,
      *(student.spec for student in chosen),
      quantised=artifact.quantiser is not None,
      encoded=encoding_of(artifact) is not None,
      relabelled=relabelling_of(artifact, chosen[0].model) is not None)
  settings = settings.sized(chance=chosen[0].trained)
  if from_spec(
      artifact.recipe).regression and "calibration" in settings.columns:
    raise ConfigError(
        "`columns` must be without calibration for a recipe of regression, "
        f"whose outputs are no logits; got {artifact.recipe['name']}.")
  began = time.perf_counter()
  unfinished = unfinished or Unfinished(None)
  with working("evaluating"):
    measured = _Measuring(key, artifact, source, settings, cache,
                          unfinished).of(chosen)
    if settings.full_data and reading is not None and spec is not None:
      found = real_data.linear(spec, source, cache, **reading)
      measured = measured._replace(references={TFIDF: found} if found else {})
  return report_dict(
      measured,
      artifact,
      data=dict(
          spec=spec or source.name,
          fingerprint=source.fingerprint(),
          **source.facts),
      seconds=dict(
          distill=seconds and round(seconds, 1),
          evaluate=round(time.perf_counter() - began + unfinished.seconds, 1)),
      command=command)


def check_evaluation(
    settings: Settings,
    *specs: Mapping[str, Any],
    quantised: bool = False,
    encoded: bool = False,
    relabelled: bool = False) -> None:
  """Refuses an impossible evaluation before any time is spent.

  Args:
    settings: what is measured.
    *specs: specifications of networks or kernels; baselines use the first one.
    quantised: whether the set is quantised.
    encoded: whether the set's parameterization keeps inputs.
    relabelled: whether the set has labels of views and their teacher.

  Raises:
    ConfigError: an unknown baseline, or training on all data with kernels only.
  """
  sizes = dict(num_networks=1, num_sets=0, networks_per_set=0)
  for name, least in sizes.items():
    if getattr(settings, name) < least:
      raise ConfigError(
          f"`{name}` must be at least {least}; got {getattr(settings, name)}.")
  _baseline_names(
      settings.baselines,
      trained=models.is_network(specs[0]),
      quantised=quantised,
      encoded=encoded,
      relabelled=relabelled)
  if _column_names(settings.columns) and not models.is_network(specs[0]):
    raise ConfigError(
        "`columns` must be empty where no network is trained; got "
        f"{settings.columns} for {specs[0].get('name')}.")
  attacks.fgsm(settings.eps)
  if settings.num_attacked < 0:
    raise ConfigError(
        f"`num_attacked` must be at least 0; got {settings.num_attacked}.")
  if settings.full_data and not any(map(models.is_network, specs)):
    raise ConfigError(
        "`full_data` must be off where no network is trained; got True for "
        f"{specs[0].get('name')}.")


def hardened(artifact: Artifact) -> Artifact:
  """The artifact with each label replaced by the one-hot row of its class."""
  centred = artifact.label_space == "centred"
  artifact = artifact.without_views()
  labels = hard_labels(artifact.training_set, centred=centred).samples.labels
  return artifact._replace(
      labels=labels, label_space="centred" if centred else "raw")


class _Measuring(NamedTuple):
  """Everything that the measurements need; see `assess`."""

  key: Array
  artifact: Artifact
  source: Any
  settings: Settings
  cache: Path | None
  unfinished: Unfinished

  def of(self, chosen: tuple[Student, ...]) -> Measurements:
    """Measures the first student; with several students, all of them."""
    first = chosen[0]
    trained = [student for student in chosen if student.trained]
    for student in trained:  # raises if a network has a wrong input size
      jax.eval_shape(student.model.init, self.key, self.artifact.inputs[:1])
    say(
        f"evaluating on {self.source.test.num_samples:,} test samples, at most "
        f"{self.settings.num_networks} networks")
    count = self.countdown(first)
    reports = {first.name: self.report(first, self.artifact, count=count)}
    for student in chosen[1:]:
      reports[student.name] = self.report(student, self.artifact)
    hard = words = None
    if self.artifact.label_regime != "hard":
      hard = self.report(first, hardened(self.artifact), "with hard labels")
    if is_text(self.artifact):
      words = self.report(first, snapped(self.artifact), "as nearest words")
    baselines = self.baselines(first, count.each)
    full = {}
    if self.settings.full_data:
      full = {
          s.name: real_data.full_data(self.key, self.source, s, self.cache)
          for s in trained
      }
    networks = {}
    if chosen[1:]:
      networks = self.transfers(chosen, reports, baselines, full)
    return Measurements(
        reports[first.name],
        first.name,
        baselines,
        hard,
        words,
        full.get(first.name),
        self.cost(first),
        networks=networks,
        columns=self.columns(first))

  def columns(self, student: Student) -> dict[str, Any]:
    """The further columns, for the networks that `report` trains."""
    names = _column_names(self.settings.columns)
    if not names:
      return {}
    say(f"{' and '.join(names)} of {student.name}")
    return measured_of_set(
        self.key,
        self.artifact,
        self.source.test,
        names,
        network=student.model,
        num_networks=self.settings.num_networks,
        eps=self.settings.eps,
        num_samples=self.settings.num_attacked)

  def countdown(self, student: Student, title: str = _TITLE) -> Countdown:
    """Counts the networks of a student that `report` trains."""
    return Countdown(
        f"{title}, {student.name}, networks", self.settings.num_networks)

  def report(
      self,
      student: Student,
      artifact: Artifact,
      title: str = _TITLE,
      count: Countdown | None = None) -> Report:
    """Trains students on a set and tests them, unless that is finished."""

    def measure():
      return evaluate_set(
          self.key,
          artifact,
          self.source.test,
          learner=student.learner(from_spec(artifact.recipe)),
          num_networks=self.settings.num_networks,
          on_progress=count or self.countdown(student, title)).to_json()

    def fields():
      return dict(
          **real_data.setting(self.source, student),
          set=_trained_on(artifact),
          num_networks=self.settings.num_networks,
          key=np.asarray(jax.random.key_data(self.key)).tolist())

    keeper = self.unfinished if student.spec else Unfinished(None)
    found = Report.from_json(keeper.once(measure, fields))
    spread = "" if found.num_networks == 1 else f" ± {100 * found.std:.2f}"
    diverged = f", {found.diverged} diverged" * bool(found.diverged)
    say(
        f"  {title}, {student.name}: {100 * found.mean:.2f}{spread} %{diverged}"
    )
    return found

  def baselines(self, student: Student,
                seconds_per_network: float | None) -> dict[str, Baseline]:
    """The baselines that the settings name."""
    quantiser = self.artifact.quantiser
    encoding = encoding_of(self.artifact)
    relabelling = relabelling_of(self.artifact, student.model)
    names = _baseline_names(
        self.settings.baselines,
        trained=student.trained,
        quantised=quantiser is not None,
        encoded=encoding is not None,
        relabelled=relabelling is not None)
    if names and quantiser:
      names = tuple(dict.fromkeys((*names, *OF_QUANTISED)))
    if names and relabelling:
      names = tuple(dict.fromkeys((*names, *OF_VIEWS)))
    if names:
      say(f"baselines: {', '.join(names)}")
    return real_data.baselines(
        self.key,
        self.artifact,
        self.source,
        student,
        cache=self.cache,
        names=names,
        num_sets=self.settings.num_sets,
        networks_per_set=self.settings.networks_per_set,
        num_samples=self.artifact.num_rows,
        storage_bytes=self.artifact.storage_bytes["total"],
        quantiser=quantiser,
        encoding=encoding,
        relabelling=relabelling,
        seconds_per_network=seconds_per_network)

  def transfers(self, chosen, reports, baselines, full) -> dict[str, Transfer]:
    """Each student on the set, and on random real data if that is asked for."""
    first, *others = chosen
    real = {}
    if "random_real" in baselines:
      say(f"random real data on {', '.join(s.name for s in others)}")
      real = {s.name: self.random_real(s) for s in others}
      real[first.name] = baselines["random_real"]
    return {
        s.name: Transfer(reports[s.name], real.get(s.name), full.get(s.name))
        for s in chosen
    }

  def random_real(self, student: Student) -> Baseline:
    """Random real data, with sets and networks as for the first student."""
    return real_data.baselines(
        self.key,
        self.artifact,
        self.source,
        student,
        cache=self.cache,
        names=("random_real",),
        num_sets=self.settings.num_sets,
        networks_per_set=self.settings.networks_per_set,
        num_samples=self.artifact.num_rows)["random_real"]

  def cost(self, student: Student):
    """The cost of training the student on the set; None for a kernel."""
    if not student.trained:
      return None
    say(f"timing the training of one {student.name} on the set")
    return cost_of_set(
        self.key,
        student.model,
        self.artifact.training_set,
        recipe=from_spec(self.artifact.recipe))


def _trained_on(artifact: Artifact) -> str:
  """SHA-256 of all that networks are trained on: samples, labels, recipe."""
  leaves = map(np.asarray, jax.tree.leaves(artifact.training_set))
  return checksum({
      str(i): leaf for i, leaf in enumerate(leaves)
  }, dict(recipe=artifact.recipe, label_space=artifact.label_space))


def _baseline_names(text: str, **kind: bool) -> tuple[str, ...]:
  """The names that "all", or a text with commas, stands for; see `possible`."""
  known = possible(**kind)
  names = some_of(("all", *known), "baselines", text)
  return known if "all" in names else names


def _column_names(text: str) -> tuple[str, ...]:
  return some_of(COLUMNS, "columns", text)


def _with_recipe(
    artifact: Artifact, recipe: Recipe | Mapping[str, Any] | str,
    source) -> Artifact:
  """The set with another recipe.

  Raises:
    ConfigError: the recipe draws other views than those that the set has labels
      of.
  """
  spec = _spec(recipe, source)
  if not artifact.views:
    return artifact._replace(recipe=spec)
  if spec["name"] != artifact.recipe["name"]:  # this recipe uses no views
    return artifact.without_views()._replace(recipe=spec)
  if not isinstance(recipe, Recipe):  # settings not given keep their values
    given = {} if isinstance(recipe, str) else recipe
    spec = from_spec({**artifact.recipe, **given}).spec
  own = views_of(artifact.recipe)
  if views_of(spec) != own:
    raise ConfigError(
        f"`recipe` must draw the views that the set has labels of, "
        f"{own._asdict()}; got {views_of(spec)._asdict()}. Take another recipe "
        "to train on its classes alone.")
  # The existing views, however many epochs there are.
  return artifact._replace(
      recipe={
          **spec, "num_views": len(artifact.views["labels"])
      })


def _spec(recipe: Recipe | Mapping[str, Any] | str,
          source) -> Mapping[str, Any]:
  """A recipe's settings; no augmentation for data that are not images."""
  if isinstance(recipe, Recipe):
    return recipe.spec
  spec = {"name": recipe} if isinstance(recipe, str) else recipe
  if len(source.example.shape) != 4:
    spec = by_data(spec, source)
  return from_spec(spec).spec


def _matched(artifact: Artifact, source):
  """The data that a set is evaluated on, with classes in the set's order.

  Raises:
    ConfigError: wrong types, or no test part.
    DataError: the classes differ.
  """
  if not isinstance(artifact, Artifact):
    raise ConfigError(
        "`artifact` must be a distilled set, as condense and load return it; "
        f"got {type(artifact).__name__}. from_samples wraps arrays.")
  check_source(source)
  if source.test is None:
    raise ConfigError(
        f"`source` must have a test part to evaluate on; {source.name} has "
        "none. Give it one (`x_test` and `y_test`, or a folder test).")
  ours, theirs = artifact.inputs.shape[1:], source.example.shape[1:]
  if len(ours) != 2 and ours != theirs:  # sentences may differ in length
    raise ConfigError(
        f"`source` must have samples shaped like those of the set, {ours}; got "
        f"{theirs}.")
  return source.in_classes(artifact.class_names)
