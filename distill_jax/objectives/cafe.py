"""CAFE: alignment of features, layer by layer.

Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", 2022,
arXiv 2203.01531. With f_l the features after stage l, and means over the
samples of a class,

    sum_l w_l sum_c || mean f_l(A(real_c)) - mean f_l(A(S_c)) ||^2
      - v sum_j log softmax( F_j . M' )_{y_j}

where F_j is the embedding of real sample j, and M [K, D] holds the mean
embeddings of the distilled classes, which thereby classify the real samples.
The features are those of one network. Between outer steps this network is
trained on the set, until its accuracy on real samples has changed enough.

Differences from the published code:

- Its watched accuracy carries a tenth of the previous value over; here it does
  not.
- The inner loop has an upper bound.
- One draw of real samples serves all checks of a step.
- The network's cross-entropy on real samples is left out, as it has no gradient
  with respect to the set.
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
  """The latest accuracies.

  Attributes:
    values: [n], the newest one last.
    count: [] int32, number of accuracies so far.
  """

  values: Array
  count: Array

  def push(self, value: Array) -> "Window":
    values = jnp.append(self.values[1:], value)
    return Window(values, self.count + 1)

  def spread(self) -> Array:
    """The largest minus the smallest accuracy."""
    return self.values.max() - self.values.min()

  def full(self) -> Array:
    return self.count >= len(self.values)


class AlignmentState(NamedTuple):
  """State of feature alignment.

  Attributes:
    variables: variables of the network at the last outer step.
    outer: accuracies of this network at its outer steps; empty if the network
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
    network: a network whose `stages` suit `weights`.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`).
    sample: `with_extra(per_class(n), per_class(watched))`: real samples that
      are aligned, and as `extra` other real samples whose accuracy is watched.
    weights: w_l, one per stage. The published ones are for a ConvNet of three
      blocks: before the pooling of each block, and after the last pooling,
      where the flattened features count once more.
    discrimination: v; the sum is over all real samples.
    augmentation: one draw per class and step for the real and distilled samples
      that are aligned, and one draw per image for the batches that the network
      is trained on.
    step_size: step size of the network's plain gradient descent on the set.
    batch_size: batch size of that descent.
    settled: the network is replaced once its accuracy has stayed within this
      range over `window` outer steps (the paper's lambda_1).
    moved: between two outer steps, the network is trained until its accuracy
      has changed by more than this over `window` epochs (lambda_2), but for at
      most `max_epochs`.
    max_epochs: maximal number of epochs between two outer steps.
    window: number of accuracies that are compared, at least 2.

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
    """Trains on the set until the watched accuracy has changed enough."""

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
      """The features of each stage, [K, n, ...]."""
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
