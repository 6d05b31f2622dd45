"""Regression on features of finite networks: FRePo, RFAD and RCIG."""

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import optax

from distill_jax import models
from distill_jax.choices import one_of
from distill_jax.estimators import implicit, solvers
from distill_jax.methods.method import Method, Task
from distill_jax.methods.outer import LABELS, OUTER
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import STORED, built, drawn_mixed, start
from distill_jax.nn import precision
from distill_jax.objectives import frepo as frepo_lib
from distill_jax.objectives import rcig as rcig_lib
from distill_jax.objectives import rfad as rfad_lib
from distill_jax.objectives.pool import Pool, network_pool
from distill_jax.types import Network

# FRePo's student updates by number of distilled samples; numbers in between use
# the next smaller entry.
_UPDATES = {1: 1_000, 100: 2_000, 400: 5_000, 1_000: 10_000, 2_000: 40_000}
_LOSSES = dict(platt=rfad_lib.platt, squared=rfad_lib.mean_squared)
_SHARED = dict(
    **STORED,
    **OUTER,
    **LABELS,
    recipe=None,
    network=None,
    num_steps=1_000,
    batch_size=256) | dict(
        learn_labels=True, learning_rate=0.01, label_learning_rate=0.01)
del _SHARED["start_labels"]
_QUICK = dict(
    num_steps=20,
    batch_size=64,
    recipe=dict(num_steps=120, step_size=0.01, strategy=""))


def regression_recipe(step_size: float,
                      num_steps: int,
                      strategy: str = "") -> dict[str, Any]:
  """A recipe for students that regress on centred labels."""
  return dict(
      name="frepo",
      num_steps=num_steps,
      step_size=step_size,
      warm_up=500,
      target_scale=1.0,
      batch_size=500,
      strategy=strategy)


def updates(per_class: int) -> int:
  """FRePo's number of student updates for ten classes."""
  return _UPDATES[max(n for n in _UPDATES if n <= 10 * per_class)]


def _built(s: SimpleNamespace, objective, **others) -> Method:
  return built(
      s,
      objective,
      recipe=regression_recipe(1e-3, 1_000),
      begin=others.pop(
          "begin", start(s, labels="centred", label_space="centred")),
      label_space="centred",
      by_class=False,
      stages=s.network is None,
      **others)


def _distilling(s: SimpleNamespace, task: Task, **changes) -> Network:
  """The network that is used while distilling.

  Args:
    s: settings with `network`, its specification; None for the student's
      architecture with the method's changes.
    task: the task, with the student.
    **changes: settings that the method changes, where the specification has
      them.

  Raises:
    ConfigError: the network computes in low precision, see
      `precision.check_full`.
  """
  network, spec = task.model, s.network
  if spec is None:
    changes = {k: v for k, v in changes.items() if k in task.spec}
    spec = {**task.spec, **changes} if changes else None
  if spec is not None:
    network = models.from_spec(spec, task.source.num_classes)
  precision.check_full(network, "frepo, rfad and rcig")
  return network


def _unnormalised(name: str, source, given, **settings) -> Mapping:
  """A student without normalisation; its kind is a default for images."""
  if given:
    return given
  spec = models.default(source)
  if spec["name"] != "convnet":
    return spec
  return dict(
      name=name,
      depth=spec["depth"],
      width=spec["width"],
      norm="none",
      **settings)


def _pool(s: SimpleNamespace, network: Network) -> Pool:
  pool = s.network_pool
  return network_pool(
      network,
      size=pool["size"],
      max_age=pool["max_age"],
      optimizer=optax.adam(pool["step_size"]),
      num_steps=(pool["least_steps"], pool["most_steps"]))


def _mirrors(traits) -> bool:
  return traits.mirrored and traits.channels == 3


def whitened(per_class, traits) -> str:
  """The published preprocessing of this family, for images in colour."""
  del per_class
  return "relative_zca" if traits.channels == 3 else ""


def _published_frepo(per_class, traits, given):
  del given
  return dict(
      mirrored=_mirrors(traits),
      batch_size=1_024,
      optimizer="lamb",
      last_rate=0.1,
      learning_rate=3e-4,
      label_learning_rate=3e-4,
      beta1=0.9,
      num_steps=500_000,
      recipe=regression_recipe(3e-4, updates(per_class)))


@declare(
    _SHARED | dict(
        ridge=1e-6,
        margin=1.0,
        mirrored=False,
        network_pool=dict(
            size=10, max_age=101, step_size=3e-4, least_steps=1, most_steps=1)),
    paper="Zhou, Nezhadarya & Ba, Dataset Distillation using Neural Feature "
    "Regression, 2022, arXiv 2206.00719",
    title="FRePo",
    loss="regression loss on real data",
    cost="one solve in features of a network of a pool",
    published=_published_frepo,
    preprocessing=whitened,
    quick=_QUICK | dict(network_pool=dict(size=2)))
def frepo(s: SimpleNamespace) -> Method:
  """Minimises ridge regression loss on features of networks in training."""

  def objective(task: Task):
    norm = {}
    if task.spec.get("name") == "frepo_convnet":
      norm = dict(norm="fast_batch")
    network = _distilling(s, task, **norm)
    return frepo_lib.feature_regression(
        network,
        sample=drawn_mixed(s.batch_size, task),
        num_classes=task.source.num_classes,
        pool=_pool(s, network),
        ridge=s.ridge,
        mirrored=s.mirrored,
        margin=s.margin)

  return _built(s, objective, network=partial(_unnormalised, "frepo_convnet"))


def _published_rfad(per_class, traits, given):
  del traits, given
  return dict(
      batch_size=5_120,
      optimizer="adabelief",
      learning_rate=1e-3,
      label_learning_rate=1e-3,
      schedule="constant",
      num_steps=10_000,
      recipe=regression_recipe(3e-4, updates(per_class)),
      num_initialisations=8)


def _begin_with_scalar(s: SimpleNamespace):
  begin = start(s, labels="centred", label_space="centred")

  def with_scalar(key, source, num_rows):
    return begin(key, source, num_rows)._replace(extra=jnp.zeros(()))

  return with_scalar


@declare(
    _SHARED | dict(
        ridge=5e-3,
        loss="platt",
        num_initialisations=4,
        extra_learning_rate=1e-2),
    paper="Loo et al., Efficient Dataset Distillation using Random Feature "
    "Approximation, 2022, arXiv 2210.12067",
    loss="regression loss on real data",
    cost="one solve in features of several fresh networks",
    published=_published_rfad,
    preprocessing=whitened,
    quick=_QUICK | dict(num_initialisations=2))
def rfad(s: SimpleNamespace) -> Method:
  """Minimises ridge regression loss on features of random networks."""

  def objective(task: Task):
    return rfad_lib.random_feature_regression(
        _distilling(s, task),
        sample=drawn_mixed(s.batch_size, task),
        num_classes=task.source.num_classes,
        num_networks=s.num_initialisations,
        ridge=s.ridge,
        loss=one_of(_LOSSES, "loss", s.loss))

  return _built(
      s,
      objective,
      begin=_begin_with_scalar(s),
      rates=dict(extra=s.extra_learning_rate),
      network=partial(_unnormalised, "convnet", initialisation="he_normal"))


def _published_rcig(per_class, traits, given):
  del given
  return dict(
      mirrored=_mirrors(traits),
      batch_size=1_024,
      optimizer="adabelief",
      learning_rate=0.003,
      label_learning_rate=0.003,
      schedule="constant",
      average=0.99,
      num_steps=10_000,
      network_pool=dict(size=30),
      recipe=regression_recipe(1e-4, updates(per_class)))


def _implicit(s: SimpleNamespace):
  steps = s.solver["num_steps"]
  solve = dict(
      adam=dict(
          inner=solvers.by_adam(steps),
          hessian=solvers.by_adam(steps, window=None)),
      conjugate_gradients=dict(
          inner=solvers.by_conjugate_gradients(steps),
          hessian=solvers.by_conjugate_gradients(steps)))
  return partial(
      implicit.implicit, **one_of(solve, "solver.name", s.solver["name"]))


@declare(
    _SHARED | dict(
        l2_rate=5e-4,
        mirrored=False,
        average=0.9,
        extra_learning_rate=0.03,
        solver=dict(name="conjugate_gradients", num_steps=20),
        network_pool=dict(
            size=10, max_age=99, step_size=5e-5, least_steps=1, most_steps=15)),
    paper="Loo et al., Dataset Distillation with Convexified Implicit "
    "Gradients, 2023, arXiv 2302.06755",
    loss="regression loss on real data",
    cost="two iterative solves in linearised networks of a pool",
    published=_published_rcig,
    preprocessing=whitened,
    quick=_QUICK | dict(num_steps=15, network_pool=dict(size=2)))
def rcig(s: SimpleNamespace) -> Method:
  """Minimises the loss of linearised networks by implicit gradients."""

  def problem(task: Task):
    smooth = {}
    if task.spec.get("name") != "lenet":
      smooth = dict(activation="softplus")
    network = _distilling(s, task, **smooth)
    return rcig_lib.convexified_regression(
        network,
        sample=drawn_mixed(s.batch_size, task),
        num_classes=task.source.num_classes,
        pool=_pool(s, network),
        l2_rate=s.l2_rate,
        mirrored=s.mirrored)

  return _built(
      s,
      problem,
      begin=_begin_with_scalar(s),
      estimator=_implicit(s),
      rates=dict(extra=s.extra_learning_rate),
      network=partial(_unnormalised, "frepo_convnet"))
