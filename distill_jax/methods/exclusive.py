"""Exclusive segments (EDD) around any method; see `segments`.

The set is learned in segments, one after the other. The segments share the
outer steps and the label rows of the set. The set therefore starts from the
same samples, and costs about as much, as without segments.
"""

import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import segments
from distill_jax.errors import ConfigError
from distill_jax.evaluation.learners import student
from distill_jax.evaluation.recipes import from_spec as recipe_of
from distill_jax.methods.gradients import (
    IDC,
    QUICK,
    idc,
    published_idc,
    recipes_of,
)
from distill_jax.methods.method import Method, Outcome, Plan, plan
from distill_jax.methods.settings import check_ranges, complete, declare
from distill_jax.methods.shared import by_data
from distill_jax.types import Anchor

_SEGMENTS = dict(
    num=2,
    drop_correct=0.5,
    at_least=64,
    anchor_weight=0.1,
    recipe=dict(name="idc", num_epochs=300, mix=0.5, strategy=None))


def exclusive(method: Method, **settings) -> Method:
  """Makes a method whose set is learned in segments, each on earlier errors.

  Args:
    method: a method that matches class by class on a network, uses labels as
      they are, and learns no step sizes.
    **settings: `num`, the number of segments, which must divide the label rows
      of a class and the outer steps; `drop_correct`, the share of correctly
      classified real samples that later segments do not see; `at_least`, the
      number of real samples of each class that remain in any case;
      `anchor_weight`, the weight of earlier segments in the matching, 0 for
      none; `recipe`, which trains the network that finds the errors.
  """
  settings = complete("exclusive", _SEGMENTS, settings)
  check_ranges(settings, "segments.")
  return in_segments(method, settings)._replace(
      name="exclusive", settings=dict(of=method.spec, segments=settings))


@declare(
    dict(of={
        "name": "dm",
        "num_steps": 1_500
    }, segments=_SEGMENTS),
    name="exclusive",
    paper="an anonymous draft, Dataset Distillation by Learning Exclusive "
    "Information",
    title="exclusive segments",
    cost="that of the method")
def _exclusive(s: SimpleNamespace) -> Method:
  """Learns the set of any method in segments, as in EDD."""
  from distill_jax.methods import from_spec

  return in_segments(from_spec(s.of), s.segments)


def _published_edd(per_class, traits, given):
  """IDC in segments; what the draft leaves open is a setting here."""
  idc_settings = published_idc(per_class, traits, given)
  number = given.get("segments",
                     {}).get("num") or (5 if per_class % 5 == 0 else 1)
  idc_settings["learning_rate"] /= number  # as a segment has fewer samples
  return idc_settings | dict(
      segments=dict(
          num=number, recipe=recipes_of(traits)["idc"] | dict(num_epochs=300)))


@declare(
    IDC | dict(segments=_SEGMENTS, learning_rate=0.026),
    paper="an anonymous draft, Dataset Distillation by Learning Exclusive "
    "Information",
    loss="distance of gradients",
    cost="as idc",
    published=_published_edd,
    quick=QUICK | dict(segments=dict(at_least=32, recipe=dict(num_epochs=150))))
def edd(s: SimpleNamespace) -> Method:
  """Learns IDC's set in segments, each on what earlier ones get wrong."""
  own = {name: value for name, value in vars(s).items() if name in IDC}
  return in_segments(idc(**own), s.segments)


def in_segments(method: Method, settings: dict) -> Method:
  """Like `exclusive`, for complete settings.

  Raises:
    ConfigError: the number of segments does not divide the outer steps, or the
      codes mix classes.
  """
  number = settings["num"]
  whole = method.model == "network" and method.label_space == "raw"
  if not whole or not method.by_class or "step_size" in method.settings:
    raise ConfigError(
        "`method` must match class by class on a network, without step sizes "
        f"of its own; got {method.name}.")
  if settings["anchor_weight"] and not method.anchors:
    raise ConfigError(
        f"`anchor_weight` must be 0 with {method.name}, which does not match "
        f"earlier segments; got {settings['anchor_weight']}.")
  if method.num_steps % number:
    raise ConfigError(
        "`segments.num` must divide `num_steps`; got "
        f"{number} for {method.num_steps}. Change one of them.")
  if not method.parameterization.separates_classes or method.parts:
    raise ConfigError(
        "`parameterization` must keep classes apart for segments: pixels or "
        "multi_formation, of a method in one piece; got "
        f"{dict(method.parameterization.spec)['name']}.")

  def check(task) -> None:
    method.check(task)
    recipe_of(by_data(settings["recipe"], task.source))
    rows = len(task.layout.classes) // len(task.layout.present)
    if rows % number:
      raise ConfigError(
          f"`segments.num` must divide the rows of each class; got {number} "
          f"for {rows}. Change one of them.")

  def parts(whole: Plan, carry_out) -> Outcome:
    return _Segments(whole, method, settings).carry_out(carry_out)

  return method._replace(parts=parts, check=check, prolongable=False)


class _Segments:
  """One run of all segments."""

  def __init__(self, whole: Plan, method: Method, settings: dict):
    number = settings["num"]
    self._whole, self._settings = whole, settings
    self._part = method._replace(
        num_steps=method.num_steps // number, name=whole.method.name)
    classes = whole.task.layout.classes
    by_class = np.argsort(
        classes, kind="stable").reshape(len(whole.task.layout.present), -1)
    shares = np.split(by_class, number, axis=1)
    self._shares = np.stack([share.ravel() for share in shares])
    self._plans, self._outcomes, self._seconds = [], [], 0.0

  def carry_out(self, carry_out) -> Outcome:
    """Distils all segments and joins them."""
    whole, settings = self._whole, self._settings
    task, began = whole.task, time.perf_counter()
    recipe = recipe_of(by_data(settings["recipe"], task.source))
    made = segments.exclusive_segments(
        whole.keys.parts,
        task.source.train,
        distil=lambda *each: self._distil(carry_out, *each),
        decode=whole.estimator.samples,
        learner=student(task.model, recipe),
        num_segments=settings["num"],
        drop_correct=settings["drop_correct"],
        at_least=settings["at_least"])
    filtering = time.perf_counter() - began - self._seconds
    return Outcome(
        self._joined(made), self._outcomes[-1].objective,
        sum(outcome.seconds for outcome in self._outcomes) + filtering,
        dict(segments=_measured(made, task.source)),
        dict(segment_of_sample=self._segment_of_sample()))

  def _distil(self, carry_out, key, rows, earlier):
    number, began = len(earlier) + 1, time.perf_counter()
    whole, share = self._whole, self._shares[len(earlier)]
    whole.store.say(
        f"segment {number} of {self._settings['num']}, on {len(rows):,} real "
        "samples")
    start = whole.start
    # The first segment uses the keys of the whole run, so that a single segment
    # is the same as the method itself.
    keys = whole.keys._replace(run=key) if earlier else whole.keys
    self._plans.append(
        plan(
            whole.task.source.narrow(rows),
            self._part,
            whole.task.spec or whole.task.model,
            num_rows=len(share),
            keys=keys,
            store=whole.store._replace(
                folder=whole.store.folder / "parts" / str(number)),
            start=start._replace(
                codes=jax.tree.map(lambda codes: codes[share], start.codes),
                labels=start.labels[share]),
            anchor=self._anchor(earlier)))
    self._outcomes.append(carry_out(str(number), self._plans[-1]))
    self._seconds += time.perf_counter() - began
    return self._outcomes[-1].distilled

  def _anchor(self, earlier) -> Anchor | None:
    weight = self._settings["anchor_weight"]
    if not earlier or not weight:
      return None
    members = self._plans[0].task.layout.members

    def by_class(field):
      return jnp.concatenate(
          [getattr(segment.samples, field)[members] for segment in earlier],
          axis=1)

    return Anchor(by_class("inputs"), by_class("labels"), weight)

  def _joined(self, made):
    """The whole set, with each segment in the rows that it started from."""
    start = self._whole.start
    codes, labels = start.codes, start.labels
    for segment, rows in zip(made, self._shares, strict=True):
      codes, labels = jax.tree.map(
          lambda whole, part, rows=rows: whole.at[rows].set(part),
          (codes, labels), (segment.distilled.codes, segment.distilled.labels))
    return start._replace(codes=codes, labels=labels)

  def _segment_of_sample(self) -> list[int]:
    """[M] the segment of each decoded sample, from 0."""
    of_row = np.zeros(self._shares.size, int)
    for number, rows in enumerate(self._shares):
      of_row[rows] = number
    owner = self._part.parameterization.owner(self._whole.start.codes)
    return of_row[np.asarray(owner)].tolist()


def _measured(made, source) -> dict:
  """Facts about the segments for the report."""
  labels = np.asarray(source.train.labels)
  return dict(
      forgotten=segments.forgotten(made).tolist(),
      correct=[int(segment.correct.sum()) for segment in made],
      real_samples=[
          np.bincount(labels[segment.rows],
                      minlength=source.num_classes).tolist() for segment in made
      ])
