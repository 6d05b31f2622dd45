"""The inner loop: training a network on a distilled set, step by step.

Meta-gradients go through `train_in_order`, and finished sets are used by it, so
that both are the same training. Step t trains on the samples `order[t mod S]`
with the step size `step_sizes[t]` (Wang et al., "Dataset Distillation", 2018,
arXiv 1811.10959, algorithm 1):

    theta_{t+1} = theta_t - eta_t u( grad_theta l(f(x_s; theta_t), y_s) )

where u is the identity for plain gradient descent. `train_epochs` is ordinary
training on shuffled batches, as DC and related methods use it (Zhao et al.,
"Dataset Condensation with Gradient Matching", 2020, arXiv 2006.05929).
`train_epoch_on` is one pass over real data.
"""

import jax
import jax.numpy as jnp
import optax

from distill_jax.augmentation import Augmentation
from distill_jax.data.source import Split
from distill_jax.flatness import GradientRule, plain
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.mixing import Mixing
from distill_jax.parallel import mean_in_pieces, mean_of_pieces
from distill_jax.types import Array, Loss, Network, PyTree, Samples


def train_in_order(
    key: Array,
    network: Network,
    variables: PyTree,
    samples: Samples,
    order: Array,
    *,
    optimizer: optax.GradientTransformation | None = None,
    augmentation: Augmentation | None = None,
    loss: Loss = cross_entropy,
    remat: bool = True,
    freeze: bool = False) -> PyTree:
  """Trains on the steps of a distilled set in their order.

  Args:
    key: consumed; each step has a child key for augmentation and dropout, which
      is the same when the step is recomputed.
    network: the network that is trained.
    variables: theta_0, with the key `params`.
    samples: inputs [M, ...], labels [M, K], step_sizes [T].
    order: [S, n] int, the samples of each step; T must be a multiple of S.
    optimizer: turns a gradient into a direction, which is then multiplied by
      the step size (`optax.trace(0.9)` is momentum); plain gradient descent by
      default. Its update must be differentiable.
    augmentation: augmentation of each step's samples, one draw per image.
    loss: `(logits [n, K], labels [n, K]) -> scalar`, a mean over rows.
    remat: whether to recompute a step's activations in the backward pass. A
      differentiated loop then stores the weights of every step, but the
      activations of only one.
    freeze: whether differentiation treats the weights at which each gradient is
      evaluated as constants, see `objectives.mtt`.

  Returns:
    The trained variables.
  """
  num_steps = check_steps(samples.step_sizes.shape, order.shape[0])
  optimizer = optimizer or optax.identity()
  samples, order = jax.tree.map(jnp.asarray, (samples, order))  # from files

  def step(carry, t):
    variables, state = carry
    rows = order[t % order.shape[0]]
    x, y = samples.inputs[rows], samples.labels[rows]
    k_augment, k_apply = jax.random.split(jax.random.fold_in(key, t))
    if augmentation is not None:
      draw = augmentation.draw(k_augment, x.shape, len(x))
      x = augmentation.apply(draw, x)

    params = variables["params"]
    at = jax.lax.stop_gradient(params) if freeze else params
    gradient, updated = differentiable_gradient(
        k_apply, network, {
            **variables, "params": at
        }, x, y, loss=loss)
    direction, state = optimizer.update(gradient, state, params)
    eta = samples.step_sizes[t]
    params = jax.tree.map(lambda p, u: p - eta * u, params, direction)
    return ({**updated, "params": params}, state), None

  body = jax.checkpoint(step, prevent_cse=False) if remat else step
  start = (variables, optimizer.init(variables["params"]))
  (variables, _), _ = jax.lax.scan(body, start, jnp.arange(num_steps))
  return variables


def train_epochs(
    key: Array,
    network: Network,
    variables: PyTree,
    inputs: Array,
    labels: Array,
    *,
    optimizer: optax.GradientTransformation,
    num_epochs: int,
    batch_size: int,
    augmentation: Augmentation | None = None,
    mixing: Mixing | None = None,
    loss: Loss = cross_entropy) -> PyTree:
  """Trains on shuffled batches; every sample is used once per epoch.

  The last batch of an epoch may be smaller. A second call starts with a new
  optimizer state, as in the recipes of DC and related methods, which lower the
  step size in this way.

  Args:
    key: consumed.
    network: the network that is trained.
    variables: variables at the start.
    inputs: [M, ...] in model space.
    labels: [M, K].
    optimizer: any optimizer, including its step size.
    num_epochs: number of passes over the samples; 0 for none.
    batch_size: B; at most M is used.
    augmentation: augmentation of each batch: one operation per batch, one draw
      per image.
    mixing: mixing of each augmented batch and its labels; see `mixing`.
    loss: `(logits [B, K], labels [B, K]) -> scalar`, a mean over rows.

  Returns:
    The trained variables.
  """
  if batch_size < 1 or num_epochs < 0:
    raise ValueError(
        "`batch_size` must be at least 1 and `num_epochs` at least 0; got "
        f"{batch_size} and {num_epochs}.")
  size = len(inputs)
  batch_size = min(batch_size, size)
  num_full = size // batch_size

  def step(carry, batch):
    variables, state = carry
    key, rows = batch
    return training_step(
        key,
        network,
        variables,
        state,
        inputs[rows],
        labels[rows],
        optimizer=optimizer,
        augmentation=augmentation,
        mixing=mixing,
        loss=loss)[:2], None

  def epoch(carry, key):
    k_order, k_full, k_rest = jax.random.split(key, 3)
    rows = jax.random.permutation(k_order, size)
    full, rest = jnp.split(rows, [num_full * batch_size])
    keys = jax.random.split(k_full, num_full)
    full = full.reshape(num_full, batch_size)
    carry, _ = jax.lax.scan(step, carry, (keys, full))
    if len(rest):
      carry, _ = step(carry, (k_rest, rest))
    return carry, None

  start = (variables, optimizer.init(variables["params"]))
  keys = jax.random.split(key, num_epochs)
  return jax.lax.scan(epoch, start, keys)[0][0]


def train_epoch_on(
    key: Array,
    variables: PyTree,
    state: PyTree,
    split: Split,
    *,
    network: Network,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    num_steps: int | None = None,
    augmentation: Augmentation | None = None,
    mixing: Mixing | None = None,
    gradient_rule: GradientRule = plain) -> tuple[PyTree, PyTree]:
  """One pass over a split of real data, in a new order.

  Samples beyond a whole number of batches are left out.

  Args:
    key: consumed.
    variables: variables at the start.
    state: state of the optimizer.
    split: real data, a `data.Split`; it is encoded here.
    network: the network that is trained.
    optimizer: any optimizer, including its step size.
    batch_size: B, at most the size of the split.
    num_steps: number of batches of the pass; by default all.
    augmentation: augmentation of each batch, one draw per image.
    mixing: mixing of each augmented batch and its labels.
    gradient_rule: see `training_step`.

  Returns:
    Variables and state.
  """
  num_steps = num_steps or split.num_samples // batch_size
  k_order, k_steps = jax.random.split(key)
  order = jax.random.permutation(k_order, split.num_samples)
  order = order[:num_steps * batch_size].reshape(num_steps, batch_size)

  def step(carry, item):
    variables, state = carry
    rows, key = item
    x = split.encode(split.inputs[rows])
    y = label_rows(split.labels[rows], split.num_classes, x.dtype)
    return training_step(
        key,
        network,
        variables,
        state,
        x,
        y,
        optimizer=optimizer,
        augmentation=augmentation,
        mixing=mixing,
        gradient_rule=gradient_rule)[:2], None

  keys = jax.random.split(k_steps, num_steps)
  return jax.lax.scan(step, (variables, state), (order, keys))[0]


def training_step(
    key: Array,
    network: Network,
    variables: PyTree,
    state: PyTree,
    inputs: Array,
    labels: Array,
    *,
    optimizer: optax.GradientTransformation,
    augmentation: Augmentation | None = None,
    mixing: Mixing | None = None,
    loss: Loss = cross_entropy,
    gradient_rule: GradientRule = plain) -> tuple[PyTree, PyTree, Array]:
  """One update on one batch.

  The gradient is computed in pieces that suit the machine
  (`parallel.mean_in_pieces`), unless the network keeps batch statistics.

  Args:
    key: consumed.
    network: the network that is trained.
    variables: its weights and statistics.
    state: state of the optimizer.
    inputs: [B, ...] in model space.
    labels: [B, K].
    optimizer: any optimizer, including its step size.
    augmentation: augmentation of the batch, one draw per image.
    mixing: mixing of the augmented batch and its labels.
    loss: `(logits [B, K], labels [B, K]) -> scalar`, a mean over rows.
    gradient_rule: how the batch's gradient is used; see `flatness`.

  Returns:
    Variables and state after the update, and the loss before it.
  """
  k_augment, k_mix, key = jax.random.split(key, 3)
  if augmentation is not None:
    draw = augmentation.draw(k_augment, inputs.shape, len(inputs))
    inputs = augmentation.apply(draw, inputs)
  if mixing is not None:
    inputs, labels = mixing(k_mix, inputs, labels)
  params = variables["params"]
  rest = {name: tree for name, tree in variables.items() if name != "params"}

  def objective(params, piece):
    key, x, y = piece
    logits, updated = network.apply({
        **rest, "params": params
    },
                                    x,
                                    key=key,
                                    train=True)
    return loss(logits, y), {name: updated[name] for name in rest}

  def of_piece(params, piece):
    keys, *batch = piece
    return objective(params, (keys[0], *batch))

  def in_pieces(params):
    keys = jax.random.split(key, len(inputs))
    return mean_in_pieces(of_piece, params, (keys, inputs, labels))

  def whole(params):
    return objective(params, (key, inputs, labels))

  gradient_of = jax.value_and_grad(
      whole if keeps_statistics(variables) else in_pieces, has_aux=True)
  (value, updated), gradient = gradient_rule(gradient_of, params)
  change, state = optimizer.update(gradient, state, params)
  params = optax.apply_updates(params, change)
  return {**updated, "params": params}, state, value


def differentiable_gradient(
    key: Array,
    network: Network,
    variables: PyTree,
    inputs: Array,
    labels: Array,
    *,
    loss: Loss = cross_entropy) -> tuple[PyTree, PyTree]:
  """The gradient on one batch, for steps that are themselves differentiated.

  It is computed in pieces that suit the machine, and can be differentiated any
  number of times (`parallel.mean_of_pieces`). If the network keeps batch
  statistics, the batch is taken whole.

  Args:
    key: consumed.
    network: the network that is trained.
    variables: variables at which the gradient is evaluated.
    inputs: [n, ...] in model space.
    labels: [n, K].
    loss: `(logits [n, K], labels [n, K]) -> scalar`, a mean over rows.

  Returns:
    The gradient with respect to `params`, and the variables with the statistics
    after this batch.
  """

  def gradient_on(key, x, y):

    def objective(params):
      logits, updated = network.apply({
          **variables, "params": params
      },
                                      x,
                                      key=key,
                                      train=True)
      return loss(logits, y), updated

    return jax.grad(objective, has_aux=True)(variables["params"])

  if keeps_statistics(variables):
    return gradient_on(key, inputs, labels)
  keys = jax.random.split(key, len(inputs))
  return mean_of_pieces(
      lambda piece: gradient_on(piece[0][0], *piece[1:])[0],
      (keys, inputs, labels)), variables


def keeps_statistics(variables: PyTree) -> bool:
  """Whether a network has other variables than weights, such as statistics."""
  return bool(jax.tree.leaves({**variables, "params": ()}))


def check_steps(shape: tuple[int, ...], num_batches: int) -> int:
  """Returns T; checks that it is a whole number of epochs over S steps."""
  if len(shape) != 1 or not shape[0] or shape[0] % num_batches:
    raise ValueError(
        "`step_sizes` must have shape [T] with T a multiple of the "
        f"{num_batches} steps in `order`; got shape {shape}.")
  return shape[0]
