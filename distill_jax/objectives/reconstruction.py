"""CIM's loss: small images that give a teacher the features of large ones.

    sum_i | phi(x_i) - phi(D(S)_i) |^2

"CIM", 2026, arXiv 2607.00916: D enlarges the tiles of each distilled image, x_i
is the real image that tile i was shrunk from, and phi is a middle layer of a
frozen teacher. Labels are not used, and nothing is drawn at random.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from distill_jax.errors import ConfigError
from distill_jax.types import Array, Network, Objective, PyTree, Samples


class Originals(NamedTuple):
  """The images that are reconstructed, and the teacher.

  Attributes:
    inputs: [M, ...] in model space, one per decoded sample.
    teacher: variables of phi.
  """

  inputs: Array
  teacher: PyTree


def reconstruction(network: Network, *, stage: int = 1) -> Objective:
  """Distance between features of the samples and of their originals.

  The sum over samples and features is divided by M, so that learning rates do
  not depend on the size of the set.

  Args:
    network: the teacher. The data of the outer loop are `Originals`, which
      `sample` returns unchanged.
    stage: index of phi among `Network.stages`, from 0.
    stage: phi's place among `Network.stages`, from 0.

  Returns:
    An `Objective` without state or metrics.
  """
  if stage < 0:
    raise ConfigError(f"`stage` must be at least 0; got {stage}.")

  def features(variables, inputs):
    stages, _ = network.stages(variables, inputs)
    if stage >= len(stages):
      raise ConfigError(
          f"`stage` must be below the {len(stages)} stages of the teacher; got "
          f"{stage}.")
    return stages[stage]

  def loss(key, samples: Samples, state, batch: Originals):
    del key
    wanted = jax.lax.stop_gradient(features(batch.teacher, batch.inputs))
    found = features(batch.teacher, samples.inputs)
    return jnp.square(found - wanted).sum() / len(wanted), (state, {})

  return Objective(
      lambda key, data: data, lambda key, samples: (), loss, ("codes",))
