"""RaT-BPTT as a method: long unrolls, differentiated in a random window."""

from functools import partial
from types import SimpleNamespace

import optax

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.labels import cross_entropy, squared_error
from distill_jax.methods.method import Method, Task
from distill_jax.methods.outer import LABELS, OUTER
from distill_jax.methods.regression import regression_recipe, whitened
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import (
    STORED,
    USE,
    augmented,
    built,
    drawn_mixed,
    start,
)
from distill_jax.objectives.rat_bptt import truncated_unroll, unit_norm
from distill_jax.outer_loop import label_floor

# By samples per class: window, most inner steps, batch per class (0 for all).
_WINDOWS = {1: (60, 200, 0), 10: (60, 200, 0), 50: (100, 300, 10)}


def _published(per_class, traits, given):
  window, steps, batch = _WINDOWS[max(n for n in _WINDOWS if n <= per_class)]
  strategy = "flip_rotate" if traits.mirrored else ""
  recipe = dict(
      name="rat_bptt",
      num_steps=300,
      step_size=1e-3,
      last_rate=1.0,
      batch_size=5_000,
      strategy=strategy)
  if given.get("regression"):
    recipe = regression_recipe(1e-3, 300, strategy)
  return dict(
      student=dict(
          window=window,
          num_steps=steps,
          step_size=1e-3,
          batch_per_class=batch,
          augment_real=True),
      strategy=strategy,
      batch_size=5_000,
      learning_rate=1e-3,
      label_learning_rate=1e-3,
      schedule="constant",
      num_steps=60_000,
      recipe=recipe)


@declare(
    dict(
        **STORED,
        **USE,
        **OUTER,
        **LABELS,
        num_steps=600,
        batch_size=512,
        regression=False,
        unit_norm=False,
        clip_average=2.0,
        student=dict(
            window=15,
            lowest=0,
            num_steps=60,
            optimizer="adam",
            step_size=5e-3,
            momentum=0.0,
            batch_per_class=0,
            one_draw=False,
            augment_real=False,
            target_scale=1.0)) |
    dict(strategy="", learning_rate=0.01, label_learning_rate=0.002),
    paper="Feng, Vedantam & Kempe, Embarrassingly Simple Dataset Distillation, "
    "2023, arXiv 2311.07025",
    title="RaT-BPTT",
    loss="cross-entropy on real data",
    cost="a long training with backpropagation through its window",
    published=_published,
    preprocessing=whitened,
    quick=dict(
        num_steps=20,
        batch_size=64,
        strategy="",
        student=dict(window=3, num_steps=8),
        recipe=dict(num_steps=200, step_size=0.01, strategy="")))
def rat_bptt(s: SimpleNamespace) -> Method:
  """Minimises the loss on real data after long training, in a random window.

  The student trains for many steps; the meta-gradient goes through a random
  window of them. With `regression`, students regress on centred labels, so that
  sets of kip, rfad, frepo or rcig can be learned further.
  """
  student = SimpleNamespace(**s.student)
  if not s.regression and student.target_scale != 1:
    raise ConfigError(
        "`student.target_scale` must be 1 without `regression`; got "
        f"{student.target_scale}.")
  if s.unit_norm and s.parameterization != {"name": "pixels"}:
    raise ConfigError(
        "`unit_norm` must be off where codes are no pixels; got "
        f"{s.parameterization['name']}.")
  rules = dict(
      adam=lambda: optax.adam(student.step_size, eps_root=1e-8),
      sgd=lambda: optax.sgd(student.step_size, student.momentum or None))
  optimizer = one_of(rules, "student.optimizer", student.optimizer)()
  loss = cross_entropy
  if s.regression:
    loss = partial(squared_error, target_scale=student.target_scale)

  def objective(task: Task):
    augment = augmented(s.strategy, task) if s.strategy else None
    return truncated_unroll(
        task.model,
        sample=drawn_mixed(s.batch_size, task),
        num_classes=task.source.num_classes,
        window=student.window,
        lowest=student.lowest,
        highest=student.num_steps,
        optimizer=optimizer,
        members=task.layout.members,
        batch_per_class=student.batch_per_class or None,
        augmentation=augment,
        one_draw=student.one_draw,
        real_augmentation=augment if student.augment_real else None,
        loss=loss)

  space = "centred" if s.regression else "raw"
  if s.regression:
    recipe = regression_recipe(1e-3, 300)
  else:
    recipe = dict(
        name="rat_bptt",
        num_steps=300,
        step_size=5e-3,
        last_rate=1.0,
        batch_size=5_000,
        strategy="")

  def change(begun):
    if not s.unit_norm:
      return begun
    return begun._replace(codes=unit_norm(begun.codes))

  return built(
      s,
      objective,
      recipe=recipe,
      label_space=space,
      begin=start(
          s,
          labels="centred" if s.regression else None,
          change=change,
          label_space=space),
      constraint=(
          label_floor() if s.learn_labels and not s.regression else None))
