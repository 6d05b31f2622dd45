"""Distribution matching on trained networks as a method: TGDD and DANCE."""

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp

from distill_jax.choices import one_of
from distill_jax.methods.distributions import SGD_OF_SAMPLES
from distill_jax.methods.gradients import QUICK, recipes_of
from distill_jax.methods.method import Method, Prepared, Store, Task
from distill_jax.methods.outer import LABELS, OUTER
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import (
    STORED,
    USE,
    augmented,
    built,
    drawn_per_class,
)
from distill_jax.methods.traits import Traits
from distill_jax.methods.trajectories import EXPERTS, experts_of, measured
from distill_jax.objectives import trained
from distill_jax.types import Array


def _published(per_class: int, traits: Traits, given: Mapping):
  del given
  return SGD_OF_SAMPLES | dict(
      parameterization=dict(name="multi_formation", factor=2),
      strategy="color_crop_cutout",
      batch_size=128,
      calibration=2.5 if per_class < 50 else 0.5,
      span=7,
      beta1=0.5,
      learning_rate=0.01 * per_class,
      clamp=True,
      num_steps=10_000,
      experts=dict(
          num=5,
          num_epochs=60,
          step_size=0.01,
          momentum=0.9,
          weight_decay=5e-4,
          batch_size=64,
          strategy="color_crop"),
      recipe=recipes_of(traits)["idc"])


def _prepare(
    s: SimpleNamespace, key: Array, task: Task, store: Store) -> Prepared:
  """Loads all snapshots of all experts onto the device."""
  opened = experts_of(s, task, store)
  fresh = task.model.init(key, task.source.example)
  epochs = [
      jax.tree.map(
          lambda *leaves: jnp.stack(leaves), *opened.variables(epoch, fresh))
      for epoch in range(opened.num_epochs + 1)
  ]
  pool = jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *epochs)
  return Prepared(
      data=trained.PooledData(task.source.train, pool),
      measured=measured(opened))


@declare(
    dict(
        **STORED,
        **USE,
        **OUTER,
        **LABELS,
        num_steps=600,
        batch_size=64,
        calibration=1.0,
        span=3,
        between="snapshot",
        experts=EXPERTS | dict(
            num=2,
            num_epochs=5,
            step_size=0.01,
            momentum=0.9,
            weight_decay=5e-4,
            batch_size=64)),
    paper="Ran et al., TGDD: Trajectory Guided Dataset Distillation with "
    "Balanced Distribution, 2025, arXiv 2512.02469",
    loss="distance of mean embeddings, and a classification loss",
    cost="as dm, without a fresh network; an evaluation of a second network",
    needs="experts, trained on the real data",
    published=_published,
    quick=QUICK | dict(experts=dict(num=1, num_epochs=2)))
def tgdd(s: SimpleNamespace) -> Method:
  """As `dm`, under snapshots of trained networks, and with their class loss."""
  draws = dict(
      snapshot=trained.later_snapshots(s.span), mix=trained.first_and_last)
  draw = one_of(draws, "between", s.between)

  def objective(task: Task):
    return trained.trained_matching(
        task.model,
        task.layout.members,
        sample=trained.with_networks(drawn_per_class(s.batch_size, task), draw),
        calibration=s.calibration,
        augmentation=augmented(s.strategy, task))

  return built(
      s,
      objective,
      prepare=partial(_prepare, s),
      stages=True,
      drawn=s.batch_size,
      recipe=dict(name="dsa", num_epochs=300, strategy=None))
