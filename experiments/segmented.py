"""A set made of exclusive segments (EDD), each a run in a folder of its own.

The segments share the outer steps and the label rows of the set, so that the
set starts from the same samples, and costs about as much, as without them.
"""

import time
from pathlib import Path

import build
import driver
import jax
import jax.numpy as jnp
import numpy as np
from workdir import MetricsLog

from distill_jax import initialisation, models, parameterization, segments
from distill_jax.evaluation.learners import student
from distill_jax.evaluation.recipes import from_spec
from distill_jax.objectives.classes import Anchor
from distill_jax.runs.console import say

_APART = 2**31 - 1  # from the outer steps, whose numbers are smaller


def train(run, config, folder: Path) -> driver.Outcome:
  """Distils every segment, from where an earlier call was interrupted.

  Raises:
    As `driver.train`.
  """
  settings, source = config.segments, run.source
  shares = _shares(config, source)
  part = config.copy_and_resolve_references()
  part.samples_per_class //= settings.num
  part.num_steps //= settings.num
  with part.unlocked():
    del part.segments
  runs, outcomes, walls = [], [], []

  def distil(key, rows, earlier):
    number, began = len(earlier) + 1, time.perf_counter()
    say(f"segment {number} of {settings.num}, on {len(rows):,} real samples")
    segment = build.run(
        part, source.narrow(rows),
        start=_take(run.state.distilled, shares[number - 1]),
        anchor=_anchor(earlier, runs, settings.anchor_weight),
    )
    if earlier:  # one segment is the method itself
      segment = segment._replace(key=key)
    where = folder / "segments" / str(number)
    where.mkdir(parents=True, exist_ok=True)
    runs.append(segment)
    outcomes.append(driver.train(segment, part, where))
    walls.append(time.perf_counter() - began)
    return outcomes[-1].distilled

  began = time.perf_counter()
  made = segments.exclusive_segments(
      jax.random.fold_in(run.key, _APART), source.train,
      distil=distil,
      decode=run.estimator.samples,
      learner=student(
          models.from_spec(config.network, source.num_classes),
          from_spec(settings.recipe.to_dict()),
      ),
      num_segments=settings.num,
      drop_correct=settings.drop_correct,
      at_least=settings.at_least,
  )
  filtering = time.perf_counter() - began - sum(walls)
  _join_logs(folder, settings.num, part.num_steps)
  return driver.Outcome(
      _joined(run.state.distilled, made, shares),
      outcomes[-1].objective,
      sum(outcome.seconds for outcome in outcomes) + filtering,
      dict(segments=_measured(made, source)),
      dict(segment_of_sample=_segment_of_sample(config, run, shares)),
  )


def _shares(config, source) -> np.ndarray:
  """[P, rows] label rows of each segment, class-major."""
  size = build.num_rows(config, source)
  members = initialisation.class_members(
      initialisation.start_classes(size, 1, source.num_classes),
      source.num_classes,
  )
  shares = np.split(np.asarray(members), config.segments.num, axis=1)
  return np.stack([share.ravel() for share in shares])


def _segment_of_sample(config, run, shares) -> list[int]:
  """[M] the segment, from 0, of each decoded sample."""
  of_row = np.zeros(shares.size, int)
  for number, rows in enumerate(shares):
    of_row[rows] = number
  stored = parameterization.from_spec(config.parameterization)
  owner = stored.owner(run.state.distilled.codes)
  return of_row[np.asarray(owner)].tolist()


def _take(distilled, rows):
  return distilled._replace(
      codes=jax.tree.map(lambda codes: codes[rows], distilled.codes),
      labels=distilled.labels[rows],
  )


def _joined(start, made, shares):
  """The set, every segment in the rows that it started from."""
  codes, labels = start.codes, start.labels
  for segment, rows in zip(made, shares, strict=True):
    codes, labels = jax.tree.map(
        lambda whole, part, rows=rows: whole.at[rows].set(part),
        (codes, labels),
        (segment.distilled.codes, segment.distilled.labels),
    )
  return start._replace(codes=codes, labels=labels)


def _anchor(earlier, runs, weight: float) -> Anchor | None:
  if not earlier or not weight:
    return None
  members = runs[0].rows.members

  def by_class(field):
    return jnp.concatenate(
        [getattr(segment.samples, field)[members] for segment in earlier],
        axis=1,
    )

  return Anchor(by_class("inputs"), by_class("labels"), weight)


def _measured(made, source) -> dict:
  """What the report says of the segments."""
  labels = np.asarray(source.train.labels)
  return dict(
      forgotten=segments.forgotten(made).tolist(),
      correct=[int(segment.correct.sum()) for segment in made],
      real_samples=[
          np.bincount(labels[segment.rows], minlength=source.num_classes)
          .tolist() for segment in made
      ],
  )


def _join_logs(folder: Path, number: int, num_steps: int) -> None:
  """One log of all segments, their steps and seconds counted on."""
  log, seconds = MetricsLog(folder, 0), 0.0
  for i in range(number):
    lines = MetricsLog.read(folder / "segments" / str(i + 1))
    for line in lines:
      log.write(**line | dict(
          step=line["step"] + i * num_steps,
          seconds=round(line["seconds"] + seconds, 3),
      ))
    seconds += lines[-1]["seconds"]
