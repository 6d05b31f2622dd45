"""Attacks on test samples: the accuracy that remains on perturbed inputs.

Every coordinate is perturbed by at most eps (the L-infinity norm):

  fgsm          x' = x + eps sign(grad_x L(x))
  pgd           x_0 = x + U(-eps, eps),  x <- clip(x + a sign(grad_x L(x)))
  random_signs  the worst of several corners x + eps s, s in {-1, 1}

where L is the cross-entropy of the true class, and clip projects on the eps
ball and on [0, 1]. Goodfellow, Shlens & Szegedy, "Explaining and Harnessing
Adversarial Examples", 2015, arXiv 1412.6572; Madry et al., "Towards Deep
Learning Models Resistant to Adversarial Attacks", 2018, arXiv 1706.06083.

Images are perturbed as pixels in [0, 1], BEFORE normalisation. The gradient is
taken through `preprocessing.apply`, so that eps = 8/255 means the same for
every preprocessing. Other data have no such unit. They are perturbed in model
space, where standardised features have a standard deviation of 1, without a
clamp.

A sample counts as correct under an attack if it is classified correctly both
before and after the perturbation. `random_signs` needs no gradient. If it
leaves less accuracy than PGD, the gradient is masked, and the result of PGD
means nothing. The same holds if the gradient of many samples is exactly zero:
in float32, the gradients of very confident networks vanish.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.data.source import Split
from distill_jax.devices import jitted
from distill_jax.errors import ConfigError, shown
from distill_jax.evaluation.learners import classes_if_finite
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.parallel import map_rows
from distill_jax.preprocessing import Encoded, unit_scale
from distill_jax.types import Array, Network, PyTree

EPS = 8 / 255  # in units of pixels in [0, 1]


class Attack(NamedTuple):
  """An attack and its settings.

  Attributes:
    name: name in tables.
    eps: largest perturbation of a coordinate, positive; in units of pixels in
      [0, 1], or of model space.
    num_steps: number of gradient steps, or of corners that `random_signs`
      tries.
    step_size: a, length of each gradient step, in the unit of eps.
    random_start: whether the attack starts at a random point of the ball.
    gradient: whether the attack uses gradients.
  """

  name: str
  eps: float
  num_steps: int
  step_size: float
  random_start: bool = False
  gradient: bool = True


class Space(NamedTuple):
  """The space in which samples of a split are perturbed; see `space_of`.

  Attributes:
    unit: "pixels" or "model space".
    points: `(raw [B, ...]) -> points [B, ...]` float.
    encode: `(points) -> model space`, differentiable.
    bounds: lowest and highest value of a point. A point that lies outside from
      the start may stay there.
  """

  unit: str
  points: Callable[[Array], Array]
  encode: Callable[[Array], Array]
  bounds: tuple[float, float]


def fgsm(eps: float = EPS) -> Attack:
  """One gradient-sign step of length eps from the sample itself."""
  return _checked(Attack("fgsm", eps, 1, eps))


def pgd(
    eps: float = EPS,
    num_steps: int = 20,
    step_size: float | None = None) -> Attack:
  """Projected gradient-sign steps from a random start.

  Args:
    eps: largest perturbation of a coordinate, positive.
    num_steps: number of steps, at least 1.
    step_size: length of a step, positive; eps / 4 by default.
  """
  _check_number("eps", eps)
  step_size = eps / 4 if step_size is None else step_size
  return _checked(Attack("pgd", eps, num_steps, step_size, True))


def random_signs(eps: float = EPS, num_tries: int = 20) -> Attack:
  """The worst of several random corners of the ball; uses no gradient.

  Args:
    eps: distance of a corner in every coordinate, positive.
    num_tries: number of corners, at least 1.
  """
  return _checked(Attack("random_signs", eps, num_tries, eps, gradient=False))


def space_of(split: Split) -> Space:
  """Pixels in [0, 1] for images, model space for all other data."""
  record = split.preprocessing
  if len(split.sample_shape) != 3:
    infinite = float("inf")
    return Space(
        "model space", split.encode, lambda x: x, (-infinite, infinite))
  if isinstance(record, Encoded):
    return Space("pixels", record.invert, record.original.apply, (0.0, 1.0))
  return Space("pixels", unit_scale, record.apply, (0.0, 1.0))


def perturbed(
    keys: Array,
    outputs: Callable[[Array], Array],
    points: Array,
    labels: Array,
    *,
    attack: Attack,
    bounds: tuple[float, float] = (0.0, 1.0)) -> Array:
  """Perturbs samples [B, ...] so that their loss becomes higher.

  Args:
    keys: [B], one key per sample, consumed.
    outputs: `(points [B, ...]) -> logits [B, K]`, each row by itself.
    points: [B, ...] float, in the unit of `attack.eps`.
    labels: [B, K] label rows of the true classes.
    attack: an attack of this module.
    bounds: lowest and highest value of a point.
  """
  low = jnp.maximum(points - attack.eps, jnp.minimum(points, bounds[0]))
  high = jnp.minimum(points + attack.eps, jnp.maximum(points, bounds[1]))
  losses = partial(_losses, outputs, labels)
  if attack.gradient:
    return _follow(keys, losses, points, attack, low, high)
  return _try(keys, losses, points, attack, low, high)


@partial(jitted, static_argnames=("network", "attack", "rows"))
def right_under(
    key: Array,
    variables: PyTree,
    split: Split,
    indices: Array,
    *,
    network: Network,
    attack: Attack,
    rows: int | None = None) -> Array:
  """Tests one network on samples of a split, before and under an attack.

  Args:
    key: consumed; sample i of the split uses `fold_in(key, i)`.
    variables: variables of the network.
    split: real data.
    indices: [n] int, the samples that are attacked.
    network: the network.
    attack: an attack of this module.
    rows: number of samples processed at once, by default what suits the
      machine; the result does not depend on it.

  Returns:
    [n, 3] bool: correct before the attack; correct both before and under the
    attack; whether the gradient before the attack is zero.
  """
  space = space_of(split)

  def outputs(points):
    return network.apply(variables, space.encode(points))[0]

  classes_at = classes_if_finite(outputs, variables)

  def of_rows(rows):
    points, classes = space.points(split.inputs[rows]), split.labels[rows]
    labels = label_rows(classes, split.num_classes, points.dtype)
    keys = jax.vmap(partial(jax.random.fold_in, key))(rows)
    moved = perturbed(
        keys, outputs, points, labels, attack=attack, bounds=space.bounds)
    gradient = _gradient(partial(_losses, outputs, labels), points)
    clean = classes_at(points) == classes
    flat = (gradient == 0).reshape(len(points), -1).all(1)
    return jnp.stack([clean, clean & (classes_at(moved) == classes), flat], 1)

  return map_rows(of_rows, indices, rows)


def _losses(outputs, labels, points) -> Array:
  """Losses [B]; the gradient of their sum is each sample's own gradient."""
  return jax.vmap(lambda z, y: cross_entropy(z[None], y[None]))(
      outputs(points), labels)


def _gradient(losses, points) -> Array:
  return jax.grad(lambda x: losses(x).sum())(points)


def _follow(keys, losses, points, attack, low, high):
  """Takes projected steps along the sign of the gradient."""
  start = points
  if attack.random_start:
    draw = partial(
        jax.random.uniform,
        shape=points.shape[1:],
        dtype=points.dtype,
        minval=-attack.eps,
        maxval=attack.eps)
    start = (points + jax.vmap(draw)(keys)).clip(low, high)

  def step(x, _):
    ascent = attack.step_size * jnp.sign(_gradient(losses, x))
    return (x + ascent).clip(low, high), None

  return jax.lax.scan(step, start, length=attack.num_steps)[0]


def _try(keys, losses, points, attack, low, high):
  """Tries random corners and keeps the one with the highest loss."""

  def corner(key):
    # jax.random.rademacher draws other signs once x64 is switched on.
    up = jax.random.bernoulli(key, jnp.float32(0.5), points.shape[1:])
    return jnp.where(up, 1, -1).astype(points.dtype)

  def step(carry, number):
    best, highest = carry
    drawn = jax.vmap(lambda key: corner(jax.random.fold_in(key, number)))(keys)
    found = (points + attack.eps * drawn).clip(low, high)
    loss = losses(found)
    worse = loss > highest
    best = jnp.where(worse.reshape(-1, *(1,) * (points.ndim - 1)), found, best)
    return (best, jnp.where(worse, loss, highest)), None

  start = (points, losses(points))
  return jax.lax.scan(step, start, jnp.arange(attack.num_steps))[0][0]


def _check_number(name: str, value) -> None:
  if not isinstance(value, int | float | np.number):
    raise ConfigError(f"`{name}` must be a number; got {shown(value)}.")
  if not 0 < value < np.inf:
    raise ConfigError(f"`{name}` must be positive; got {value}.")


def _checked(attack: Attack) -> Attack:
  _check_number("eps", attack.eps)
  _check_number("step_size", attack.step_size)
  steps = attack.num_steps
  if not isinstance(steps, int | np.integer) or steps < 1:
    raise ConfigError(
        "`num_steps` must be a whole number of at least 1; got "
        f"{shown(steps)}.")
  return attack
