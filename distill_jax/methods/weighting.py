"""Sums of methods: `weighted` of any methods, and the hybrid of DSA and DM."""

from types import SimpleNamespace

from distill_jax.errors import ConfigError
from distill_jax.methods.distributions import matched_means
from distill_jax.methods.gradients import (
    GRADIENTS,
    QUICK,
    matched_gradients,
    published_dsa,
)
from distill_jax.methods.method import Method, prepare_nothing
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import built
from distill_jax.objectives.combine import weighted_sum


def weighted(*methods: Method, weights) -> Method:
  """Makes a method whose objective is a weighted sum of several methods'.

  Parameterization, learning rates and recipe are those of the first method; of
  the others, only the objective is used.

  Args:
    *methods: methods whose objectives draw real data in the same way, for
      instance class by class.
    weights: one weight per method. Before weighting, the gradient of each part
      is scaled to norm one at the first step.
  """
  parts, weights = [method.spec for method in methods], list(weights)
  return _summed(methods, weights)._replace(
      name="weighted", settings=dict(parts=parts, weights=weights))


@declare(
    dict(parts=[{
        "name": "dm"
    }], weights=[1.0]),
    name="weighted",
    paper="see the methods that are summed",
    title="a weighted sum of methods",
    cost="that of all parts")
def _weighted(s: SimpleNamespace) -> Method:
  """A weighted sum of the objectives of several methods."""
  from distill_jax.methods import from_spec

  return _summed([from_spec(spec) for spec in s.parts], s.weights)


def _summed(methods, weights) -> Method:
  """The first method, with the sum of all objectives.

  Raises:
    ConfigError: the number of weights is wrong, or the methods do not combine.
  """
  if len(methods) != len(weights) or not methods:
    raise ConfigError(
        "`weights` must be one for each of at least one method; got "
        f"{len(weights)} for {len(methods)}.")
  first = methods[0]
  for method in methods:
    alike = all(
        getattr(method, field) == getattr(first, field)
        for field in ("model", "label_space", "by_class", "estimator"))
    if method.parts or method.prepare is not prepare_nothing or not alike:
      raise ConfigError(
          "`methods` must sample and be learned alike, in one piece and "
          f"without experts or a pool; got {first.name} and {method.name}.")

  def check(task) -> None:
    for method in methods:
      method.check(task)

  return first._replace(
      objective=lambda task: weighted_sum(
          *(method.objective(task) for method in methods),
          weights=tuple(weights)),
      initial=lambda state: first.initial(state[0][0]),
      check=check,
      drawn=max(method.drawn for method in methods),
      anchors=all(method.anchors for method in methods),
      stages=any(method.stages for method in methods))


@declare(
    GRADIENTS | dict(covariances=0.0, weights=[0.5, 0.5]),
    paper="the sum of dsa and dm",
    title="DSA and DM together",
    cost="that of both",
    published=published_dsa,
    quick=QUICK)
def hybrid(s: SimpleNamespace) -> Method:
  """Matches gradients and distributions together, with the same settings."""
  return built(
      s,
      lambda task: weighted_sum(
          matched_gradients(s, task),
          matched_means(s, task),
          weights=tuple(s.weights)),
      recipe=dict(name="dsa", num_epochs=300, strategy=None),
      drawn=s.batch_size,
      anchors=True,
      stages=True)
