"""A distilled set in one call, in memory."""

import tempfile
import warnings
from pathlib import Path

import jax

from distill_jax.artifact import Artifact
from distill_jax.methods.method import Keys, Method, Store, plan
from distill_jax.methods.steps import carry_out
from distill_jax.types import Array


def condense(
    source,
    method: Method,
    network=None,
    *,
    per_class: int | None = None,
    num_rows: int | None = None,
    key: Array | None = None) -> Artifact:
  """Distils a data set in memory.

  The same settings and key give the same set as `runs.Run` and the launcher
  (which computes methods of kernels in float64).

  Args:
    source: a `data.Source`; its train split is distilled.
    method: of `methods`, for instance `methods.dm()`.
    network: the student: a name of `models.NETWORKS`, `{"name": ..., settings}`
      or a `Network`; a flax linen module, an NNX module or a function that
      builds one, or a pair of functions as in `from_functions`; or a kernel for
      methods of kernels. By default a small network that suits the shape of the
      data.
    per_class: label rows of each class, usually distilled samples; or
    num_rows: label rows of the whole set.
    key: consumed; `jax.random.key(0)` by default.

  Returns:
    The set with all that is needed to train on it. A warning names what is
    suspicious about it: samples that did not move, a step size at its bound,
    labels that name other classes.

  Raises:
    ConfigError, DataError, ValueError: what the method cannot do with these
      data, before the first step.
    NonFinite: the loss stopped being a number.

  Example:
    made = dd.condense(source, dd.methods.dm(), per_class=1)
  """
  keys = Keys.of(jax.random.key(0) if key is None else key)
  with tempfile.TemporaryDirectory() as folder:
    made = plan(
        source,
        method,
        network,
        per_class=per_class,
        num_rows=num_rows,
        keys=keys,
        store=Store(Path(folder), Path(folder)))
    artifact = made.artifact(carry_out(made))
  for line in artifact.provenance.get("findings", ()):
    warnings.warn(line, stacklevel=2)
  return artifact
