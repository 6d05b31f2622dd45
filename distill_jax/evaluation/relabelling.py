"""Labels of views for other samples, by the teacher that a set stores."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from distill_jax import models, schema, views
from distill_jax.artifact import Artifact
from distill_jax.types import Array, Network, PyTree


class Relabelling(NamedTuple):
  """How to label other samples like those of a set.

  Attributes:
    relabel: `(inputs [M, ...]) -> logits [views, P, K]`, for the set's views.
    teacher: variables of the teacher.
    num_views: number of views that are labelled.
  """

  relabel: Callable[[Array], Array]
  teacher: PyTree
  num_views: int


def relabelling_of(artifact: Artifact, student) -> Relabelling | None:
  """Returns how to label other samples as in a set; None if no teacher fits.

  Args:
    artifact: the set.
    student: the network that is trained on the set. It is also the teacher's
      architecture, unless the set names another.
  """
  if "teacher" not in (artifact.views or ()):
    return None
  spec = artifact.provenance.get("teacher", {}).get("network")
  network = student
  if spec and spec.get("name") in models.NETWORKS:
    network = models.from_spec(spec, artifact.num_classes)
  if not isinstance(network, Network):
    return None
  like = jax.eval_shape(network.init, jax.random.key(0), artifact.inputs[:1])
  variables = schema.poured(artifact.views["teacher"], like)
  if variables is None:
    return None
  variables = jax.tree.map(jnp.asarray, variables)
  num = len(artifact.views["labels"])
  how = views.views_of(artifact.recipe)

  @jax.jit
  def labelled(variables, inputs):
    return views.labelled(
        how,
        lambda x: network.apply(variables, x)[0],
        inputs,
        num,
        dtype=artifact.views["labels"].dtype)

  return Relabelling(partial(labelled, variables), variables, num)
