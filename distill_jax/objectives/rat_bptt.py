"""RaT-BPTT: meta-gradients through a randomly placed window of training.

Feng, Vedantam & Kempe, "Embarrassingly Simple Dataset Distillation", 2023,
arXiv 2311.07025. A student is trained on the set for N0 + W steps and then
tested on real data, but only the last W steps are differentiated. N0 is random,
so that the set learns from every part of a long training without unrolling all
of it:

    theta_{N0}     = N0 steps of u from theta_0, taken as a constant
    theta_{N0 + W} = W more steps
    L(S) = E_{theta_0} E_{N0 ~ U{lowest .. highest - W}}
           E_{(x, y) real}  l( f(x; theta_{N0 + W}), y )

where u is the inner optimizer (Adam) with its moments. Each step uses the whole
set, or some samples of every class, under fresh augmentation. With `lowest`
equal to `highest - W` the window is fixed at the end. With `highest` equal to W
and `lowest` 0 the whole training is unrolled. With momentum and one draw of
augmentation for all steps, this is the method of Deng & Russakovsky, "Remember
the Past", 2022, arXiv 2206.02916, whose sets use
`parameterization.linear_bases`.

The paper's outer loop also uses `unit_norm` for the images at the start,
`clipping.clip_by_average_norm` for their gradient, and `outer_loop.label_floor`
for learned labels.

If `loss` is a `labels.squared_error` on centred labels, the student regresses,
like the networks of FRePo or RFAD; sets of these methods can therefore be
learned further. The loss on real data is still the cross-entropy of the
outputs, which needs a `target_scale` well above 1; labels then have no floor.

Differences from the published code:

- N0 is drawn in every outer step; the code keeps it for a pass over the real
  data, unless set otherwise.
- The window does not move forward by a schedule.
- Adam has `eps_root`, see `truncated_unroll`.
- The loss on real data is computed in evaluation mode, which matters for
  networks with batch statistics.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from distill_jax.augmentation import Augmentation
from distill_jax.inner_loop import differentiable_gradient
from distill_jax.labels import cross_entropy
from distill_jax.objectives.classes import checked_members
from distill_jax.objectives.dd import loss_on_real
from distill_jax.parallel import mean_in_pieces
from distill_jax.types import (
    Array,
    Batch,
    Loss,
    Network,
    Objective,
    Sampler,
    Samples,
)


def truncated_unroll(
    network: Network,
    *,
    sample: Sampler,
    num_classes: int,
    window: int,
    highest: int,
    lowest: int = 0,
    optimizer: optax.GradientTransformation | None = None,
    members: Array | None = None,
    batch_per_class: int | None = None,
    augmentation: Augmentation | None = None,
    one_draw: bool = False,
    real_augmentation: Augmentation | None = None,
    loss: Loss = cross_entropy) -> Objective:
  """Loss on real data after training, differentiated through a window.

  A step of the window costs about three plain steps. The memory is four copies
  of the weights per step of the window (theta, Adam's moments and the
  gradient), plus that of one step.

  Args:
    network: the student; it has fresh weights in every outer step.
    sample: `(key, data) -> Batch`, the real batch of one outer step.
    num_classes: number of classes of the real labels.
    window: W, number of steps that are differentiated.
    highest: T, largest number of steps of a student's training.
    lowest: least number of plain steps before the window, at most T - W.
    optimizer: optimizer of the student, including its step size; by default
      Adam with steps of 1e-3 and `eps_root` 1e-8. Adam needs an `eps_root`
      above 0, because the square root of a second moment of zero has no
      derivative.
    members: [K, m] int, the samples of each class
      (`initialisation.class_members`); needed if a step does not use all
      samples.
    batch_per_class: samples per class that a step uses, drawn anew in each
      step; by default, and at most, all m.
    augmentation: augmentation of each step's samples, one draw per image.
    one_draw: whether all steps share one draw of augmentation.
    real_augmentation: augmentation of the real batch, one draw per image.
    loss: inner loss, a mean over rows.

  Returns:
    An `Objective` without state; it has no step sizes. Metrics: `accuracy` on
    the real batch and `plain_steps`, N0.
  """
  if window < 1 or not 0 <= lowest <= highest - window:
    raise ValueError(
        "`window` must be at least 1 and `lowest` 0 to `highest` - `window`; "
        f"got {window} and {lowest} with `highest` {highest}.")
  rows_of = _rows(members, batch_per_class)
  last_row = -1
  if rows_of is not None and members is not None:
    last_row = int(checked_members(members).max())
  if optimizer is None:
    optimizer = optax.adam(1e-3, eps_root=1e-8)
  on_real = loss_on_real(network, num_classes)

  def step(keys, samples: Samples, t, carry):
    """Step t of the student, on the whole set or on some of its samples."""
    variables, state = carry
    k_steps, k_draw = keys
    k_rows, k_augment, k_apply = jax.random.split(
        jax.random.fold_in(k_steps, t), 3)
    x, y = samples.inputs, samples.labels
    if rows_of is not None:
      rows = rows_of(k_rows)
      x, y = x[rows], y[rows]
    if augmentation is not None:
      k_augment = k_draw if one_draw else k_augment
      x = augmentation.apply(augmentation.draw(k_augment, x.shape, len(x)), x)
    gradient, updated = differentiable_gradient(
        k_apply, network, variables, x, y, loss=loss)
    # Kept for the backward pass, where computing it again costs a quarter.
    gradient = checkpoint_name(gradient, "gradient")
    params = variables["params"]
    change, state = optimizer.update(gradient, state, params)
    return {**updated, "params": optax.apply_updates(params, change)}, state

  def train(keys, variables, samples, first):
    """Takes N0 plain steps and then the window, whose steps are recomputed."""
    fixed = lax.stop_gradient(samples)
    start = (variables, optimizer.init(variables["params"]))
    carry = lax.fori_loop(
        0, first, lambda t, carry: step(keys, fixed, t, carry), start)
    body = jax.checkpoint(
        lambda carry, t: (step(keys, samples, t, carry), None),
        prevent_cse=False,
        policy=jax.checkpoint_policies.save_only_these_names("gradient"))
    (variables, _), _ = lax.scan(body, carry, first + jnp.arange(window))
    return variables

  def init(key, samples):
    del key, samples
    return ()

  def objective(key, samples: Samples, state, batch: Batch):
    chex.assert_rank(samples.labels, 2)
    chex.assert_equal_shape_prefix([samples.inputs, samples.labels], 1)
    if last_row >= len(samples.inputs):
      raise ValueError(
          f"`members` must name rows of the {len(samples.inputs)} samples; "
          f"got {last_row}. Give `class_members` the classes of this set.")
    k_init, k_first, k_steps, k_draw, k_real = jax.random.split(key, 5)
    first = jax.random.randint(k_first, (), lowest, highest - window + 1)
    start = network.init(k_init, lax.stop_gradient(samples.inputs[:1]))
    trained = train((k_steps, k_draw), start, samples, first)
    if real_augmentation is not None:
      x = batch.inputs
      draw = real_augmentation.draw(k_real, x.shape, len(x))
      batch = batch._replace(inputs=real_augmentation.apply(draw, x))
    value, metrics = mean_in_pieces(on_real, trained, batch)
    return value, (state, {**metrics, "plain_steps": first})

  return Objective(sample, init, objective, ("codes", "labels"))


def unit_norm(inputs: Array) -> Array:
  """Scales each of the inputs [M, ...] to L2 norm 1, as RaT-BPTT's start.

  In the paper all images, real ones included, are ZCA-whitened and of unit
  norm; its outer step sizes are for such images.
  """
  axes = tuple(range(1, inputs.ndim))
  return inputs / jnp.sqrt(jnp.square(inputs).sum(axes, keepdims=True))


def _rows(members: Array | None,
          batch_per_class: int | None) -> Callable[[Array], Array] | None:
  """`(key) -> [n] int`, the samples of a step; None if a step uses all."""
  if batch_per_class is None:
    return None
  if members is None:
    raise ValueError(
        "`members` must name the samples of each class where a step sees "
        "some; got None. `class_members` makes it.")
  members = checked_members(members)
  if batch_per_class < 1:
    raise ValueError(
        f"`batch_per_class` must be at least 1; got {batch_per_class}.")
  if batch_per_class >= members.shape[1]:
    return None

  def rows(key):
    k_classes, k_samples = jax.random.split(key)
    return jax.random.permutation(
        k_samples,
        jax.random.permutation(k_classes, members),
        axis=1,
        independent=True)[:, :batch_per_class].ravel()

  return rows
