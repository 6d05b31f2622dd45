"""Alignment of features, layer by layer: CAFE.

Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", 2022,
arXiv 2203.01531. With f_l the features after stage l and class means over
samples alone,

    sum_l w_l sum_c || mean f_l(A(real_c)) - mean f_l(A(S_c)) ||^2
      - v sum_j log softmax( F_j . M' )_{y_j}

where F_j is the embedding of real sample j and M [K, D] holds the embedding
means of the distilled classes: they classify the real samples. The features are
those of one network that learns on the set between steps, for as long as its
accuracy on real samples keeps moving.

Differences from the published code: its watched accuracy leaks a tenth of the
last value into the next, here it does not; the inner loop has a bound; one
draw of real samples serves all checks of a step; the cross-entropy of the
network on real samples, which has no gradient with respect to the set, is left
out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from distill_jax.augmentation import Augmentation, identity
from distill_jax.inner_loop import train_epochs
from distill_jax.labels import classes_of
from distill_jax.objectives.classes import check, checked_members
from distill_jax.types import (
    Array,
    Batch,
    LazyInputs,
    Network,
    Objective,
    PyTree,
    Sampler,
    Samples,
)


class Window(NamedTuple):
  """The last accuracies.

  Attributes:
    values: [n], the newest last.
    count: [] int32, how many there have been.
  """

  values: Array
  count: Array

  def push(self, value: Array) -> "Window":
    values = jnp.append(self.values[1:], value)
    return Window(values, self.count + 1)

  def spread(self) -> Array:
    """Largest less smallest."""
    return self.values.max() - self.values.min()

  def full(self) -> Array:
    return self.count >= len(self.values)


class AlignmentState(NamedTuple):
  """Attributes:
    variables: of the last step.
    outer: accuracies of this network at its steps; empty for a network that
      is to be replaced.
  """

  variables: PyTree
  outer: Window


def feature_alignment(
    network: Network,
    members: Array,
    *,
    sample: Sampler,
    weights: tuple[float, ...] = (0.1, 0.1, 1.0, 2.0),
    discrimination: float = 0.01,
    augmentation: Augmentation | None = None,
    step_size: float = 0.01,
    batch_size: int = 256,
    settled: float = 0.04,
    moved: float = 0.03,
    window: int = 10,
    max_epochs: int = 50) -> Objective:
  """Aligns the class means of every stage's features.

  Args:
    network: any whose `stages` suit `weights`.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `with_extra(per_class(n), per_class(watched))`: real samples to
      align with and, as `extra`, others whose accuracy is watched.
    weights: w_l of each stage. The published ones are those of a ConvNet of
      three blocks: before the pooling of each block, and after the last, where
      the flattened map counts once more.
    discrimination: v; the sum is over all real samples.
    augmentation: of both batches, one draw for a class and step, and of the
      batches the network learns on, one draw an image.
    step_size: of the network's plain gradient descent on the set.
    batch_size: of the same.
    settled: a network is replaced once its accuracy has stayed within this over
      `window` steps (the paper's lambda_1).
    moved: the network learns until its accuracy has moved by more than this
      over `window` epochs (lambda_2), or for
    max_epochs: between two steps.
    window: at least 2.

  Returns:
    An `Objective`. Metrics: `watched`, the accuracy; `alignment` and
    `discrimination`, before weighting.
  """
  if window < 2 or max_epochs < 1:
    raise ValueError(
        "`window` must be at least 2 and `max_epochs` at least 1; got "
        f"{window} and {max_epochs}.")
  augmentation = augmentation or identity()
  members = checked_members(members)

  def empty(dtype):
    return Window(jnp.zeros((window,), dtype), jnp.zeros((), jnp.int32))

  def init(key, samples):
    variables = network.init(key, samples.inputs[:1])
    return AlignmentState(variables, empty(samples.inputs.dtype))

  def watched(variables, batch):
    inputs, labels = batch.extra.inputs, batch.extra.labels
    inputs = inputs.reshape(-1, *inputs.shape[2:])
    logits, _ = network.apply(variables, inputs)
    right = classes_of(logits) == labels.ravel()
    return right.mean(dtype=inputs.dtype)

  def learn(key, variables, samples, batch):
    """Epochs on the set until the watched accuracy has moved."""

    def epoch(carry):
      variables, seen = carry
      variables = train_epochs(
          jax.random.fold_in(key, seen.count),
          network,
          variables,
          samples.inputs,
          samples.labels,
          optimizer=optax.sgd(step_size),
          num_epochs=1,
          batch_size=batch_size,
          augmentation=augmentation)
      return variables, seen.push(watched(variables, batch))

    def goes_on(carry):
      seen = carry[1]
      done = seen.full() & (seen.spread() > moved)
      return ~done & (seen.count < max_epochs)

    start = variables, empty(samples.inputs.dtype)
    return lax.while_loop(goes_on, epoch, start)[0]

  def advance(key, samples, state: AlignmentState, batch):
    k_init, k_learn = jax.random.split(key)
    samples = lax.stop_gradient(samples)
    return lax.cond(
        state.outer.count == 0,
        lambda: network.init(k_init, samples.inputs[:1]),
        lambda: learn(k_learn, state.variables, samples, batch))

  def loss(key, samples: Samples, state: AlignmentState, batch: Batch):
    check(members, samples.inputs, batch.inputs)
    if isinstance(batch.inputs, LazyInputs):
      raise ValueError(
          "`sample` must draw inputs for feature alignment, which sees all "
          "classes at once; got LazyInputs. Leave `lazy` out of `per_class`.")
    k_advance, k_augment, k_apply = jax.random.split(key, 3)
    variables = advance(k_advance, samples, state, batch)

    def draw(key):
      return augmentation.draw(key, batch.inputs.shape[1:], 1)

    draws = jax.vmap(draw)(jax.random.split(k_augment, len(members)))

    def features(inputs):
      """Of each stage [K, n, ...]."""
      augmented = jax.vmap(augmentation.apply)(draws, inputs)
      stages, _ = network.stages(
          variables,
          augmented.reshape(-1, *inputs.shape[2:]),
          key=k_apply,
          train=True)
      if len(stages) != len(weights):
        raise ValueError(
            f"`weights` must be one for each of the {len(stages)} stages of "
            f"the network; got {len(weights)}.")
      return [x.reshape(*inputs.shape[:2], *x.shape[1:]) for x in stages]

    real = lax.stop_gradient(features(batch.inputs))
    own = [stage.mean(1) for stage in features(samples.inputs[members])]
    alignment = sum(
        weight * jnp.square(a.mean(1) - b).sum()
        for weight, a, b in zip(weights, real, own, strict=True))
    scores = jnp.einsum(
        "knd,cd->knc", real[-1], own[-1], precision=lax.Precision.HIGHEST)
    own_class = jnp.arange(len(members))[:, None, None]
    right = jnp.take_along_axis(
        jax.nn.log_softmax(scores),
        jnp.broadcast_to(own_class, (*scores.shape[:2], 1)), -1)
    discriminated = -right.sum()

    accuracy = watched(variables, batch)
    outer = state.outer.push(accuracy)
    done = outer.full() & (outer.spread() < settled)
    outer = jax.tree.map(
        lambda new, old: jnp.where(done, old, new), outer,
        empty(samples.inputs.dtype))
    value = alignment + discrimination * discriminated
    return value, (
        AlignmentState(variables, outer), {
            "watched": accuracy,
            "alignment": alignment,
            "discrimination": discriminated
        })

  return Objective(sample, init, loss, ("codes",))
