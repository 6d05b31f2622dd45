"""One pipeline of a privacy audit: data, a set, a network, its outputs."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax import models
from distill_jax.applications import membership, outputs
from distill_jax.applications.candidates import Candidates
from distill_jax.applications.small_sets import (
    Maker,
    seconds_of,
    stored_bytes,
    timed,
)
from distill_jax.labels import classes_of
from distill_jax.methods.method import Keys
from distill_jax.objectives.embedding import embeddings
from distill_jax.parallel import map_rows
from distill_jax.types import Array

_SAME = 1e-8  # relative squared distance below which two samples are equal


class Arm(NamedTuple):
  """One arm of the audit.

  Attributes:
    maker: the maker of the sets.
    num_rows: label rows that it is asked for.
    recipe: specification of the recipe for the network that is trained on the
      set; None for the set's own recipe.
    guarantee: (epsilon, delta) of private training, for one sample added or
      removed; None for none. The guarantee of a private set is in the set's
      provenance.
  """

  maker: Maker
  num_rows: int
  recipe: Mapping[str, Any] | None
  guarantee: tuple[float, float] | None = None

  @property
  def name(self) -> str:
    """The name in tables."""
    return self.maker.name


def shadow(
    k_make: Array,
    k_train: Array,
    arm: Arm,
    candidates: Candidates,
    keep: np.ndarray,
    network: Any,
    *,
    embed: Any = None) -> dict[str, np.ndarray]:
  """One pipeline: half of the candidates, a set, a network, its outputs.

  Args:
    k_make: key of the set; consumed.
    k_train: key of the network; consumed.
    arm: the arm that is audited.
    candidates: all Z candidates.
    keep: [Z] bool, the candidates that the pipeline has.
    network: the network, or its specification, that methods distil with and
      that is trained on the set.
    embed: `(inputs [n, ...]) -> features [n, D]` of a public network, or None.

  Returns:
    A dict of arrays:
      `phi` [Z] of the trained network, and `untrained` [Z] of the same network
      before training;
      `pixels` and `features` [Z], minus the squared distance to the nearest
      sample of the set; NaN if only the network is published;
      `seen` [Z] bool, True for real samples in the set or in its start;
      `accuracy`, `bytes`, `num_samples`, `seconds` and `noise_scale` [1]; the
      last is NaN except for sets with differential privacy.
  """
  half = candidates.source.take(np.flatnonzero(keep))
  made = timed(arm.maker, k_make, half, arm.num_rows, network)
  fitted = outputs.fit(k_train, made, network=network, recipe=arm.recipe)
  split, labels = candidates.source.train, candidates.classes
  phi = membership.statistic(fitted.outputs(split), labels)
  untrained = np.full(len(labels), np.nan)
  if fitted.untrained is not None:
    untrained = membership.statistic(fitted.untrained(split), labels)
  test = candidates.source.test
  right = np.asarray(classes_of(fitted.outputs(test))) == test.labels
  inputs = np.asarray(_encoded(split))
  near = dict(pixels=np.full(len(labels), np.nan))
  near["features"] = near["pixels"]
  given_away = arm.guarantee is None  # else only the network is published
  if given_away and made.inputs.shape[1:] == inputs.shape[1:]:
    near["pixels"] = -nearest(inputs, made.inputs)
    if embed is not None:
      near["features"] = -nearest(embed(inputs), embed(made.inputs))
  guarantee = made.provenance.get("privacy")
  return dict(
      phi=phi,
      untrained=untrained,
      **near,
      seen=keep & _seen(k_make, arm, half, made, inputs),
      accuracy=np.array([right.mean()]),
      bytes=np.array([stored_bytes(made, arm.maker.exact)]),
      num_samples=np.array([made.num_samples]),
      seconds=np.array([seconds_of(made)]),
      noise_scale=np.array([guarantee["noise_scale"] if guarantee else np.nan]))


def nearest(points: Any, others: Any) -> np.ndarray:
  """Squared distances [Z] float64 of points [Z, ...] to the nearest other."""
  a = np.asarray(points, np.float64).reshape(len(points), -1)
  b = np.asarray(others, np.float64).reshape(len(others), -1)
  square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
  return np.maximum(square.min(1), 0.0)


def _seen(key, arm, half, made, inputs):
  """Which candidates are samples of the set, or of its start."""
  nothing = np.zeros(len(inputs), bool)
  method, begun = arm.maker.method, None
  if arm.maker.exact:
    begun = made.inputs
  elif method is not None and method.begin is not None:
    start = method.begin(Keys.of(key).start, half, arm.num_rows)
    begun = np.asarray(method.parameterization.decode(start.codes))
  if begun is None or begun.shape[1:] != inputs.shape[1:]:
    return nothing
  flat = inputs.reshape(len(inputs), -1).astype(np.float64)
  return nearest(inputs, begun) <= _SAME * (1 + np.square(flat).sum(1))


@jax.jit
def _encoded(split):
  return map_rows(split.encode, split.inputs)


def public_features(key: Array, source) -> Callable[[Array], np.ndarray]:
  """Features `(inputs) -> [n, D]` of a random network that has seen no data.

  Args:
    key: key of the network's weights; consumed.
    source: data whose shapes the network takes.
  """
  network = models.from_spec(models.default(source), source.num_classes)
  variables = network.init(key, source.example)
  read = jax.jit(lambda inputs: embeddings(network, variables, inputs))
  return lambda inputs: np.asarray(read(inputs))
