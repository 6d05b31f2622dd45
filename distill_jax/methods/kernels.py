"""Kernel ridge regression as methods: KIP and label solve."""

import time
from collections.abc import Mapping
from types import SimpleNamespace

import jax.numpy as jnp

from distill_jax import models
from distill_jax.methods.method import Method, Outcome, Plan, Task
from distill_jax.methods.outer import LABELS, OUTER
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import (
    STORED,
    USE,
    augmented,
    built,
    drawn_mixed,
    drawn_per_class,
    start,
)
from distill_jax.objectives import kip as kip_lib

_PAPER = (
    "Nguyen, Chen & Lee, Dataset Meta-Learning from Kernel Ridge-Regression, "
    "2020, arXiv 2011.00050")
_REGRESSION = dict(name="kip", num_steps=5_000)
_SOLVE = dict(
    parameterization={"name": "pixels"}, start="real", recipe=None, ridge=1e-6)
_LABELS = {k: v for k, v in LABELS.items() if k != "start_labels"}
_KIP = dict(
    **STORED,
    **USE,
    **OUTER,
    **_LABELS,
    ridge=1e-6,
    num_steps=300,
    batch_size=50) | dict(
        strategy="",
        learning_rate=0.04,
        label_learning_rate=0.04,
        schedule="constant")


def _kernel(s: SimpleNamespace, source, given) -> Mapping:
  """The specification of a kernel, with the ridge of the settings."""
  del source
  spec = given or dict(
      name="kernel_ridge", kernel="fully_connected", depth=1, kind="ntk")
  return {**spec, "ridge": s.ridge} if models.is_kernel(spec) else spec


def _fitted(per_class, traits) -> str:
  """KIP standardises images by mean and deviation of the training images."""
  del per_class
  return "standardise" if traits.channels else ""


@declare(
    _KIP,
    paper=_PAPER,
    loss="regression loss on real data",
    cost="one solve of the set's kernel matrix, float64",
    preprocessing=_fitted,
    published=lambda per_class, traits, given: dict(batch_size=500),
    quick=dict(num_steps=20, batch_size=20, recipe=dict(num_steps=300)))
def kip(s: SimpleNamespace) -> Method:
  """Minimises the loss of kernel ridge regression on real data.

  The ridge of 1e-6 needs float64: `jax.config.update("jax_enable_x64", True)`
  before the first array.
  """

  def objective(task: Task):
    augment = augmented(s.strategy, task) if s.strategy else None
    return kip_lib.kernel_regression(
        task.model,
        sample=drawn_per_class(s.batch_size, task, lazy=False),
        num_classes=task.source.num_classes,
        ridge=s.ridge,
        augmentation=augment)

  return _with_kernel(s, objective, drawn=s.batch_size)


def _with_kernel(s: SimpleNamespace, objective, **others) -> Method:
  return built(
      s,
      objective,
      recipe=_REGRESSION,
      begin=start(s, labels="centred", label_space="centred"),
      label_space="centred",
      by_class=False,
      model="kernel",
      network=lambda source, given: _kernel(s, source, given),
      **others)


@declare(
    _SOLVE,
    paper=_PAPER,
    title="label solve",
    labels="solved for",
    cost="one solve, in closed form",
    preprocessing=_fitted,
    quick=dict(recipe=dict(num_steps=300)))
def label_solve(s: SimpleNamespace) -> Method:
  """Keeps real samples; solves for their best labels in kernel regression.
  """
  if s.parameterization != {"name": "pixels"}:
    raise ValueError(
        "`parameterization` must be pixels for label_solve, which solves a "
        f"label for each sample; got {s.parameterization['name']}.")

  def objective(task: Task):
    return kip_lib.kernel_regression(
        task.model,
        sample=drawn_mixed(1, task),
        num_classes=task.source.num_classes,
        ridge=s.ridge)

  def parts(plan: Plan, carry_out) -> Outcome:
    del carry_out
    began, begun = time.perf_counter(), plan.start
    labels = kip_lib.label_solve(
        plan.task.model,
        plan.estimator.samples(begun).inputs,
        plan.task.source.train,
        ridge=s.ridge)
    solved = begun._replace(labels=jnp.asarray(labels, begun.labels.dtype))
    return Outcome(solved, (), time.perf_counter() - began)

  # No outer step is taken: the optimizer is a placeholder.
  stepless = SimpleNamespace(**vars(s), **OUTER, num_steps=1)
  return _with_kernel(stepless, objective, parts=parts)
