"""Seeded views of a set: batches drawn, augmented and mixed by a key.

Decoupled methods (RDED, CIM, SRe2L) train a student on a teacher's labels of
every view. Each epoch shuffles the set, augments every batch and mixes it by
CutMix; the teacher labels the result. View e is determined by e, the settings
of `Views` and the number of samples. A set therefore stores only the teacher's
logits, and no crops, boxes or mixing partners (Shen & Xing, "A Fast Knowledge
Distillation Framework for Visual Recognition", 2022, arXiv 2112.01528, store
these). `batches` replays the views.

A view has P entries: the samples in a new order, cut into batches of equal
size. If the batch size does not divide M, P is the next multiple, and the first
samples of the order occur twice.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import augmentation as augmentations
from distill_jax.errors import ConfigError
from distill_jax.mixing import cutmix
from distill_jax.parallel import batch_map
from distill_jax.types import Array


class Views(NamedTuple):
  """How views are drawn; these are settings of the recipe `views`.

  Attributes:
    strategy: names of `augmentation.idc`, or "" for none.
    mix: share of batches that CutMix mixes, in [0, 1].
    batch_size: B; at most M is used.
    seed: seed of all views.
  """

  strategy: str
  mix: float
  batch_size: int
  seed: int


class View(NamedTuple):
  """One pass over a set.

  Attributes:
    rows: [P / B, B] int32, the samples of each batch.
    keys: [P / B] keys of augmentation and mixing, one per batch.
  """

  rows: Array
  keys: Array


def view(views: Views, number: Array, size: int) -> View:
  """Returns view `number` of a set of `size` samples."""
  batch_size = min(views.batch_size, size)
  num = -(-size // batch_size)
  # The generator is fixed, so that views do not depend on JAX's settings.
  key = jax.random.key(views.seed, impl="threefry2x32")
  key = jax.random.fold_in(key, number)
  k_order, k_batches = jax.random.split(key)
  rows = jnp.resize(jax.random.permutation(k_order, size), (num, batch_size))
  return View(rows.astype(jnp.int32), jax.random.split(k_batches, num))


def seen(views: Views) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
  """`(key, inputs [B, ...], labels [B, K]) -> inputs, labels` of one batch."""
  augment = augmentations.idc(views.strategy) if views.strategy else None
  mixing = cutmix(views.mix) if views.mix else None

  def apply(key, inputs, labels):
    k_augment, k_mix = jax.random.split(key)
    if augment is not None:
      draw = augment.draw(k_augment, inputs.shape, len(inputs))
      inputs = augment.apply(draw, inputs)
    if mixing is not None:
      inputs, labels = mixing(k_mix, inputs, labels)
    return inputs, labels

  return apply


def labelled(
    views: Views,
    outputs: Callable[[Array], Array],
    inputs: Array,
    num_views: int,
    dtype=jnp.float16) -> Array:
  """A teacher's labels of all views: logits [views, P, K].

  Args:
    views: how the views are drawn.
    outputs: the teacher, `(inputs [B, ...]) -> logits [B, K]`.
    inputs: [M, ...] in model space.
    num_views: number of views, beginning with the first.
    dtype: type of the logits.
  """
  apply = seen(views)

  def batch(item):
    rows, key = item
    x, _ = apply(key, inputs[rows], jnp.zeros((rows.size, 1)))
    return outputs(x)

  def one(number):
    found = jax.lax.map(batch, view(views, number, len(inputs)))
    return found.reshape(-1, found.shape[-1]).astype(dtype)

  return batch_map(one, jnp.arange(num_views), chunk=1, items="views")


def views_of(recipe: Mapping[str, Any]) -> Views:
  """The views that a recipe `views` draws.

  Raises:
    ConfigError: it is another recipe.
  """
  if recipe.get("name") != "views":
    raise ConfigError(
        "`recipe` must be views for labels of views; got "
        f"{recipe.get('name')!r}.")
  return Views(*(recipe[name] for name in Views._fields))


def batches(artifact, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields the batches of one view, as the recipe trains on them.

  Use it for your own training loop, in any library: epoch e trains on view e
  modulo the number of stored views.

  Args:
    artifact: a set with labels of views.
    number: number of the view, from 0.

  Yields:
    Inputs [B, ...] float32 in model space, and logits [B, K] of the teacher.

  Raises:
    ConfigError: the set has no labels of views, or not this view.

  Example:
    for x, logits in views.batches(made, 0): ...
  """
  if not artifact.views:
    raise ConfigError(
        "`artifact` must have labels of views; got a set with "
        f"{artifact.label_regime} labels. Distil with rded, cim or sre2l.")
  labels = artifact.views["labels"]
  if not isinstance(number, int) or not 0 <= number < len(labels):
    raise ConfigError(
        f"`number` must be an integer in [0, {len(labels)}), the views that "
        f"are kept; got {number}.")
  whole = _whole(views_of(artifact.recipe))(
      number, jnp.asarray(artifact.inputs))
  for i, batch in enumerate(np.asarray(whole)):
    size = len(batch)
    yield batch, labels[number, i * size:(i + 1) * size]


@functools.cache
def _whole(views: Views) -> Callable[[int, Array], Array]:
  """`(number, inputs [M, ...]) -> inputs [P / B, B, ...]` of a whole view."""
  apply = seen(views)

  @jax.jit
  def batches_of(number, inputs):

    def batch(item):
      rows, key = item
      return apply(key, inputs[rows], jnp.zeros((rows.size, 1)))[0]

    return jax.lax.map(batch, view(views, number, len(inputs)))

  return batches_of
