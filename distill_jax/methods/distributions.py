"""Distribution matching as methods: DM, NCFM and CAFE."""

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import augmentation, data, distances
from distill_jax.checkpoint import Checkpoints
from distill_jax.data.sampling import with_extra
from distill_jax.errors import ConfigError
from distill_jax.methods.gradients import QUICK, SGD, recipes_of
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
from distill_jax.mixing import cutmix
from distill_jax.objectives import cafe as cafe_lib
from distill_jax.objectives import ncfm as ncfm_lib
from distill_jax.objectives import trained
from distill_jax.objectives.dm import distribution_matching
from distill_jax.types import Array

# DM has no labels in its loss.
SGD_OF_SAMPLES = {k: v for k, v in SGD.items() if k != "label_learning_rate"}


def _published_dm(per_class: int, traits: Traits, given: Mapping):
  del given
  return SGD_OF_SAMPLES | dict(
      batch_size=256,
      strategy=traits.strategy,
      learning_rate=1.0 if per_class < 100 else 10.0,
      num_steps=20_000,
      recipe=recipes_of(traits)["dsa"])


def matched_means(s: SimpleNamespace, task: Task):
  """The objective of DM."""
  distance = distances.means
  if s.covariances:
    distance = distances.means_and_covariances(s.covariances)
  return distribution_matching(
      task.model,
      task.layout.members,
      sample=drawn_per_class(s.batch_size, task),
      distance=distance,
      augmentation=augmented(s.strategy, task),
      anchor=task.anchor)


@declare(
    dict(
        **STORED,
        **USE,
        **OUTER,
        num_steps=1_500,
        batch_size=64,
        covariances=0.0),
    paper="Zhao & Bilen, Dataset Condensation with Distribution Matching, "
    "2021, arXiv 2110.04181",
    loss="distance of mean embeddings",
    cost="one forward and backward pass of a fresh network; the cheapest",
    published=_published_dm,
    quick=QUICK)
def dm(s: SimpleNamespace) -> Method:
  """Matches the mean embedding of each class under random networks."""
  return built(
      s,
      lambda task: matched_means(s, task),
      anchors=True,
      stages=True,
      drawn=s.batch_size,
      recipe=dict(name="dsa", num_epochs=300, strategy=None))


def _published_ncfm(per_class, traits: Traits, given) -> dict[str, Any]:
  del per_class, given
  return SGD | dict(
      parameterization=dict(name="multi_formation", factor=2),
      strategy="color_crop_cutout",
      batch_size=1_024,
      num_frequencies=1_024,
      pool=dict(num_networks=20, num_epochs=60),
      optimizer="adam",
      beta1=0.9,
      learning_rate=0.001,
      clamp=True,
      num_steps=20_000,
      recipe=recipes_of(traits)["dsa"])


def _pool(s: SimpleNamespace, key: Array, task: Task, store: Store) -> Prepared:
  """Trains the pool's networks in turn; complete ones are read from files."""
  images = len(task.source.example.shape) == 4
  train = jax.jit(
      partial(
          ncfm_lib.train_member,
          network=task.model,
          num_epochs=s.pool["num_epochs"],
          step_size=s.pool["step_size"],
          augmentation=augmentation.dsa("color_crop" if images else ""),
          mixing=cutmix() if images else None))
  size, split = s.pool["num_networks"], task.source.train
  files = Checkpoints(store.folder / "pool", keep=10**9)
  like = jax.tree.map(
      lambda leaf: np.zeros(leaf.shape, leaf.dtype),
      jax.eval_shape(train, key, split=split))
  members = []
  for i in range(size):
    member = files.sound(i + 1, like)
    if member is None:
      store.say(f"training network {i + 1} of the pool's {size}")
      member = train(jax.random.fold_in(key, i), split=split)
      files.save(i + 1, member)
    members.append(member)
  pool = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
  return Prepared(data=trained.PooledData(split, pool))


@declare(
    dict(
        **STORED,
        **USE,
        **OUTER,
        **LABELS,
        num_steps=600,
        batch_size=128,
        num_frequencies=256,
        frequency_scale=1.0,
        amplitude=0.5,
        calibration=1.0,
        pool=dict(num_networks=3, num_epochs=2, step_size=0.01)) |
    dict(learning_rate=0.01),
    paper="Wang et al., Dataset Distillation with Neural Characteristic "
    "Function, 2025, arXiv 2502.20653",
    loss="distance of characteristic functions",
    cost="as dm, with random frequencies",
    needs="a pool of trained networks",
    published=_published_ncfm,
    quick=QUICK | dict(pool=dict(num_networks=2, num_epochs=1)))
def ncfm(s: SimpleNamespace) -> Method:
  """Matches characteristic functions of embeddings under a pool of networks."""
  images = "color_crop_cutout"

  def objective(task: Task):
    strategy = s.strategy
    if strategy is None:
      strategy = images if len(task.source.example.shape) == 4 else ""
    return ncfm_lib.characteristic_matching(
        task.model,
        task.layout.members,
        sample=ncfm_lib.with_member(drawn_per_class(s.batch_size, task)),
        num_frequencies=s.num_frequencies,
        scale=s.frequency_scale,
        amplitude=s.amplitude,
        calibration=s.calibration,
        augmentation=augmented(strategy, task, augmentation.idc))

  if s.learn_labels and not s.calibration:
    raise ConfigError(
        "`learn_labels` must be off without `calibration`, the only part of "
        "the loss that has labels; got True.")
  return built(
      s,
      objective,
      prepare=partial(_pool, s),
      stages=True,
      drawn=s.batch_size,
      recipe=dict(name="dsa", num_epochs=300, strategy=None))


def _published_cafe(per_class, traits: Traits, given) -> dict[str, Any]:
  del per_class, given
  return SGD_OF_SAMPLES | dict(
      start="noise",
      batch_size=256,
      watched=128,
      max_epochs=50,
      strategy="",
      num_steps=20_000,
      recipe=recipes_of(traits)["cafe"])


def _stage_weights(task: Task) -> tuple[float, ...]:
  """The published weights: 0.1 for each stage, 1 and 2 for the last two."""
  stages = jax.eval_shape(
      lambda key, x: task.model.stages(task.model.init(key, x), x)[0],
      jax.random.key(0), task.source.example)
  return ((0.1,) * max(len(stages) - 2, 0) + (1.0, 2.0))[-len(stages):]


@declare(
    dict(
        **STORED,
        **USE,
        **OUTER,
        num_steps=300,
        batch_size=32,
        watched=16,
        discrimination=0.01,
        network_step_size=0.01,
        settled=0.04,
        moved=0.03,
        max_epochs=10) | dict(strategy=""),
    paper="Wang et al., CAFE: Learning to Condense Dataset by Aligning "
    "Features, 2022, arXiv 2203.01531",
    loss="distance of features, and discrimination",
    cost="as dm, for every layer; a network is trained between steps",
    published=_published_cafe,
    quick=QUICK)
def cafe(s: SimpleNamespace) -> Method:
  """Matches the class means of the features of every layer."""

  def objective(task: Task):
    present = task.layout.present
    every = len(present) == task.source.num_classes
    watched = min(s.watched, task.source.train.members.shape[1])
    return cafe_lib.feature_alignment(
        task.model,
        task.layout.members,
        sample=with_extra(
            drawn_per_class(s.batch_size, task, lazy=False),
            data.per_class(watched, classes=None if every else present)),
        weights=_stage_weights(task),
        discrimination=s.discrimination,
        augmentation=augmented(s.strategy, task),
        step_size=s.network_step_size,
        settled=s.settled,
        moved=s.moved,
        max_epochs=s.max_epochs)

  return built(
      s,
      objective,
      drawn=s.batch_size,
      stages=True,
      recipe=dict(name="cafe", num_epochs=300))
