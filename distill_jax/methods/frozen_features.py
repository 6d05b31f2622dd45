"""Small sets of features in closed form; see `distill_jax.frozen_features`.

A linear probe fitted to such a set by ridge regression is the probe of all
features, or nearly. There are no outer steps: the moments of the real features
are summed once, and the set follows from them.
"""

import time
from types import SimpleNamespace

from distill_jax import frozen_features as closed_form
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.methods.method import Method, Outcome, Plan, Task
from distill_jax.methods.settings import declare
from distill_jax.moments import split_moments
from distill_jax.probe_set import probe_artifact

SETS = {
    "class_means_and_covariance":
        lambda moments, ridge, task: (
            closed_form.class_means_and_covariance(
                moments, ridge, samples_per_class=_per_class(task))),
    "hard_labelled_points":
        lambda moments, ridge, task:
        (closed_form.hard_labelled_points(moments, ridge)),
    "smallest_set":
        lambda moments, ridge, task: (closed_form.smallest_set(moments, ridge)),
    "sufficient_statistics_set":
        lambda moments, ridge, task: (
            closed_form.sufficient_statistics_set(
                moments, ridge, at_most=len(task.layout.classes)))
}


@declare(
    dict(kind="hard_labelled_points", ridge=1e-3),
    paper="algebra on the normal equations of ridge regression; label solve "
    "after Nguyen, Chen & Lee, 2020, arXiv 2011.00050",
    title="frozen features",
    labels="hard or solved for, by kind",
    cost="one pass over the data and one factorisation, in closed form",
    quick={})
def frozen_features(s: SimpleNamespace) -> Method:
  """Makes a few points that give the same linear probe as all features.

  `kind` is hard_labelled_points (one point per class),
  class_means_and_covariance (as many points per class as asked for),
  smallest_set (soft labels; one point fewer than classes) or
  sufficient_statistics_set (as many points as asked for). Sets of
  class_means_and_covariance and of sufficient_statistics_set can be merged with
  others of their kind. `ridge` is in units of the mean of the Gram matrix's
  diagonal.
  """
  make = one_of(SETS, "kind", s.kind)

  def parts(plan: Plan, carry_out) -> Outcome:
    del carry_out
    began, source = time.perf_counter(), plan.task.source
    moments = split_moments(source.train)
    made = make(moments, s.ridge * moments.scale, plan.task)
    artifact = probe_artifact(made, source)
    return Outcome(None, seconds=time.perf_counter() - began, artifact=artifact)

  def check(task: Task) -> None:
    if len(task.source.example.shape) != 2:
      raise ConfigError(
          "`source` must hold features [N, D] for frozen_features; got samples "
          f"{task.source.example.shape[1:]}. Extract features with "
          "`data.with_features`.")

  def network(source, given):
    del source
    return given or dict(name="linear_probe", ridge=s.ridge)

  return Method(
      objective=None,
      begin=None,
      learned=None,
      num_steps=0,
      recipe=lambda task: {"name": "kip"},
      label_space="centred",
      by_class=False,
      model="none",
      network=network,
      parts=parts,
      check=check)


def _per_class(task: Task) -> int:
  return -(-len(task.layout.classes) // len(task.source.train.present))
