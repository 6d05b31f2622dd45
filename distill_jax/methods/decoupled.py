"""Decoupled methods: RDED, CIM and SRe2L.

They distil in three stages and never train a student. First a teacher is
trained on the real data. Then images are made with its help: real crops are
selected (RDED), selected and optimised (CIM), or synthesised (SRe2L). Finally
the teacher labels every augmented view of the images that students will train
on; see `views`.

What differs from the papers' code:

- All three train students as RDED does, with AdamW and half a cosine; CIM's
  learning rate falls to a fifth twice.
- The augmentation applies all operations of the strategy; CIM applies one.
- CIM goes through all tiles of an image in an epoch; its code draws one.
- Batch sizes are RDED's for fewer than 100 classes.

For SRe2L see also `objectives.recovery`.
"""

import time
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import augmentation, models, realism, views
from distill_jax.artifact import Artifact, with_view_labels
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes
from distill_jax.methods.method import Method, Outcome, Plan, Prepared, Task
from distill_jax.methods.outer import OUTER
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import STORED, augmented, built
from distill_jax.methods.teachers import (
    TEACHER,
    Teacher,
    network_of,
    teacher_of,
)
from distill_jax.methods.traits import Traits
from distill_jax.objectives.reconstruction import Originals, reconstruction
from distill_jax.objectives.recovery import has_batch_norms, recovery
from distill_jax.parameterization import from_spec as parameterization_of
from distill_jax.selection import initialiser

_TAUGHT = dict(recipe=None, teacher=TEACHER, keep_teacher=True)
_CHOSEN = dict(candidates=300, num_crops=5, least_area=0.08)
_RECIPE = dict(name="views", num_epochs=300, strategy="crop")
_TILES = {"name": "multi_formation", "factor": 2}
_QUICK = dict(
    teacher=dict(num_epochs=2), candidates=50, recipe=dict(num_epochs=60))
_BATCHES = {1: 10, 10: 50, 50: 100}  # students' batch size, by images per class


def _recipe(per_class: int, traits: Traits, **others) -> dict:
  size = max(n for n in _BATCHES if n <= per_class)
  return dict(
      name="views",
      num_epochs=300,
      batch_size=_BATCHES[size],
      strategy="flip" if traits.mirrored else "",
      **others)


def _published_rded(per_class: int, traits: Traits, given: Mapping):
  del given
  large = traits.side >= 128
  return dict(
      parameterization=_TILES if large else dict(name="pixels"),
      teacher=dict(num_epochs=50, strategy=traits.strategy),
      recipe=_recipe(per_class, traits))


def _published_cim(per_class: int, traits: Traits, given: Mapping):
  del given
  recipe = _recipe(per_class, traits, loss="mse", mix=0.0)
  return dict(
      num_steps=200,
      learning_rate=0.01,
      weight_decay=0.01,
      teacher=dict(num_epochs=50, strategy=traits.strategy),
      # Each image holds four tiles: the same steps as 1,000 epochs of one tile.
      recipe=recipe | dict(num_epochs=250, strategy=traits.strategy))


def _published_sre2l(per_class: int, traits: Traits, given: Mapping):
  del given
  return dict(
      num_steps=1_000,
      learning_rate=0.25,
      last_rate=0.0,
      beta1=0.5,
      beta2=0.9,
      clamp=True,
      strategy="flip" if traits.mirrored else "",
      teacher=dict(num_epochs=50, strategy=traits.strategy),
      recipe=_recipe(per_class, traits))


def _is_image(task: Task) -> bool:
  return len(task.source.example.shape) == 4


def _with_batch_norm(source, given):
  """The default network for images, with batch norms; others unchanged."""
  spec = given or models.default(source)
  if given is None and spec["name"] == "convnet":
    spec = {**spec, "norm": "batch"}
  return spec


def _completed(s: SimpleNamespace, taught: Teacher, made: Artifact) -> Artifact:
  """The set with the teacher's labels of all its views."""
  recipe = recipes.from_spec(made.recipe).spec
  about = dict(network=taught.spec, **taught.measured)
  made = made._replace(
      recipe=recipe, provenance=made.provenance | dict(teacher=about))
  if recipe["name"] != "views":  # the user's recipe reads label rows only
    return made
  num = recipe["num_epochs"]
  num = min(recipe["num_views"] or num, num)
  logits = jax.jit(
      lambda teacher, inputs: views.labelled(
          views.views_of(recipe), partial(taught.apply, teacher), inputs, num))(
              taught.variables, jnp.asarray(made.inputs))
  return with_view_labels(
      made, np.asarray(logits), taught.variables if s.keep_teacher else None)


def _select(s: SimpleNamespace, key, task: Task, store) -> Prepared:
  """Trains a teacher; starts from the crops that it classifies best."""
  k_teacher, k_crops, k_codes = jax.random.split(key, 3)
  taught = teacher_of(s, k_teacher, task, store)
  store.say("choosing real samples")
  began = time.perf_counter()
  stored, classes = parameterization_of(s.parameterization), task.layout.classes
  inputs = realism.surest(
      k_crops,
      task.source.train,
      np.repeat(classes, stored.inputs_per_row),
      taught.apply,
      taught.variables,
      candidates=s.candidates,
      num_crops=s.num_crops if _is_image(task) else 0,
      least_area=s.least_area)
  codes = initialiser(stored, task.source.train, classes)(k_codes, inputs)
  codes = jax.block_until_ready(codes)
  return Prepared(
      data=Originals(_as_decoded(stored, codes, inputs), taught.variables),
      start=lambda begun: begun._replace(codes=codes),
      complete=partial(_completed, s, taught),
      measured=dict(
          teacher=taught.measured,
          selection_seconds=round(time.perf_counter() - began, 1)))


def _as_decoded(stored, codes, inputs):
  """Reorders the inputs of label rows to the order of the decoded samples."""
  owner, each = np.asarray(stored.owner(codes)), stored.inputs_per_row
  if len(owner) != len(inputs):
    raise ConfigError(
        "`parameterization` must decode as many samples as it stores inputs; "
        f"got {len(owner)} samples of {len(inputs)} inputs.")
  place = np.zeros(len(owner), int)
  for row in np.unique(owner):
    place[owner == row] = row * each + np.arange(each)
  return inputs[place]


def _check_keeps(s: SimpleNamespace) -> None:
  """Refuses a parameterization that cannot store real crops."""
  stored = parameterization_of(s.parameterization)
  spec = dict(stored.spec)
  inner = dict(spec.get("inner", spec))
  if not (stored.keeps_inputs or inner.get("name") == "pixels"):
    raise ConfigError(
        "`parameterization` must keep what it is given, such as pixels or "
        f"multi_formation, as real crops are stored; got "
        f"{s.parameterization['name']}.")


def _built(s: SimpleNamespace, objective, recipe, **others) -> Method:
  made = built(
      s,
      objective,
      recipe=_RECIPE | recipe,
      by_class=False,
      network=_with_batch_norm,
      **others)

  def own(task: Task | None):
    """The recipe, without augmentation if the data are not images."""
    found = made.recipe(task)
    if task and not _is_image(task) and "strategy" not in (s.recipe or {}):
      found = {**found, "strategy": ""}
    return found

  return made._replace(recipe=own)


@declare(
    dict(parameterization={"name": "pixels"}, **_CHOSEN, **_TAUGHT),
    paper="Sun et al., On the Diversity and Realism of Distilled Dataset: An "
    "Efficient Dataset Distillation Paradigm, 2023, arXiv 2312.03526",
    cost="no outer steps; a selection, and a forward pass of every view",
    needs="a teacher, trained on the real data",
    published=_published_rded,
    quick=_QUICK)
def rded(s: SimpleNamespace) -> Method:
  """Keeps the real crops that a teacher classifies best, and its labels.

  With `parameterization` multi_formation, f^2 crops share one stored image.
  """
  _check_keeps(s)

  def parts(plan: Plan, carry_out) -> Outcome:
    del carry_out
    measured = plan.prepared.measured
    return Outcome(
        plan.start, seconds=measured["selection_seconds"], measured=measured)

  # No outer step is taken: the optimizer is a placeholder.
  stepless = SimpleNamespace(**vars(s), **OUTER, num_steps=1, start="real")
  return _built(
      stepless,
      lambda task: reconstruction(network_of(s, task)[1], stage=0), {},
      prepare=partial(_select, s),
      parts=parts)


@declare(
    dict(
        parameterization=_TILES,
        clamp=False,
        **OUTER,
        **_CHOSEN,
        **_TAUGHT,
        num_steps=200,
        stage=1) | dict(learning_rate=0.01),
    paper="CIM, 2026, arXiv 2607.00916",
    loss="distance of a teacher's features",
    cost="a forward and backward pass of the set through a middle layer",
    needs="a teacher, trained on the real data",
    published=_published_cim,
    quick=_QUICK | dict(num_steps=20))
def cim(s: SimpleNamespace) -> Method:
  """As `rded`, with several crops per image, optimised to act like large ones.

  Small images start as shrunk crops. They are optimised until a middle layer of
  the teacher gives the same features for them as for the original crops.
  """
  _check_keeps(s)

  def check(task: Task) -> None:
    if not _is_image(task) and s.parameterization["name"] == "multi_formation":
      raise ConfigError(
          "`parameterization` must be pixels for samples that are no images; "
          "got multi_formation, of small images.")
    example, network = task.source.example, network_of(s, task)[1]
    stages = jax.eval_shape(
        lambda key, x: network.stages(network.init(key, x), x)[0],
        jax.random.key(0), example)
    if s.stage >= len(stages):
      raise ConfigError(
          f"`stage` must be below the {len(stages)} stages of the teacher; got "
          f"{s.stage}.")

  return _built(
      SimpleNamespace(**vars(s), start="real"),
      lambda task: reconstruction(network_of(s, task)[1], stage=s.stage),
      dict(num_epochs=100, loss="mse", strategy=None, mix=0.0),
      prepare=partial(_select, s),
      check=check,
      stages=True)


@declare(
    dict(
        **STORED,
        **OUTER,
        **_TAUGHT,
        num_steps=300,
        strategy="crop",
        statistics=0.01,
        start_labels="one_hot") |
    dict(start="noise", learning_rate=0.1, beta1=0.5, beta2=0.9),
    paper="Yin, Xing & Shen, Squeeze, Recover and Relabel: Dataset "
    "Condensation at ImageNet Scale From A New Perspective, 2023, arXiv "
    "2306.13092",
    loss="classification by a teacher, and the statistics of its batch norms",
    cost="a forward and backward pass of the set through the teacher",
    needs="a teacher with batch norms, trained on the real data",
    published=_published_sre2l,
    quick=dict(
        num_steps=20, teacher=dict(num_epochs=2), recipe=dict(num_epochs=60)))
def sre2l(s: SimpleNamespace) -> Method:
  """Synthesises images that match a teacher's classes and batch statistics."""

  def check(task: Task) -> None:
    if not has_batch_norms(network_of(s, task)[1], task.source.example):
      raise ConfigError(
          "`teacher.network` must have batch norms of flax linen, whose "
          "statistics sre2l matches; got none. Give it, or the student, "
          "norm=batch.")

  def prepare(key, task: Task, store) -> Prepared:
    taught = teacher_of(s, jax.random.split(key, 3)[0], task, store)
    return Prepared(
        data=taught.variables,
        complete=partial(_completed, s, taught),
        measured=dict(teacher=taught.measured))

  def objective(task: Task):
    drawn = augmented(s.strategy, task,
                      augmentation.idc) if _is_image(task) else None
    return recovery(
        network_of(s, task)[1], weight=s.statistics, augmentation=drawn)

  return _built(s, objective, {}, prepare=prepare, check=check)
