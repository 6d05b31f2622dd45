"""Sums of methods: `weighted` of any, and the hybrid of DSA and DM."""

from types import SimpleNamespace

from distill_jax.methods.distributions import matched_means
from distill_jax.methods.gradients import (
    GRADIENTS,
    QUICK,
    matched_gradients,
    published_dsa,
)
from distill_jax.methods.method import Method
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import built
from distill_jax.objectives.combine import weighted_sum


def weighted(*methods: Method, weights) -> Method:
  """A sum of what several methods match.

  What is stored, learned and used is the first method's; of the others only the
  objective is taken.

  Args:
    *methods: whose objectives sample alike, class by class for instance.
    weights: one for each; every part is scaled to a gradient of norm one at
      the first step before it is weighted.
  """
  return _weighted(
      parts=[method.spec for method in methods], weights=list(weights))


@declare(
    dict(parts=[{
        "name": "dm"
    }], weights=[1.0]),
    name="weighted",
    paper="see the methods that are summed",
    cost="that of all parts")
def _weighted(s: SimpleNamespace) -> Method:
  """A weighted sum of the objectives of several methods."""
  from distill_jax.methods import from_spec

  if len(s.parts) != len(s.weights) or not s.parts:
    raise ValueError(
        "`weights` must be one for each of at least one method; got "
        f"{len(s.weights)} for {len(s.parts)}.")
  methods = [from_spec(spec) for spec in s.parts]
  return methods[0]._replace(
      objective=lambda task: weighted_sum(
          *(method.objective(task) for method in methods),
          weights=tuple(s.weights)))


@declare(
    GRADIENTS | dict(covariances=0.0, weights=[0.5, 0.5]),
    paper="the sum of dsa and dm",
    cost="that of both",
    published=published_dsa,
    quick=QUICK)
def hybrid(s: SimpleNamespace) -> Method:
  """Matches gradients and distributions at once, on the same settings."""
  return built(
      s,
      lambda task: weighted_sum(
          matched_gradients(s, task),
          matched_means(s, task),
          weights=tuple(s.weights)),
      recipe=dict(name="dsa", num_epochs=300, strategy=None))
