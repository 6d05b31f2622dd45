"""A JSON cache of accuracies on real data, shared by runs.

Accuracies of baselines and of training on all data do not depend on the
distilled set. Methods that are compared on one data set therefore measure them
only once. Each value is stored under a name made of everything that it depends
on; the accuracy on all data is that of the first seed that measured it. Without
a cache file everything is measured.
"""

import zlib
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from distill_jax import data, environment
from distill_jax.evaluation import run_baselines, train_on_all
from distill_jax.evaluation.baselines import (
    OF_BYTES,
    OF_CODES,
    OF_QUANTISED,
    OF_VIEWS,
    TITLES,
    Baseline,
    networks_of,
)
from distill_jax.evaluation.cost import Cost
from distill_jax.evaluation.full_data import FullData
from distill_jax.evaluation.recipes import from_spec
from distill_jax.evaluation.relabelling import Relabelling
from distill_jax.evaluation.text_reference import tfidf_linear
from distill_jax.initialisation import step_order
from distill_jax.runs import kept
from distill_jax.runs.console import Countdown, expected, say
from distill_jax.runs.students import Student
from distill_jax.types import Array

FILE = "real_data.json"


def baselines(
    key: Array,
    artifact,
    source,
    student: Student,
    *,
    cache: Path | None,
    names: tuple[str, ...],
    num_samples: int,
    relabelling: Relabelling | None = None,
    seconds_per_network: float | None = None,
    **sizes: Any) -> dict[str, Baseline]:
  """Runs `run_baselines` for an artifact; reads from `cache` what it holds.

  Each result is saved and printed as soon as it is measured. With a fixed
  initialisation, which belongs to one set, no result is saved.

  Args:
    key: see `run_baselines`.
    artifact: the set.
    source: real data.
    student: the student that is trained or fitted.
    cache: the cache file, or None.
    names: names of the baselines.
    num_samples: see `run_baselines`.
    relabelling: how to label samples like those of a set with labels of views.
    seconds_per_network: duration of one network, if it is known, to say how
      long the baselines may take.
    **sizes: further arguments of `run_baselines`, JSON values.
  """
  if not names:
    return {}
  model = (
      dict(network=student.model) if student.trained else dict(
          learner=student.learner()))
  measure = partial(
      run_baselines,
      key,
      artifact,
      source,
      **model,
      num_samples=num_samples,
      relabel=relabelling and relabelling.relabel,
      **sizes)

  countdowns = {}

  def count(name, done, total):
    title = f"{TITLES[name]}, {student.name}, sets"
    countdowns.setdefault(name, Countdown(title, total))(done)

  def measured(names, on_result):
    number = networks_of(
        names,
        num_sets=sizes["num_sets"],
        networks_per_set=sizes["networks_per_set"],
        with_step_sizes=bool(np.size(artifact.step_sizes)))
    with expected("baselines", number * (seconds_per_network or 0.0)):
      return measure(names=names, on_result=on_result, on_progress=count)

  report_progress = partial(_report_progress, student.name)
  if cache is None or artifact.student_init == "fixed" or not student.spec:
    return measured(names, report_progress)
  order = artifact.order
  if num_samples != order.size:
    order = step_order(num_samples, len(order))
  common = dict(
      **setting(source, student),
      **sizes,
      num_samples=num_samples,
      recipe=from_spec(artifact.recipe).spec,
      key=np.asarray(jax.random.key_data(key)).tolist(),
      order=_checksum(order),
      steps=np.shape(artifact.step_sizes))
  fields = {name: common | dict(baseline=name) for name in names}
  for name in names:
    if name not in OF_BYTES:
      fields[name].pop("storage_bytes", None)
    if name not in OF_QUANTISED:
      fields[name].pop("quantiser", None)
    if name not in OF_CODES:
      fields[name].pop("encoding", None)
    if name in OF_VIEWS:
      fields[name]["teacher"] = _checksum(
          relabelling.num_views, *jax.tree.leaves(relabelling.teacher))
  fields = {name: kept.name_of(values) for name, values in fields.items()}
  found = kept.read(cache, fields.values())
  missing = tuple(name for name in names if fields[name] not in found)

  def keep(name, result):
    as_lists = result._replace(accuracy=result.accuracy.tolist())
    found[fields[name]] = kept.add(cache, fields[name], as_lists._asdict())
    report_progress(name, result)

  if missing:
    measured(missing, keep)
  of = {name: Baseline(**found[fields[name]]) for name in names}
  return {
      name: result._replace(accuracy=np.asarray(result.accuracy))
      for name, result in of.items()
  }


def full_data(
    key: Array, source, student: Student, cache: Path | None) -> FullData:
  """Accuracy of a network trained on all data; see `baselines`."""

  def measure():
    say(f"training {student.name} on all data")
    measured = train_on_all(
        jax.random.fold_in(key, 2**30), student.model, source)
    return measured._replace(cost=measured.cost._asdict())._asdict()

  if not student.spec:
    cache = None
  found: dict[str, Any] = kept.once(
      cache, measure, **setting(source, student), full_data=True)
  cost: Any = Cost(**found["cost"])
  return FullData(**found | dict(cost=cost))


def linear(spec: str,
           source,
           cache: Path | None,
           *,
           data_dir=None,
           **settings) -> dict[str, float] | None:
  """TF-IDF and a linear classifier on all texts; None for other data.

  Args:
    spec: SPEC of the data.
    source: the data.
    cache: the cache file, or None.
    data_dir: a folder of data sets, or None.
    **settings: `validation_fraction` and `seed` of `tfidf_linear`.
  """
  texts = data.texts(spec, data_dir=data_dir)
  if texts is None or "x_test" not in texts:
    return None
  settings["drop_duplicates"] = "dropped" in source.facts
  texts = {"tokens": source.facts.get("tokens", "words"), **texts}
  return kept.once(
      cache,
      lambda: tfidf_linear(**texts, **settings)._asdict(),
      data=source.fingerprint(),
      spec=spec,
      tfidf_linear=settings)


def _report_progress(network: str, name: str, result: Baseline) -> None:
  diverged = f", {result.diverged} diverged" * bool(result.diverged)
  say(f"  {TITLES[name]}, {network}: {100 * result.mean:.2f} %{diverged}")


def setting(source, student: Student) -> dict[str, Any]:
  """What results of a student on the data depend on, as JSON values."""
  return dict(
      network=student.spec,
      data=source.fingerprint(),
      preprocessing=_checksum(*jax.tree.leaves(source.preprocessing)),
      version=environment.versions()["distill_jax"])


def _checksum(*arrays) -> int:
  whole = [np.ascontiguousarray(array) for array in arrays]
  return zlib.crc32(
      b"".join(f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in whole))
