"""The vocabulary: records that travel between the rooms, and axis letters.

A distilled set is the solution of `argmin_S E[objective(S, real)]`. The
records below are the nouns of that sentence; every method of the field is a
choice of functions that fill them.

Axis letters used in shapes throughout the library:

  N  real samples            K  network outputs (1 for a binary task)
  M  distilled samples       D  features
  B  batch                   S  steps of a distilled set (its mini-batches)
  H W C  image               n  samples of a step, or real ones of a class
  E  epochs over the S steps T  inner steps, T = E * S
  P  members of a pool       m  distilled samples of a class
  R  label rows of a set; evaluated networks
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Array = jax.Array | np.ndarray  # either works, also in records
PyTree = Any
FilePath = str | os.PathLike[str]
Kernel = Callable[[Array, Array], Array]  # (x1, x2) -> [n1, n2]
Spec = tuple[tuple[str, Any], ...]  # name and JSON settings
FIELDS = ("codes", "labels", "step_sizes", "extra")  # of a set, as learned


class Distilled(NamedTuple):
  """Everything that may be learned.

  Attributes:
    codes: decoded into samples by a `Parameterization`; any pytree.
    labels: [rows, K] float; binary tasks have K = 1.
    raw_step_sizes: [T], mapped to positive step sizes by the estimator; [0]
      where a method has none.
    extra: other learned scalars of a method; mostly `()`.
  """

  codes: PyTree
  labels: Array
  raw_step_sizes: Array
  extra: PyTree = ()


class Samples(NamedTuple):
  """Decoded samples, as objectives and students see them.

  Attributes:
    inputs: [M, H, W, C], [M, s, d] or [M, D], in model space.
    labels: [M, K] float.
    step_sizes: [T] positive, or [0].
    extra: as in `Distilled`.
    view_labels: [views, P, K] logits of a teacher for every view of the set,
      see `views`; `()` mostly.
  """

  inputs: Array
  labels: Array
  step_sizes: Array
  extra: PyTree = ()
  view_labels: Array | tuple[()] = ()


class TrainingSet(NamedTuple):
  """The input of a learner: arrays alone, so that it can cross `jit`.

  Attributes:
    samples: the set in model space.
    order: [S, n] int32, the samples of each step.
    initial: theta_0 where the student's initialisation is fixed, else `()`.
  """

  samples: Samples
  order: Array
  initial: PyTree = ()


class LazyInputs(NamedTuple):
  """Real inputs [K, n, ...] that are gathered where they are used.

  The record refers to the whole split: stacking several would copy the split
  each time.

  Attributes:
    rows: [K, n] int32, samples of the split.
    split: with `inputs` [N, ...] raw and `encode`, which takes raw inputs
      [B, ...] to model space.
  """

  rows: Array
  split: PyTree

  @property
  def shape(self) -> tuple[int, ...]:
    """[K, n, ...], that of the gathered inputs."""
    return self.rows.shape + self.split.sample_shape

  def gather(self, rows: Array) -> Array:
    """Inputs [..., *sample] in model space of some rows [...]."""
    inputs = self.split.encode(self.split.inputs[rows.ravel()])
    return inputs.reshape(rows.shape + inputs.shape[1:])


class Layout(NamedTuple):
  """Where the samples of each step and class stand in a set.

  Classes without real samples have no rows.

  Attributes:
    classes: [R] int32, the class each label row starts from.
    order: [S, n] int32, the decoded samples of each step.
    members: [K', m] int32, the decoded samples of each class present; None
      where classes have different numbers of them.
    present: [K'] int32, the classes that have real samples.
  """

  classes: np.ndarray
  order: Array
  members: Any  # which methods that match class by class rely on
  present: np.ndarray


class Batch(NamedTuple):
  """Real data in model space.

  Attributes:
    inputs: [B, ...] float; where drawn class by class, [K, n, ...] or
      `LazyInputs` of that shape.
    labels: [B] or [K, n] int32, class indices.
    extra: other draws of an objective: batches to train its network on, members
      of a pool; mostly `()`.
  """

  inputs: Any  # `LazyInputs` come only from a sampler that is asked for them
  labels: Array
  extra: PyTree = ()


class Anchor(NamedTuple):
  """Frozen samples of every class that are matched beside the real ones.

  Attributes:
    inputs: [K, n, ...] in model space.
    labels: [K, n, outputs].
    weight: of their distance; that of the real samples has weight 1.
  """

  inputs: Array
  labels: Array
  weight: float


class Parameterization(NamedTuple):
  """How a distilled set is stored.

  Leaves of codes that are whole numbers are constants: nothing learns them.

  Attributes:
    init: `(key, inputs) -> codes`, from real or random inputs [R * r, ...], the
      r inputs of a row side by side.
    decode: `(codes) -> inputs [M, ...]` in model space.
    owner: `(codes) -> [M] int32`, the label row of each decoded sample.
    inputs_per_row: r, inputs that make one row of codes.
    separates_classes: whether each decoded sample belongs to the label row of
      one class alone, so that codes can be split or clamped.
    keeps_inputs: whether inputs become codes that are smaller than they, and
      that decode into nearly the same; not so random bases.
    init_for: `(real, classes [R]) -> init`, for codes that depend on real data
      besides their inputs, given the class of each label row; None for others.
      `real(c)` yields all samples of class c, part by part, in model space.
    decoder_bytes: of a decoder that is not among the codes.
    spec: name and JSON settings from which it can be rebuilt, `()` for one
      that has none; see `parameterization.from_spec`.
  """

  init: Callable[[Array, Array], PyTree]
  decode: Callable[[PyTree], Array]
  owner: Callable[[PyTree], Array]
  inputs_per_row: int = 1
  separates_classes: bool = False
  keeps_inputs: bool = False
  init_for: Callable[[Callable, np.ndarray], Callable] | None = None
  decoder_bytes: int = 0
  spec: Spec = ()


class Network(NamedTuple):
  """A network as pure functions.

  `variables` is a mapping with the key `params` (what is trained) and any
  number of other collections (running statistics), which `apply` returns
  updated when `train` is true.

  Attributes:
    init: `(key, example [B, ...]) -> variables`.
    apply: `(variables, x, *, key=None, train=False) -> (logits [B, K],
      variables)`.
    stages: same arguments as `apply` -> `(tuple of features, variables)`; the
      last feature is the embedding that the classifier reads.
    spec: name and JSON settings from which it can be rebuilt, `()` for one
      that has none; see `models`.
  """

  init: Callable[..., PyTree]
  apply: Callable[..., tuple[Array, PyTree]]
  stages: Callable[..., tuple[tuple[Array, ...], PyTree]]
  spec: Spec = ()


class Preprocessing(Protocol):
  """A record of arrays between raw inputs and model space."""

  def apply(self, raw: Array, /) -> Array:
    """Takes raw inputs [B, ...] to model space."""
    ...

  def invert(self, x: Array, /) -> Array:
    """Takes model space [B, ...] to raw units."""
    ...


class Sampler(Protocol):
  """Draws the real data of one outer step, mostly from a `data.Split`."""

  def __call__(self, key: Array, data: PyTree, /) -> PyTree:
    """Returns a `Batch`, or what the objective takes instead."""


class Distance(Protocol):
  """Of gradients (pytrees of parameters), or of features [n, D] and [m, D]."""

  def __call__(self, real: PyTree, synthetic: PyTree, /) -> Array:
    """Returns a scalar; its gradient by `synthetic` is what learns."""
    ...


class Loss(Protocol):
  """Of the predictions of a network or kernel, a mean over rows."""

  def __call__(self, logits: Array, labels: Array, /) -> Array:
    """Returns a scalar, of logits [n, K] and label rows [n, K]."""
    ...


class Objective(NamedTuple):
  """What is matched.

  Attributes:
    sample: of the real batch.
    init: `(key, samples) -> state`.
    loss: `(key, samples, state, batch) -> loss, (state, metrics)`; `metrics`
      is a dict of scalars.
    reads: fields of a set that the loss depends on. Other fields cannot be
      learned, and a set has no step sizes that its objective does not read.
  """

  sample: Sampler
  init: Callable[[Array, Samples], PyTree]
  loss: Callable[..., tuple[Array, tuple[PyTree, dict[str, Array]]]]
  reads: tuple[str, ...] = FIELDS


class InnerProblem(NamedTuple):
  """A bilevel problem.

  Attributes:
    sample: as in `Objective`.
    init: `(key, samples) -> state`.
    draw: `(key, samples, state) -> context, state`: what an outer step holds
      fixed, such as a network.
    start: `(samples, context) -> v0`, any pytree of floats.
    inner_loss: `(samples, context) -> (v -> scalar)`, strictly convex in v.
      What does not depend on v is computed in the first call, once a solve.
    outer_loss: `(v, samples, context, batch) -> scalar, metrics`.
  """

  sample: Sampler
  init: Callable[[Array, Samples], PyTree]
  draw: Callable[..., tuple[PyTree, PyTree]]
  start: Callable[[Samples, PyTree], PyTree]
  inner_loss: Callable[[Samples, PyTree], Callable[[PyTree], Array]]
  outer_loss: Callable[..., tuple[Array, dict[str, Array]]]


class Estimator(NamedTuple):
  """How the gradient of an objective with respect to a set is taken.

  Attributes:
    sample: as in `Objective`.
    init: `(key, distilled) -> state`.
    estimate: `(key, distilled, state, batch) -> loss, gradients, state,
      metrics`; `gradients` is a `Distilled`.
    samples: `(distilled) -> Samples`, the set as a student sees it.
    parameterization: of the codes; None where it is unknown.
    reads: as in `Objective`.
  """

  sample: Sampler
  init: Callable[[Array, Distilled], PyTree]
  estimate: Callable[..., tuple[Array, Distilled, PyTree, dict[str, Array]]]
  samples: Callable[[Distilled], Samples]
  parameterization: Parameterization | None = None
  reads: tuple[str, ...] = FIELDS
