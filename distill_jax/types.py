"""The records that all parts of the library share, and the axis letters.

A distilled set S is the solution of `argmin_S E[objective(S, real)]`. The
records below hold the parts of this problem; a method of the field is a choice
of functions that fill them.

Axis letters used in shapes throughout the library:

  N  real samples            K  network outputs (1 for a binary task)
  M  distilled samples       D  features
  B  batch                   S  steps of a distilled set (its mini-batches)
  H W C  image               n  samples of one step, or real samples of a class
  E  epochs over the S steps T  inner steps, T = E * S
  P  members of a pool       m  distilled samples of a class
  R  label rows of a set, or evaluated networks
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
    codes: what is stored of the samples; any pytree. A `Parameterization`
      decodes it into samples.
    labels: [rows, K] float; binary tasks have K = 1.
    raw_step_sizes: [T] float; the estimator maps them to positive step sizes.
      [0] where a method learns no step sizes.
    extra: other learned scalars of a method; `()` for most methods.
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
    step_sizes: [T] positive floats, or [0] where the set has none.
    extra: as in `Distilled`.
    view_labels: [views, P, K] logits of a teacher for every view of the set,
      see `distill_jax.views`; `()` for most methods.
  """

  inputs: Array
  labels: Array
  step_sizes: Array
  extra: PyTree = ()
  view_labels: Array | tuple[()] = ()


class TrainingSet(NamedTuple):
  """The input of a learner: only arrays, so that `jit` accepts it.

  Attributes:
    samples: the set in model space.
    order: [S, n] int32, the indices of the samples of each step.
    initial: theta_0, the student's parameters, where its initialisation is
      fixed; otherwise `()`.
  """

  samples: Samples
  order: Array
  initial: PyTree = ()


class LazyInputs(NamedTuple):
  """Real inputs [K, n, ...] that are gathered only where they are used.

  The record refers to the whole split. Do not stack several of them: this would
  copy the split each time.

  Attributes:
    rows: [K, n] int32, the rows of the split that are meant.
    split: a `data.Split`, with raw `inputs` [N, ...] and `encode`, which takes
      raw inputs [B, ...] to model space.
  """

  rows: Array
  split: PyTree

  @property
  def shape(self) -> tuple[int, ...]:
    """[K, n, ...], the shape of the gathered inputs."""
    return self.rows.shape + self.split.sample_shape

  def gather(self, rows: Array) -> Array:
    """Returns the inputs [..., *sample] of rows [...], in model space."""
    inputs = self.split.encode(self.split.inputs[rows.ravel()])
    return inputs.reshape(rows.shape + inputs.shape[1:])


class Layout(NamedTuple):
  """Which samples of a set belong to each step and to each class.

  Classes without real samples have no label rows.

  Attributes:
    classes: [R] int32, the class that each label row starts from.
    order: [S, n] int32, the indices of the decoded samples of each step.
    members: [K', m] int32, the indices of the decoded samples of each class
      present; None where classes have different numbers of samples.
    present: [K'] int32, the classes that have real samples.
  """

  classes: np.ndarray
  order: Array
  members: Any  # which methods that match class by class rely on
  present: np.ndarray


class Batch(NamedTuple):
  """Real data in model space.

  Attributes:
    inputs: [B, ...] float. Where samples are drawn class by class, [K, n, ...]
      or `LazyInputs` of that shape.
    labels: [B] or [K, n] int32, class indices.
    extra: other draws that an objective needs, such as batches to train its
      network on or members of a pool; `()` for most objectives.
  """

  inputs: Any  # `LazyInputs` come only from a sampler that is asked for them
  labels: Array
  extra: PyTree = ()


class Anchor(NamedTuple):
  """Frozen samples of every class that are matched beside the real ones.

  Attributes:
    inputs: [K, n, ...] float, in model space.
    labels: [K, n, outputs] float.
    weight: weight of the distance to these samples; the distance to the real
      samples has weight 1.
  """

  inputs: Array
  labels: Array
  weight: float


class Parameterization(NamedTuple):
  """How a distilled set is stored.

  Integer leaves of the codes are constants: they are not learned.

  Attributes:
    init: `(key, inputs) -> codes`, from real or random inputs [R * r, ...]; the
      r inputs of a label row stand side by side.
    decode: `(codes) -> inputs [M, ...]` in model space.
    owner: `(codes) -> [M] int32`, the label row of each decoded sample.
    inputs_per_row: r, the number of inputs that make one row of codes.
    separates_classes: whether each decoded sample belongs to the label row of
      one class only, so that codes can be split or clamped.
    keeps_inputs: whether `init` encodes the given inputs in smaller codes that
      decode into nearly the same inputs. False for random bases, for example.
    init_for: `(real, classes [R]) -> init`, for codes that depend on more of
      the real data than their own inputs; `classes` is the class of each label
      row. None where `init` is enough. `real(c)` yields all samples of class c
      in model space, part by part.
    decoder_bytes: size of a decoder that is not among the codes.
    spec: name and JSON settings from which it can be rebuilt, see
      `parameterization.from_spec`; `()` if it cannot be rebuilt.
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
    stages: takes the arguments of `apply` and returns `(tuple of features,
      variables)`; the last feature is the embedding that the classifier reads.
    spec: name and JSON settings from which it can be rebuilt, see `models`;
      `()` if it cannot be rebuilt.
  """

  init: Callable[..., PyTree]
  apply: Callable[..., tuple[Array, PyTree]]
  stages: Callable[..., tuple[tuple[Array, ...], PyTree]]
  spec: Spec = ()


class Preprocessing(Protocol):
  """A map between raw inputs and model space, as a record of arrays."""

  def apply(self, raw: Array, /) -> Array:
    """Maps raw inputs [B, ...] to model space."""
    ...

  def invert(self, x: Array, /) -> Array:
    """Maps inputs [B, ...] in model space back to raw units."""
    ...


class Sampler(Protocol):
  """Draws the real data of one outer step, usually from a `data.Split`."""

  def __call__(self, key: Array, data: PyTree, /) -> PyTree:
    """Returns a `Batch`, or another pytree that the objective expects."""


class Distance(Protocol):
  """A distance of two gradients (pytrees), or of features [n, D] and [m, D]."""

  def __call__(self, real: PyTree, synthetic: PyTree, /) -> Array:
    """Returns a scalar; its gradient with respect to `synthetic` is used."""
    ...


class Loss(Protocol):
  """A loss of the predictions of a network or kernel: a mean over rows."""

  def __call__(self, logits: Array, labels: Array, /) -> Array:
    """Returns a scalar from logits [n, K] and label rows [n, K]."""
    ...


class Objective(NamedTuple):
  """What is matched.

  Attributes:
    sample: draws the real batch.
    init: `(key, samples) -> state`.
    loss: `(key, samples, state, batch) -> loss, (state, metrics)`; `metrics` is
      a dict of scalars.
    reads: the fields of a set that the loss depends on. Only these can be
      learned; a set has step sizes only if its objective reads them.
  """

  sample: Sampler
  init: Callable[[Array, Samples], PyTree]
  loss: Callable[..., tuple[Array, tuple[PyTree, dict[str, Array]]]]
  reads: tuple[str, ...] = FIELDS


class InnerProblem(NamedTuple):
  """A bilevel problem: an inner loss over v, an outer loss at its minimum.

  Attributes:
    sample: as in `Objective`.
    init: `(key, samples) -> state`.
    draw: `(key, samples, state) -> context, state`. The context is what stays
      fixed during an outer step, such as a network.
    start: `(samples, context) -> v0`, any pytree of floats.
    inner_loss: `(samples, context) -> (v -> scalar)`, strictly convex in v. The
      first call computes what does not depend on v, so that each solve does
      this work once.
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
    parameterization: the parameterization of the codes; None if unknown.
    reads: as in `Objective`.
  """

  sample: Sampler
  init: Callable[[Array, Distilled], PyTree]
  estimate: Callable[..., tuple[Array, Distilled, PyTree, dict[str, Array]]]
  samples: Callable[[Distilled], Samples]
  parameterization: Parameterization | None = None
  reads: tuple[str, ...] = FIELDS
